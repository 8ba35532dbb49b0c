"""Heights from tiles of real sizes: one mosaic across joints, also where rows lose points; sea, gaps and GLO-90."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from pyproj import Transformer

from terramosaic.catalog.elevation import Elevation
from terramosaic.errors import CatalogError, DeadAssetError
from terramosaic.ground.grid import NORTHING_OF_ROW_0, Rect
from terramosaic.imagery.elevation import ElevationReader, read_elevation
from terramosaic.imagery.inspection import SceneBook
from terramosaic.imagery.marks import Mark
from terramosaic.imagery.pool import READERS
from terramosaic.imagery.scene_records import SceneRecords
from terramosaic.planning.folder import RunFolder
from tests.integration.imagery.test_backscatter import All, on_this_machine, same_bits
from tests.support.file_server import serve_files
from tests.support.heights import columns_at, plane, write_tile


@pytest.fixture(autouse=True)
def closed():
    yield
    READERS.close_idle()


def around(lon: float, lat: float, epsg: int, half: int = 60) -> Rect:
    """A rectangle of a zone's grid whose middle lies there."""
    x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat)
    return Rect(round((NORTHING_OF_ROW_0 - y) / 10) - half, round(x / 10) - half, 2 * half, 2 * half)


def degrees(rect: Rect, epsg: int) -> tuple[np.ndarray, np.ndarray]:
    rows, cols = np.mgrid[rect.row : rect.row_end, rect.col : rect.col_end]
    return Transformer.from_crs(epsg, 4326, always_xy=True).transform(
        (cols + 0.5) * 10, NORTHING_OF_ROW_0 - (rows + 0.5) * 10
    )


def joint(tmp_path, lon: int, lat: int, **fields) -> Elevation:
    """The four tiles that meet at a corner."""
    cells = [(lat - down, lon - left) for down in (0, 1) for left in (0, 1)]
    return Elevation(tiles=tuple(write_tile(tmp_path, *cell, around=(lon, lat), **fields) for cell in cells))


@pytest.mark.parametrize(
    ("lon", "lat", "epsg"),
    [(14, 46, 32633), (14, 50, 32633), (14, 60, 32633), (14, 70, 32633), (-122, 47, 32610), (22, -50, 32734)],
)
def test_neighbours_are_one_mosaic_also_where_rows_lose_points(tmp_path, lon, lat, epsg):
    elevation = joint(tmp_path, lon, lat)
    if lat in (50, 60, 70):
        widths = {columns_at(tile.cell[0]) for tile in elevation.tiles}
        assert len(widths) == 2
    rect = around(lon, lat, epsg)
    found = read_elevation(elevation, rect, epsg, All())
    assert found.metres.shape == (1, 120, 120) and found.metres.dtype == np.float32
    assert (found.marks == Mark.SEEN).all()
    there = degrees(rect, epsg)
    # No gap, no step: a plane comes back as a plane, across the joints too.
    np.testing.assert_allclose(found.metres[0], plane(*there), atol=0.002)
    if lat in (50, -50):  # all four cells lie under it
        assert {(int(x), int(y)) for x, y in zip(*(np.floor(one).ravel() for one in there), strict=True)} == {
            (lon + right, lat + up) for right in (-1, 0) for up in (-1, 0)
        }


def rough(lon, lat):
    """Ground of which every point is another height."""
    return 500 + 300 * np.sin(lon * 7000) * np.cos(lat * 9000)


@pytest.mark.parametrize("lat", [46, 50])
def test_rectangles_that_overlap_agree_bit_for_bit(tmp_path, lat):
    elevation = joint(tmp_path, 14, lat, heights=rough)
    whole = around(14, lat, 32633)
    found = read_elevation(elevation, whole, 32633, All())
    assert found.metres.std() > 50
    rng = np.random.default_rng(5)
    for _ in range(10):
        part = Rect(
            whole.row + int(rng.integers(70)),
            whole.col + int(rng.integers(70)),
            *map(int, rng.integers(1, 50, 2)),
        )
        READERS.close_idle()
        again = read_elevation(elevation, part, 32633, All())
        assert same_bits(again.metres[0], np.ascontiguousarray(found.metres[0][part.slices(whole)]))


def test_a_height_is_bilinear_in_its_own_row_spacing(tmp_path):
    """Between the last row of one width and the first of another: each by its own points, then by latitude."""
    elevation = joint(tmp_path, 14, 50, heights=rough)
    rect = around(14, 50.0001, 32633, half=12)
    lon, lat = degrees(rect, 32633)
    found = read_elevation(elevation, rect, 32633, All())
    below = np.floor(lat * 3600) / 3600

    def in_row(row_lat):
        points = np.where(row_lat > 50 + 1e-9, 2400, 3600)
        west = np.floor(lon * points) / points
        share = (lon - west) * points
        return rough(west, row_lat) * (1 - share) + rough(west + 1 / points, row_lat) * share

    share = (lat - below) * 3600
    expected = in_row(below) * (1 - share) + in_row(below + 1 / 3600) * share
    assert (below == 50).any() and (below < 50).any() and (below > 50).any()
    np.testing.assert_allclose(found.metres[0], expected, atol=0.5)


def test_the_sea_is_0_m_and_flagged_and_0_is_a_height(tmp_path):
    land = write_tile(
        tmp_path, 45, 13, around=(14, 45.5), heights=lambda lon, lat: np.where(lat > 45.5, 30.0, 0.0)
    )
    rect = around(14, 45.5, 32633)
    lon, lat = degrees(rect, 32633)
    found = read_elevation(Elevation(tiles=(land,), sea=((45, 14),)), rect, 32633, All())
    sea = found.marks == Mark.SEA
    assert np.isfinite(found.metres).all() and 0.3 < sea.mean() < 0.7
    # A point of the next cell is the nearest one from half a second before it on.
    np.testing.assert_array_equal(sea, lon > 14 - 0.5 / 3600)
    assert (found.metres[0][sea & (lon > 14)] == 0).all()
    inland = (lon < 14 - 1 / 3600) & (abs(lat - 45.5) > 1 / 3600)
    np.testing.assert_allclose(found.metres[0][inland], np.where(lat > 45.5, 30, 0)[inland], atol=1e-4)
    # The same cell without a word that it is sea is a gap, and so is a tile's nodata, but never 0.
    gap = read_elevation(Elevation(tiles=(land,)), rect, 32633, All())
    np.testing.assert_array_equal(np.isnan(gap.metres[0]), sea)
    np.testing.assert_array_equal(gap.marks, np.where(sea, Mark.MISSING, Mark.SEEN))


def test_what_no_height_can_be_is_a_gap(tmp_path):
    def odd(lon, lat):
        found = np.full(lon.shape, 100.0)
        found[lon > 13.99], found[lon > 13.995], found[lon > 13.998] = -32767, np.nan, 99999
        return found

    rect = around(13.99, 45.5, 32633)
    lon, _ = degrees(rect, 32633)
    for nodata in (None, -32767, 0):
        tile = write_tile(tmp_path, 45, 13, around=(14, 45.5), heights=odd, nodata=nodata)
        found = read_elevation(Elevation(tiles=(tile,)), rect, 32633, All())
        np.testing.assert_allclose(found.metres[np.isfinite(found.metres)], 100, atol=1e-3)
        assert abs(np.isnan(found.metres[0]) ^ (lon > 13.99)).mean() < 0.03
        np.testing.assert_array_equal(
            found.marks, np.where(np.isnan(found.metres[0]), Mark.NO_DATA, Mark.SEEN)
        )
        READERS.close_idle()
    flat = write_tile(tmp_path, 45, 13, around=(14, 45.5), heights=lambda lon, lat: lon * 0, nodata=0)
    assert (read_elevation(Elevation(tiles=(flat,)), rect, 32633, All()).metres == 0).all()


def test_glo_90_fills_land_without_a_tile_and_says_so(tmp_path):
    fine = write_tile(tmp_path, 40, 44, around=(45, 40.5))
    coarse = tuple(write_tile(tmp_path, 40, west, kind="GLO-90", around=(45, 40.5)) for west in (44, 45))
    rect = around(45, 40.5, 32638)
    lon, lat = degrees(rect, 32638)
    decisions = All()
    found = read_elevation(Elevation(tiles=(fine,), coarse=coarse), rect, 32638, decisions)
    np.testing.assert_array_equal(found.marks == Mark.COARSE, lon > 45 - 0.5 / 3600)
    np.testing.assert_allclose(found.metres[0], plane(lon, lat), atol=0.02)
    inside = lon < 45 - 1 / 3600
    np.testing.assert_allclose(found.metres[0][inside], plane(lon, lat)[inside], atol=0.002)
    assert {fine.key, coarse[1].key} <= set(decisions.used)
    # Where nothing is missing nothing of it is asked for.
    west = Rect(rect.row, rect.col, 50, 20)
    decisions = All()
    read_elevation(Elevation(tiles=(fine,), coarse=coarse), west, 32638, decisions)
    assert set(decisions.used) == {fine.key}


def test_across_the_antimeridian(tmp_path):
    # 1 000 m a degree east, on from 179 to 181.
    def eastward(lon, lat):
        return 1000 * ((lon % 360) - 179)

    tiles = tuple(
        write_tile(tmp_path, -17, west, around=(at, -16.5), heights=eastward)
        for west, at in ((179, 180), (-180, -180))
    )
    for epsg in (32760, 32701):
        rect = around(180, -16.5, epsg)
        lon, _ = degrees(rect, epsg)
        found = read_elevation(Elevation(tiles=tiles), rect, epsg, All())
        np.testing.assert_allclose(found.metres[0], eastward(lon, None), atol=0.02)
        assert (lon < 0).any() and (lon > 0).any()


WRONG = {
    "in metres": ({"crs": "EPSG:32633"}, "comes in EPSG:32633, not in degrees"),
    "of bytes": ({"dtype": "uint8"}, "holds uint8, not heights as float32"),
    "of two bands": ({"count": 2}, "holds 2 bands, not heights alone"),
    "of half its rows": ({"height": 1800}, "has 1800 x 3600 pixels, which are no tile of GLO-30"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_tile_is_left_out_by_name_and_a_gap(tmp_path, what):
    profile, said = WRONG[what]
    tile = write_tile(tmp_path, 45, 13, around=(13.9, 45.8), heights=lambda lon, lat: lon * 0 + 9, **profile)
    with ElevationReader(tile) as reader:
        decision = reader.inspect()
    assert decision.cause == "contradiction" and decision.reason.startswith(f"asset DEM of {tile.key} {said}")
    assert np.isnan(
        read_elevation(Elevation(tiles=(tile,)), around(13.9, 45.8, 32633), 32633, All()).metres
    ).all()


def test_a_tile_that_lies_elsewhere_than_its_item_says_is_left_out(tmp_path):
    tile = write_tile(tmp_path, 45, 13, around=(13.5, 45.5)).model_copy(update={"cell": (45, 14)})
    with ElevationReader(tile) as reader:
        decision = reader.inspect()
    assert "lies -3600.00 pixels east and +0.00 north of the cell N45E014" in decision.reason


@pytest.mark.usefixtures("quick_retries")
def test_a_dead_tile_is_on_record_and_glo_90_takes_its_place_and_an_outage_is_no_gap(tmp_path):
    fine = write_tile(tmp_path / "files", 40, 44, around=(44.5, 40.5))
    coarse = write_tile(tmp_path / "files", 40, 44, kind="GLO-90", around=(44.5, 40.5))
    rect = around(44.5, 40.5, 32638)
    with serve_files(tmp_path / "files") as server:
        asset = fine.assets["DEM"]
        remote = fine.model_copy(
            update={"assets": {"DEM": asset.model_copy(update={"href": server.url(asset.name)})}}
        )
        elevation = Elevation(tiles=(remote,), coarse=(coarse,))
        server.fail[asset.name] = (503, 10_000)
        with pytest.raises(
            CatalogError, match="asset DEM of Copernicus_DSM_COG_10_N40E044 could not be read"
        ) as error:
            read_elevation(elevation, rect, 32638, All())
        assert not isinstance(error.value, DeadAssetError)
        server.fail[asset.name] = (404, 10_000)
        run = RunFolder(tmp_path / "run")
        book = SceneBook(SimpleNamespace(), run)
        found = read_elevation(elevation, rect, 32638, book, run)
    assert (found.marks == Mark.COARSE).all() and np.isfinite(found.metres).all()
    record = SceneRecords(run).read(remote.key)
    assert record.cause == "dead asset" and "404" in record.reason
    assert book.told.keys() == {remote.key, coarse.key}


@pytest.mark.parametrize("origin", ["public", "private"])
def test_what_an_api_says_lies_on_this_machine_is_not_opened(tmp_path, origin):
    tile = write_tile(tmp_path, 45, 14, around=(14.5, 45.5))
    dem = tile.assets["DEM"]
    for href in on_this_machine(dem.href):
        assets = {"DEM": dem.model_copy(update={"href": href})}
        with ElevationReader(tile.model_copy(update={"origin": origin, "assets": assets})) as reader:
            decision = reader.inspect()
        assert not decision.is_used
        assert f"asset DEM of {tile.key} is not opened" in decision.reason
