"""References by name, by a user's own file, and what is wrong with one, in a line."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from terramosaic.errors import RequestError
from terramosaic.evaluation.reference import Reference, presets, references_of
from terramosaic.evaluation.reference_pixels import Frame, converted
from terramosaic.ground.grid import Rect
from terramosaic.planning.layers import NODATA, Category, Layer

TARGETS = ("S1RTC", "LULC")
BACKSCATTER = Layer("S1RTC", "value", ("VV", "VH"), "int16", NODATA, unit="dB", scale=0.01, target="S1RTC")
COVER = Layer(
    "LULC", "class", ("LULC class",), "uint8", 0, classes=(Category(1, "water", (0, 0, 255)),), target="LULC"
)


def test_presets():
    known = presets()
    assert {name: one.target for name, one in known.items()} == {
        "s1-rtc": "S1RTC", "io-lulc": "LULC", "worldcover": "LULC", "cop-dem": "DEM",
    }  # fmt: skip
    assert all(one.caveat.startswith("It does not show ") for one in known.values())
    assert known["s1-rtc"].assets_for(BACKSCATTER) == ["vv", "vh"]
    assert known["worldcover"].assets_for(COVER) == ["map"]
    # All that WorldCover has, in classes that a map can have.
    assert known["worldcover"].classes.keys() == {10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100}
    assert set(known["worldcover"].classes.values()) <= {1, 2, 4, 5, 7, 8, 9, 11}


def test_those_that_suit_a_run_are_taken_by_themselves():
    assert [one.name for one in references_of((), TARGETS)] == ["s1-rtc", "io-lulc", "worldcover"]
    assert [one.catalog for one in references_of(("cop-dem",), ("DEM",), "mirror")] == ["mirror"]
    with pytest.raises(RequestError, match="suits NDVI: that is of DEM, LULC, S1RTC"):
        references_of((), ("NDVI",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s1", "'s1' is not known; take s1-rtc, io-lulc"),
        ("cop-dem", "cop-dem is of DEM, and the run has S1RTC, LULC"),
        ("LULC=/nowhere", "/nowhere does not exist"),
        ("/nowhere.yaml", "cannot read /nowhere.yaml"),
    ],
)
def test_what_is_none(text, said):
    with pytest.raises(RequestError, match=f"^reference: .*{said}"):
        references_of((text,), TARGETS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", "is no YAML"),
        ("- a", "should hold a mapping"),
        ("a: {target: LULC}", "a: either a catalog or a path is wanted"),
        ("a: {target: LULC, catalog: earth-search}", "bands are wanted"),
        ("a: {target: LULC, path: x, resampling: bilinear, classes: {1: 2}}", "must be nearest"),
        ("a: {target: LULC, path: x, when: monthly}", "when: .*'days', 'year'"),
        ("a: {target: LULC, path: x, asset: y}", "asset: Extra"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path, text, said):
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(RequestError, match=said):
        references_of((str(tmp_path / "own.yaml"),), TARGETS)


def test_a_file_of_ones_own(tmp_path):
    (tmp_path / "own.yml").write_text("""
radar: {target: S1RTC, path: here, bands: {VH: data.2, VV: data.1}, scale: 0.1}
cover: {target: LULC, catalog: earth-search, collection: io, bands: {class: data}, when: year}
""")
    radar, cover = references_of((str(tmp_path / "own.yml"),), TARGETS, "mirror")
    assert radar.path == str(tmp_path / "here") and not radar.catalog and cover.catalog == "mirror"
    assert radar.assets_for(BACKSCATTER) == ["data.1", "data.2"]
    assert cover.assets_for(COVER) == ["data"]
    assert Reference(name="a", target="S1RTC", path="x").assets_for(BACKSCATTER) == ["data.1", "data.2"]
    with pytest.raises(RequestError, match="tells no asset for VH of S1RTC"):
        Reference(name="a", target="S1RTC", path="x", bands={"VV": "vv"}).assets_for(BACKSCATTER)


def test_linear_power_becomes_decibels_and_zeros_gaps():
    power = np.array([1.0, 0.1, 0.0, -0.5, -32768, np.nan, 1e-2], np.float32)
    np.testing.assert_allclose(
        converted(power, presets()["s1-rtc"]), [0, -10, np.nan, np.nan, np.nan, np.nan, -20], atol=1e-5
    )


def test_classes_are_mapped_and_others_not_compared():
    found = converted(np.array([80, 10, 95, 0, 77, 100]), presets()["worldcover"])
    np.testing.assert_array_equal(found, [1, 2, 2, np.nan, np.nan, 11])
    np.testing.assert_array_equal(
        converted(np.array([1, 10, 0, 11]), presets()["io-lulc"]), [1, np.nan, np.nan, 11]
    )


def test_scale_and_offset():
    one = Reference(name="a", target="DEM", path="x", scale=0.1, offset=-5, gaps=(255,))
    np.testing.assert_allclose(converted(np.array([0, 100, 255]), one), [-5, 5, np.nan])


@pytest.mark.parametrize(
    ("east", "north", "shift"),
    [(0, 0, (0, 0)), (-300, 20, (0, 0)), (5, 0, (5, 0)), (2, -13, (2, -3)), (0.01, 0, (0, 0))],
)
def test_how_far_a_file_lies_off_the_grid(east, north, shift):
    geobox = Rect(490_496, 50_176, 64, 64).geobox(32633)
    moved = Affine.translation(east, north) @ geobox.affine
    assert Frame(CRS.from_epsg(32633), moved).shift(geobox) == pytest.approx(shift)


def test_another_grid_is_no_shift():
    geobox = Rect(490_496, 50_176, 64, 64).geobox(32633)
    assert Frame(CRS.from_epsg(32632), geobox.affine).shift(geobox) is None
    assert Frame(CRS.from_epsg(32633), geobox.affine @ Affine.scale(2)).shift(geobox) is None
