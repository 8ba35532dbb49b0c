"""Scenes of Sentinel-1 RTC: terrain-corrected backscatter, gamma nought in linear power; one frozen value per item.

What is taken is what Planetary Computer's ``sentinel-1-rtc`` has: files ``vv`` and ``vh`` of 10 m in a UTM zone, of a
slice of a pass. GRD is refused by its collection, for items of RTC call themselves GRD in ``sar:product_type``, too.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal, cast

import shapely
from affine import Affine
from pydantic import BaseModel, ConfigDict, Field
from shapely.geometry import box, shape
from shapely.geometry.base import BaseGeometry

from terramosaic.catalog import fields, metadata
from terramosaic.catalog.assets import AssetRef, asset_ref
from terramosaic.catalog.footprint import footprint_of, middle_longitude
from terramosaic.catalog.hrefs import Origin
from terramosaic.catalog.profiles import GENERIC, Profile, profile_by_host
from terramosaic.errors import (
    ForeignItemError,
    MissingBandError,
    RequestError,
    UnusableItemError,
    printable,
)
from terramosaic.ground.zones import as_geojson, lonlat_of

#: Polarisations in the order of the model, and the names that their assets go by.
POLARISATIONS = {"VV": ("vv", "VV"), "VH": ("vh", "VH")}

#: Flying north or south; empty where an item does not tell.
Direction = Literal["ascending", "descending", ""]

_SENTINEL_1 = re.compile(r"s(entinel)?[-_ ]?1", re.IGNORECASE)
_SATELLITE = re.compile(r"(?:^|_)S1([A-D])_")
_RADAR = {"vv", "vh", "hh", "hv"}
_GRD = re.compile(r"(^|[^a-z])grd([^a-z]|$)", re.IGNORECASE)

#: Why GRD is not read.
_NO_GRD = (
    "is Sentinel-1 GRD, whose numbers are neither calibrated nor geocoded: on slopes it lies hundreds of metres off; "
    "take terrain-corrected backscatter, such as sentinel-1-rtc of planetary-computer"
)

#: Pixels that are taken off at a swath's edge, where GRD's border noise is; and from scenes before ESA's processor 2.90
#: of March 2018, which left wide fringes of it.
_EDGE, _EDGE_BEFORE, _CLEANED = 4, 20, dt.datetime(2018, 3, 13, tzinfo=dt.UTC)

#: Sources of orbits, the better last.
_ORBITS = ("PREORB", "RESORB", "POEORB")


class BackscatterScene(BaseModel):
    """One STAC item: a slice of a pass.

    Attributes:
        id: the item's id.
        collection: the item's collection, empty if it names none.
        profile: name of the profile that decides how hrefs are signed.
        platform: ``sentinel-1a`` and so on.
        datetime: when it was sensed, UTC.
        sensing_start: when its slice began, UTC.
        absolute_orbit: counts the satellite's orbits since launch; None if the item does not say.
        relative_orbit: 1 to 175; None if the item does not say.
        direction: of the orbit.
        slice: which one of how many of its datatake, if the item tells; 0 of 0 is said, too.
        epsg: the UTM zone that its pixels come in, by the item; the files' headers have the last word.
        transform: from (column, row) to metres, by the item; None if it does not say.
        shape: rows and columns, by the item; None if it does not say.
        footprint: GeoJSON geometry in lon/lat, valid, split at the antimeridian.
        assets: ``VV`` and ``VH``.
        processed: when it was made, UTC; None if the item does not say, as those of Planetary Computer do not.
        created: when the catalog took it in, UTC, if it says.
        orbit_source: of the orbit that it was made with: ``PREORB``, ``RESORB``, ``POEORB``; empty if it is not told.
        key: names it among the items of its run.
        origin: where the item was found, which decides what its assets may name; see `terramosaic.catalog.hrefs`.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    collection: str
    profile: str
    platform: str
    datetime: dt.datetime
    sensing_start: dt.datetime
    absolute_orbit: int | None
    relative_orbit: int | None
    direction: Direction
    slice: tuple[int, int] | None
    epsg: int
    transform: tuple[float, float, float, float, float, float] | None
    shape: tuple[int, int] | None
    footprint: dict[str, Any]
    assets: dict[str, AssetRef]
    processed: dt.datetime | None = None
    created: dt.datetime | None = None
    orbit_source: str = ""
    key: str = Field(default_factory=lambda told: str(told["id"]))
    origin: Origin = "disk"

    @property
    def solar_day(self) -> dt.date:
        """The day at the footprint's middle by the sun."""
        longitude = middle_longitude(self.geometry, self.epsg)
        return (self.datetime + dt.timedelta(hours=longitude / 15)).date()

    @cached_property
    def geometry(self) -> BaseGeometry:
        """The footprint as a shapely geometry, lon/lat degrees."""
        return shape(self.footprint)

    @property
    def edge(self) -> int:
        """Pixels that are taken off at the edge of its swath."""
        return _EDGE_BEFORE if self.sensing_start < _CLEANED else _EDGE

    @property
    def grid(self) -> tuple[Affine, tuple[int, int]] | None:
        """The files' transform, and their rows and columns, by the item; None if it does not tell both."""
        return None if self.transform is None or self.shape is None else (Affine(*self.transform), self.shape)

    def identity(self, *, checksums: bool = True) -> dict[str, Any]:
        """What of the item decides pixels, for JSON; see `terramosaic.catalog.scene.Scene.identity`.

        Scenes are processed anew in place, under the same id: their files' sizes and checksums tell.

        Args:
            checksums: whether those of the files count.
        """
        made = self.processed
        return {
            "item": [self.collection, self.id],
            "product": [self.platform, self.sensing_start.isoformat(), self.absolute_orbit, self.epsg],
            "processing": [made and made.isoformat(), self.orbit_source],
            "assets": {
                band: [asset.key, asset.name, *([asset.size, asset.checksum] if checksums else [])]
                for band, asset in self.assets.items()
            },
        }

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of the item's identity and ground: tells scenes apart that share collection and id."""
        content = [self.identity(checksums=False), self.datetime.isoformat(), self.footprint]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def require_rtc(collection: str) -> None:
    """Refuses a collection of Sentinel-1 that is not terrain-corrected.

    Raises:
        RequestError: it is one of GRD.
    """
    if _is_grd(collection):
        raise RequestError(f"inputs: collection {printable(collection)} {_NO_GRD}")


def backscatter_from_item(
    item: Mapping[str, Any], profile: Profile = GENERIC, *, origin: Origin = "disk"
) -> BackscatterScene:
    """Reads an item.

    Args:
        item: STAC item as a dict, its hrefs absolute.
        profile: the profile of the catalog it came from; with `GENERIC` the files' host decides who signs.
        origin: where the item was found.

    Raises:
        ForeignItemError: it is of another satellite.
        MissingBandError: it lacks VV or VH, as scenes of HH and HV do.
        UnusableItemError: it is GRD, or has no geometry or no UTM zone.
        CatalogError: a field is of the wrong type; names it.
    """
    metadata.check_item(item)
    properties, name = item["properties"], metadata.name_of(item)
    platform = fields.text(item, "platform").lower()
    if platform and not _SENTINEL_1.match(platform):
        raise ForeignItemError(f"item {name} is of {printable(platform)}, not of Sentinel-1")
    if _is_grd(metadata.collection_of(item)):
        raise UnusableItemError(f"item {name} of collection {printable(item['collection'])} {_NO_GRD}")
    satellite = _SATELLITE.search(item["id"])
    if not (satellite or _RADAR & item["assets"].keys()):
        raise ForeignItemError(f"item {name} is no scene of Sentinel-1")
    keys = _asset_keys(item)
    vv = item["assets"][keys["VV"]]
    profile = profile_by_host([vv["href"]]) if profile is GENERIC else profile
    orbit_state = fields.text(item, "sat:orbit_state").lower()
    if orbit_state not in ("ascending", "descending", ""):
        raise metadata.wrong(
            item, "sat:orbit_state", properties["sat:orbit_state"], "ascending or descending"
        )
    numbers = [fields.whole(item, f"s1:{part}") for part in ("slice_number", "total_slices")]
    transform = fields.numbers(item, "proj:transform", vv, 6, 9)[:6] or None
    pixels = fields.numbers(item, "proj:shape", vv, 2) or None
    when, epsg = metadata.item_datetime(item), metadata.epsg(item, vv)
    refs = {
        band: asset_ref(item, band, key, profile, size=fields.asset_size(item, key))
        for band, key in keys.items()
    }
    if len({ref.href for ref in refs.values()}) < len(refs):
        raise UnusableItemError(
            f"item {name} names one file for VV and VH, or tells them apart by secrets in their URLs alone"
        )
    return BackscatterScene(
        id=item["id"],
        collection=metadata.collection_of(item),
        profile=profile.name,
        platform=platform or (f"sentinel-1{satellite[1].lower()}" if satellite else "unknown"),
        datetime=when,
        sensing_start=fields.moment(item, "start_datetime") or when,
        absolute_orbit=fields.whole(item, "sat:absolute_orbit"),
        relative_orbit=fields.whole(item, "sat:relative_orbit"),
        direction=cast(Direction, orbit_state),
        slice=None if None in numbers else cast(tuple[int, int], tuple(numbers)),
        epsg=epsg,
        transform=cast("tuple[float, float, float, float, float, float] | None", transform),
        shape=None if pixels is None else (int(pixels[0]), int(pixels[1])),
        footprint=as_geojson(_footprint(item, vv, epsg)),
        assets=refs,
        processed=fields.moment(item, "processing:datetime"),
        created=fields.moment(item, "created"),
        orbit_source=fields.text(item, "s1:orbit_source"),
        origin=origin,
    )


def newness(scene: BackscatterScene) -> tuple[Any, ...]:
    """Sorts processings of one acquisition, the newest last: by their date, else by how good their orbit was."""
    never = dt.datetime.min.replace(tzinfo=dt.UTC)
    orbit = _ORBITS.index(scene.orbit_source) if scene.orbit_source in _ORBITS else -1
    return (
        scene.processed or never,
        orbit,
        scene.created or never,
        scene.id,
        scene.collection,
        scene.fingerprint,
    )


def _asset_keys(item: Mapping[str, Any]) -> dict[str, str]:
    """Names of the item's assets by polarisation; both are there."""
    assets = item["assets"]
    metadata.check_assets(item, {key for keys in POLARISATIONS.values() for key in keys})
    found = {
        band: key
        for band, keys in POLARISATIONS.items()
        if (key := next((key for key in keys if assets.get(key, {}).get("href")), None))
    }
    if missing := [band for band in POLARISATIONS if band not in found]:
        there = printable(", ".join(filter(metadata.is_text, assets)) or "none")
        raise MissingBandError(
            f"item {metadata.name_of(item)} lacks {' and '.join(missing)}; its assets are {there}"
        )
    return found


def _footprint(item: Mapping[str, Any], asset: Mapping[str, Any], epsg: int) -> BaseGeometry:
    """The swath that the item draws, or the box of its pixels in their own CRS where that lies apart from it.

    The swath fills two thirds of the box, and tells better what a scene covers; but on the antimeridian catalogs draw
    it around the world, or on its wrong side.
    """
    swath, edges = footprint_of(item), metadata.bounds(item, asset)
    if edges is None:
        return swath
    pixels = lonlat_of(box(*edges), epsg)
    return swath if shapely.intersects(swath, pixels) or not pixels.area > 0 else pixels


def _is_grd(collection: str) -> bool:
    return bool(_GRD.search(collection)) and "rtc" not in collection.lower()
