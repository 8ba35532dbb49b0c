"""The +1000: checked on pixels, and taken off exactly."""

import numpy as np
import pytest

from terramosaic.errors import OffsetConflictError
from terramosaic.imagery.offset import check_offset, harmonise, resolve_offset


def test_deep_water_shows_nothing_against_metadata():
    noise = np.random.default_rng(7).normal(0, 25, 100_000)
    water = (1020 + noise).astype(np.uint16)  # a reflectance of 0.002 with the offset in it
    evidence = check_offset(water, baseline="05.11", decided=1000)
    assert evidence.share_below_1000 > 0.2
    assert (evidence.verdict, evidence.agrees) == ("undecided", None)
    assert check_offset(water - 1000 + 60, baseline="05.11", decided=1000).agrees is False


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
