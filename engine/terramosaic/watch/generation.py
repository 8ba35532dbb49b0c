"""A generation of the newest mosaics: files that nobody changes any more once the collection names them.

OUT/newest/GENERATION/NDVI.tif ...     as a run's mosaics
OUT/newest/GENERATION/acquired.tif     of which day each pixel is
OUT/newest/GENERATION/newest.json      which acquisitions are in them; written last
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Annotated, Any

import pystac
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from terramosaic.catalog import Pass
from terramosaic.ground.grid import Rect
from terramosaic.planning.folder import mosaic_name
from terramosaic.planning.layers import ACQUIRED, Layer
from terramosaic.planning.plan import Plan
from terramosaic.storage.files import read_json, write_json
from terramosaic.storage.location import Location
from terramosaic.watch.collection import MapCollection
from terramosaic.watch.overlay import Key, Source

FOLDER = "newest"

#: Kinds of layers that no newest mosaics are made of.
_LEFT_OUT = ("imagery", "embedding")

_STATE = "newest.json"


@dataclass(frozen=True)
class Mosaics:
    """What a folder of mosaics holds: that of a run, or of a generation.

    Attributes:
        layers: what they tell, with `ACQUIRED`, of which a run of one acquisition needs no file.
        fingerprint: of the bundle that made them.
        zones: their pixels, by EPSG code.
    """

    layers: tuple[Layer, ...]
    fingerprint: str
    zones: dict[int, Rect]

    @classmethod
    def of(cls, plan: Plan) -> Mosaics:
        """Those of a run, but for the imagery that it may keep, and embeddings, whose pixels are of another size."""
        zones = {zone.epsg: zone.rect for zone in plan.zones}
        own = tuple(
            layer for layer in plan.layers if layer.key != ACQUIRED.key and layer.kind not in _LEFT_OUT
        )
        return cls((*own, ACQUIRED), plan.bundle.fingerprint, zones)

    def is_like(self, other: Mosaics) -> bool:
        """Whether numbers of both may lie in one mosaic, whatever the files are called.

        Both hold the same maps. What tells how far to trust them one may lack, as those of an earlier version do.
        """
        ours, theirs = ({layer.key: _kind_of(layer) for layer in each.layers} for each in (self, other))
        are_same = all(ours[key] == theirs[key] for key in ours.keys() & theirs.keys())
        lacks_map = any((ours | theirs)[key].measure == "estimate" for key in ours.keys() ^ theirs.keys())
        return self.fingerprint == other.fingerprint and are_same and not lacks_map

    def with_layers_of(self, others: Iterable[Mosaics]) -> Mosaics:
        """These, with the layers that only others have."""
        layers = {layer.key: layer for layer in self.layers}
        for layer in (layer for other in others for layer in other.layers):
            layers.setdefault(layer.key, layer)
        return replace(self, layers=tuple(layers.values()))

    def files(self, epsg: int) -> dict[Key, str]:
        """Names of the files of a zone."""
        return {layer.key: mosaic_name(layer.name, epsg, len(self.zones)) for layer in self.layers}

    def paths(self, folder: Location, epsg: int) -> dict[Key, Location]:
        """The files of a zone."""
        return {key: folder / name for key, name in self.files(epsg).items()}

    def source(self, folder: Location, epsg: int, of_pass: Pass | None = None) -> Source:
        """The files of a zone to take pixels from; see `Source`."""
        return Source(of_pass, self.paths(folder, epsg))


def _kind_of(layer: Layer) -> Layer:
    """What of a layer must be alike where numbers lie in one mosaic: not its file's name, nor which days it is of."""
    return replace(layer, name="", classes=() if layer.kind == "days" else layer.classes)


def _by_run(days: Any) -> Any:
    """Until passes were told apart, there was one run of a day, and it was found by that."""
    is_by_day = isinstance(days, dict) and any("-" in key for key in days)
    return {run: day for day, run in days.items()} if is_by_day else days


_DayOfRun = Annotated[dict[str, date], BeforeValidator(_by_run)]


@dataclass(frozen=True)
class Generation:
    """What a generation was made from.

    Attributes:
        mosaics: what it holds.
        runs: solar days of the runs that are in it.
        left_out: of runs of the collection that are not: their numbers are of another kind, or somebody removed them.
    """

    mosaics: Mosaics
    runs: _DayOfRun
    left_out: _DayOfRun

    @classmethod
    def read(cls, folder: Location) -> Generation | None:
        """The generation in a folder; None if there is none that this version could go on with."""
        content = read_json(folder / _STATE)
        with contextlib.suppress(ValidationError):
            return None if content is None else _FORMAT.validate_json(json.dumps(content))
        return None

    def write(self, folder: Location) -> None:
        """Writes down what it was made from."""
        write_json(folder / _STATE, _FORMAT.dump_python(self, mode="json"))

    def has_seen(self, run_id: str) -> bool:
        """Whether a run was looked at, be it in the mosaics or left out."""
        return run_id in self.runs or run_id in self.left_out


_FORMAT = TypeAdapter(Generation)


def new_name() -> str:
    """A name that no other generation has, nor one that a process without a lease may still be writing."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def name_in(collection: MapCollection) -> str:
    """The generation that a collection names; of 0.1, which had none, and of a new collection no generation's name."""
    asset = next(iter(collection.assets.values()), {"href": f"./{FOLDER}/"})
    return str(asset["href"]).split("/")[-2]


def assets_of(name: str, mosaics: Mosaics) -> dict[str, Any]:
    """A generation as assets of the collection, with hrefs relative to it."""
    return {
        f"{FOLDER}-{file.removesuffix('.tif')}": {
            "href": f"./{FOLDER}/{name}/{file}",
            "title": f"{layer.name}: the last clear acquisition of each pixel",
            "type": pystac.MediaType.COG,
            "roles": ["data"],
            "proj:code": f"EPSG:{epsg}",
        }
        for epsg in mosaics.zones
        for layer, file in zip(mosaics.layers, mosaics.files(epsg).values(), strict=True)
    }
