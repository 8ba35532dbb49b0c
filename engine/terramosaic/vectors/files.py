"""Files of features, written as they come: GeoJSON (RFC 7946) and GeoParquet (1.1)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyproj
import shapely
from shapely.geometry import mapping

from terramosaic.errors import OutputError, RequestError, printable
from terramosaic.storage.location import Location
from terramosaic.vectors.features import Feature, Source

#: Endings of files by their formats.
GEOJSON, GEOPARQUET = (".geojson", ".json"), (".parquet", ".geoparquet")

#: Digits of degrees after the point: a centimetre, which RFC 7946 finds enough.
_DIGITS = 7


class Writer(Protocol):
    """What takes features, batch by batch.

    Attributes:
        in_degrees: whether they are to be in longitude and latitude of WGS 84; else they are in their zone's CRS.
    """

    in_degrees: bool

    def write(self, features: list[Feature]) -> None:
        """Adds them."""

    def end(self) -> None:
        """Ends the file, which is whole then."""

    def close(self) -> None:
        """Lets go of it, whole or not."""


def require_format(out: Location) -> None:
    """Makes sure that a file of that name can be written.

    Raises:
        RequestError: its ending is of no format that is known, or what writes it is not installed.
    """
    suffix = out.suffix.lower()
    if suffix not in (*GEOJSON, *GEOPARQUET):
        raise RequestError(
            f"out: {printable(out.name, 100)!r} says no format that is known; end it in .parquet (GeoParquet) or "
            ".geojson"
        )
    require_pyarrow(suffix in GEOPARQUET)


def require_pyarrow(is_needed: bool) -> None:
    """Makes sure that Parquet can be written.

    Raises:
        RequestError: pyarrow is not installed.
    """
    if is_needed and find_spec("pyarrow") is None:
        raise RequestError("out: pyarrow writes Parquet: pip install 'terramosaic[vectors]'")


@contextmanager
def writer_of(out: Location, partial: Path, source: Source) -> Iterator[Writer]:
    """What writes a file of that name: GeoJSON in degrees, GeoParquet too where the run lies in several zones.

    Args:
        out: what the file will be called.
        partial: where it is written to.
        source: what its features are made of.

    Raises:
        OutputError: it could not be written.
    """
    zones = source.plan.zones
    try:
        writer: Writer = (
            _GeoJson(partial, source)
            if out.suffix.lower() in GEOJSON
            else _GeoParquet(partial, source, zones[0].epsg if len(zones) == 1 else None)
        )
        try:
            yield writer
            writer.end()
        finally:
            writer.close()
    except OSError as error:
        raise OutputError(
            f"{out} could not be written: {error.strerror or error}; make room or choose another place"
        ) from error


def _moments(source: Source) -> dict[str, str]:
    return {name: f"{moment.isoformat(timespec='seconds')}Z" for name, moment in
            (("start", source.start), ("end", source.end))}  # fmt: skip


class _GeoJson:
    in_degrees = True

    def __init__(self, path: Path, source: Source) -> None:
        self._file = path.open("w", encoding="utf-8", newline="\n")
        self._file.write('{"type": "FeatureCollection", "features": [')
        self._shared = {"run": source.plan.run_id, **_moments(source)}
        self._has_any = False

    def write(self, features: list[Feature]) -> None:
        for feature in features:
            # Rounded as it stands: without a grid, corners stay corners.
            geometry = shapely.transform(feature.geometry, lambda degrees: np.round(degrees, _DIGITS))
            properties = {
                "class": feature.class_,
                "value": feature.value,
                "area_ha": feature.area_ha,
                "confidence": feature.confidence,
                "zone": feature.zone,
                **self._shared,
            }
            document = {"type": "Feature", "properties": properties, "geometry": mapping(geometry)}
            self._file.write((",\n" if self._has_any else "\n") + json.dumps(document))
            self._has_any = True

    def end(self) -> None:
        self._file.write("\n]}\n")

    def close(self) -> None:
        self._file.close()


class _GeoParquet:
    """Row groups of a batch each; what must be said of all geometries is said at the end."""

    def __init__(self, path: Path, source: Source, epsg: int | None) -> None:
        import pyarrow  # of the extra `vectors`
        from pyarrow import parquet

        moment = pyarrow.timestamp("ms", tz="UTC")
        self._schema = pyarrow.schema(
            {
                "class": pyarrow.string(),
                "value": pyarrow.int32(),
                "area_ha": pyarrow.float64(),
                "confidence": pyarrow.float64(),
                "zone": pyarrow.int32(),
                "run": pyarrow.string(),
                "start": moment,
                "end": moment,
                "geometry": pyarrow.binary(),
            }
        )
        self._source, self._epsg = source, epsg
        self.in_degrees = epsg is None
        self._types: set[str] = set()
        self._bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])
        self._file = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, features: list[Feature]) -> None:
        import pyarrow

        geometries = np.array([feature.geometry for feature in features])
        self._types |= {geometry.geom_type for geometry in geometries}
        bounds = shapely.bounds(geometries)
        self._bounds = np.concatenate(
            [
                np.minimum(self._bounds[:2], bounds[:, :2].min(0)),
                np.maximum(self._bounds[2:], bounds[:, 2:].max(0)),
            ]
        )
        source, count = self._source, len(features)
        columns: Iterable[Any] = (
            [feature.class_ for feature in features],
            [feature.value for feature in features],
            [feature.area_ha for feature in features],
            [feature.confidence for feature in features],
            [feature.zone for feature in features],
            [source.plan.run_id] * count,
            [source.start] * count,
            [source.end] * count,
            shapely.to_wkb(geometries),
        )
        arrays = [
            pyarrow.array(column, kind) for column, kind in zip(columns, self._schema.types, strict=True)
        ]
        self._file.write_table(pyarrow.table(arrays, schema=self._schema), row_group_size=count)

    def end(self) -> None:
        geometry: dict[str, Any] = {"encoding": "WKB", "geometry_types": sorted(self._types)}
        if self._types:
            geometry["bbox"] = self._bounds.tolist()
        if self._epsg is not None:  # without, it is longitude and latitude of WGS 84 (OGC:CRS84)
            geometry["crs"] = pyproj.CRS.from_epsg(self._epsg).to_json_dict()
        about = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}
        bundle = self._source.plan.bundle
        self._file.add_key_value_metadata(
            {
                "geo": json.dumps(about),
                "TERRAMOSAIC_MODEL": bundle.title,
                "TERRAMOSAIC_MODEL_FINGERPRINT": bundle.fingerprint,
            }
        )

    def close(self) -> None:
        self._file.close()
