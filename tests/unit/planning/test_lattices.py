"""Which target is made on which lattice, and whose tokens are drawn there for it."""

from __future__ import annotations

from functools import reduce

import pytest

from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import WINDOW, Lattice
from terramosaic.model.bundle import load_bundle
from terramosaic.planning.lattices import cover_of, lattices_of, margin_of
from terramosaic.request.request import RegionRequest

DEMO = load_bundle("demo").manifest
WIDE = DEMO.model_copy(update={"window": 256, "patch": 8, "stride": 208})


def request_of(*targets: str, strides=None, **fields) -> RegionRequest:
    return RegionRequest(
        region=(14, 45, 14.1, 45.1), datetime="2023", targets=targets, strides=strides or {}, **fields
    )


def told(request: RegionRequest) -> list[tuple[int, str, str]]:
    return [
        (each.lattice.stride, " ".join(each.targets), " ".join(each.drawn))
        for each in lattices_of(request, DEMO)
    ]


@pytest.mark.parametrize(
    ("request_", "lattices"),
    [
        (request_of("S1GRD", "NDVI"), [(192, "S1GRD NDVI", "S1GRD NDVI")]),
        (
            request_of("S1GRD", "NDVI", "LULC", strides={"LULC": 112}),
            [(192, "S1GRD NDVI", "S1GRD NDVI"), (112, "LULC", "S1GRD NDVI LULC")],
        ),
        # Of a target in the middle those behind it see the tokens, on their own lattice, and it sees none of theirs.
        (
            request_of("S1GRD", "LULC", "NDVI", strides={"LULC": 112}),
            [(192, "S1GRD NDVI", "S1GRD LULC NDVI"), (112, "LULC", "S1GRD LULC")],
        ),
        (
            request_of("S1GRD", "NDVI", "LULC", strides={"LULC": 112}, conditioning="independent"),
            [(192, "S1GRD NDVI", "S1GRD NDVI"), (112, "LULC", "LULC")],
        ),
        (
            request_of("S1GRD", "NDVI", "LULC", strides={"LULC": 112, "S1GRD": 112}),
            [(112, "S1GRD LULC", "S1GRD NDVI LULC"), (192, "NDVI", "S1GRD NDVI")],
        ),
        (request_of("LULC", strides={"LULC": 112}), [(112, "LULC", "LULC")]),
    ],
)
def test_lattices_of(request_, lattices):
    assert told(request_) == lattices


def test_what_is_read_is_all_that_any_window_covers():
    rect, request = Rect(10_000, 20_000, 1, 1), request_of("NDVI", "LULC", strides={"LULC": 16})
    # A pixel lies in one or two windows of stride 192 in each direction, and in 14 of stride 16.
    covers = [Lattice(stride).cover(rect) for stride in (192, 16)]
    cover = cover_of(lattices_of(request, DEMO), rect)
    assert cover == covers[0].union(covers[1]) != covers[0]
    assert rect.pad(WINDOW - 1).intersection(cover) == cover


def test_windows_patches_and_what_lies_between_them_are_the_models():
    (of_all, of_one) = lattices_of(request_of("S1GRD", "LULC", strides={"LULC": 96}), WIDE)
    assert of_all.lattice == Lattice(208, 256, 8) and of_one.lattice == Lattice(96, 256, 8)
    assert of_all.lattice.patches == 32
    (same,) = lattices_of(request_of("S1GRD", stride=224), WIDE)
    assert same.lattice == Lattice(224, 256, 8)


SHARED = {"consensus": "tokens"}


@pytest.mark.parametrize(
    ("request_", "model", "rings"),
    [
        (request_of("S1GRD", "NDVI", "LULC"), DEMO, [0]),
        (request_of("S1GRD", "NDVI", "LULC", **SHARED), DEMO, [3]),
        (request_of("S1GRD", "NDVI", "LULC", conditioning="independent", **SHARED), DEMO, [1]),
        # The last target that is drawn on a lattice counts, and those that it sees.
        (request_of("S1GRD", "NDVI", "LULC", strides={"LULC": 112}, **SHARED), DEMO, [2, 3]),
        (request_of("LULC", "S1GRD", strides={"LULC": 112}, **SHARED), DEMO, [1, 2]),
        # At less than half a window not only the next window shares patches; at a whole one none does.
        (request_of("S1GRD", "NDVI", stride=96, **SHARED), DEMO, [4]),
        (request_of("S1GRD", "NDVI", stride=224, **SHARED), DEMO, [0]),
        (request_of("S1GRD", "NDVI", stride=224, **SHARED), WIDE, [2]),
    ],
)
def test_rings_of_windows_that_tokens_hang_on(request_, model, rings):
    lattices = lattices_of(request_, model)
    assert [each.rings for each in lattices] == rings
    rect, reads = Rect(10_000, 20_000, 300, 400), []
    for each in lattices:
        # A window on a ring is the farthest that shares patches with one that shares patches with ... one of the block.
        cover = each.lattice.cover(rect)
        for _ in range(each.rings // max(each.lattice.reach, 1)):
            cover = each.lattice.cover(cover)
        assert each.cover(rect) == cover
        reads.append(cover)
        assert rect.pad(each.margin - 1).intersection(cover) == cover
    assert cover_of(lattices, rect) == reduce(Rect.union, reads)
    assert margin_of(lattices) == max(each.margin for each in lattices)
