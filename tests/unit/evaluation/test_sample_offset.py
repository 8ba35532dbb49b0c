"""The +1000 in a sample, told from its pixels alone."""

import numpy as np
import pytest

from terramosaic.evaluation.sample_offset import offset_in


def ground(darkest, brightest, seed=1):
    """Twelve bands that begin at `darkest`, each with some contrast."""
    draw = np.random.default_rng(seed)
    levels = np.linspace(darkest, brightest, 12)[:, None, None]
    return np.rint(levels * draw.uniform(1, 1.4, (12, 64, 64))).astype(np.uint16)


def test_vegetation_with_and_without():
    pixels = ground(150, 1500)
    pixels[3] = ground(300, 400)[0]  # red
    assert offset_in(pixels) == "removed"
    assert offset_in(pixels + 1000) == "present"


def test_a_little_shadow_is_enough_to_see_that_it_is_gone():
    pixels = ground(1300, 6000)
    pixels[:, :2, :32] = 400  # 1.6 % of the pixels
    assert offset_in(pixels) == "removed"
    pixels[:, 1, :] = 3000
    assert offset_in(pixels) == "undecided"


@pytest.mark.parametrize("offset", [0, 1000])
def test_a_desert_and_a_cloud_do_not_tell(offset):
    assert offset_in(ground(1300, 6000) + offset) == "undecided"
    assert offset_in(ground(4000, 7000) + offset) == "undecided"


def test_noise_around_a_reflectance_of_zero_is_no_removed_offset():
    sea = ground(150, 160)
    sea[8:] = np.random.default_rng(2).integers(-80, 60, (4, 64, 64)) % 65536
    assert offset_in(sea + 1000) == "present"  # uint16 wraps back
