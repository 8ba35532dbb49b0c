"""Tiles of the Copernicus DEM from real items, and what is said of cells that have none."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from shapely.geometry import box

from terramosaic.catalog.elevation import (
    Elevation,
    ElevationTile,
    elevation_from_item,
    find_elevation,
    name_of_cell,
    open_elevation,
)
from terramosaic.catalog.files import FileCatalog
from terramosaic.catalog.unusable import Unusable
from terramosaic.errors import CatalogError, ForeignItemError, NoScenesError, RequestError, UnusableItemError


@pytest.fixture(scope="module")
def folder(shared_data) -> Path:
    return shared_data / "stac-items-s1-dem"


@pytest.fixture
def rainier(folder):
    (file,) = folder.glob("rainier*/cop-dem-glo-30/*.json")
    return json.loads(file.read_text())


def test_facts_of_real_items(folder):
    tiles = {}
    for file in folder.glob("*/*cop-dem-glo-*0/Copernicus*.json"):
        tile = elevation_from_item(json.loads(file.read_text()))
        tiles[f"{file.parts[-3]} {name_of_cell(tile.cell)} {tile.kind}"] = tile
        assert ElevationTile.model_validate_json(tile.model_dump_json()) == tile
        json.dumps(tile.identity())
    assert tiles.keys() == {
        *(f"planetary-computer S90W{west} GLO-30" for west in (177, 178, 179, 180)),
        *(f"earth-search S90W{west} GLO-30" for west in (178, 179, 180)),
        "rainier-2023-08 N46W122 GLO-30", "rainier-2023-08 N46W122 GLO-90", "stactools N53W115 GLO-30",
    }  # fmt: skip
    assert tiles["stactools N53W115 GLO-30"].shape == (3600, 2400)
    assert tiles["planetary-computer S90W180 GLO-30"].shape == (3600, 360)
    assert tiles["rainier-2023-08 N46W122 GLO-30"].profile == "planetary-computer"
    # A store that anyone may read needs no keys.
    assert (
        tiles["earth-search S90W180 GLO-30"]
        .assets["DEM"]
        .href.startswith("https://copernicus-dem-30m.s3.eu-central-1.amazonaws.com/Copernicus_DSM_COG_10_S90")
    )


def test_other_things_are_foreign(folder):
    for pattern in ("*/sentinel-1-rtc/S1*.json", "*/io-lulc-annual-v02/6*.json", "*/esa-worldcover/ESA*.json",
                    "*/sentinel-2-l2a/S2*.json"):  # fmt: skip
        for file in folder.glob(pattern):
            with pytest.raises(ForeignItemError, match="is no tile of the Copernicus DEM"):
                elevation_from_item(json.loads(file.read_text()))


TRANSFORM, SHAPE = ("properties", "proj:transform"), ("properties", "proj:shape")
WRONG = [
    (TRANSFORM, "x", CatalogError, "has a wrong proj:transform: a list of 6 or 9 numbers"),
    (SHAPE, [3600], CatalogError, "has a wrong proj:shape: a list of 2 numbers"),
    (("properties", "gsd"), "thirty", CatalogError, "has a wrong gsd: a whole number is wanted, not thirty"),
    (("assets", "data", "href"), None, CatalogError, "has a wrong href of asset data"),
    (("assets", "data", "file:size"), [], CatalogError, "has a wrong file:size of asset data"),
    (("assets", "data"), [], CatalogError, "has a wrong asset data: an object"),
    (("assets",), {"dem": {}}, UnusableItemError, "has no asset data; its assets are dem"),
    (SHAPE, [1800, 3600], UnusableItemError, "is no tile of one degree"),
]


@pytest.mark.parametrize(("way", "value", "kind", "said"), WRONG)
def test_a_field_of_the_wrong_type_is_one_line_that_names_it(rainier, way, value, kind, said):
    place = rainier
    for part in way[:-1]:
        place = place[part]
    place[way[-1]] = value
    with pytest.raises(kind) as error:
        elevation_from_item(rainier)
    assert str(error.value).startswith(f"item {rainier['id']} {said}")


def test_what_is_not_told_is_told_by_the_box_and_the_gsd(rainier):
    whole = elevation_from_item(rainier)
    del rainier["properties"]["proj:transform"], rainier["properties"]["proj:shape"]
    tile = elevation_from_item(rainier)
    assert (tile.cell, tile.kind, tile.grid) == (whole.cell, "GLO-30", None)
    rainier["properties"]["gsd"] = 10
    with pytest.raises(UnusableItemError, match="is neither GLO-30 nor GLO-90: its gsd is 10"):
        elevation_from_item(rainier)
    rainier["bbox"] = "x"
    with pytest.raises(CatalogError, match="has a wrong bbox: a list of 4 numbers"):
        elevation_from_item(rainier)


def item(south: int, west: int, kind: str = "GLO-30") -> dict[str, Any]:
    """As Planetary Computer has them."""
    rows, code = (3600, 10) if kind == "GLO-30" else (1200, 30)
    left, top = west - 0.5 / rows, south + 1 + 0.5 / rows
    ring = [[left, top - 1], [left + 1, top - 1], [left + 1, top], [left, top], [left, top - 1]]
    name = name_of_cell((south, west))
    return {
        "type": "Feature", "id": f"Copernicus_DSM_COG_{code}_{name[:3]}_00_{name[3:]}_00_DEM",
        "collection": f"cop-dem-{kind.lower()}", "bbox": [left, top - 1, left + 1, top],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"datetime": "2021-04-22T00:00:00Z", "gsd": 30 if kind == "GLO-30" else 90, "proj:epsg": 4326,
                       "proj:transform": [1 / rows, 0, left, 0, -1 / rows, top], "proj:shape": [rows, rows]},
        "assets": {"data": {"href": f"https://example.com/{name}_{code}.tif"}},
    }  # fmt: skip


def catalog_of(tmp_path: Path, *items: dict[str, Any]) -> list[FileCatalog]:
    (tmp_path / "items.json").write_text(json.dumps(items))
    return [FileCatalog(tmp_path / "items.json")]


def cells(tiles) -> list[str]:
    return [name_of_cell(tile.cell) for tile in tiles]


def test_land_is_told_from_sea_by_the_tiles_of_glo_90(tmp_path):
    catalogs = catalog_of(tmp_path, item(40, 44), item(40, 44, "GLO-90"), item(40, 45, "GLO-90"))
    found = find_elevation(catalogs, [box(44.2, 40.2, 46.8, 40.8)])
    assert cells(found.elevation.tiles) == ["N40E044"]
    assert cells(found.elevation.coarse) == ["N40E044", "N40E045"]
    assert found.elevation.sea == ((40, 46),)
    assert found.notes == [
        "DEM: GLO-30 has no tile of N40E045, which is land: GLO-90 is read there",
        "DEM: no tile of N40E046: sea, which is 0 m",
    ]
    assert Elevation.model_validate_json(found.elevation.model_dump_json()) == found.elevation
    assert len(found.elevation.by_key) == 3


def test_without_glo_90_nothing_tells_land_from_sea(tmp_path):
    found = find_elevation(catalog_of(tmp_path, item(40, 44)), [box(44.2, 40.2, 45.8, 40.8)])
    assert found.elevation.sea == ()
    assert found.notes == [
        "DEM: no tile of N40E045: left as a gap, for no tile of GLO-90 tells land from sea"
    ]


def test_tiles_around_a_region_are_taken_across_the_antimeridian_too(tmp_path):
    everything = [item(south, west) for south in (39, 40, 41) for west in (43, 44, 45)]
    found = find_elevation(catalog_of(tmp_path, *everything), [box(44.3, 40.3, 44.99, 40.99)])
    assert cells(found.elevation.tiles) == ["N40E044", "N40E045", "N41E044", "N41E045"]
    inside = find_elevation(catalog_of(tmp_path, *everything), [box(44.3, 40.3, 44.7, 40.7)])
    assert cells(inside.elevation.tiles) == ["N40E044"] and inside.notes == []
    fiji = catalog_of(tmp_path, item(-17, 179), item(-17, -180), item(-17, 0))
    found = find_elevation(fiji, [box(179.9, -16.8, 180, -16.2), box(-180, -16.8, -179.99, -16.2)])
    assert cells(found.elevation.tiles) == ["S17W180", "S17E179"]


def test_tiles_of_one_name_are_told_apart(tmp_path):
    fine, coarse = item(40, 44) | {"id": "N40E044"}, item(40, 44, "GLO-90") | {"id": "N40E044"}
    found = find_elevation(catalog_of(tmp_path, fine, coarse), [box(44.2, 40.2, 44.8, 40.8)]).elevation
    assert {key: tile.kind for key, tile in found.by_key.items()} == {
        "cop-dem-glo-30/N40E044": "GLO-30", "cop-dem-glo-90/N40E044": "GLO-90",
    }  # fmt: skip


def test_a_tile_can_be_excluded_by_name(tmp_path):
    west, east = item(40, 44), item(40, 45)
    named = Unusable(excluded=frozenset([f"{west['collection']}/{west['id']}"]))
    found = find_elevation(catalog_of(tmp_path, west, east), [box(44.2, 40.2, 45.8, 40.8)], named)
    assert cells(found.elevation.tiles) == ["N40E045"] and cells(found.excluded) == ["N40E044"]
    assert f"DEM: {west['id']} left out: excluded by the request" in found.notes


def test_where_there_is_no_tile_at_all_it_is_said(tmp_path):
    with pytest.raises(
        NoScenesError, match="has no tile of the Copernicus DEM there; over open sea take DEM out"
    ):
        find_elevation(catalog_of(tmp_path, item(40, 44)), [box(10, 40, 11, 41)])


def test_broken_items_stop_a_search_or_are_named(tmp_path):
    broken = item(40, 44)
    broken["properties"]["gsd"] = "thirty"
    catalogs = catalog_of(tmp_path, item(40, 45), broken)
    with pytest.raises(CatalogError, match="has a wrong gsd"):
        find_elevation(catalogs, [box(44.2, 40.2, 45.8, 40.8)])
    found = find_elevation(catalogs, [box(44.2, 40.2, 45.8, 40.8)], Unusable(CatalogError))
    assert cells(found.elevation.tiles) == ["N40E045"]
    assert "has a wrong gsd" in found.notes[-1] and len(found.unusable) == 1


def test_of_two_tiles_of_a_cell_the_same_is_taken_in_any_order(tmp_path):
    one, other = item(40, 44), deepcopy(item(40, 44))
    other["assets"]["data"]["href"] = "https://example.com/other.tif"
    region = [box(44.2, 40.2, 44.8, 40.8)]
    found = [find_elevation(catalog_of(tmp_path, *items), region) for items in ((one, other), (other, one))]
    assert found[0].elevation == found[1].elevation and len(found[0].elevation.tiles) == 1


def test_catalogs_are_opened_at_their_collections(folder):
    names = [catalog.describe() for catalog in open_elevation("earth-search")]
    assert names == ["Earth Search (cop-dem-glo-30)", "Earth Search (cop-dem-glo-90)"]
    assert len(open_elevation("planetary-computer")) == len(open_elevation("https://stac.example.com")) == 2
    assert len(open_elevation("https://stac.example.com", "dem")) == 1
    (files,) = open_elevation(str(folder / "rainier-2023-08"))
    found = find_elevation([files], [box(-121.94, 46.72, -121.54, 46.9)])
    assert cells(found.elevation.tiles) == cells(found.elevation.coarse) == ["N46W122"]
    # What is saved for a region may well lack the tile beside it, which is no sea for that.
    assert found.elevation.sea == ()
    assert found.notes == ["DEM: no tile of N46W123: left as a gap, for it lies beside the region"]
    with pytest.raises(RequestError, match="Copernicus Data Space has no Copernicus DEM that is known here"):
        open_elevation("copernicus")
