"""What a map says within polygons: areas of classes, and figures of values.

A pixel counts by the share of it that lies in the polygon. That is computed by exactextract
(https://github.com/isciences/exactextract), which reads of a mosaic what a polygon covers, and of a large one piece by
piece. Of a run in several zones the figures of each zone's part are put together.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from math import nan, sqrt
from pathlib import Path
from typing import Any

import rasterio
from shapely.geometry import mapping

from terramosaic.errors import OutputError, RequestError, meant, printable
from terramosaic.mosaic.cube import variables_of
from terramosaic.mosaic.result import MapResult, open_run
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.layers import Layer
from terramosaic.planning.plan import Plan
from terramosaic.publishing.reduced import told_if_broken
from terramosaic.storage.files import whole_file
from terramosaic.storage.gdal import local_files
from terramosaic.storage.location import Location, location
from terramosaic.storage.scratch import LocalCopy
from terramosaic.vectors.features import PIXEL_HA
from terramosaic.vectors.files import require_pyarrow
from terramosaic.vectors.zones import Placed, placed, read_polygons

#: Layers that can be summed up, and those that are where nobody says.
_KINDS = ("class", "value", "percent", "imagery")
_BY_DEFAULT = ("estimate", "std", "confidence", "disagreement")

#: Pixels that are in memory at once.
_PIXELS = 10_000_000

_FIGURES = ["count", "sum", "min", "max", "variance"]


@dataclass(frozen=True)
class _Figures:
    """Of values, each weighted by the share of its pixel."""

    count: float = 0.0
    mean: float = nan
    minimum: float = nan
    maximum: float = nan
    variance: float = nan

    def __add__(self, other: _Figures) -> _Figures:
        """Those of both together (Chan et al. 1983)."""
        if not self.count or not other.count:
            return other if other.count else self
        count, apart = self.count + other.count, other.mean - self.mean
        share = other.count / count
        return _Figures(
            count,
            self.mean + apart * share,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            (1 - share) * self.variance + share * other.variance + share * (1 - share) * apart**2,
        )


def zonal(
    run: str | Location | MapResult,
    polygons: str,
    out: str | Location | None = None,
    *,
    layers: Sequence[str] = (),
    on_layer: Callable[[int, int], None] = lambda done, all_of_them: None,
) -> list[dict[str, Any]]:
    """Sums a map up within polygons: a row for each, in the file's order.

    A row has what the file says of the polygon, ``area_ha``, and for each layer, by its name,

    - of classes ``LULC_water_ha`` and ``LULC_water_share`` (of the pixels with data) for each class, and
      ``LULC_valid_share``: the share of the polygon that has data;
    - of values ``NDVI_mean``, ``_min``, ``_max`` and ``_std`` in physical units, ``_count`` (pixels with data, each by
      the share of it that lies in the polygon) and ``_valid_share``; of several bands each, as ``S1GRD_VV_mean``.

    Where there is no data, figures are None. Areas are in the projection of the zones, as the report counts them.

    Args:
        run: a finished run: what `map_region` returned, or its folder or URL.
        polygons: a file or its URL, in any form that a region may have; each feature is a row.
        out: where the table is written, ``.csv`` or ``.parquet``; None for nowhere.
        layers: their names; by default all maps with their confidence, disagreement and standard deviation.
        on_layer: told how many layers are done, of how many.

    Raises:
        RequestError: the run is not finished, there is no such layer, the polygons cannot be read, or exactextract is
            not installed.
        OutputError: a mosaic is damaged, or the table cannot be written.
    """
    if find_spec("exactextract") is None:
        raise RequestError("zonal: exactextract computes this: pip install 'terramosaic[vectors]'")
    place = None if out is None else location(out)
    if place is not None:
        _require_table(place)
    plan = (run if isinstance(run, MapResult) else open_run(run)).plan
    chosen = _layers(plan, layers)
    named = read_polygons(polygons)
    where = [placed(polygon, plan) for polygon in named]
    rows: list[dict[str, Any]] = [
        {**polygon.properties, "area_ha": round(spot.area_ha, 4)}
        for polygon, spot in zip(named, where, strict=True)
    ]
    for done, layer in enumerate(chosen, 1):
        summed = _classes if layer.kind == "class" else _values
        for row, told in zip(rows, summed(plan, layer, where), strict=True):
            row.update(told)
        on_layer(done, len(chosen))
    if place is not None:
        _write(place, rows)
    return rows


def _layers(plan: Plan, names: Sequence[str]) -> list[Layer]:
    known = {layer.name: layer for layer in plan.layers if layer.kind in _KINDS}
    wanted = [names] if isinstance(names, str) else list(dict.fromkeys(names))
    for name in wanted:
        if name not in known:
            raise RequestError(
                f"layer: run {plan.run_id} has no {printable(name, 60)!r} that could be summed up; "
                f"it has {', '.join(known) or 'none'}{meant(name, known)}"
            )
    by_default = (
        name for name, layer in known.items() if layer.kind != "imagery" and layer.measure in _BY_DEFAULT
    )
    return [known[name] for name in wanted or by_default]


def _classes(plan: Plan, layer: Layer, where: Sequence[Placed]) -> list[dict[str, Any]]:
    pixels: list[dict[int, float]] = [{} for _ in where]
    for index, found in _extracted(plan, layer, 1, where, ["count", "unique", "frac"]):
        for value, share in zip(found["unique"], found["frac"], strict=True):
            own = pixels[index]
            own[int(value)] = own.get(int(value), 0.0) + float(share) * found["count"]
    rows = []
    for spot, own in zip(where, pixels, strict=True):
        count = sum(own.values())
        row: dict[str, Any] = {f"{layer.name}_valid_share": _share(count, spot)}
        for item in layer.classes:
            name, there = f"{layer.name}_{item.name.replace(' ', '_')}", own.get(item.value, 0.0)
            row[f"{name}_ha"] = round(there * PIXEL_HA, 4)
            row[f"{name}_share"] = round(there / count, 6) if count else None
        rows.append(row)
    return rows


def _values(plan: Plan, layer: Layer, where: Sequence[Placed]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{} for _ in where]
    for band, name in enumerate(variables_of(layer), start=1):
        figures = [_Figures()] * len(where)
        for index, found in _extracted(plan, layer, band, where, _FIGURES):
            if count := found["count"]:
                of_zone = _Figures(
                    count, found["sum"] / count, found["min"], found["max"], max(0.0, found["variance"])
                )
                figures[index] = figures[index] + of_zone
        for row, spot, own in zip(rows, where, figures, strict=True):
            has_any = own.count > 0
            row |= {
                f"{name}_mean": own.mean if has_any else None,
                f"{name}_min": own.minimum if has_any else None,
                f"{name}_max": own.maximum if has_any else None,
                f"{name}_std": sqrt(own.variance) if has_any else None,
                f"{name}_count": round(own.count, 4),
                f"{name}_valid_share": _share(own.count, spot),
            }
    return rows


def _share(count: float, spot: Placed) -> float:
    """The share of a polygon that so many pixels are."""
    return round(min(1.0, count * PIXEL_HA / spot.area_ha), 6) if spot.area_ha else 0.0


def _extracted(
    plan: Plan, layer: Layer, band: int, where: Sequence[Placed], figures: list[str]
) -> list[tuple[int, dict[str, Any]]]:
    """Figures of a band in physical units, of each polygon in each zone that it touches, with the polygon's index."""
    from exactextract import exact_extract  # of the extra `vectors`
    from exactextract.feature import JSONFeatureSource
    from exactextract.raster import RasterioRasterSource

    found: list[tuple[int, dict[str, Any]]] = []
    for zone in plan.zones:
        touching = [
            {
                "type": "Feature",
                "id": str(index),
                "properties": {},
                "geometry": mapping(spot.parts[zone.epsg]),
            }
            for index, spot in enumerate(where)
            if zone.epsg in spot.parts
        ]
        if not touching:
            continue
        path = RunFolder.of(plan).mosaic(plan, zone, layer.name)
        with ExitStack() as opened:
            opened.enter_context(told_if_broken(path))
            local = opened.enter_context(LocalCopy(path))
            opened.enter_context(local_files())
            dataset = opened.enter_context(rasterio.open(local))
            told = exact_extract(
                RasterioRasterSource(dataset, band),
                JSONFeatureSource(touching, srs_wkt=dataset.crs.wkt),
                figures,
                include_cols=["id"],
                max_cells_in_memory=_PIXELS,
            )
        found += [(int(one["id"]), one["properties"]) for one in told]
    return found


def _require_table(out: Location) -> None:
    suffix = out.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise RequestError(f"out: {printable(out.name, 100)!r} says no table; end it in .csv or .parquet")
    require_pyarrow(suffix == ".parquet")


def _write(out: Location, rows: Sequence[dict[str, Any]]) -> None:
    # Features of one file may say different things of themselves.
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with whole_file(out) as partial:
        try:
            if out.suffix.lower() == ".csv":
                with partial.open("w", encoding="utf-8", newline="") as file:
                    table = csv.DictWriter(file, columns)
                    table.writeheader()
                    table.writerows(rows)
            else:
                _write_parquet(partial, columns, rows)
        except OSError as error:
            raise OutputError(f"{out} could not be written: {error.strerror or error}") from error


def _write_parquet(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    import pyarrow  # of the extra `vectors`
    from pyarrow import parquet

    arrays = {}
    for name in columns:
        cells = [row.get(name) for row in rows]
        if len({type(cell) for cell in cells if cell is not None} - {int, float}) > 1:
            cells = [None if cell is None else str(cell) for cell in cells]
        arrays[name] = pyarrow.array(cells)
    parquet.write_table(pyarrow.table(arrays), path, compression="zstd")
