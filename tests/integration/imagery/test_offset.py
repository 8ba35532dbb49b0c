"""The +1000, looked for in real pixels."""

import numpy as np
import pytest
import rasterio

from terramosaic.imagery.offset import check_offset


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


def test_a_steppe_with_few_dark_pixels_is_still_told(shared_data):
    raw = overview(shared_data / "terramesh-examples/S2L2A/38D_378R_2_3.tif", band=4)
    evidence = check_offset(raw - 100, baseline="05.09", decided=1000)
    assert 0.05 < evidence.share_below_1000 < 0.10
    assert (evidence.verdict, evidence.agrees) == ("removed", False)
