"""A region that is watched without a flow, and what its newest mosaics show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import rasterio

from terramosaic.catalog import Pass
from terramosaic.ground.grid import Rect
from terramosaic.request.request import RegionRequest
from terramosaic.run.mapping import map_plan
from terramosaic.watch.watch import Watch, look
from tests.integration.conftest import Catalog
from tests.support.scenes import write_scene


def put(
    catalog: Catalog, day: str, *, place: Rect, tile: str = "33TWL", processing: str = "", **options
) -> Path:
    """One more scene; with a number of its processing the one of that day is replaced."""
    name = f"S2A_{tile}_{day.replace('-', '')}"
    item = write_scene(catalog.folder / f"{name}{processing}", place, name=name, day=day, **options)
    if processing:
        item["id"] += f"_N{processing}"
        item["properties"]["s2:processing_baseline"] = f"{processing[:2]}.{processing[2:]}"
    catalog.add(item)
    return catalog.folder / f"{item['id']}.json"


def watch(request: RegionRequest, until: str, look_back_days: int = 30, *, newest: bool = True) -> Watch:
    """As the flow does, without one."""
    found = look(request, look_back_days, datetime.fromisoformat(until).replace(hour=23, tzinfo=UTC))
    for of_pass, made in found.new.items():
        map_plan(made)
        found.record(of_pass)
    if newest:
        found.keep_newest()
    return found


def days(passes: Iterable[Pass]) -> list[date]:
    """The solar days of passes, in their order of time."""
    return [one.solar_day for one in sorted(passes, key=lambda one: one.order)]


def newest(
    out: Path, layers: Sequence[str] = ("NDVI", "quality", "acquired"), suffix: str = ""
) -> dict[str, np.ndarray]:
    """What a reader sees who goes by the paths that stay."""
    pixels = {}
    for name in layers:
        with rasterio.open(out / "newest" / f"{name}{suffix}.tif") as dataset:
            pixels[name] = dataset.read(1)
    return pixels
