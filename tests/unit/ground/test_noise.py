"""Noise belongs to the ground: the same pixel has the same noise, whatever it is cut with."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terramosaic.ground import noise
from terramosaic.ground.grid import Rect
from terramosaic.ground.noise import GroundNoise, GroundUniform

GOLDEN_NOISE = [
    -0.32933419942855835,
    1.5602763891220093,
    -0.7574892044067383,
    0.7704539895057678,
    0.29072871804237366,
    0.22353875637054443,
]
GOLDEN_UNIFORM = [0.9612846374511719, 0.519557535648346, 0.32679057121276855]

NOISE = GroundNoise(seed=7, target="S1GRD", epsg=32633, channels=2)


@settings(max_examples=25)
@given(row=st.integers(-400, 400), col=st.integers(-400, 400), dy=st.integers(0, 200), dx=st.integers(0, 200))
def test_overlapping_cuts_agree(row, col, dy, dx):
    a = NOISE.cut(Rect(row, col, 224, 224))
    b = NOISE.cut(Rect(row + dy, col + dx, 224, 224))
    np.testing.assert_array_equal(a[:, dy:, dx:], b[:, : 224 - dy, : 224 - dx])


def test_noise_is_standard_normal_and_white():
    field = NOISE.cut(Rect(0, 0, 1024, 1024)).astype(np.float64)
    assert abs(field.mean()) < 0.005
    assert abs(field.std() - 1) < 0.005
    # Neighbours, also over tile borders, and channels are uncorrelated.
    assert abs((field[:, :, 1:] * field[:, :, :-1]).mean()) < 0.005
    assert abs((field[:, 256::256] * field[:, 255:-1:256]).mean()) < 0.05
    assert abs((field[0] * field[1]).mean()) < 0.005


@pytest.mark.parametrize("other", [{"seed": 8}, {"target": "S1RTC"}, {"epsg": 32634}])
def test_seed_target_and_zone_each_give_other_noise(other):
    key = {"seed": 7, "target": "S1GRD", "epsg": 32633, "channels": 2} | other
    changed = GroundNoise(**key).cut(Rect(0, 0, 64, 64))
    assert abs((changed * NOISE.cut(Rect(0, 0, 64, 64))).mean()) < 0.05


def test_noise_of_today_is_noise_of_tomorrow():
    """Published maps can be made again: these numbers must never change."""
    np.testing.assert_array_equal(
        NOISE.cut(Rect(490000, 50000, 1, 3)).ravel(), np.array(GOLDEN_NOISE, np.float32)
    )
    uniform = GroundUniform(seed=7, target="S1GRD", epsg=32633).cut(Rect(490000 // 16 * 16, 49920, 16, 48))
    np.testing.assert_array_equal(uniform.ravel(), np.array(GOLDEN_UNIFORM, np.float32))


def test_uniforms_belong_to_patches_of_the_ground():
    uniform = GroundUniform(seed=7, target="LULC", epsg=32633)
    a, b = uniform.cut(Rect(192, 384, 224, 224)), uniform.cut(Rect(384, 384, 224, 224))
    assert a.shape == (14, 14)
    np.testing.assert_array_equal(a[12:], b[:2])
    field = uniform.cut(Rect(0, 0, 4096, 4096))
    assert field.min() >= 0 and field.max() < 1
    assert abs(field.mean() - 0.5) < 0.01


def test_a_block_draws_each_tile_once_while_its_rows_go_down(monkeypatch):
    """However many blocks and targets are at work beside it, and however wide they are."""
    drawn = []
    stream = noise._stream
    monkeypatch.setattr(noise, "_stream", lambda *key: drawn.append(key) or stream(*key))
    width, rows = 6 * 256 + 100, range(-192, 1000, 192)
    of_targets = [GroundNoise(7, f"target {number}", 32633, 1, width) for number in range(40)]
    for row in rows:
        for each in of_targets:
            for col in range(-90, width - 90 - 223, 192):
                each.cut(Rect(row, col, 224, 224))
    assert len(drawn) == len(set(drawn))
    assert len(drawn) > 40 * 6 * 5


def test_a_cut_is_the_same_whatever_is_kept(monkeypatch):
    rect = Rect(100, 200, 300, 400)
    kept = GroundNoise(7, "S1GRD", 32633, 2, width=4096).cut(rect)
    np.testing.assert_array_equal(kept, NOISE.cut(rect))
