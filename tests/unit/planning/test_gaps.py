"""Gaps of a plan, by their causes: metadata alone decides, so no scene here has a file."""

from __future__ import annotations

import json

import pytest
from shapely.geometry import box, mapping

from terramosaic.errors import NoScenesError, RequestError
from terramosaic.planning.planning import plan, plan_acquisitions
from terramosaic.request.request import request_of
from tests.support.country import plain_template

#: A region between 14 and 15 degrees east, and its halves.
WEST, EAST, WHOLE = box(14, 46, 14.1, 46.1), box(14.1, 46, 14.2, 46.1), (14, 46, 14.2, 46.1)


def item(name, ground, *, day="2023-06-05", cloud=10.0):
    about = {"datetime": f"{day}T10:00:00Z", "platform": "sentinel-2a", "eo:cloud_cover": cloud}
    properties = about | {"proj:epsg": 32633, "s2:mgrs_tile": "33TVL", "s2:processing_baseline": "05.09"}
    return plain_template() | {"id": name, "geometry": mapping(ground), "properties": properties}


@pytest.fixture
def planned(tmp_path):
    def planned(*items, region=WHOLE, **options):
        (tmp_path / "items.json").write_text(json.dumps(items))
        fields = {"datetime": "2023-06", "catalog": str(tmp_path / "items.json"), "out": str(tmp_path)}
        return request_of(region=region, **{**fields, **options})

    return planned


def warned(made):
    return [line for line in made.warnings if "of the region lies" in line]


def test_a_region_under_scenes_has_none(planned):
    made = plan(planned(item("a", WEST.buffer(0.1)), item("b", EAST.buffer(0.1), cloud=90)))
    assert (made.figures.gaps, warned(made)) == ({}, [])


def test_without_a_scene_it_says_so(planned):
    made = plan(planned(item("a", WEST)))
    assert made.figures.gaps == pytest.approx({"no scene": 0.5}, abs=0.001)
    assert warned(made) == ["50.0% of the region lies under no scene and stays without data"]


def test_what_the_cloud_limit_kept_out_is_named_with_the_limit_that_would_not(planned):
    half = box(14.1, 46, 14.15, 46.1)
    clouded = [
        item(name, half, day=f"2023-06-{day}", cloud=cloud)
        for name, day, cloud in (("b", 10, 41), ("c", 15, 80))
    ]
    before = item("d", EAST, day="2023-05-01")  # not in the period
    made = plan(planned(item("a", WEST), *clouded, before))
    assert made.figures.gaps == pytest.approx({"cloud limit": 0.25, "no scene": 0.25}, abs=0.001)
    assert warned(made) == [
        "25.0% of the region lies under scenes above the cloud limit alone and stays without data; "
        "the clearest of 2 scenes there in that period has 41 % cloud: use --max-cloud 41",
        "25.0% of the region lies under no scene and stays without data",
    ]
    landsat = item("l", EAST, cloud=50)
    landsat["properties"]["platform"] = "landsat-9"
    assert list(plan(planned(item("a", WEST), landsat)).figures.gaps) == ["no scene"]
    clear = item("b", EAST, day="2023-06-10", cloud=41)
    assert not warned(plan(planned(item("a", WEST), clear, max_cloud=41)))


def test_a_composite_of_one_acquisition_names_the_others(planned):
    scenes = item("a", WEST.buffer(0.01)), item("b", EAST, day="2023-06-10", cloud=20)
    made = plan(planned(*scenes, composite="single"))
    assert list(made.figures.gaps) == ["other acquisitions"]
    assert "under scenes of other acquisitions than the best alone" in warned(made)[0]
    assert not warned(plan(planned(*scenes)))


def test_each_acquisition_of_a_watched_region_has_gaps_that_nobody_looks_into(planned):
    made, _ = plan_acquisitions(planned(item("a", WEST), item("b", EAST, day="2023-06-10", cloud=80)))
    assert [one.figures.gaps for one in made] == [{}]


def test_nothing_at_all_is_an_error_with_the_same_words(planned):
    with pytest.raises(
        NoScenesError, match="the only scene there in that period has 41 % cloud: use --max-cloud 41"
    ):
        plan(planned(item("a", WEST, cloud=41)))


@pytest.mark.parametrize(("width", "holds"), [(0.00005, False), (0.0003, True)])
def test_a_strip_needs_the_centre_of_a_pixel(planned, width, holds):
    strip = mapping(box(14.10003, 46.02, 14.10003 + width, 46.0203))  # 4 and 23 m by 33 m
    request = planned(item("a", WEST.buffer(0.2)), region=strip)
    if holds:
        assert plan(request).figures.windows
    else:
        with pytest.raises(RequestError, match="region: no pixel of 10 m has its centre in it"):
            plan(request)
