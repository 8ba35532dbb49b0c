"""Averaging overlaps: exact against a whole-array reference, the same bits in any block, flat memory."""

from itertools import pairwise

import numpy as np
import pytest

from terramosaic.ground.blend import RowBandAccumulator, window_weights
from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import WINDOW, Lattice

REGION = Rect(1000, 3000, 500, 700)
#: Small enough for whole arrays; of the widest stride there are still two rows of three windows.
SMALL = Rect(1000, 3000, 300, 420)


def window_values(i, j, channels=2):
    """A window's made-up output, the same whoever asks."""
    rng = np.random.default_rng([i + 1000, j + 1000])
    return 10 * rng.random((channels, WINDOW, WINDOW), np.float32) - 17


def blend(rect, stride, how, *, std=(), skip=lambda i, j: False, flags=lambda i, j: None):
    lattice = Lattice(stride)
    accumulator = RowBandAccumulator(rect, lattice, {"x": 2}, window_weights(how, lattice), std)
    bands = []
    for i in lattice.rows(rect):
        for j in lattice.cols(rect):
            if not skip(i, j):
                accumulator.add(i, j, {"x": window_values(i, j)}, flags(i, j))
        bands.append(accumulator.finish_row())
    return bands


def joined(bands, pick):
    return np.concatenate([pick(band) for band in bands if not band.rect.is_empty], axis=-2)


def reference(rect, stride, how):
    """The textbook way: whole arrays in float64."""
    lattice, weights = Lattice(stride), window_weights(how, Lattice(stride)).astype(np.float64)
    cover = lattice.cover(rect)
    total, weight, square = (np.zeros((2, *cover.shape)) for _ in range(3))
    for i in lattice.rows(rect):
        for j in lattice.cols(rect):
            at = lattice.window(i, j).slices(cover)
            values = window_values(i, j).astype(np.float64)
            total[:, *at] += values * weights
            square[:, *at] += values**2 * weights
            weight[:, *at] += weights
    at = rect.slices(cover)
    mean = (total / weight)[:, *at]
    return mean, np.sqrt(np.maximum((square / weight)[:, *at] - mean**2, 0))


@pytest.mark.parametrize("how", ["mean", "cosine"])
@pytest.mark.parametrize("stride", [64, 112, 160, 192, 224])
def test_equals_whole_array_blending(stride, how):
    bands = blend(SMALL, stride, how)
    mean, _ = reference(SMALL, stride, how)
    np.testing.assert_allclose(joined(bands, lambda band: band.means["x"]), mean, rtol=2e-6)


def test_rows_come_in_order_and_cover_the_rectangle_once():
    bands = [band.rect for band in blend(REGION, 192, "mean") if not band.rect.is_empty]
    assert bands[0].row == REGION.row and bands[-1].row_end == REGION.row_end
    assert all(above.row_end == below.row for above, below in pairwise(bands))


@pytest.mark.parametrize("how", ["mean", "cosine"])
@pytest.mark.parametrize(
    "inner", [Rect(1100, 3100, 64, 64), Rect(1152, 3072, 192, 300), Rect(1000, 3400, 500, 300)]
)
def test_a_smaller_block_gets_the_same_bits(inner, how):
    whole = joined(blend(REGION, 192, how), lambda band: band.means["x"])
    part = joined(blend(inner, 192, how), lambda band: band.means["x"])
    np.testing.assert_array_equal(part, whole[:, *inner.slices(REGION)])


def test_spread_is_the_weighted_standard_deviation_over_windows():
    bands = blend(SMALL, 112, "mean", std=("x",))
    _, std = reference(SMALL, 112, "mean")
    np.testing.assert_allclose(joined(bands, lambda band: band.stds["x"]), std, atol=2e-3)


def test_spread_is_zero_under_a_single_window():
    bands = blend(REGION, 224, "mean", std=("x",))
    assert not joined(bands, lambda band: band.stds["x"]).any()


def class_values(i, j):
    """A window's made-up class probabilities: sure of one class in places, torn in others, a class never seen."""
    rng = np.random.default_rng([i + 1000, j + 1000])
    values = rng.random((3, WINDOW, WINDOW), np.float32) ** 8
    values[2] = 0
    return values / values.sum(axis=0)


def blend_classes(rect, stride, how):
    lattice = Lattice(stride)
    weights = window_weights(how, lattice)
    accumulator = RowBandAccumulator(rect, lattice, {"x": 3}, weights, disagreement=("x",))
    bands = []
    for i in lattice.rows(rect):
        for j in lattice.cols(rect):
            accumulator.add(i, j, {"x": class_values(i, j)})
        bands.append(accumulator.finish_row())
    return joined(bands, lambda band: band.disagreements["x"]), joined(bands, lambda band: band.windows["x"])


def entropy_of(probabilities):
    safe = np.where(probabilities > 0, probabilities, 1)
    return -(probabilities * np.log(safe)).sum(axis=0)


@pytest.mark.parametrize("how", ["mean", "cosine"])
@pytest.mark.parametrize("stride", [64, 112, 192])
def test_disagreement_is_the_jensen_shannon_divergence_as_a_share_of_its_bound(stride, how):
    shares, windows = blend_classes(SMALL, stride, how)
    lattice, weights = Lattice(stride), window_weights(how, Lattice(stride)).astype(float)
    cover = lattice.cover(SMALL)
    seen = [
        (lattice.window(i, j).slices(cover), class_values(i, j).astype(float))
        for i in lattice.rows(SMALL)
        for j in lattice.cols(SMALL)
    ]
    weight, count, mean, entropies, bound = (np.zeros(shape) for shape in (
        cover.shape, cover.shape, (3, *cover.shape), cover.shape, cover.shape
    ))  # fmt: skip
    for at, _ in seen:
        weight[at] += weights
        count[at] += 1
    for at, values in seen:
        share = weights / weight[at]
        mean[:, *at] += share * values
        entropies[at] += share * entropy_of(values)
        bound[at] -= share * np.log(share)
    several = count > 1
    expected = np.where(several, (entropy_of(mean) - entropies) / np.where(several, bound, 1), 0)
    np.testing.assert_array_equal(windows, count[SMALL.slices(cover)])
    np.testing.assert_allclose(shares, expected[SMALL.slices(cover)], atol=2e-4)


def test_disagreement_is_nothing_where_windows_say_the_same_and_all_where_each_is_sure_of_another_class():
    lattice, rect = Lattice(112), Rect(1000, 3000, 300, 300)
    for sure_of, expected in ((lambda i, j: 0, 0), (lambda i, j: 2 * (i % 2) + j % 2, 1)):
        accumulator = RowBandAccumulator(
            rect, lattice, {"x": 4}, window_weights("cosine", lattice), disagreement=("x",)
        )
        bands = []
        for i in lattice.rows(rect):
            for j in lattice.cols(rect):
                values = np.zeros((4, WINDOW, WINDOW), np.float32)
                values[sure_of(i, j)] = 1
                accumulator.add(i, j, {"x": values})
            bands.append(accumulator.finish_row())
        assert (joined(bands, lambda band: band.windows["x"]) == 4).all()
        shares = joined(bands, lambda band: band.disagreements["x"])
        np.testing.assert_allclose(shares, expected, atol=1e-3)


@pytest.mark.parametrize("how", ["mean", "cosine"])
@pytest.mark.parametrize("inner", [Rect(1100, 3100, 64, 64), Rect(1152, 3072, 100, 300)])
def test_a_smaller_block_gets_the_same_disagreement(inner, how):
    whole, part = (blend_classes(rect, 192, how)[0] for rect in (SMALL, inner))
    np.testing.assert_array_equal(part, whole[inner.slices(SMALL)])


def test_skipped_windows_leave_the_mean_of_the_others():
    lattice = Lattice(192)
    gone = (lattice.rows(REGION)[1], lattice.cols(REGION)[1])
    bands = blend(REGION, 192, "mean", skip=lambda i, j: (i, j) == gone)
    values = joined(bands, lambda band: band.means["x"])
    core = Rect(gone[0] * 192 + 32, gone[1] * 192 + 32, 160, 160)
    assert not values[:, *core.slices(REGION)].any()
    assert np.isfinite(values).all()


def test_flags_of_all_windows_over_a_pixel_are_joined():
    lattice = Lattice(192)
    i, j = lattice.rows(REGION)[1], lattice.cols(REGION)[1]
    marks = {
        (i, j): np.full((WINDOW, WINDOW), 2, np.uint8),
        (i, j + 1): np.full((WINDOW, WINDOW), 4, np.uint8),
    }
    flags = joined(blend(REGION, 192, "mean", flags=lambda i, j: marks.get((i, j))), lambda band: band.flags)
    at = lattice.window(i, j).intersection(REGION)
    assert (flags[at.slices(REGION)][:, :192] & 2).all()
    both = lattice.window(i, j).intersection(lattice.window(i, j + 1)).intersection(REGION)
    assert (flags[both.slices(REGION)] == 6).all()


@pytest.mark.parametrize("stride", [112, 128, 160, 192, 208])
def test_cosine_weights_of_neighbours_add_up_to_one(stride):
    weights = window_weights("cosine", Lattice(stride))
    profile = np.sqrt(weights.diagonal())
    overlap = WINDOW - stride
    np.testing.assert_allclose(profile[-overlap:] + profile[:overlap], 1, atol=1e-6)
    assert (weights > 0).all()


def test_windows_out_of_order_are_refused():
    accumulator = RowBandAccumulator(REGION, Lattice(192), {"x": 2}, window_weights("mean", Lattice(192)))
    with pytest.raises(ValueError, match="finish rows in order"):
        accumulator.add(0, 0, {"x": window_values(0, 0)})


def test_ground_anchored_noise_keeps_its_texture_where_windows_overlap():
    """What the noise is anchored for: independent noise would fall to 0.72 of its deviation under two windows."""
    from terramosaic.ground.noise import GroundNoise

    noise, lattice, rect = GroundNoise(0, "S1GRD", 32633, 2), Lattice(192), Rect(0, 0, 600, 600)
    accumulator = RowBandAccumulator(rect, lattice, {"x": 2}, window_weights("mean", Lattice(192)))
    bands = []
    for i in lattice.rows(rect):
        for j in lattice.cols(rect):
            accumulator.add(i, j, {"x": noise.cut(lattice.window(i, j))})
        bands.append(accumulator.finish_row())
    blended = joined(bands, lambda band: band.means["x"])
    np.testing.assert_allclose(blended, noise.cut(rect), rtol=1e-6)


@pytest.mark.parametrize(("stride", "side", "patch"), [(192, 224, 16), (48, 224, 16), (108, 132, 12)])
def test_patches_are_the_plain_mean_of_the_windows_that_see_them(stride, side, patch):
    """Whatever pixels the rectangle begins and ends with, and whatever weights those have."""
    lattice, rect = Lattice(stride, side, patch), Rect(1003, 3009, 300, 250)

    def values(i, j):
        return np.random.default_rng([i, j]).random((3, lattice.patches, lattice.patches), np.float32)

    accumulator = RowBandAccumulator(
        rect, lattice, {"x": 1}, window_weights("cosine", lattice), patches={"y": 3}
    )
    bands = []
    for i in lattice.rows(rect):
        for j in lattice.cols(rect):
            pixels = np.zeros((1, side, side), np.float32)
            accumulator.add(i, j, {"x": pixels, "y": values(i, j)})
        bands.append(accumulator.finish_row())
    bands = [band for band in bands if not band.rect.is_empty]
    for band in bands:
        assert band.patches["y"].shape[1:] == band.rect.cells(patch).shape
    found = np.concatenate([band.patches["y"] for band in bands], axis=1)
    patches = rect.cells(patch)
    assert found.shape[1:] == patches.shape
    counts = set()
    for row in range(patches.row, patches.row_end):
        for col in range(patches.col, patches.col_end):
            one = Rect(row * patch, col * patch, patch, patch)
            seen = []
            for i in lattice.rows(one):
                for j in lattice.cols(one):
                    at = Rect(i * stride // patch, j * stride // patch, 0, 0)
                    seen.append(values(i, j)[:, row - at.row, col - at.col])
            counts.add(len(seen))
            np.testing.assert_allclose(
                found[:, row - patches.row, col - patches.col], np.mean(seen, axis=0), rtol=1e-6
            )
    assert len(counts) > 1


def test_bands_are_cut_between_patches():
    lattice, rect = Lattice(192), Rect(1000, 3000, 430, 300)
    accumulator = RowBandAccumulator(rect, lattice, {}, window_weights("mean", lattice), patches={"y": 1})
    for i in lattice.rows(rect):
        for j in lattice.cols(rect):
            values = np.random.default_rng([i, j]).random((1, 14, 14), np.float32)
            accumulator.add(i, j, {"y": values})
        band = accumulator.finish_row()
        if not band.rect.is_empty:
            break
    end = (band.rect.row // 16 + 2) * 16
    parts = band.rows(band.rect.row, end), band.rows(end, band.rect.row_end)
    assert [part.patches["y"].shape[1] for part in parts] == [2, band.patches["y"].shape[1] - 2]
    np.testing.assert_array_equal(
        np.concatenate([part.patches["y"] for part in parts], axis=1), band.patches["y"]
    )
