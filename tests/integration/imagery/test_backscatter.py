"""Backscatter from files: as they are on their grid, resampled once elsewhere, gaps never filled, edges taken off."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from pyproj import Transformer

from terramosaic.errors import CatalogError, DeadAssetError
from terramosaic.ground.grid import NORTHING_OF_ROW_0, Rect, rect_from_bounds
from terramosaic.imagery.backscatter import BackscatterReader, read_backscatter
from terramosaic.imagery.inspection import SceneBook
from terramosaic.imagery.marks import Mark
from terramosaic.imagery.pool import READERS
from terramosaic.imagery.scene_records import SceneRecords
from terramosaic.imagery.swath import margin_of
from terramosaic.planning.folder import RunFolder
from terramosaic.storage.retries import ASSET
from tests.support.file_server import serve_files
from tests.support.radar import power_at, rtc_scene

RECT = Rect(490002, 50004, 300, 420)
#: Inside, where no edge of the swath is near.
INNER = Rect(490032, 50034, 240, 350)
MARGIN = margin_of(4)


class All:
    """Uses every scene, and remembers which gave pixels."""

    def __init__(self) -> None:
        self.used: list[str] = []

    def leaves_out(self, scene):
        return False

    def decision(self, reader):
        return reader.inspect()

    def uses(self, scene):
        self.used.append(scene.key)


@pytest.fixture(autouse=True)
def closed():
    yield
    READERS.close_idle()


def grid(rect: Rect):
    return np.mgrid[rect.row : rect.row_end, rect.col : rect.col_end]


def db_of(rect: Rect) -> np.ndarray:
    power = np.stack([power_at(band, *grid(rect)) for band in ("VV", "VH")])
    return np.float32(10) * np.log10(power)


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()


def test_a_file_on_the_grid_is_read_as_it_is(tmp_path):
    decisions = All()
    scene = rtc_scene(tmp_path, RECT)
    found = read_backscatter([scene], INNER, 32633, decisions)
    assert found.db.dtype == np.float32 and (found.marks == Mark.SEEN).all()
    np.testing.assert_array_equal(found.db, db_of(INNER))
    assert (found.scene == 1).all() and decisions.used == [scene.key]


@pytest.mark.parametrize("off", [(0, 0), (7.478, 0), (3.25, -4.5)])
@pytest.mark.parametrize("epsg", [32633, 32632])
def test_rectangles_that_overlap_agree_bit_for_bit(tmp_path, epsg, off):
    scene = rtc_scene(tmp_path, RECT, off=off, change=with_holes)
    whole = RECT.pad(30) if epsg == 32633 else elsewhere(RECT, epsg)
    found = read_backscatter([scene], whole, epsg, All())
    assert 0.5 < found.valid.mean() < 1
    rng = np.random.default_rng(7)
    for _ in range(12):
        row, col = (
            whole.row + rng.integers(0, whole.height - 70),
            whole.col + rng.integers(0, whole.width - 70),
        )
        part = Rect(int(row), int(col), int(rng.integers(1, 70)), int(rng.integers(1, 70)))
        READERS.close_idle()
        again = read_backscatter([scene], part, epsg, All())
        inside = part.slices(whole)
        assert same_bits(again.db, np.ascontiguousarray(found.db[(slice(None), *inside)]))
        for name in ("marks", "scene"):
            np.testing.assert_array_equal(getattr(again, name), getattr(found, name)[inside])


def with_holes(pixels: np.ndarray) -> np.ndarray:
    """A corner that is no data, a fringe of zeros, shadow in single pixels."""
    changed = pixels.copy()
    changed[:60, :90] = -32768
    changed[-40:, :] = 0
    changed[100:103, 200:203] = np.nan
    changed[150, 150], changed[151, 300], changed[180, 77] = 0, np.inf, -0.001
    return changed


def elsewhere(rect: Rect, epsg: int) -> Rect:
    """The same ground in a neighbouring zone."""
    left, bottom, right, top = rect.bounds
    xs, ys = Transformer.from_crs(32633, epsg, always_xy=True).transform(
        [left, right, left, right], [bottom, top, top, bottom]
    )
    return rect_from_bounds((min(xs), min(ys), max(xs), max(ys)))


def truth(rect: Rect, epsg: int, off=(0.0, 0.0), source=RECT, band="VV", change=None) -> np.ndarray:
    """Bilinear by the textbook, each pixel by itself in double precision, with the valid of the four alone."""
    values = power_at(band, *grid(source)) if change is None else change(power_at(band, *grid(source)))
    values = np.where((values > 0) & np.isfinite(values), values.astype(float), np.nan)
    transformer = Transformer.from_crs(epsg, 32633, always_xy=True)
    found = np.full(rect.shape, np.nan)
    for i in range(rect.height):
        for j in range(rect.width):
            x, y = transformer.transform(
                (rect.col + j + 0.5) * 10, NORTHING_OF_ROW_0 - (rect.row + i + 0.5) * 10
            )
            left, _, _, top = source.bounds
            at_row, at_col = (top + off[1] - y) / 10 - 0.5, (x - left - off[0]) / 10 - 0.5
            row, col = int(np.floor(at_row)), int(np.floor(at_col))
            south, east = at_row - row, at_col - col
            total = weight = 0.0
            closest = (0.0, np.nan)
            for down, right, share in (
                (0, 0, (1 - south) * (1 - east)), (0, 1, (1 - south) * east),
                (1, 0, south * (1 - east)), (1, 1, south * east),
            ):  # fmt: skip
                is_in = 0 <= row + down < source.height and 0 <= col + right < source.width
                value = values[row + down, col + right] if is_in else np.nan
                closest = max(closest, (share, value), key=lambda pair: pair[0])
                if np.isfinite(value):
                    total, weight = total + share * value, weight + share
            found[i, j] = total / weight if np.isfinite(closest[1]) else np.nan
    return found


@pytest.mark.parametrize(("epsg", "off"), [(32633, (7.478, 10.0)), (32632, (0.0, 0.0)), (32634, (0.0, 0.0))])
def test_off_the_grid_and_in_another_zone_linear_power_is_interpolated(tmp_path, epsg, off):
    scene = rtc_scene(tmp_path, RECT, epsg=32633, off=off, change=with_holes)
    there = elsewhere(RECT, epsg) if epsg != 32633 else RECT
    part = Rect(there.row + 80, there.col + 90, 50, 170)
    found = read_backscatter([scene], part, epsg, All())
    expected = truth(part, epsg, off, change=with_holes)
    # Edges are taken off where the corner without data is, and nowhere else.
    inside = slice(None), slice(40, None)
    np.testing.assert_array_equal(found.valid[inside], np.isfinite(expected[inside]))
    np.testing.assert_array_equal(found.valid, np.isfinite(found.db[0]))
    linear = 10 ** (found.db[0][inside].astype(float) / 10)
    np.testing.assert_allclose(linear, expected[inside], rtol=2e-4, atol=2e-5)


def test_interpolation_never_reaches_over_a_gap(tmp_path):
    def split(pixels):
        changed = np.full_like(pixels, 0.1 if pixels.max() > 0.1 else 0.02)
        changed[:, 210:] *= 2
        changed[:, 205:215] = 0
        return changed

    scene = rtc_scene(tmp_path, RECT, off=(4.0, 0.0), change=split)
    found = read_backscatter([scene], RECT.pad(-20), 32633, All())
    levels = np.unique(np.round(10 ** (found.db[0][found.valid].astype(float) / 10), 4))
    np.testing.assert_allclose(levels, [0.1, 0.2])


def test_zeros_inside_a_scene_are_gaps_and_are_counted(tmp_path):
    scene = rtc_scene(tmp_path, RECT, change=with_holes)
    found = read_backscatter([scene], RECT, 32633, All())
    assert not np.isfinite(found.db[:, ~found.valid]).any() and np.isfinite(found.db[:, found.valid]).all()
    unmarked = found.marks == Mark.UNMARKED
    assert unmarked.sum() == 40 * 420 + 2  # neither -32768 nor what is no number
    assert (found.marks[:60, :90] == Mark.NO_DATA).all() and unmarked[150, 150]


def test_edges_of_the_swath_are_taken_off_and_holes_in_it_have_none(tmp_path):
    scene = rtc_scene(tmp_path, RECT, change=with_holes)
    found = read_backscatter([scene], RECT, 32633, All())
    np.testing.assert_array_equal(found.valid[30, 85:100], [False] * 9 + [True] * 6)
    assert not found.valid[:4, 100:].any() and found.valid[4, 100]  # the file's end is an edge, too
    assert found.valid[255, 100] and not found.valid[256, 100]
    # A single pixel, and nine, are a gap themselves and take nothing with them.
    assert not found.valid[101, 201] and found.valid[99, 201] and found.valid[101, 204]
    assert found.valid[149, 150] and not found.valid[150, 150]
    edge = found.marks == Mark.EDGE
    assert edge[30, 90] and not edge[101, 201] and not edge[30, 89]
    older = scene.model_copy(update={"sensing_start": scene.sensing_start.replace(year=2017)})
    assert read_backscatter([older], RECT, 32633, All()).valid[30, 85:115].sum() == 5


def test_slices_of_a_pass_are_one_swath(tmp_path):
    upper, lower = Rect(490002, 50004, 150, 420), Rect(490150, 50004, 152, 420)
    first = rtc_scene(tmp_path, upper, name="S1A_first")
    second = rtc_scene(tmp_path, lower, name="S1A_second", change=lambda pixels: pixels * 2)
    decisions = All()
    found = read_backscatter([first, second], INNER, 32633, decisions)
    assert found.valid.all() and decisions.used == [first.key, second.key]
    # They overlap by two rows, which are the first one's.
    seam = upper.row_end - INNER.row
    assert (found.scene[:seam] == 1).all() and (found.scene[seam:] == 2).all()
    np.testing.assert_array_equal(found.db[:, :seam], db_of(INNER)[:, :seam])
    np.testing.assert_allclose(found.db[:, seam:], db_of(INNER)[:, seam:] + 10 * np.log10(2), atol=1e-5)
    # Apart by a hairline, they have a gap of its width.
    third = rtc_scene(tmp_path, Rect(490153, 50004, 149, 420), name="S1A_third")
    assert (~read_backscatter([first, third], INNER, 32633, All()).valid).sum() == 350


def test_a_pixel_has_both_polarisations_of_one_scene_or_none(tmp_path):
    def half(pixels):
        return np.where((pixels.max() > 0.1) & (np.indices(pixels.shape)[1] > 200), 0, pixels).astype(
            np.float32
        )

    first, second = (rtc_scene(tmp_path, RECT, name=name, change=change) for name, change in (
        ("S1A_first", half), ("S1A_second", lambda pixels: pixels * 2)
    ))  # fmt: skip
    found = read_backscatter([first, second], INNER, 32633, All())
    assert set(np.unique(found.scene)) == {1, 2}
    doubled = found.db - db_of(INNER) > 1
    np.testing.assert_array_equal(doubled[0], doubled[1])


def test_where_nothing_lies_nothing_was_seen(tmp_path):
    scene = rtc_scene(tmp_path, RECT)
    for epsg in (32633, 32632):
        found = read_backscatter([scene], Rect(100, 200, 40, 30), epsg, All())
        assert not found.valid.any() and np.isnan(found.db).all() and (found.marks == Mark.MISSING).all()
    assert read_backscatter([], Rect(100, 200, 4, 3), 32633, All()).db.shape == (2, 4, 3)


WRONG = {
    "holds dB": ({"change": lambda pixels: 10 * np.log10(pixels)}, r"holds dB \(median -8\.\d\), and linear power"),
    "holds amplitudes": ({"change": lambda pixels: pixels * 3000}, "holds numbers with a median of 4"),
    "holds uint16": ({"dtype": "uint16", "nodata": 0}, "holds uint16, not linear power as float32"),
    "is in degrees": ({"crs": "EPSG:4326"}, "comes in EPSG:4326, not in a UTM zone"),
    "has no CRS": ({"crs": None}, "has no CRS: it is not geocoded"),
    "is of 30 m": ({"transform": rasterio.Affine(30, 0, 500040, 0, -30, 5099980)}, "has pixels of 30 m, not of 10 m"),
    "has two bands": ({"count": 2}, "holds 2 bands, not one polarisation"),
    "is south-up": ({"transform": rasterio.Affine(10, 0, 500040, 0, 10, 5000000)}, "is not north-up"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_linear_power_is_left_out_by_name(tmp_path, what):
    fields, said = WRONG[what]
    scene = rtc_scene(tmp_path, RECT, **fields)
    with BackscatterReader(scene, 32633) as reader:
        decision = reader.inspect()
    assert not decision.is_used and decision.cause == "contradiction"
    assert decision.reason.startswith(f"asset VV of {scene.key} ")
    assert re.search(said, decision.reason), decision.reason
    assert not read_backscatter([scene], INNER, 32633, All()).valid.any()


def test_the_header_decides_and_what_contradicts_it_is_told(tmp_path):
    scene = rtc_scene(tmp_path, RECT, off=(7.478, 20.0))
    lies = scene.model_copy(update={
        "transform": (10.0, 0.0, 500040.0, 0.0, -10.0, 5099980.0), "shape": scene.shape[::-1],
        "assets": {band: asset.model_copy(update={"size": 5}) for band, asset in scene.assets.items()},
    })  # fmt: skip
    with BackscatterReader(lies, 32633) as reader:
        decision = reader.inspect()
    told = "; ".join(decision.notes)
    assert decision.is_used and 0.1 < decision.figures["median of VV, linear"] < 0.2
    assert "the file of VV: it lies +7.478 m east and +20.000 m north of where its item says" in told
    assert "it has 300 x 420 pixels, and its item says 420 x 300" in told
    assert "and its item says 5: replaced since" in told
    assert decision.files["VV"].size == scene.assets["VV"].size
    found = [read_backscatter([one], INNER, 32633, All()).db for one in (scene, lies)]
    assert same_bits(*found)
    other_zone = scene.model_copy(update={"epsg": 32634})
    with BackscatterReader(other_zone, 32633) as reader:
        assert "it comes in EPSG:32633, and its item says EPSG:32634" in reader.inspect().notes[0]
    with BackscatterReader(scene, 32633) as reader:
        assert reader.inspect().notes == ()


def test_decisions_are_on_record_for_the_run(tmp_path):
    run = RunFolder(tmp_path / "run")
    good, bad = (rtc_scene(tmp_path, RECT, name=name, change=change) for name, change in (
        ("S1A_good", None), ("S1A_bad", lambda pixels: 10 * np.log10(pixels))
    ))  # fmt: skip
    book = SceneBook(SimpleNamespace(), run)
    found = read_backscatter([bad, good], INNER, 32633, book, run)
    assert (found.scene == 2).all() and book.told.keys() == {good.key, bad.key}
    records = SceneRecords(run).read_some([good.key, bad.key])
    assert records[good.key].is_used and not records[bad.key].is_used
    # Another block asks for no file of it.
    assert SceneBook(SimpleNamespace(), run).leaves_out(bad)


@pytest.mark.usefixtures("quick_retries")
def test_an_outage_is_no_gap_and_a_file_that_is_gone_is_dead(tmp_path):
    scene = rtc_scene(tmp_path, RECT)
    file = scene.assets["VH"].name
    with serve_files(tmp_path) as server:
        moved = {
            band: asset.model_copy(update={"href": server.url(asset.name)})
            for band, asset in scene.assets.items()
        }
        remote = scene.model_copy(update={"assets": moved})
        server.fail[file] = (503, 3)
        np.testing.assert_array_equal(read_backscatter([remote], INNER, 32633, All()).db, db_of(INNER))
        READERS.close_idle()
        server.fail[file] = (503, 10_000)
        with pytest.raises(
            CatalogError, match=f"asset VH of {scene.key} could not be read after {ASSET.tries}"
        ) as error:
            read_backscatter([remote], INNER, 32633, All())
        assert not isinstance(error.value, DeadAssetError)
        server.fail.clear()
        (tmp_path / file).unlink()
        with BackscatterReader(remote, 32633) as reader, pytest.raises(DeadAssetError, match="asset VH"):
            reader.read("VH", INNER)


def on_this_machine(path: str) -> list[str]:
    """Names that GDAL would open a file by."""
    return [path, f"file://{path}", f"zip+file://{path}", f"/vsisubfile/0_9,{path}"]


@pytest.mark.parametrize("origin", ["public", "private"])
def test_what_an_api_says_lies_on_this_machine_is_not_opened(tmp_path, origin):
    scene = rtc_scene(tmp_path, RECT)
    vv = scene.assets["VV"]
    for href in on_this_machine(vv.href):
        assets = scene.assets | {"VV": vv.model_copy(update={"href": href})}
        with BackscatterReader(
            scene.model_copy(update={"origin": origin, "assets": assets}), 32633
        ) as reader:
            decision = reader.inspect()
        assert not decision.is_used
        assert f"asset VV of {scene.key} is not opened" in decision.reason
