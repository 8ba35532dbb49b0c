"""A GDAL tile index: a GeoPackage that GDAL from 3.9 on, and QGIS with it, opens as one raster (driver GTI).

Its rows are rasters, with where and of when they are; they may lie in different zones, and are warped when they are
read. How the whole is seen stands in the metadata of the table (https://gdal.org/drivers/raster/gti.html). A
GeoPackage is a database of SQLite (https://www.geopackage.org/spec131/), which Python writes.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

import shapely
from odc.geo.geobox import GeoBox
from pyproj import CRS

from terramosaic.mosaic.virtual import band_elements
from terramosaic.planning.layers import Layer
from terramosaic.publishing.rasters import epsg_of

#: "GPKG", and version 1.3.
_SCHEMA = """
PRAGMA application_id = 1196444487;
PRAGMA user_version = 10300;
CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT NOT NULL, srs_id INTEGER PRIMARY KEY, organization TEXT NOT NULL,
  organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
CREATE TABLE gpkg_contents (table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE,
  description TEXT DEFAULT '', last_change DATETIME NOT NULL, min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE,
  srs_id INTEGER, CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (table_name TEXT NOT NULL, column_name TEXT NOT NULL,
  geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL, z TINYINT NOT NULL, m TINYINT NOT NULL,
  CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name),
  CONSTRAINT uk_gc_table_name UNIQUE (table_name),
  CONSTRAINT fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name),
  CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys (srs_id));
CREATE TABLE gpkg_extensions (table_name TEXT, column_name TEXT, extension_name TEXT NOT NULL,
  definition TEXT NOT NULL, scope TEXT NOT NULL,
  CONSTRAINT ge_tce UNIQUE (table_name, column_name, extension_name));
CREATE TABLE gpkg_metadata (id INTEGER CONSTRAINT m_pk PRIMARY KEY ASC NOT NULL,
  md_scope TEXT NOT NULL DEFAULT 'dataset', md_standard_uri TEXT NOT NULL,
  mime_type TEXT NOT NULL DEFAULT 'text/xml', metadata TEXT NOT NULL DEFAULT '');
CREATE TABLE gpkg_metadata_reference (reference_scope TEXT NOT NULL, table_name TEXT, column_name TEXT,
  row_id_value INTEGER, timestamp DATETIME NOT NULL, md_file_id INTEGER NOT NULL, md_parent_id INTEGER,
  CONSTRAINT crmr_mfi_fk FOREIGN KEY (md_file_id) REFERENCES gpkg_metadata(id));
CREATE TABLE tiles (fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, geom POLYGON, location TEXT, rank INTEGER,
  run TEXT, item TEXT, start DATETIME, "end" DATETIME, model TEXT);
"""

_TABLE = "tiles"
_EXTENSION = "http://www.geopackage.org/spec120/#extension_metadata"
_WGS84 = 4326
#: Times of the file itself, which is the same whenever it is made.
_NEVER = "1970-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Tile:
    """A row of an index.

    Attributes:
        location: the raster, from the index on.
        bounds: left, bottom, right and top in the CRS of the whole.
        run: id of its run.
        item: the run's item, from the index on.
        start: of the imagery, ISO 8601 with milliseconds.
        end: likewise.
        model: title of the run's model.
    """

    location: str
    bounds: tuple[float, float, float, float]
    run: str
    item: str
    start: str
    end: str
    model: str


def tile_index(tiles: Sequence[Tile], layer: Layer, geobox: GeoBox, *, title: str, description: str) -> bytes:
    """The index of a layer.

    Args:
        tiles: its rasters; where they overlap, the last one with data is seen.
        layer: what their numbers mean.
        geobox: the pixels of the whole.
        title: what to call it.
        description: what it is.

    Returns:
        A GeoPackage; of the same tiles the same bytes.
    """
    crs = CRS.from_user_input(str(geobox.crs))
    epsg = epsg_of(geobox)
    with closing(sqlite3.connect(":memory:")) as database:
        with database:
            database.executescript(_SCHEMA)
            database.executemany(
                "INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, '')",
                [
                    ("Undefined Cartesian SRS", -1, "NONE", -1, "undefined"),
                    ("Undefined geographic SRS", 0, "NONE", 0, "undefined"),
                    *(
                        (one.name, code, "EPSG", code, one.to_wkt("WKT1_GDAL"))
                        for code, one in {_WGS84: CRS.from_epsg(_WGS84), epsg: crs}.items()
                    ),
                ],
            )
            bounds = [float(side) for side in geobox.boundingbox]
            database.execute(
                "INSERT INTO gpkg_contents VALUES (?, 'features', ?, ?, ?, ?, ?, ?, ?, ?)",
                (_TABLE, title, description, _NEVER, *bounds, epsg),
            )
            database.execute(
                "INSERT INTO gpkg_geometry_columns VALUES (?, 'geom', 'POLYGON', ?, 0, 0)", (_TABLE, epsg)
            )
            database.executemany(
                "INSERT INTO gpkg_extensions VALUES (?, NULL, 'gpkg_metadata', ?, 'read-write')",
                [("gpkg_metadata", _EXTENSION), ("gpkg_metadata_reference", _EXTENSION)],
            )
            database.execute(
                "INSERT INTO gpkg_metadata VALUES (1, 'dataset', 'http://gdal.org', 'text/xml', ?)",
                (_as_seen(layer, geobox),),
            )
            database.execute(
                "INSERT INTO gpkg_metadata_reference VALUES ('table', ?, NULL, NULL, ?, 1, NULL)",
                (_TABLE, _NEVER),
            )
            database.executemany(
                f'INSERT INTO {_TABLE} (geom, location, rank, run, item, start, "end", model) '
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        _outline(tile.bounds, epsg),
                        tile.location,
                        rank,
                        tile.run,
                        tile.item,
                        tile.start,
                        tile.end,
                        tile.model,
                    )
                    for rank, tile in enumerate(tiles, start=1)
                ],
            )
        return database.serialize()


def _outline(bounds: tuple[float, float, float, float], epsg: int) -> bytes:
    """A rectangle as GeoPackages hold it: their head, little-endian with an envelope, and WKB."""
    left, bottom, right, top = bounds
    head = struct.pack("<2s2Bi4d", b"GP", 0, 0b11, epsg, left, right, bottom, top)
    return head + bytes(shapely.to_wkb(shapely.box(*bounds), byte_order=1))


def _as_seen(layer: Layer, geobox: GeoBox) -> str:
    """What GDAL is told of the whole, as the metadata of a table."""
    document = Element("GDALMultiDomainMetadata")
    seen = SubElement(
        SubElement(document, "Metadata", domain="xml:GTI", format="xml"), "GDALTileIndexDataset"
    )
    box, step = geobox.boundingbox, abs(geobox.resolution.x)
    # The driver rounds the number of pixels up.
    less = step * 1e-6
    for name, value in {
        "LocationField": "location",
        "SortField": "rank",
        "SortFieldAsc": "true",
        "Resampling": "near",
        "ResX": f"{step:.17g}",
        "ResY": f"{abs(geobox.resolution.y):.17g}",
        "MinX": f"{box.left:.17g}",
        "MinY": f"{box.bottom + less:.17g}",
        "MaxX": f"{box.right - less:.17g}",
        "MaxY": f"{box.top:.17g}",
    }.items():
        SubElement(seen, name).text = value
    for band in band_elements(layer, geobox):
        own = SubElement(seen, "Band", band=band.attrib["band"], dataType=band.attrib["dataType"])
        own.extend(child for child in band if child.tag != "Metadata")
    return tostring(document, encoding="unicode")
