"""Blocks are cut out of rows of the outline: to the same coordinates as out of the whole of it."""

from __future__ import annotations

import shapely

from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import as_geojson, utm_of, zone_areas
from terramosaic.planning.blocks import _aligned_blocks, _Outline
from terramosaic.request.area import area_from_geojson
from tests.support.country import country


def test_a_block_cut_out_of_a_row_is_that_cut_out_of_the_outline():
    areas = zone_areas(area_from_geojson(as_geojson(country(40_000, vertices=3000))))
    pieces = 0
    for area in areas:
        outline = _Outline(area.outline)
        for rect in _aligned_blocks(area.rect, 1024):
            found, alone = outline.inside(rect), shapely.clip_by_rect(area.outline, *rect.bounds)
            assert shapely.equals_exact(shapely.normalize(found), shapely.normalize(alone))
            pieces += 0 < found.area < shapely.box(*rect.bounds).area
    assert pieces > 20  # on the border


def test_an_outline_may_be_asked_for_rows_in_any_order():
    outline = utm_of(shapely.box(15, 46, 15.2, 46.1), 32633)
    left, _, _, top = outline.bounds
    rects = [Rect(int((10_000_000 - top) / 10) + row, int(left / 10), 512, 512) for row in (0, 512, 0)]
    rows = _Outline(outline)
    first, second, again = (rows.inside(rect) for rect in rects)
    assert first.equals(again)
    assert not first.equals(second)
    whole = Rect(0, 0, 10, 10)
    assert _Outline(None).inside(whole).equals(shapely.box(*whole.bounds))
