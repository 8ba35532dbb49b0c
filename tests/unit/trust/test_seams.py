"""Seams of made-up fields: a step, a variance washed out, a step at blocks, and nothing, are told apart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import WINDOW, Lattice
from terramosaic.planning.layers import Category, Layer
from terramosaic.planning.plan import Block, Zone
from terramosaic.trust.seam_lines import SeamLines
from terramosaic.trust.seams import Ratio, Seams, seams_of

#: Begins and ends in the midst of blocks and of windows.
AREA = Rect(1000, 2000, 1500, 1400)
NODATA = -32768
VALUES = Layer("NDVI", "value", ("NDVI",), "int16", NODATA, scale=0.01, target="NDVI")
TWO_BANDS = Layer("S1GRD", "value", ("VV", "VH"), "int16", NODATA, scale=0.01, target="S1GRD")
CLASSES = Layer(
    "LULC", "class", ("class",), "uint8", 0, target="LULC",
    classes=(Category(1, "water", (0, 0, 255)), Category(2, "trees", (0, 255, 0))),
)  # fmt: skip


def zone_of(area: Rect = AREA, size: int = 512) -> Zone:
    rects = [
        Rect(row, col, size, size).intersection(area)
        for row in range(area.row // size * size, area.row_end, size)
        for col in range(area.col // size * size, area.col_end, size)
    ]
    blocks = tuple(
        Block(id=f"{rect}", epsg=32633, row=rect.row, col=rect.col, height=rect.height, width=rect.width,
              acquisitions=(), windows=0)
        for rect in rects
    )  # fmt: skip
    return Zone(epsg=32633, row=area.row, col=area.col, height=area.height, width=area.width, outline=None,
                blocks=blocks)  # fmt: skip


def ground(seed: int = 0) -> np.ndarray:
    """What is there, and does not know of windows: float (height, width), of about the size 1."""
    rng = np.random.default_rng(seed)
    return gaussian_filter(rng.normal(size=AREA.shape), 2) * 7


def windows(step: float, noise: float, stride: int = 192) -> np.ndarray:
    """The mean of windows, each with an offset and noise of its own."""
    rng, lattice = np.random.default_rng(7), Lattice(stride)
    cover = lattice.cover(AREA)
    total, count = np.zeros(cover.shape), np.zeros(cover.shape)
    for i in lattice.rows(AREA):
        for j in lattice.cols(AREA):
            at = lattice.window(i, j).slices(cover)
            total[at] += step * rng.normal() + noise * rng.normal(size=(WINDOW, WINDOW))
            count[at] += 1
    return (total / count)[AREA.slices(cover)]


def measured(
    field: np.ndarray, layer: Layer = VALUES, zone: Zone | None = None, stride: int = 192, seed: int = 0
) -> Seams:
    stored = np.broadcast_to(field, (len(layer.bands), *AREA.shape))
    if layer.kind == "value" and field.dtype.kind == "f":
        stored = np.rint(stored * 100)
    stored = stored.astype(layer.dtype)
    return seams_of(
        lambda rect: stored[:, *rect.slices(AREA)], zone or zone_of(), layer, Lattice(stride), seed=seed
    )


def test_nothing_shows_of_a_map_that_knows_no_windows():
    found = measured(ground() + 0.3 * np.random.default_rng(1).normal(size=AREA.shape))
    assert [name for name, _ in found] == ["step", "texture", "block step"]
    for _, ratio in found:
        assert ratio.value == pytest.approx(1, abs=0.03)
        assert ratio.low < ratio.value < ratio.high
    assert found.departure < 1.01


def test_windows_that_differ_make_a_step_at_their_edges_and_nowhere_else():
    found = measured(ground() + 0.3 * np.random.default_rng(1).normal(size=AREA.shape) + windows(0.5, 0))
    assert found.step.low > 1.05
    assert found.departure == found.step.departure
    assert found.texture.departure < 1.02
    assert found.block_step.departure < 1.05


def test_noise_of_their_own_is_washed_out_where_windows_overlap():
    found = measured(windows(0, 1))
    # Independent noise keeps half of its variance under two windows, and in one direction a third of it under four.
    assert 0.4 < found.texture.value < 0.55
    assert found.texture.high < 0.6
    assert found.departure == pytest.approx(1 / found.texture.high)


def test_blocks_that_differ_show_at_their_borders_alone():
    zone, field = zone_of(), ground()
    rng = np.random.default_rng(2)
    for block in zone.blocks:
        field[block.rect.slices(AREA)] += 0.5 * rng.normal()
    found = measured(field, zone=zone)
    assert found.block_step.low > 1.1
    assert found.step.departure < 1.02
    assert found.texture.departure < 1.05


def test_bands_count_together():
    field = ground() + windows(0.5, 0)
    assert measured(field, TWO_BANDS).step.value == pytest.approx(measured(field).step.value)


def test_classes_differ_or_do_not():
    def classes(field: np.ndarray) -> np.ndarray:
        return np.digitize(field, [0]) + 1

    assert measured(classes(ground()), CLASSES).departure < 1.05
    found = measured(classes(ground() + windows(0.4, 0)), CLASSES)
    assert found.step.low > 1.2
    # Not the numbers of classes count.
    more = measured(np.where(classes(ground() + windows(0.4, 0)) == 2, 11, 1), CLASSES)
    assert more == found


def test_where_there_is_no_data_nothing_counts():
    field = np.rint(100 * (ground() + windows(0.5, 0))).astype(int)
    whole = measured(field)
    field[:, 500:] = NODATA
    holed = measured(field)
    assert holed.step.value == pytest.approx(whole.step.value, rel=0.3)
    field[:] = NODATA
    assert measured(field) == Seams()


def test_a_flat_map_has_nothing_to_compare():
    assert measured(np.full(AREA.shape, 5)) == Seams()


def test_windows_and_blocks_that_are_even_in_themselves_and_differ_are_no_map_without_seams():
    cells = np.random.default_rng(3).integers(1, 3, (40, 40))
    rows, cols = (
        np.arange(start, start + size) for start, size in zip((AREA.row, AREA.col), AREA.shape, strict=True)
    )
    found = measured(cells[np.ix_(rows // 224 % 40, cols // 224 % 40)], CLASSES, stride=224)
    assert found.step.departure == 1000
    found = measured(cells[np.ix_(rows // 512 % 40, cols // 512 % 40)], CLASSES)
    assert found.block_step.value == 1000


def test_one_block_has_no_border():
    assert measured(ground(), zone=zone_of(size=4096)).block_step is None


def test_the_same_pieces_are_drawn_again():
    field = ground() + windows(0.1, 0)
    assert measured(field, seed=3) == measured(field, seed=3)


@pytest.mark.parametrize("stride", range(16, 225, 16))
def test_lines_of_any_stride(stride):
    lines = SeamLines(Lattice(stride))
    ends = {(i * stride + WINDOW) % stride for i in range(-3, 4)} | {0}
    assert lines.edges == ends
    assert not lines.inner & lines.edges
    assert all(line % 16 == 0 for line in lines.inner)
    assert bool(lines.inner) == (stride > 16)
    if lines.middles is not None:
        counts = [
            sum(i * stride <= line < i * stride + WINDOW for i in range(-20, 20)) for line in lines.middles
        ]
        assert counts[0] == counts[1] + 1
        assert lines.middles[1] - lines.middles[0] == stride // 2


def test_at_the_default_stride_lines_are_half_a_stride_apart():
    lines = SeamLines(Lattice(192))
    assert (lines.edges, lines.inner, lines.middles) == ({0, 32}, {96, 128}, (16, 112))


@pytest.mark.parametrize(
    ("ratio", "departure"),
    [
        (Ratio(1.2, 0.9, 1.5), 1),
        (Ratio(1.2, 1.1, 1.5), 1.1),
        (Ratio(0.8, 0.75, 0.8), 1.25),
        (Ratio(5.0), 1),
    ],
)
def test_a_departure_is_what_is_sure(ratio, departure):
    assert ratio.departure == departure
    assert Seams(step=Ratio(1.0, 1.0, 1.0), texture=ratio).departure == departure
