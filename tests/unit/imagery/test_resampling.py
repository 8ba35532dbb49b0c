"""Places in other grids are exact, and the same whatever is asked for beside them; weights are bilinear."""

from __future__ import annotations

import numpy as np
import pytest
from pyproj import Transformer
from rasterio.crs import CRS

from terramosaic.ground.grid import NORTHING_OF_ROW_0, Rect, is_utm
from terramosaic.imagery.resampling import Places, bilinear, blended, moved, places_in

NAN = np.float32(np.nan)


@pytest.mark.parametrize(("epsg", "other"), [(32633, 32632), (32633, 4326), (32701, 32760), (32633, 32733)])
@pytest.mark.parametrize("place", [(990_000, 16_700), (400_123, 20_011), (70_000, 50_000), (160_000, 83_300)])
def test_cells_of_the_lattice_are_plane(epsg, other, place):
    rect = Rect(*place, 65, 130)
    x, y = moved(rect, epsg, CRS.from_epsg(other))
    transformer = Transformer.from_crs(epsg, other, always_xy=True)
    rows, cols = np.mgrid[rect.row : rect.row_end, rect.col : rect.col_end]
    exact = transformer.transform((cols + 0.5) * 10, NORTHING_OF_ROW_0 - (rows + 0.5) * 10)
    # A centimetre, where pixels have 10 m; of degrees a tenth of a metre, at 84 degrees north, where they have 30 m.
    most = 0.01 if is_utm(other) else 1e-6
    assert max(np.abs(x - exact[0]).max(), np.abs(y - exact[1]).max()) < most


def test_places_hang_on_the_ground_alone():
    whole = Rect(489_990, 50_003, 200, 170)
    x, y = moved(whole, 32633, CRS.from_epsg(32632))
    for part in (Rect(489_990, 50_003, 1, 1), Rect(490_047, 50_064, 99, 70), Rect(490_100, 50_100, 17, 73)):
        inside = part.slices(whole)
        there = moved(part, 32633, CRS.from_epsg(32632))
        assert [one.tobytes() for one in there] == [
            np.ascontiguousarray(one[inside]).tobytes() for one in (x, y)
        ]


def test_a_parallel_grid_has_rows_and_columns():
    rect = Rect(490_000, 50_000, 3, 5)
    places = places_in(rect, 32633, CRS.from_epsg(32633), rect.transform)
    np.testing.assert_array_equal(places.rows.ravel(), range(3))
    np.testing.assert_array_equal(places.cols.ravel(), range(5))
    assert places.window() == (0, 4, 0, 6)


def test_weights_are_bilinear():
    values = np.arange(12, dtype=np.float32).reshape(3, 4) * 10
    places = Places(np.array([[0.0, 0.5, 1.25]]), np.array([[0.0, 1.5, 0.25]]))
    np.testing.assert_allclose(bilinear(values, (0, 0), places), [[0, 35, 52.5]])
    moved_window = Places(places.rows + 7, places.cols + 2)
    np.testing.assert_array_equal(bilinear(values, (7, 2), moved_window), bilinear(values, (0, 0), places))


@pytest.mark.parametrize(
    ("corners", "south", "east", "expected"),
    [
        ([1, 2, 3, 4], 0, 0, 1),
        ([1, np.nan, 3, np.nan], 0.25, 0.25, (1 * 0.75 + 3 * 0.25)),  # the gaps weigh nothing
        ([1, np.nan, np.nan, np.nan], 0.4, 0.4, 1),
        ([np.nan, 2, 3, 4], 0.4, 0.4, np.nan),  # the nearest is a gap
        ([np.nan, 2, 3, 4], 0.6, 0.4, (2 * 0.16 + 3 * 0.36 + 4 * 0.24) / 0.76),
        ([1, 2, 3, np.nan], 0.5, 0.5, np.nan),  # of four that are equally near the last counts
    ],
)
def test_gaps_are_neither_filled_nor_widened(corners, south, east, expected):
    share = np.array([[east]], np.float32)
    found = blended(
        [np.full((1, 1), one, np.float32) for one in corners], np.array([[south]], np.float32), (share, share)
    )
    np.testing.assert_allclose(found, [[expected]], rtol=1e-6)
