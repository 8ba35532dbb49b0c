"""The +1000: decided per item and asset, checked on real pixels, taken off exactly."""

import numpy as np
import pytest
import rasterio

from terramosaic.catalog.offset import decide_offset
from terramosaic.catalog.profiles import (
    COPERNICUS,
    EARTH_SEARCH,
    EARTH_SEARCH_V0,
    GENERIC,
    PLANETARY_COMPUTER,
)
from terramosaic.errors import CatalogError, OffsetConflictError
from terramosaic.imagery.offset import check_offset, harmonise, resolve_offset

DECLARED_1000 = {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]}
DECLARED_0 = {"raster:bands": [{"scale": 0.0001, "offset": 0}]}
IN_STAC_11 = {"raster:scale": 0.0001, "raster:offset": -0.1}
IN_BANDS = {"bands": [{"name": "B04", "raster:scale": 0.0001, "raster:offset": -0.1}]}
GDAL_DEFAULTS = {"raster:bands": [{"scale": 1.0, "offset": 0.0}]}

PB0214, PB0509 = ({"s2:processing_baseline": number} for number in ("02.14", "05.09"))
PB0400_V0 = {"sentinel:processing_baseline": "04.00"}
PRODUCT_N0001 = {"sentinel:product_id": "S2B_MSIL2A_20181004T210519_N0001_R071_T01CCV_20200307T115707"}
APPLIED, NOT_APPLIED = ({"earthsearch:boa_offset_applied": flag} for flag in (True, False))


def decided(profile, properties, asset=None, *, key="red", band="B04", collection="sentinel-2-l2a"):
    item = {"id": "x", "collection": collection, "properties": properties, "assets": {key: asset or {}}}
    return decide_offset(item, key, band=band, profile=profile).offset


@pytest.mark.parametrize(
    ("profile", "properties", "asset", "options", "offset"),
    [
        # Planetary Computer: the baseline, and nothing else.
        (PLANETARY_COMPUTER, PB0509, None, {}, 1000),
        (PLANETARY_COMPUTER, {"s2:processing_baseline": "04.00"}, None, {}, 1000),
        (PLANETARY_COMPUTER, {"s2:processing_baseline": "03.01"}, None, {}, 0),
        (PLANETARY_COMPUTER, PB0214, None, {}, 0),
        (PLANETARY_COMPUTER, PB0509, None, {"band": "SCL"}, 0),
        # Earth Search's COGs: the flag; the declared -0.1 stays even where it is taken off.
        (EARTH_SEARCH, PB0509 | APPLIED, DECLARED_1000, {}, 0),
        (EARTH_SEARCH, PB0509 | NOT_APPLIED, DECLARED_1000, {}, 1000),
        (EARTH_SEARCH, PB0509 | NOT_APPLIED, DECLARED_0, {}, 1000),
        (EARTH_SEARCH, PB0509, DECLARED_1000, {}, 1000),
        (EARTH_SEARCH, PB0214 | NOT_APPLIED, DECLARED_1000, {}, 0),
        (EARTH_SEARCH, PB0214 | APPLIED, DECLARED_0, {}, 0),
        # Their JPEG 2000 twins are ESA's files, whatever the flag says.
        (EARTH_SEARCH, PB0509 | APPLIED, DECLARED_1000, {"key": "red-jp2"}, 1000),
        (EARTH_SEARCH, PB0214 | APPLIED, DECLARED_0, {"key": "red-jp2"}, 0),
        (EARTH_SEARCH, PB0509 | APPLIED, None, {"key": "scl-jp2", "band": "SCL"}, 0),
        # Its Collection 1 declares honestly.
        (EARTH_SEARCH, PB0509, DECLARED_1000, {"collection": "sentinel-2-c1-l2a"}, 1000),
        (EARTH_SEARCH, PB0509, DECLARED_0, {"collection": "sentinel-2-c1-l2a"}, 0),
        (EARTH_SEARCH, PB0509, None, {"collection": "sentinel-2-c1-l2a"}, 1000),
        (EARTH_SEARCH_V0, PB0400_V0 | {"sentinel:boa_offset_applied": True}, None, {}, 0),
        (EARTH_SEARCH_V0, PB0400_V0, None, {}, 1000),
        (EARTH_SEARCH_V0, PRODUCT_N0001, None, {}, 0),
        # Copernicus declares; so may anybody.
        (COPERNICUS, {"processing:version": "05.12"}, IN_STAC_11, {"key": "B04_10m"}, 1000),
        (COPERNICUS, {"processing:version": "02.14"}, {"raster:scale": 1e-4, "raster:offset": 0}, {}, 0),
        (COPERNICUS, {"processing:version": "05.12"}, None, {}, 1000),
        (GENERIC, PB0509, IN_BANDS, {}, 1000),
        (GENERIC, PB0509, DECLARED_0, {}, 0),
        (GENERIC, PB0509, GDAL_DEFAULTS, {}, 1000),
        (GENERIC, PB0509, None, {}, 1000),
        (GENERIC, {}, DECLARED_1000, {}, 1000),
        (GENERIC, {}, None, {}, 0),
    ],
)  # fmt: skip
def test_rule(profile, properties, asset, options, offset):
    assert decided(profile, properties, asset, **options) == offset


def test_an_unknown_size_of_offset_is_refused():
    with pytest.raises(CatalogError, match=r"asset red of x declares offset -0\.2 at scale 0\.0001"):
        decided(GENERIC, PB0509, {"raster:bands": [{"scale": 0.0001, "offset": -0.2}]})


def overview(path, band=1):
    """A band at a coarse scale, as the engine reads it."""
    with rasterio.open(path) as file:
        scale = max(1, file.width // 512)
        return file.read(band, out_shape=(file.height // scale, file.width // scale))


def test_ten_real_scenes_with_the_offset_taken_off(shared_data):
    files = sorted(shared_data.glob("scenes-33TWL-33TWM/sentinel-2-l2a/S2*/B04.tif"))
    assert len(files) == 10
    for file in files:
        raw = overview(file)
        removed = check_offset(raw, baseline="05.09", decided=0)
        assert (removed.verdict, removed.agrees) == ("removed", True)
        assert 0.30 < removed.share_below_1000 < 0.97
        assert removed.valid_pixels == np.count_nonzero(raw)
        # The same pictures as Earth Search's wrongly flagged items would show them.
        assert check_offset(raw, baseline="05.09", decided=1000).agrees is False
        # And as ESA made them.
        original = np.where(raw != 0, raw + 1000, 0)
        present = check_offset(original, baseline="05.09", decided=1000)
        assert (present.verdict, present.agrees) == ("present", True)


def test_a_clear_dark_picture_with_the_offset_is_told_from_metadata_that_says_removed(shared_data):
    file = shared_data / "scenes-33TWL-33TWM/sentinel-2-l2a/S2B_33TWL_20230813_0_L2A/B04.tif"
    raw = overview(file)
    evidence = check_offset(np.where(raw != 0, raw + 1000, 0), baseline="05.09", decided=0)
    assert (evidence.verdict, evidence.agrees) == ("present", False)


@pytest.mark.parametrize("folder", ["pb0214", "pb0509"])
def test_a_desert_shows_nothing_against_metadata(shared_data, folder):
    raw = overview(shared_data / f"scene-29RKH/{folder}/B04.tif")
    # No pixel is dark with or without the offset: to call it present would stop every desert of Earth Search.
    assert check_offset(raw, baseline="05.09", decided=0).verdict == "undecided"
    assert check_offset(raw, baseline="05.09", decided=0).agrees is None
    assert check_offset(raw, baseline="05.09", decided=1000).agrees is True


@pytest.mark.parametrize(
    ("patch", "decision", "verdict"),
    [
        ("38D_378R_2_3", 0, "undecided"),  # 4 % below 1000
        ("637U_59R_1_3", 0, "removed"),
        ("433D_629L_3_1", 1000, "present"),  # published with the offset still in it
        ("433D_629L_3_1", 0, "undecided"),
    ],
)
def test_terramesh_patches(shared_data, patch, decision, verdict):
    raw = overview(shared_data / f"terramesh-examples/S2L2A/{patch}.tif", band=4)
    assert check_offset(raw, baseline="05.09", decided=decision).verdict == verdict


def test_deep_water_shows_nothing_against_metadata():
    noise = np.random.default_rng(7).normal(0, 25, 100_000)
    water = (1020 + noise).astype(np.uint16)  # a reflectance of 0.002 with the offset in it
    evidence = check_offset(water, baseline="05.11", decided=1000)
    assert evidence.share_below_1000 > 0.2
    assert (evidence.verdict, evidence.agrees) == ("undecided", None)
    assert check_offset(water - 1000 + 60, baseline="05.11", decided=1000).agrees is False


def test_a_steppe_with_few_dark_pixels_is_still_told(shared_data):
    raw = overview(shared_data / "terramesh-examples/S2L2A/38D_378R_2_3.tif", band=4)
    evidence = check_offset(raw - 100, baseline="05.09", decided=1000)
    assert 0.05 < evidence.share_below_1000 < 0.10
    assert (evidence.verdict, evidence.agrees) == ("removed", False)


def picture(dark, total=10_000, bright=3000):
    return np.r_[np.full(dark, 500), np.full(total - dark, bright), np.zeros(1000)].astype(np.uint16)


@pytest.mark.parametrize(
    ("raw", "baseline", "decision", "verdict", "agrees"),
    [
        (picture(501), "05.09", 0, "removed", True),
        (picture(501), "05.09", 1000, "removed", False),
        (picture(500), "05.09", 1000, "undecided", None),
        (picture(100), "05.09", 1000, "undecided", None),
        (picture(99), "05.09", 1000, "present", True),
        (picture(99), "05.09", 0, "undecided", None),
        (picture(99, bright=1499), "05.09", 0, "present", False),
        (picture(99, bright=1500), "05.09", 0, "undecided", None),
        (picture(501), "04.00", 1000, "removed", False),
        (picture(501), "03.01", 1000, "not applicable", None),
        (picture(0), "02.14", 0, "not applicable", None),
        (picture(501), None, 0, "removed", True),
        (picture(0, bright=1400), None, 0, "present", False),
        (picture(900, total=999), "05.09", 1000, "undecided", None),
        (np.zeros((9, 9), np.uint16), "05.09", 1000, "undecided", None),
    ],
)
def test_thresholds(raw, baseline, decision, verdict, agrees):
    evidence = check_offset(raw, baseline=baseline, decided=decision)
    assert (evidence.verdict, evidence.agrees) == (verdict, agrees)
    assert isinstance(evidence.valid_pixels, int) and isinstance(evidence.share_below_1000, float)


def test_who_is_believed():
    conflict = check_offset(picture(501), baseline="05.09", decided=1000)
    assert resolve_offset(1000, conflict, "metadata", "x") == 1000
    assert resolve_offset(1000, conflict, "pixels", "x") == 0
    other_way = check_offset(picture(99, bright=1400), baseline="05.09", decided=0)
    assert resolve_offset(0, other_way, "pixels", "x") == 1000
    for decision, verdict in [(0, "undecided"), (1000, "present")]:
        evidence = check_offset(picture(99), baseline="05.09", decided=decision)
        assert evidence.verdict == verdict
        for who in ("stop", "metadata", "pixels"):
            assert resolve_offset(decision, evidence, who, "x") == decision


def test_a_conflict_stops_with_a_line_that_says_what_to_do():
    evidence = check_offset(picture(4000), baseline="05.11", decided=1000)
    with pytest.raises(OffsetConflictError) as error:
        resolve_offset(1000, evidence, "stop", "S2B_33UXP_20250302_0_L2A")
    assert str(error.value) == (
        "scene S2B_33UXP_20250302_0_L2A: its metadata says that the offset of 1000 is present, but 40.0% of "
        "its B04 pixels lie below 1000, which says removed; set offset_conflict to metadata or pixels"
    )
    assert error.value.exit_code == 4


@pytest.mark.parametrize("offset", [0, 1000])
def test_harmonise_equals_its_definition_for_every_number(offset):
    raw = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    before = raw.copy()
    expected = np.where(raw != 0, np.maximum(raw.astype(np.int32) - offset, 1), 0)
    found = harmonise(raw, offset)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(raw, before)
    assert harmonise(np.array([0, 1, 999, 1000, 1001, 1002], np.uint16), 1000).tolist() == [0, 1, 1, 1, 1, 2]
