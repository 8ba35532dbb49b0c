"""Mosaics of the newest pixels: of all acquisitions that are mapped, each pixel's last clear one.

    OUT/newest/NDVI.tif ...      as a run's mosaics
    OUT/newest/acquired.tif      of which day each pixel is
    OUT/newest/newest.json       which acquisitions are in them; written last

New acquisitions are laid over what is there, so an update reads those and nothing else. A pixel without any clear
acquisition is of the last cloudy one, and `quality` says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pystac
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from engine.bundle import load_bundle
from engine.encode import QUALITY_CLOUD, QUALITY_NODATA, Layer, layers
from engine.errors import OutputError
from engine.files import read_json, write_text
from engine.location import Location, is_remote
from engine.mosaic import write_mosaic
from engine.plan import Plan, Zone
from engine.run import RunFolder
from engine.scratch import LocalCopy

FOLDER = "newest"
_STATE = "newest.json"
_EPOCH = date(1970, 1, 1)

#: Of which day a pixel is: days since 1970-01-01.
ACQUIRED = Layer("acquired", "days", ("acquired",), "uint16", 0, unit="d", overviews="mode")

#: Kinds of layers that decide which pixel is the best.
_DECIDE = ("days", "flags")

#: Puts clear pixels of any day before cloudy ones of any other.
_CLEAR = 1 << 16

#: Rows that are laid over each other at once.
_BAND = 256


@dataclass(frozen=True)
class _Source:
    """Where pixels may come from: an acquisition's run, or (without a day) what was there before."""

    folder: Location
    day: int | None
    suffix: str

    def raster(self, layer: str) -> Location:
        return self.folder / f"{layer}{self.suffix}.tif"


def holds(folder: Location, runs: Mapping[date, str]) -> bool:
    """Whether the mosaics were made from these runs, by solar day, and are whole."""
    state = read_json(folder / FOLDER / _STATE) or {}
    known = state.get("runs", {}) | dict.fromkeys(state.get("left out", ()))
    return bool(state) and all(known.get(day.isoformat(), "") in (run, None) for day, run in runs.items())


def encoding_of(plan: Plan) -> list[str]:
    """Names of a run's layers and how their numbers are stored, and the model's fingerprint."""
    wanted = layers(plan.request, load_bundle(plan.request.model)).values()
    return [*sorted(f"{layer.name} {layer.dtype}" for layer in wanted), plan.bundle.fingerprint]


def update_newest(
    folder: Location, runs: Mapping[date, Plan], left_out: Iterable[date] = ()
) -> list[Location]:
    """Brings the mosaics of newest pixels up to date.

    Args:
        folder: of the collection.
        runs: the acquisitions of the collection that shall be in them, by solar day; of one encoding, published.
        left_out: days that the collection has and that shall not be in them.

    Returns:
        The mosaics.

    Raises:
        OutputError: a file could not be read or written.
    """
    target = folder / FOLDER
    plan = runs[max(runs)]
    wanted = [*layers(plan.request, load_bundle(plan.request.model)).values(), ACQUIRED]
    zones = _zones(runs.values())
    shape = {"zones": _rects(zones), "encoding": encoding_of(plan)}
    state = read_json(target / _STATE) or {}
    named = {day.isoformat(): made.run_id for day, made in runs.items()}
    known: dict[str, str] = state.get("runs", {})
    # Pixels of a run that was replaced cannot be told from the others of its day; another outline has other pixels.
    if any(state.get(part) != whole for part, whole in shape.items()) or any(
        named.get(day, run) != run for day, run in known.items()
    ):
        known = {}
    fresh = {day: made for day, made in runs.items() if known.get(day.isoformat()) != made.run_id}
    # Those that decide are replaced last: an update that is broken off before them is made again, to the same end.
    # Days before quality: a late clear pixel must not pass for one of the cloudy day that it replaced.
    wanted.sort(
        key=lambda layer: (ACQUIRED.name, "quality").index(layer.name) if layer.kind in _DECIDE else -1
    )
    if not is_remote(target):
        target.mkdir(parents=True, exist_ok=True)
    written = []
    for zone in zones:
        suffix = f"_{zone.epsg}" if len(zones) > 1 else ""
        sources = [
            _Source(
                RunFolder.of(made).path, (day - _EPOCH).days, f"_{zone.epsg}" if len(made.zones) > 1 else ""
            )
            for day, made in sorted(fresh.items(), reverse=True)
            if any(other.epsg == zone.epsg and other.rect == zone.rect for other in made.zones)
        ]
        changes = bool(sources)
        if known:
            sources.append(_Source(target, None, suffix))
        for layer in wanted:
            path = target / f"{layer.name}{suffix}.tif"
            if changes:
                write_mosaic(path, _newest_rows(zone, layer, sources), zone, layer, _tags(plan, layer, named))
            written.append(path)
    if fresh:
        write_text(
            target / _STATE,
            json.dumps(
                shape | {"runs": known | named, "left out": sorted(day.isoformat() for day in left_out)},
                indent=1,
            ),
        )
    return written


def describe_newest(folder: Location, plan: Plan) -> dict[str, Any]:
    """The mosaics as assets of the collection, with hrefs relative to it.

    Args:
        folder: of the collection.
        plan: of any of the acquisitions.
    """
    names = [*layers(plan.request, load_bundle(plan.request.model)), ACQUIRED.name]
    zones: dict[str, Any] = (read_json(folder / FOLDER / _STATE) or {}).get("zones", {})
    return {
        f"newest-{name}{suffix}": {
            "href": f"./{FOLDER}/{name}{suffix}.tif",
            "title": f"{name}: the last clear acquisition of each pixel",
            "type": pystac.MediaType.COG,
            "roles": ["data"],
            "proj:code": f"EPSG:{epsg}",
        }
        for epsg in zones
        for suffix in [f"_{epsg}" if len(zones) > 1 else ""]
        for name in names
    }


def _zones(plans: Any) -> list[Zone]:
    """The zones of the newest plan and of all others that have further ones, by EPSG code."""
    found: dict[int, Zone] = {}
    for made in sorted(plans, key=lambda made: made.acquisitions[0].solar_day, reverse=True):
        for zone in made.zones:
            found.setdefault(zone.epsg, zone)
    return [found[epsg] for epsg in sorted(found)]


def _rects(zones: Sequence[Zone]) -> dict[str, list[int]]:
    return {str(zone.epsg): [zone.row, zone.col, zone.height, zone.width] for zone in zones}


def _newest_rows(zone: Zone, layer: Layer, sources: Sequence[_Source]) -> Iterator[np.ndarray]:
    with ExitStack() as stack:
        opened = [_Opened(source, layer, stack) for source in sources]
        for row in range(0, zone.height, _BAND):
            window = Window(0, row, zone.width, min(_BAND, zone.height - row))
            yield _newest(layer, opened, window)


class _Opened:
    """A source's rasters while a layer is read from it."""

    def __init__(self, source: _Source, layer: Layer, stack: ExitStack) -> None:
        def opened(name: str) -> rasterio.DatasetReader:
            path = source.raster(name)
            try:
                return stack.enter_context(rasterio.open(stack.enter_context(LocalCopy(path))))
            except RasterioError as error:
                raise OutputError(f"{path} could not be read: {error}; map its day again") from error

        self._day = source.day
        self._quality = opened("quality")
        self._acquired = opened(ACQUIRED.name) if source.day is None else None
        self._values = None if layer is ACQUIRED else opened(layer.name)

    def flags(self, window: Window) -> np.ndarray:
        """The quality layer, uint8 (rows, columns)."""
        return self._quality.read(1, window=window)

    def days(self, window: Window) -> np.ndarray:
        """Days since 1970-01-01, int32 (rows, columns)."""
        if self._acquired is None:
            return np.full((window.height, window.width), self._day, np.int32)
        return self._acquired.read(1, window=window).astype(np.int32)

    def values(self, window: Window) -> np.ndarray:
        """The layer (bands, rows, columns)."""
        return self.days(window)[None] if self._values is None else self._values.read(window=window)


def _newest(layer: Layer, sources: Sequence[_Opened], window: Window) -> np.ndarray:
    """Rows of a layer, each pixel from its best source: clear before cloudy, then the later day."""
    shape = window.height, window.width
    pixels = np.full((len(layer.bands), *shape), layer.nodata, layer.dtype)
    best = np.zeros(shape, np.int32)
    for source in sources:
        flags = source.flags(window)
        rank = source.days(window) + np.where(flags & QUALITY_CLOUD, 0, _CLEAR)
        better = (flags != QUALITY_NODATA) & (rank > best)
        if better.any():
            pixels[:, better] = source.values(window)[:, better].astype(layer.dtype)
            best[better] = rank[better]
    return pixels


def _tags(plan: Plan, layer: Layer, runs: Mapping[str, str]) -> dict[str, str]:
    return {
        "TERRAMOSAIC_VERSION": plan.engine_version,
        "TERRAMOSAIC_LAYER": layer.name,
        "TERRAMOSAIC_MODEL": plan.bundle.title,
        "TERRAMOSAIC_MODEL_FINGERPRINT": plan.bundle.fingerprint,
        "TERRAMOSAIC_DATES": " ".join(sorted(runs)),
        "TIFFTAG_IMAGEDESCRIPTION": (
            "days since 1970-01-01 of the acquisition that each pixel is of"
            if layer is ACQUIRED
            else f"{layer.name} generated by {plan.bundle.title} from Sentinel-2 L2A: the last clear acquisition"
        ),
        "TIFFTAG_COPYRIGHT": "Contains modified Copernicus Sentinel data",
    }
