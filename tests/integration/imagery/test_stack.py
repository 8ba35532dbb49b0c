"""Reading and compositing real files: bit-equal pixels, gaps, neighbours' zones, faults."""

import numpy as np
import pytest
import rasterio
from pyproj import Transformer

from terramosaic.bands import GSD, S2L2A_BANDS
from terramosaic.errors import MissingBandError
from terramosaic.ground.grid import Rect
from terramosaic.imagery.marks import Mark
from terramosaic.imagery.reader import SceneReader
from terramosaic.imagery.stack import Imagery, StackReader, read_ahead
from tests.support.scenes import AsPlanned, as_scene, dn_of, write_scene

#: 600 x 600 pixels on the grid of 60 m pixels of tile 33TWL.
RECT = Rect(490002, 50004, 600, 600)


def stack_of(scenes, rect, *, composite="best", epsg=32633, wanted=None, bands=S2L2A_BANDS, reads=None):
    days = {}
    for scene in scenes:
        days.setdefault(scene.solar_day, []).append(scene)
    acquisitions = tuple(tuple(day) for day in days.values())
    imagery = Imagery(epsg, bands, acquisitions, composite, AsPlanned())
    wanted = np.ones(rect.shape, bool) if wanted is None else wanted
    with pytest.MonkeyPatch.context() as patch, StackReader(imagery, rect, wanted) as stack:
        if reads is not None:
            read = SceneReader.read
            patch.setattr(SceneReader, "read", lambda reader, band, rect, out=None: (
                reads.append((reader.scene.id, band, rect)), read(reader, band, rect, out))[1])  # fmt: skip
        strips = list(read_ahead(stack.strips()))
    join = lambda name: np.concatenate([getattr(strip, name) for strip in strips], axis=-2)  # noqa: E731
    return {name: join(name) for name in (
        "dn", "valid", "cloudy", "other_zone", "repaired", "acquisition", "marks"
    )}  # fmt: skip


def truth(band, level=0):
    factor = GSD[band] // 10
    return (
        dn_of(band, RECT.height // factor, RECT.width // factor, level=level)
        .repeat(factor, 0)
        .repeat(factor, 1)
    )


@pytest.fixture(scope="module")
def plain_scene(tmp_path_factory):
    """A scene of vegetation without a hole."""
    return as_scene(write_scene(tmp_path_factory.mktemp("plain"), RECT))


@pytest.mark.parametrize("band", S2L2A_BANDS)
@pytest.mark.parametrize("part", [RECT, Rect(490101, 50107, 95, 213), RECT.pad(40), Rect(0, 0, 10, 10)])
def test_bands_arrive_bit_equal_to_the_file(plain_scene, band, part):
    expected = np.zeros(part.shape, np.uint16)
    shared = part.intersection(RECT)
    if not shared.is_empty:
        expected[shared.slices(part)] = truth(band)[shared.slices(RECT)]
    with SceneReader(plain_scene, 32633) as reader:
        np.testing.assert_array_equal(reader.read(band, part), expected)


def test_stack_has_the_offset_removed_and_nothing_else_changed(tmp_path):
    scene = as_scene(write_scene(tmp_path, RECT, offset=1000))
    stack = stack_of([scene], RECT)
    for index, band in enumerate(S2L2A_BANDS):
        np.testing.assert_array_equal(stack["dn"][index], truth(band))
    assert stack["valid"].all() and not stack["cloudy"].any() and not stack["other_zone"].any()


def test_what_one_file_declares_to_be_no_data_is_not_put_right(tmp_path):
    """A 0 in one band of a pixel is a slip, and is mended; what a file declares to be a hole is one."""
    holes, slips = np.zeros(RECT.shape, bool), np.zeros(RECT.shape, bool)
    holes[100:200, 50:90], slips[300:400, 50:90] = True, True
    item = write_scene(tmp_path, RECT)
    path = item["assets"]["B04"]["href"]
    with rasterio.open(path) as file:
        pixels, profile = file.read(1), file.profile
    with rasterio.open(path, "w", **profile | {"nodata": 65_535}) as file:
        file.write(np.where(holes, 65_535, np.where(slips, 0, pixels)).astype(np.uint16), 1)
    stack = stack_of([as_scene(item)], RECT)
    np.testing.assert_array_equal(stack["valid"], ~holes)
    np.testing.assert_array_equal(stack["repaired"], slips)
    assert not stack["dn"][:, holes].any()
    np.testing.assert_array_equal(stack["marks"], np.where(holes, Mark.NO_DATA, Mark.SEEN))


@pytest.mark.parametrize(("shift", "moved"), [(4, 0), (6, 1), (-4, 0), (-6, -1)])
def test_a_file_off_the_grid_gives_the_pixel_under_each_centre(tmp_path, shift, moved):
    """One dimension, file 4 m to the right: grid centre 5 lies in file pixel 0 (4 to 14); at 6 m, in the one before."""
    item = write_scene(tmp_path, RECT)
    path = tmp_path / "S2A_33TWL_20230815_B04.tif"
    with rasterio.open(path, "r+") as file:
        file.transform = rasterio.Affine.translation(shift, 0) @ file.transform
    part = Rect(RECT.row + 10, RECT.col + 10, 50, 60)
    expected = truth("B04")[10:60, 10 - moved : 70 - moved]
    with SceneReader(as_scene(item), 32633) as reader:
        np.testing.assert_array_equal(reader.read("B04", part), expected)


def test_scene_of_the_neighbouring_zone_is_read_by_nearest_whatever_the_window(tmp_path):
    # The same ground's pixels in zone 32, some 200 km west of zone 33's middle.
    west = Rect(490002, 78000, 600, 600)
    scene = as_scene(write_scene(tmp_path, west, epsg=32632, name="S2A_32TQR_20230815"))
    to_33 = Transformer.from_crs(32632, 32633, always_xy=True)
    x, y = to_33.transform(west.bounds[0] + 3000, west.bounds[3] - 3000)
    part = Rect(round((1e7 - y) / 10) - 100, round(x / 10) - 100, 200, 200)
    with SceneReader(scene, 32633) as reader:
        pixels = reader.read("B04", part)
        np.testing.assert_array_equal(
            reader.read("B04", Rect(part.row + 37, part.col + 51, 61, 73)), pixels[37:98, 51:124]
        )
    east, north = np.meshgrid(
        (part.col + np.arange(200) + 0.5) * 10, 1e7 - (part.row + np.arange(200) + 0.5) * 10
    )
    source_x, source_y = to_33.transform(east, north, direction="INVERSE")
    cols = np.floor((source_x - west.bounds[0]) / 10).astype(int)
    rows = np.floor((west.bounds[3] - source_y) / 10).astype(int)
    expected = dn_of("B04", 600, 600)[rows, cols]
    # GDAL and pyproj may differ by rounding where a centre falls on an edge.
    assert (pixels == expected).mean() > 0.9999


def test_gap_is_filled_by_the_neighbouring_zone_only_where_own_imagery_ends(tmp_path):
    rect = Rect(490002, 20004, 300, 300)
    holes = np.zeros(rect.shape, bool)
    holes[:, 150:] = True
    own = as_scene(write_scene(tmp_path / "own", rect, holes=holes, scl=np.full((150, 150), 9)))
    to_32 = Transformer.from_crs(32633, 32632, always_xy=True)
    x, y = to_32.transform(rect.bounds[0], rect.bounds[3])
    around = Rect(round((1e7 - y) / 60) * 6 - 300, round(x / 60) * 6 - 300, 900, 900)
    item = write_scene(tmp_path / "other", around, epsg=32632, name="S2A_32TQR_20230815", level=3000)
    stack = stack_of([own, as_scene(item)], rect)
    # The holes are cut at 10 m; at 60 m some pixels reach over the edge, and a pixel needs all its bands.
    edge = np.flatnonzero(stack["other_zone"].any(axis=0))[0]
    assert 144 <= edge <= 150
    assert stack["valid"].all()
    assert stack["other_zone"][:, edge:].all() and not stack["other_zone"][:, :edge].any()
    # Cloud is not a gap: own cloudy pixels stay.
    assert stack["cloudy"][:, :edge].all() and not stack["cloudy"][:, edge:].any()
    red = S2L2A_BANDS.index("B04")
    np.testing.assert_array_equal(stack["dn"][red][:, :edge], dn_of("B04", 300, 300)[:, :edge])


def test_best_takes_clear_pixels_of_the_second_day_and_spares_its_other_files(tmp_path):
    cloud = np.full((300, 300), 4)
    cloud[:50, :50] = 9
    first = as_scene(write_scene(tmp_path / "a", RECT, scl=cloud))
    second = as_scene(
        write_scene(tmp_path / "b", RECT, name="S2B_33TWL_20230820", day="2023-08-20", level=5000)
    )
    stack = stack_of([first, second], RECT)
    red = S2L2A_BANDS.index("B04")
    expected = np.where(np.arange(600)[:, None] + np.zeros(600) < 100, truth("B04", 5000), truth("B04"))
    expected[:100, 100:] = truth("B04")[:100, 100:]
    np.testing.assert_array_equal(stack["dn"][red], expected)
    assert not stack["cloudy"].any()
    np.testing.assert_array_equal(stack["acquisition"] == 2, expected == truth("B04", 5000))
    assert set(np.unique(stack["acquisition"])) == {1, 2}
    single = stack_of([first, second], RECT, composite="single")
    np.testing.assert_array_equal(single["dn"][red], truth("B04"))
    assert single["cloudy"][:100, :100].all()


@pytest.mark.parametrize("composite", ["best", "median", "single"])
def test_a_clear_scene_of_an_acquisition_is_not_hidden_by_a_clouded_one(tmp_path, composite):
    """Two tiles of one pass over the same ground, with the same time."""
    cloud = np.full((300, 300), 4)
    cloud[:50, :50] = 9
    both = cloud.copy()
    both[30:] = 8
    first = as_scene(write_scene(tmp_path / "a", RECT, scl=cloud))
    second = as_scene(
        write_scene(tmp_path / "b", RECT, name="S2A_33TWM_20230815", level=5000, scl=both[::-1, ::-1])
    )
    reads = []
    stack = stack_of([first, second], RECT, composite=composite, reads=reads)
    clouded = cloud.repeat(2, 0).repeat(2, 1) == 9
    clear_there = clouded & (both[::-1, ::-1].repeat(2, 0).repeat(2, 1) == 4)
    for index, band in enumerate(S2L2A_BANDS):
        expected = np.where(clear_there, truth(band, 5000), truth(band))
        np.testing.assert_array_equal(stack["dn"][index], expected)
    np.testing.assert_array_equal(stack["cloudy"], clouded & ~clear_there)
    # The classification is asked of the second only where the first is clouded, its bands where they help.
    assert {rect for id_, band, rect in reads if id_ == second.id and band == "SCL"} == {
        Rect(RECT.row, RECT.col, 100, 100)
    }
    assert not [band for id_, band, rect in reads if id_ == second.id and rect.width > 100]


def test_a_zero_in_one_band_is_no_hole_and_a_rim_is_one(tmp_path):
    scl = np.full((300, 300), 4)
    scl[:, :150] = 6
    item = write_scene(tmp_path, RECT, scl=scl, offset=1000)
    zeros = {"B11": np.s_[100:110, 20:30], "B08": np.s_[50:60, 40:60]}  # rows and columns of the file
    for band, where in zeros.items():
        change(tmp_path, band, where, 0)
    for band in S2L2A_BANDS[6:]:  # columns 480 to 600 at 10 m
        change(tmp_path, band, np.s_[:, 480 * 10 // GSD[band] :], 0)
    before = stack_of([as_scene(write_scene(tmp_path / "whole", RECT, scl=scl, offset=1000))], RECT)
    stack = stack_of([as_scene(item)], RECT)
    repaired = np.zeros(RECT.shape, bool)
    repaired[200:220, 40:60] = repaired[50:60, 40:60] = True
    np.testing.assert_array_equal(stack["repaired"], repaired)
    np.testing.assert_array_equal(stack["valid"], np.arange(600) < np.full((600, 1), 480))
    assert not stack["dn"][:, ~stack["valid"]].any() and stack["dn"][:, stack["valid"]].all()
    untouched = stack["valid"] & ~repaired
    np.testing.assert_array_equal(stack["dn"][:, untouched], before["dn"][:, untouched])
    swir = stack["dn"][S2L2A_BANDS.index("B11")][200:220, 40:60]
    np.testing.assert_array_equal(stack["marks"], np.where(stack["valid"], Mark.SEEN, Mark.UNMARKED))
    assert ((swir == 1) | (swir == stack["dn"][:, 200:220, 40:60].max(axis=0))).all()


def change(folder, band, where, value, day="15"):
    with rasterio.open(folder / f"S2A_33TWL_202308{day}_{band}.tif", "r+") as file:
        pixels = file.read(1)
        pixels[where] = value
        file.write(pixels, 1)


@pytest.mark.parametrize("composite", ["best", "median", "single"])
def test_why_a_pixel_was_not_seen_is_told_by_the_scene_that_knows_most(tmp_path, composite):
    """Of the first day a rim lacks half its bands; the second has nothing there, nor have both beyond the file."""
    first, second = (
        write_scene(tmp_path / day, RECT, name=f"S2A_33TWL_202308{day}", day=f"2023-08-{day}")
        for day in ("15", "18")
    )
    for band in S2L2A_BANDS[6:]:
        change(tmp_path / "15", band, np.s_[:, 480 * 10 // GSD[band] :], 0, day="15")
    for band in S2L2A_BANDS:
        change(tmp_path / "18", band, np.s_[:, 480 * 10 // GSD[band] :], 0, day="18")
    around, wanted = RECT.pad(10), np.ones(RECT.pad(10).shape, bool)
    wanted[:5] = False
    stack = stack_of([as_scene(second), as_scene(first)], around, composite=composite, wanted=wanted)
    expected = np.full(around.shape, Mark.MISSING)
    expected[RECT.slices(around)] = np.where(np.arange(600) < 480, Mark.SEEN, Mark.UNMARKED)
    if composite == "single":
        expected[expected == Mark.UNMARKED] = Mark.MISSING
    expected[:5] = Mark.NOT_READ
    np.testing.assert_array_equal(stack["marks"], expected)


def test_missing_band_names_item_and_band(tmp_path):
    item = write_scene(tmp_path, RECT)
    del item["assets"]["B11"]
    with pytest.raises(MissingBandError, match=r"S2A_33TWL_20230815 lacks B11"):
        stack_of([as_scene(item)], RECT)
