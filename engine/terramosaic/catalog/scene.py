"""Scenes: one frozen value per STAC item, the same for every provider's vocabulary."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Literal, Protocol, Self, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from terramosaic.bands import GSD, L2A_FILES, is_coarse
from terramosaic.catalog import metadata
from terramosaic.catalog.assets import AssetRef, asset_ref, own_size
from terramosaic.catalog.footprint import footprint_of, middle_longitude
from terramosaic.catalog.hrefs import Origin
from terramosaic.catalog.offset import GUESSED, decide_offset
from terramosaic.catalog.profiles import GENERIC, Profile, profile_of
from terramosaic.errors import CatalogError, ForeignItemError, MissingBandError, UnusableItemError, printable
from terramosaic.ground.zones import as_geojson

#: What the engine reads of a scene: the model's bands and the scene classification.
SCENE_BANDS = L2A_FILES


class Scene(BaseModel):
    """One STAC item.

    Attributes:
        id: the item's id.
        collection: the item's collection, empty if it names none.
        profile: name of the profile whose words the item speaks; decides how hrefs are signed.
        platform: ``sentinel-2a`` and so on.
        datetime: when it was sensed, UTC.
        solar_day: the day at the footprint's centre by the sun.
        sensing_start: when its datastrip began, UTC.
        relative_orbit: 1 to 143; None if the item does not say.
        mgrs_tile: ``33TWL``; None if the item does not say.
        epsg: the UTM zone that its pixels come in.
        processing_baseline: ``05.09``; None if the item does not say.
        generation_time: when the product was made, UTC.
        cloud_cover: percent of the whole scene; None if the item does not say.
        footprint: GeoJSON geometry in lon/lat, valid, split at the antimeridian.
        grid_bounds: (left, bottom, right, top) of its 10 m pixels in metres of ``epsg``, if the item tells.
        assets: band -> file, for those wanted bands that the item has.
        offset_rule: the rule that decided the assets' offsets, in a line.
        item_assets: names of all the item's assets.
        key: names it among the scenes of its run, see `tell_apart`; the id, unless another one of them has the same.
        origin: where the item was found, which decides what its assets may name; see `terramosaic.catalog.hrefs`.
        level: L1C has no scene classification, L2A no band of cirrus.
        l1c: of a scene of L2A the L1C of the same acquisition, where windows are cut from both.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    collection: str
    profile: str = Field(validation_alias=AliasChoices("profile", "provider"))  # what 0.1 wrote
    platform: str
    datetime: dt.datetime
    solar_day: dt.date
    sensing_start: dt.datetime
    relative_orbit: int | None = None  # 0.1 did not keep it
    mgrs_tile: str | None
    epsg: int
    processing_baseline: str | None
    generation_time: dt.datetime | None
    cloud_cover: float | None
    footprint: dict[str, Any]
    grid_bounds: tuple[float, float, float, float] | None
    assets: dict[str, AssetRef]
    offset_rule: str
    item_assets: tuple[str, ...]
    key: str = Field(default_factory=lambda fields: str(fields["id"]))
    origin: Origin = "disk"  # 0.1 did not keep it
    level: Literal["L1C", "L2A"] = "L2A"
    l1c: Scene | None = None

    @property
    def both(self) -> tuple[Scene, ...]:
        """Itself, and its L1C where windows are cut from that, too: what gives a pixel is read of both."""
        return (self,) if self.l1c is None else (self, self.l1c)

    @property
    def offset_is_guessed(self) -> bool:
        """Whether nothing that the item says decided the offset of its bands."""
        return any(rule.startswith(GUESSED) for rule in self.offset_rule.split("; "))

    @cached_property
    def geometry(self) -> BaseGeometry:
        """The footprint as a shapely geometry, lon/lat degrees."""
        return shape(self.footprint)

    def identity(self, *, checksums: bool = True) -> dict[str, Any]:
        """What of the item decides pixels, for JSON: which product and processing it is, its files and their offsets.

        Neither where the files lie, so that a catalog can be moved, nor when a catalog has touched the item.

        Args:
            checksums: whether those of the files count.
        """
        made = self.generation_time
        beside = {"l1c": self.l1c.identity(checksums=checksums)} if self.l1c is not None else {}
        return beside | {
            "item": [self.collection, self.id],
            "product": [self.platform, self.sensing_start.isoformat(), self.mgrs_tile, self.epsg],
            "processing": [self.processing_baseline, made and made.isoformat()],
            "assets": {
                band: [asset.key, asset.name, asset.offset, asset.checksum if checksums else None]
                for band, asset in self.assets.items()
            },
        }

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of the item's identity and ground: tells scenes apart that share collection and id."""
        content = [self.identity(checksums=False), self.datetime.isoformat(), self.footprint]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    def require(self, bands: Iterable[str]) -> dict[str, AssetRef]:
        """The files of these bands.

        Raises:
            MissingBandError: the item lacks one.
            ForeignItemError: it has none at all.
        """
        wanted = list(bands)
        missing = [band for band in wanted if band not in self.assets]
        if missing:
            kind, what = (
                (ForeignItemError, "has none of Sentinel-2's bands")
                if not self.assets
                else (MissingBandError, f"lacks {', '.join(missing)}")
            )
            raise kind(
                f"item {printable(self.id)} {what}; its assets are {printable(', '.join(self.item_assets) or 'none')}"
            )
        return {band: self.assets[band] for band in wanted}


def scene_from_item(
    item: Mapping[str, Any],
    profile: Profile = GENERIC,
    bands: Iterable[str] = SCENE_BANDS,
    *,
    origin: Origin = "disk",
    level: Literal["L1C", "L2A"] = "L2A",
) -> Scene:
    """Reads an item.

    Args:
        item: STAC item as a dict, its hrefs absolute.
        profile: the profile of the catalog it came from; `GENERIC` lets the item's own marks decide.
        bands: the bands to look for. Those that the item lacks are left out; `Scene.require` fails on them.
        origin: where the item was found.
        level: what it is taken for.

    Raises:
        UnusableItemError: it is no scene of Sentinel-2, has no geometry or no UTM zone, or a band is coarser than it is
            wanted.
        CatalogError: no date, an offset of another size than Sentinel-2's, or metadata of the wrong type.
    """
    profile, keys = _asset_keys(item, profile, bands)
    assets = item["assets"]
    for band, key in keys.items():
        size = metadata.pixel_size(item, key)
        if is_coarse(band, size):
            raise UnusableItemError(
                f"asset {key} of item {metadata.name_of(item)} has pixels of {size:g} m, and {band} is wanted at "
                f"{GSD[band]} m; use a catalog that has it"
            )
    ten_metres = next((keys[band] for band in ("B04", "B03", "B02", "B08") if band in keys), None)
    reference = assets[ten_metres] if ten_metres else {}
    epsg, when, geometry = metadata.epsg(item, reference), metadata.item_datetime(item), footprint_of(item)
    baseline = metadata.processing_baseline(item)
    decisions = {
        band: decide_offset(item, key, band=band, baseline=baseline, profile=profile)
        for band, key in keys.items()
    }
    refs = {
        band: asset_ref(item, band, key, profile, offset=decisions[band].offset, size=own_size(item, key))
        for band, key in keys.items()
    }
    if len({ref.href for ref in refs.values()}) < len({assets[key]["href"] for key in keys.values()}):
        raise UnusableItemError(
            f"assets of item {metadata.name_of(item)} are told apart by secrets in their URLs alone, which nothing "
            "keeps; use a catalog whose hrefs say which file they mean"
        )
    return Scene(
        id=item["id"],
        collection=metadata.collection_of(item),
        profile=profile.name,
        platform=metadata.platform(item),
        datetime=when,
        solar_day=(when + dt.timedelta(hours=middle_longitude(geometry, epsg) / 15)).date(),
        sensing_start=metadata.sensing_start(item),
        relative_orbit=metadata.relative_orbit(item),
        mgrs_tile=metadata.mgrs_tile(item),
        epsg=epsg,
        processing_baseline=baseline,
        generation_time=metadata.generation_time(item),
        cloud_cover=metadata.cloud_cover(item),
        footprint=as_geojson(geometry),
        grid_bounds=metadata.bounds(item, reference),
        assets=refs,
        offset_rule="; ".join(
            dict.fromkeys(decision.rule for band, decision in decisions.items() if band != "SCL")
        ),
        item_assets=tuple(filter(metadata.is_text, assets)),
        origin=origin,
        level=level,
    )


def is_of_sentinel_2(item: Mapping[str, Any], profile: Profile = GENERIC) -> bool:
    """Whether an item is meant for a scene, usable or not."""
    try:
        return bool(_asset_keys(item, profile, SCENE_BANDS)[1])
    except ForeignItemError:
        return False
    except CatalogError:
        return True


def _asset_keys(
    item: Mapping[str, Any], profile: Profile, bands: Iterable[str]
) -> tuple[Profile, dict[str, str]]:
    """Whose words an item speaks, and the names of its assets by the bands that they hold."""
    metadata.check_item(item)
    if profile is GENERIC:
        profile = profile_of(item)
    bands, assets = tuple(bands), item["assets"]
    metadata.check_assets(
        item, {name for band in bands for name in profile.assets.get(band, ())} & assets.keys()
    )
    keys = {band: key for band in bands if (key := profile.asset_key(band, assets))}
    metadata.check_kind(item, keys)
    return profile, keys


class _Named(Protocol):
    """What is told apart: scenes of any satellite."""

    @property
    def id(self) -> str: ...
    @property
    def collection(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self: ...


_AnyScene = TypeVar("_AnyScene", bound=_Named)


def tell_apart(scenes: Iterable[_AnyScene]) -> list[_AnyScene]:
    """The scenes, each with a key that no other one of them has.

    That is its id. Where others share it, as STAC lets collections do, it is ``collection/id``; where that is shared as
    well, as in catalogs that were put together by hand, a hash of what the item says is added. So a key depends on the
    scenes alone, not on their order.
    """
    named = [(scene, _names(scene)) for scene in scenes]
    shared = Counter(name for _, names in named for name in names)
    return [
        scene.model_copy(
            update={
                "key": next((name for name in names if shared[name] == 1), None)
                or f"{names[-1]}~{scene.fingerprint}"
            }
        )
        for scene, names in named
    ]


def _names(scene: _Named) -> tuple[str, ...]:
    """What a scene may be called, the shorter first."""
    full = f"{scene.collection}/{scene.id}" if scene.collection else scene.id
    return tuple(dict.fromkeys((scene.id, full)))
