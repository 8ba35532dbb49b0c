"""Zeros in some bands: every story of a pixel, and the fast rule against a plain one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terramosaic.imagery.zeros import mend, mended

NO_DATA, DEFECTIVE, DARK, SHADOW, VEGETATION, WATER, CLOUD = 0, 1, 2, 3, 4, 6, 8

FOREST = [300, 250, 450, 250, 700, 1900, 2400, 2500, 2700, 2800, 1300, 600]
LAKE = [350, 300, 250, 120, 90, 60, 50, 40, 30, 30, 10, 8]
SNOW = [9000, 9500, 9400, 9600, 9500, 9400, 9300, 9200, 9100, 8000, 1500, 1400]


def lacking(spectrum, *bands):
    return [0 if band in bands else value for band, value in enumerate(spectrum)]


def one(spectrum, scl):
    """The pixel after the rule, or None if it was not seen."""
    found, seen = mended(np.array(spectrum, np.uint16)[:, None], np.array([scl], np.uint8))
    return found[:, 0].tolist() if seen[0] else None


def put(spectrum, values):
    return [values.get(band, value) for band, value in enumerate(spectrum)]


@pytest.mark.parametrize(
    ("spectrum", "scl", "expected"),
    [
        pytest.param(lacking(LAKE, 7), WATER, put(LAKE, {7: 1}), id="one band of a lake"),
        pytest.param(lacking(LAKE, 10, 11), WATER, put(LAKE, {10: 1, 11: 1}), id="two bands at the end"),
        pytest.param(lacking(LAKE, *range(4, 12)), WATER, LAKE[:4] + [1] * 8, id="all infrared of a lake"),
        pytest.param(lacking(FOREST, 1, 3), SHADOW, put(FOREST, {1: 1, 3: 1}), id="blue and red in shadow"),
        pytest.param(lacking(FOREST, 3), VEGETATION, put(FOREST, {3: 1}), id="the red of a forest, dark on one side"),
        pytest.param(lacking(FOREST, 7), VEGETATION, put(FOREST, {7: 2800}), id="bright on both sides"),
        pytest.param(lacking(SNOW, 3), CLOUD, put(SNOW, {3: 9500}), id="bright cloud"),
        pytest.param(lacking(SNOW, 0), DEFECTIVE, put(SNOW, {0: 9600}), id="saturated at the end"),
        pytest.param(lacking(FOREST, 3), DEFECTIVE, put(FOREST, {3: 2800}), id="called defective: the largest"),
        pytest.param(lacking(FOREST, *range(4, 12)), VEGETATION, None, id="the rim of a swath over land"),
        pytest.param(lacking(FOREST, *range(6)), VEGETATION, None, id="half a spectrum"),
        pytest.param(lacking(SNOW, 4, 5, 6, 7), CLOUD, None, id="a third of a bright one"),
        pytest.param(lacking(SNOW, 4, 5, 6), CLOUD, put(SNOW, dict.fromkeys((4, 5, 6), 9600)), id="a quarter of it"),
        pytest.param(lacking(FOREST, 3), NO_DATA, None, id="no data, and a band agrees"),
        pytest.param(FOREST, NO_DATA, FOREST, id="called no data, but all bands have it"),
        pytest.param([1900, 0, 2600], VEGETATION, [1900, 2600, 2600], id="one of the three bands of a small model"),
        pytest.param([0] * 12, VEGETATION, None, id="nothing at all"),
        pytest.param([0, 2, 1, 1, 3, 0, 1, 2, 8, 1, 1, 2], DEFECTIVE, None, id="the border of no data in a lossy file"),
        pytest.param([0, *[99] * 11], DEFECTIVE, None, id="called defective, and hardly anything there"),
        pytest.param([0, *[100] * 11], DEFECTIVE, [100] * 12, id="called defective, and something there"),
    ],
)  # fmt: skip
def test_what_becomes_of_a_pixel(spectrum, scl, expected):
    assert one(spectrum, scl) == expected


def plainly(spectrum: list[int], scl: int) -> list[int] | None:
    """The rule, slow and plain."""
    zeros = [band for band, value in enumerate(spectrum) if value == 0]
    if not zeros:
        return spectrum
    if scl == NO_DATA or len(zeros) == len(spectrum):
        return None
    if 2 * len(zeros) >= len(spectrum) and scl not in (DARK, SHADOW, WATER):
        return None
    if scl == DEFECTIVE and max(spectrum) < 100:
        return None
    found, bright = list(spectrum), 0
    for band in zeros:
        before = [value for value in spectrum[:band] if value]
        after = [value for value in spectrum[band + 1 :] if value]
        if scl == DEFECTIVE or min(before[-1:] + after[:1]) >= 1000:
            found[band] = max(spectrum)
            bright += 1
        else:
            found[band] = 1
    return found if bright <= max(1, len(spectrum) // 4) else None


NUMBERS = st.one_of(st.just(0), st.integers(0, 12), st.integers(900, 1100), st.integers(0, 65_535))


@given(st.data())
def test_the_fast_rule_is_the_plain_one_for_each_pixel_by_itself(data):
    bands, width = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 6))
    numbers = st.lists(NUMBERS, min_size=bands * width, max_size=bands * width)
    dn = np.array(data.draw(numbers), np.uint16).reshape(bands, 1, width)
    classes = st.lists(st.integers(0, 11), min_size=width, max_size=width)
    scl = np.array([data.draw(classes)], np.uint8)
    whole, found = (dn != 0).all(axis=0), dn.copy()
    repaired = mend(found, scl, whole)
    for pixel in range(width):
        spectrum = dn[:, 0, pixel].tolist()
        expected = plainly(spectrum, int(scl[0, pixel]))
        assert found[:, 0, pixel].tolist() == (spectrum if expected is None else expected)
        assert repaired[0, pixel] == (expected is not None and 0 in spectrum)
        # Whether a pixel counts never depends on others, nor does one that has all its bands ever change.
        assert whole[0, pixel] <= (expected == spectrum)


def test_the_band_of_cirrus_is_dark_under_a_clear_sky_and_tells_nothing_of_the_others() -> None:
    """L1C's B10 between two bright bands: neither is it made as bright, nor is a neighbour's gap called dark."""
    bright = [1500] * 9
    spectra = [[*bright, 0, 1500], [*bright[:-1], 0, 12, 1500], [*bright, 12, 1500], [0] * 9 + [12, 0]]
    dn = np.array(spectra, np.uint16).T[:, None, :].copy()
    scl = np.full(dn.shape[1:], 7, np.uint8)
    repaired = mend(dn, scl, (dn != 0).all(axis=0), cirrus=9)
    assert repaired.tolist() == [[True, True, False, False]]
    assert dn[9, 0].tolist() == [1, 12, 12, 12]
    assert dn[8, 0, 1] == 1500
