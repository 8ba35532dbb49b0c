"""Files that hold a region, by path or URL: GeoJSON, WKT, and what GIS programs write where a reader is installed."""

from __future__ import annotations

import io
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import shapely
from shapely.geometry import mapping

from terramosaic.errors import RequestError, printable, reason_of
from terramosaic.ground.zones import Area
from terramosaic.request.area import area_from_geojson
from terramosaic.storage.documents import read_document, shown
from terramosaic.storage.location import is_url
from terramosaic.storage.roots import require_within_roots

#: Bytes of a region file. A country's coast has a few megabytes; what is larger is most likely something else.
_LARGEST_FILE = 100_000_000

_WKT = re.compile(r"\s*(SRID=(?P<srid>[0-9]+);)?\s*(MULTI)?(POLYGON|GEOMETRYCOLLECTION)\b", re.IGNORECASE)

_KML = re.compile(rb"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(\w+:)?kml\b", re.DOTALL)

#: How formats that GDAL reads begin.
_SIGNATURES = {
    b"SQLite format 3\0": "GeoPackage",
    b"\0\0\x27\x0a": "Shapefile",
    b"fgb\x03": "FlatGeobuf",
    b"PAR1": "GeoParquet",
    b"PK\x03\x04": "ZIP",
}

#: What GDAL knows them by; a Shapefile is several files.
_GDAL = {"GeoPackage": ".gpkg", "FlatGeobuf": ".fgb", "KML": ".kml"}

#: What of a ZIP file is a region.
_ZIPPED = (".shp", ".gpkg", ".kml", ".fgb", ".parquet", ".geojson", ".json")

#: What belongs to a Shapefile.
_BESIDE = (".shx", ".dbf", ".prj", ".cpg")

_EXTRA = "pip install 'terramosaic[vectors]'"


def area_from_file(path: str) -> Area:
    """A file's region, by its path or URL.

    Raises:
        RequestError: the file cannot be read or does not hold a usable region.
    """
    document = read_region(path)
    try:
        return area_from_geojson(document)
    except ValueError as error:
        raise RequestError(f"region: {_told(path)}: {error}") from error


def read_region(path: str, *, field: str = "region") -> Any:
    """What a file holds as GeoJSON, whose ``crs`` members say where it is not in lon/lat.

    Args:
        path: path or URL of GeoJSON, WKT, GeoPackage, KML, Shapefile (by URL in a ZIP file), FlatGeobuf or GeoParquet.
        field: what errors call it.

    Raises:
        RequestError: the file cannot be read, is too large, lies beyond this deployment's roots, or needs a package
            that is not installed.
    """
    require_within_roots((field, path))
    try:
        content = read_document(path, _LARGEST_FILE)
    except (OSError, ValueError, RuntimeError) as error:
        # What is no path is a ValueError, and the home of an unknown user the last.
        raise RequestError(f"{field}: cannot read {_told(path)}: {reason_of(error)}") from error
    kind = kind_of(content)
    try:
        if kind == "Shapefile":
            if is_url(path):
                raise ValueError("by URL, a ZIP file is wanted that holds its .shx, .dbf and .prj too")
            return _features_of(Path(path).expanduser())
        return _document(content, kind)
    except ImportError as error:
        raise RequestError(
            f"{field}: {_told(path)} is a {kind}: {_EXTRA} to read it ({error.name} is missing), or {_convert(path)}"
        ) from error
    except Exception as error:  # of damaged files each reader has errors of its own
        what = "not GeoJSON" if kind == "GeoJSON" else f"a {kind} that cannot be read"
        raise RequestError(
            f"{field}: {_told(path)} is {what}: {printable(reason_of(error))}; if GDAL knows it, {_convert(path)}"
        ) from error


def kind_of(content: bytes) -> str:
    """The format that a file is in, by how it begins; ``GeoJSON`` where nothing tells."""
    for signature, kind in _SIGNATURES.items():
        if content.startswith(signature):
            return kind
    head = content[:2000].lstrip(b"\xef\xbb\xbf \t\r\n")
    # GDAL tells other documents by their words, wherever these stand, and some of them name files and servers to read.
    if _KML.match(head) and b"<OGR" not in content:
        return "KML"
    return "WKT" if _WKT.match(head.decode("ascii", "replace")) else "GeoJSON"


def geojson_of_wkt(text: str) -> dict[str, Any]:
    """A polygon in well-known text, also with the ``SRID=...;`` that PostGIS writes before it, as GeoJSON.

    Raises:
        ValueError: it is none.
    """
    found = _WKT.match(text)
    try:
        geometry = shapely.from_wkt(text[found.end("srid") + 1 if found and found["srid"] else 0 :])
    except (shapely.errors.ShapelyError, UnicodeError) as error:
        raise ValueError("it is no polygon in well-known text") from error
    srid = {"crs": f"EPSG:{found['srid']}"} if found and found["srid"] else {}
    return {**mapping(geometry), **srid}


def _told(path: str) -> str:
    """A location on one line, without what is secret in it."""
    return printable(shown(path))


def _convert(path: str) -> str:
    return f"convert it: ogr2ogr -t_srs EPSG:4326 region.geojson {_told(path)}"


def _document(content: bytes, kind: str) -> Any:
    match kind:
        case "GeoJSON":
            return json.loads(content.removeprefix(b"\xef\xbb\xbf"))
        case "WKT":
            return geojson_of_wkt(content.decode())
        case "ZIP":
            return _unzipped(content)
        case "GeoParquet":
            return _collection(_features_of_parquet(content))
        case _:
            with tempfile.TemporaryDirectory(prefix="region-") as folder:
                file = Path(folder, f"region{_GDAL[kind]}")
                file.write_bytes(content)
                return _features_of(file)


def _unzipped(content: bytes) -> Any:
    """The one region of a ZIP file, such as a Shapefile with what belongs to it, or KMZ."""
    with (
        tempfile.TemporaryDirectory(prefix="region-") as folder,
        zipfile.ZipFile(io.BytesIO(content)) as archive,
    ):
        names = [name for name in archive.namelist() if not name.startswith("__MACOSX")]
        regions = [name for name in names if PurePosixPath(name).suffix.lower() in _ZIPPED]
        if len(regions) != 1:
            raise ValueError(f"one region is wanted in it, and it holds {len(regions)}")
        stem = PurePosixPath(regions[0]).with_suffix("")
        for name in names:
            suffix = PurePosixPath(name).suffix.lower()
            if PurePosixPath(name).with_suffix("") == stem and suffix in (*_ZIPPED, *_BESIDE):
                Path(folder, f"region{suffix}").write_bytes(_member(archive, name))
        file = Path(folder, f"region{PurePosixPath(regions[0]).suffix.lower()}")
        kind = kind_of(file.read_bytes())
        if kind == "ZIP":
            raise ValueError("a ZIP file in a ZIP file")
        return _features_of(file) if kind == "Shapefile" else _document(file.read_bytes(), kind)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        content = file.read(_LARGEST_FILE + 1)
    if len(content) > _LARGEST_FILE:
        raise ValueError(f"{printable(name, 60)} is larger than {_LARGEST_FILE / 1e6:g} MB")
    return content


def _features_of(file: Path) -> dict[str, Any]:
    """All features of a file that GDAL reads, layer after layer."""
    import pyogrio  # an extra

    def features() -> Iterator[dict[str, Any]]:
        for layer, _ in pyogrio.list_layers(file):
            meta, _, geometries, columns = pyogrio.raw.read(file, layer=layer, force_2d=True)
            crs = {} if meta["crs"] is None else {"crs": meta["crs"]}
            for row, geometry in enumerate(shapely.from_wkb(geometries)):
                properties = {name: column[row] for name, column in zip(meta["fields"], columns, strict=True)}
                yield _feature(geometry, properties) | crs

    return _collection(features())


def _features_of_parquet(content: bytes) -> Iterator[dict[str, Any]]:
    """The features of a GeoParquet file: geometries in WKB, their CRS in the metadata (version 1.1)."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(pyarrow.BufferReader(content))
    about = json.loads((table.schema.metadata or {}).get(b"geo", b"{}"))
    column = about.get("primary_column") or "geometry"
    told = about.get("columns", {}).get(column, {})
    if told.get("encoding", "WKB") != "WKB" or column not in table.column_names:
        raise ValueError("its geometry is not in WKB")
    crs = {"crs": json.dumps(told["crs"])} if told.get("crs") else {}
    rows = table.select([name for name in table.column_names if name != column]).to_pylist()
    geometries = shapely.from_wkb(table[column].to_pylist())
    for geometry, row in zip(geometries, rows, strict=True):
        yield _feature(geometry, row) | crs


def _feature(geometry: Any, properties: dict[str, Any]) -> dict[str, Any]:
    # Of the properties the names of regions are wanted.
    named = {name: str(value) for name, value in properties.items() if value is not None}
    return {
        "type": "Feature",
        "properties": named,
        "geometry": None if geometry is None else mapping(geometry),
    }


def _collection(features: Iterator[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}
