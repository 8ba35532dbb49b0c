"""A map's classes as a file of polygons."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from terramosaic.errors import RequestError
from terramosaic.mosaic.result import MapResult, open_run
from terramosaic.storage.files import whole_file
from terramosaic.storage.location import Location, location
from terramosaic.vectors.features import Source, features_of
from terramosaic.vectors.files import require_format, writer_of


@dataclass(frozen=True)
class PolygonFile:
    """What was written.

    Attributes:
        path: the file.
        layer: whose classes.
        polygons: how many, by class.
        hectares: of them together, by class.
    """

    path: Location
    layer: str
    polygons: dict[str, int]
    hectares: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """It for other programs."""
        return {
            "file": str(self.path),
            "layer": self.layer,
            "polygons": self.polygons,
            "hectares": self.hectares,
        }


def polygons(
    run: str | Location | MapResult,
    out: str | Location,
    *,
    classes: Sequence[str] = (),
    min_area_ha: float = 0,
    layer: str = "",
    on_strip: Callable[[int, int], None] = lambda done, all_of_them: None,
) -> PolygonFile:
    """Writes a map's classes as polygons: connected pixels of a class, along the edges of the pixels.

    Pixels are connected by their sides. Each polygon has ``class``, ``value``, ``area_ha`` (its pixels in the zone's
    projection, as the report counts), ``confidence`` (the mean of its pixels', in %, where the run tells it), ``zone``
    (EPSG code), ``run``, and ``start`` and ``end`` of the imagery. Of a run in several zones all are in one file; what
    lies across a zone's boundary is a polygon on each side.

    Mosaics are read by strips, and polygons written as they end: memory is that of a strip, and of the outlines that
    reach beyond it.

    Args:
        run: a finished run: what `map_region` returned, or its folder or URL.
        out: the file, a path or URL: ``.parquet`` for GeoParquet, in the zone's CRS, of several zones in longitude and
            latitude; ``.geojson``, in longitude and latitude (WGS 84).
        classes: names such as ``water``; by default all.
        min_area_ha: smaller polygons are left out.
        layer: which map of classes; by default the one that there is.
        on_strip: told how many strips were read, of how many.

    Raises:
        RequestError: the run is not finished, it has no such classes, the file's ending says no format, or pyarrow,
            which writes Parquet, is not installed.
        OutputError: a mosaic is damaged, or the file cannot be written.
    """
    names = [classes] if isinstance(classes, str) else list(classes)
    if not 0 <= min_area_ha < float("inf"):
        raise RequestError(f"min_area_ha: {min_area_ha} is no area; give hectares, such as 0.5")
    place = location(out)
    require_format(place)
    result = run if isinstance(run, MapResult) else open_run(run)
    source = Source.of(result.plan, layer, names)
    counts, hectares = Counter[str](), defaultdict[str, float](float)
    with whole_file(place) as partial, writer_of(place, partial, source) as writer:
        for batch in features_of(
            source, min_area_ha=min_area_ha, in_degrees=writer.in_degrees, on_strip=on_strip
        ):
            writer.write(batch)
            for feature in batch:
                counts[feature.class_] += 1
                hectares[feature.class_] += feature.area_ha
    wanted = [source.names[value] for value in source.values]
    return PolygonFile(
        place,
        source.layer.name,
        {name: counts[name] for name in wanted},
        {name: round(hectares[name], 2) for name in wanted},
    )
