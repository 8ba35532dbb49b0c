"""Windows are drawn without repetition, each as likely as another, each block getting its share."""

from __future__ import annotations

from collections import Counter

import pytest
from shapely.geometry import mapping

from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import Lattice
from terramosaic.model.bundle import load_bundle
from terramosaic.planning.plan import Block, BundleRef, Plan, Zone
from terramosaic.request.request import RegionRequest
from terramosaic.trust.sampling import Windows, has_cores

AREA = Rect(192 * 1000, 192 * 50, 2048, 1536)


def planned(outline=None, **fields) -> Plan:
    """Twelve blocks of 512 pixels, in as much of a plan as is asked."""
    blocks = tuple(
        Block(id=f"{row}-{col}", epsg=32633, row=AREA.row + 512 * row, col=AREA.col + 512 * col, height=512,
              width=512, acquisitions=(), windows=0)
        for row in range(4) for col in range(3)
    )  # fmt: skip
    shape = None if outline is None else mapping(outline)
    zone = Zone(epsg=32633, row=AREA.row, col=AREA.col, height=AREA.height, width=AREA.width, outline=shape,
                blocks=blocks)  # fmt: skip
    fields = {"targets": ("S1GRD", "NDVI", "LULC"), **fields}
    request = RegionRequest(region=(14, 45, 14.1, 45.1), datetime="2023", **fields)
    return Plan.model_construct(request=request, zones=(zone,), bundle=BundleRef.of(load_bundle("demo")))


def test_a_core_is_what_no_other_window_touches():
    plan = planned()
    for draw in Windows(plan, whole=False).draw(10_000, seed=0):
        others = [
            Rect((draw.i + down) * 192, (draw.j + right) * 192, 224, 224)
            for down in (-1, 0, 1)
            for right in (-1, 0, 1)
            if down or right
        ]
        assert all(other.intersection(draw.rect).is_empty for other in others)
        assert draw.rect == Rect(draw.i * 192 + 32, draw.j * 192 + 32, 160, 160).intersection(draw.block.rect)


def test_all_windows_where_there_are_no_more():
    windows = Windows(planned(), whole=True)
    drawn = windows.draw(10_000, seed=3)
    assert len(drawn) == len(windows)
    covered = {(row, col) for draw in drawn for row in (draw.rect.row, draw.rect.row_end - 1) for col in
               (draw.rect.col, draw.rect.col_end - 1)}  # fmt: skip
    assert {(AREA.row, AREA.col), (AREA.row_end - 1, AREA.col_end - 1)} <= covered
    assert sum(draw.rect.height * draw.rect.width for draw in windows.draw(10_000, 0)) > 2048 * 1536


def test_each_block_gets_its_share():
    windows = Windows(planned(), whole=False)
    drawn = windows.draw(60, seed=1)
    assert len({(draw.block.id, draw.i, draw.j) for draw in drawn}) == len(drawn) == 60
    counts, shares = (
        Counter(draw.block.id for draw in windows.draw(10_000, 0)),
        Counter(draw.block.id for draw in drawn),
    )
    for block, count in counts.items():
        assert abs(shares[block] - count * 60 / len(windows)) < 1


def test_each_window_is_as_likely_as_another():
    windows = Windows(planned(), whole=False)
    hits = Counter((draw.block.id, draw.i, draw.j) for seed in range(600) for draw in windows.draw(20, seed))
    expected = 600 * 20 / len(windows)
    assert len(hits) == len(windows)
    # Five standard deviations: of 600 drawings each takes a window with probability 20 / all.
    assert max(abs(count - expected) for count in hits.values()) < 5 * expected**0.5


def test_targets_with_a_stride_of_their_own_have_windows_of_their_own():
    plan = planned(targets=("NDVI", "LULC"), strides={"LULC": 112})
    windows = Windows(plan, whole=False)
    alone = {stride: len(Windows(planned(stride=stride), whole=stride == 112)) for stride in (192, 112)}
    drawn = windows.draw(10_000, seed=0)
    assert Counter(draw.lattice.stride for draw in drawn) == alone and len(windows) == len(drawn)
    for draw in drawn:
        window = draw.lattice.window(draw.i, draw.j)
        # Those of the request's stride have cores, the others have none.
        core = window.pad(-32) if draw.lattice.stride == 192 else window
        assert draw.rect == core.intersection(draw.block.rect)
    some = Counter(draw.lattice.stride for seed in range(40) for draw in windows.draw(30, seed))
    expected = 40 * 30 * alone[112] / len(windows)
    assert abs(some[112] - expected) < 5 * expected**0.5
    assert not windows.whole and Windows(plan, whole=True).whole


def test_the_same_seed_draws_the_same():
    windows = Windows(planned(), whole=False)
    assert windows.draw(20, seed=5) == windows.draw(20, seed=5) != windows.draw(20, seed=6)


def test_a_window_without_a_pixel_of_the_region_is_never_drawn():
    from shapely.geometry import box

    left, bottom, right, top = Rect(AREA.row + 600, AREA.col + 700, 100, 60).bounds
    plan = planned(box(left, bottom, right, top).buffer(1))
    for whole in (False, True):
        windows = Windows(plan, whole=whole)
        drawn = windows.draw(10_000, seed=0)
        assert 0 < len(drawn) == len(windows) < 10
        assert {draw.block.id for draw in drawn} == {"1-1"}


@pytest.mark.parametrize(
    ("stride", "cores"), [(224, True), (192, True), (128, True), (112, False), (16, False)]
)
def test_windows_far_apart_have_cores(stride, cores):
    assert has_cores(Lattice(stride)) is cores
    windows = Windows(planned(stride=stride), whole=False)
    drawn = windows.draw(5, seed=0)
    assert windows.whole is not cores
    assert len(drawn) == 5 and not any(draw.rect.is_empty for draw in drawn)
