"""Scenes of Sentinel-1 RTC from real items, and from items made of them that go wrong as real ones have."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from shapely.geometry import Point, box, mapping

from terramosaic.catalog.backscatter import BackscatterScene, backscatter_from_item, require_rtc
from terramosaic.catalog.backscatter_passes import (
    BackscatterPass,
    drop_reprocessed,
    group_by_orbit,
    of_one_direction,
    rank_passes,
)
from terramosaic.catalog.backscatter_search import (
    find_backscatter,
    hint_for_no_backscatter,
    open_backscatter,
)
from terramosaic.catalog.files import FileCatalog
from terramosaic.catalog.footprint import footprint_of
from terramosaic.catalog.profiles import GENERIC, PLANETARY_COMPUTER
from terramosaic.catalog.unusable import Unusable
from terramosaic.errors import (
    CatalogError,
    ForeignItemError,
    MissingBandError,
    RequestError,
    UnusableItemError,
)

RAINIER = box(-121.94, 46.72, -121.54, 46.99)
AUGUST_10 = datetime(2023, 8, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def folder(shared_data) -> Path:
    return shared_data / "stac-items-s1-dem"


@pytest.fixture(scope="module")
def rtc(folder):
    """All real items of RTC, by the time in their names."""
    files = sorted(folder.glob("*/**/sentinel-1-rtc/S1*_rtc.json"))
    return {file.stem.split("_")[4]: json.loads(file.read_text()) for file in files}


@pytest.fixture
def ascending(rtc):
    return deepcopy(rtc["20230805T020216"])


def scenes(rtc, *starts) -> list[BackscatterScene]:
    return [backscatter_from_item(rtc[start]) for start in starts]


#: platform, absolute and relative orbit, direction, slice, zone, rows and columns, left and top
FACTS = {
    "20230805T020216": (49734, 137, "ascending", (10, 26), 32610, (21378, 29121), (403810, 5252190)),
    "20230808T142154": (49785, 13, "descending", (4, 12), 32610, (20983, 28111), (375610, 5397800)),
    "20230808T142219": (49785, 13, "descending", (5, 12), 32610, (21073, 28088), (346340, 5231710)),
    "20240419T045749": (53498, 51, "descending", (27, 30), 32633, (21067, 28902), (447230, 3924100)),
    "20240419T045814": (53498, 51, "descending", (28, 30), 32633, (21172, 28959), (418200, 3757550)),
    "20240419T045839": (53498, 51, "descending", (29, 30), 32633, (21268, 29015), (388450, 3591080)),
    "20240419T045904": (53498, 51, "descending", (30, 30), 32633, (12949, 27526), (373180, 3424680)),
    "20250311T044231": (58252, 80, "descending", (30, 30), 32634, (17058, 28320), (180600, 3408040)),
}


@pytest.mark.parametrize("start", FACTS)
def test_facts_of_real_items(rtc, start):
    scene = backscatter_from_item(rtc[start])
    transform, shape = scene.grid
    assert (
        scene.absolute_orbit, scene.relative_orbit, scene.direction, scene.slice, scene.epsg, shape,
        (transform.c, transform.f),
    ) == FACTS[start]  # fmt: skip
    assert scene.platform == "sentinel-1a" and scene.profile == "planetary-computer"
    assert scene.id == scene.key == rtc[start]["id"] and scene.collection == "sentinel-1-rtc"
    # Written with a space instead of a T.
    assert scene.sensing_start.strftime("%Y%m%dT%H%M%S") == start and scene.sensing_start.tzinfo == UTC
    assert scene.sensing_start < scene.datetime
    for band, key in (("VV", "vv"), ("VH", "vh")):
        told = rtc[start]["assets"][key]
        asset = scene.assets[band]
        assert (asset.href, asset.size, asset.checksum) == (
            told["href"], told["file:size"], told["file:checksum"]
        )  # fmt: skip
    assert BackscatterScene.model_validate_json(scene.model_dump_json()) == scene
    json.dumps(scene.identity())


def test_all_real_items_are_looked_at(rtc):
    assert rtc.keys() == FACTS.keys()


def test_a_file_that_is_replaced_in_place_is_another_scene(rtc):
    one = backscatter_from_item(rtc["20240419T045749"])
    changed = deepcopy(rtc["20240419T045749"])
    changed["assets"]["vh"]["file:checksum"] = "00"
    assert backscatter_from_item(changed).identity() != one.identity()
    assert backscatter_from_item(changed).identity(checksums=False) == one.identity(checksums=False)


def test_grd_is_refused_by_its_collection_and_not_by_the_product_type(folder, ascending):
    assert ascending["properties"]["sar:product_type"] == "GRD"
    refused = 0
    for file in folder.glob("*/sentinel-1-grd/S1*.json"):
        item = json.loads(file.read_text())
        with pytest.raises(UnusableItemError) as error:
            backscatter_from_item(item)
        if item.get("collection"):
            assert "is Sentinel-1 GRD, whose numbers are neither calibrated nor geocoded" in str(error.value)
            refused += 1
    assert refused >= 6
    for name in ("sentinel-1-grd", "sentinel1-grd", "SENTINEL-1-GRD-COG"):
        with pytest.raises(RequestError, match=f"inputs: collection {name} is Sentinel-1 GRD"):
            require_rtc(name)
    for name in ("sentinel-1-rtc", "sentinel-1-grd-rtc", "mine", ""):
        require_rtc(name)


def test_the_mode_in_a_name_is_no_tile(folder):
    (file,) = folder.glob("cdse/sentinel-1-grd/S1D*.json")
    with pytest.raises(UnusableItemError, match=r"says neither its CRS \(proj:code, proj:epsg\)"):
        backscatter_from_item(json.loads(file.read_text()))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"vv": "hh", "vh": "hv"}, "lacks VV and VH; its assets are hh, hv"),
        ({"vh": None}, "lacks VH; its assets are vv"),
        ({"vv": None}, "lacks VV; its assets are vh"),
    ],
)
def test_items_without_both_polarisations_are_named(ascending, names, said):
    files = {"vv": ascending["assets"]["vv"], "vh": ascending["assets"]["vh"]}
    ascending["assets"] = {names.get(key, key): file for key, file in files.items() if names.get(key, key)}
    with pytest.raises(MissingBandError, match=f"item {ascending['id']} {said}"):
        backscatter_from_item(ascending)


def test_other_products_are_left_out_by_name(folder):
    for file in (*folder.glob("*/opera-rtc-s1/*.json"), *folder.glob("*/sentinel-1-rtc-indigo/*.json")):
        with pytest.raises(MissingBandError, match="lacks VV and VH; its assets are"):
            backscatter_from_item(json.loads(file.read_text()))
    (file,) = folder.glob("rainier*/sentinel-2-l2a/*.json")
    with pytest.raises(ForeignItemError, match=r"is of sentinel-2a, not of Sentinel-1"):
        backscatter_from_item(json.loads(file.read_text()))


WRONG = {
    ("properties", "platform"): ([1], "has a wrong platform: text is wanted"),
    ("properties", "sat:absolute_orbit"): (1.5, "has a wrong sat:absolute_orbit: a whole number is wanted, not 1.5"),
    ("properties", "sat:relative_orbit"): ("x", "has a wrong sat:relative_orbit"),
    ("properties", "sat:orbit_state"): ("up", "has a wrong sat:orbit_state: ascending or descending is wanted, not up"),
    ("properties", "s1:slice_number"): ({}, "has a wrong s1:slice_number"),
    ("properties", "s1:total_slices"): (True, "has a wrong s1:total_slices"),
    ("properties", "s1:orbit_source"): (7, "has a wrong s1:orbit_source: text"),
    ("properties", "start_datetime"): ("8 August", "has a wrong start_datetime: a time is wanted, not 8 August"),
    ("properties", "processing:datetime"): ([], "has a wrong processing:datetime"),
    ("properties", "created"): (5, "has a wrong created"),
    ("properties", "datetime"): ("soon", "has a datetime that is not RFC 3339"),
    ("properties", "proj:transform"): ([10, 0, "x", 0, -10, 0], "has a wrong proj:transform: a list of 6 or 9 numbers"),
    ("properties", "proj:shape"): ([1, 2, 3], "has a wrong proj:shape: a list of 2 numbers is wanted"),
    ("properties", "proj:epsg"): ([32610], "says neither its CRS"),
    ("assets", "vv"): ([], "has a wrong asset vv: an object is wanted"),
    ("assets", "vh", "href"): (3, "has a wrong href of asset vh: a URL or a path"),
    ("assets", "vh", "file:size"): ("big", "has a wrong file:size of asset vh: a whole number is wanted, not big"),
}  # fmt: skip


@pytest.mark.parametrize("way", WRONG)
def test_a_field_of_the_wrong_type_is_one_line_that_names_it(ascending, way):
    value, said = WRONG[way]
    place = ascending
    for part in way[:-1]:
        place = place[part]
    place[way[-1]] = value
    with pytest.raises(CatalogError) as error:
        backscatter_from_item(ascending)
    text = str(error.value)
    assert text.startswith(f"item {ascending['id']} {said}") and len(text.splitlines()) == 1


@pytest.mark.parametrize(
    "name",
    ["platform", "sat:absolute_orbit", "sat:orbit_state", "s1:slice_number", "start_datetime", "proj:transform",
     "proj:shape", "s1:orbit_source", "proj:bbox"],
)  # fmt: skip
def test_what_is_not_told_is_not_missed(ascending, name):
    del ascending["properties"][name]
    scene = backscatter_from_item(ascending)
    assert scene.platform == "sentinel-1a" and scene.geometry.contains(Point(-122.5, 46.5))


def test_numbers_of_projection_may_stand_at_the_asset(ascending):
    moved = {name: ascending["properties"].pop(f"proj:{name}") for name in ("transform", "shape", "epsg")}
    ascending["assets"]["vv"] |= {
        "proj:transform": moved["transform"], "proj:shape": moved["shape"], "proj:code": "EPSG:32610"
    }  # fmt: skip
    assert backscatter_from_item(ascending).epsg == 32610


def test_slices_0_of_0_are_told(ascending):
    ascending["properties"] |= {"s1:slice_number": "0", "s1:total_slices": "0"}
    assert backscatter_from_item(ascending).slice == (0, 0)


def test_a_footprint_around_the_world_or_elsewhere_gives_way_to_the_pixels(ascending):
    honest = footprint_of(ascending)
    for drawn in (box(-180, 45, 180, 48), box(10, 45, 13, 47)):
        ascending["geometry"] = mapping(drawn)
        there = backscatter_from_item(ascending).geometry
        assert there.intersection(honest).area > 0.99 * honest.area and there.bounds[2] < -120
    # As one reaches across the antimeridian in a catalog's box.
    ascending["properties"] |= {
        "proj:epsg": 32601, "proj:transform": [10, 0, 200000, 0, -10, 7000000], "proj:shape": [20000, 28000]
    }  # fmt: skip
    ascending["geometry"] = mapping(box(-181.36, 61, -175.5, 63))
    there = backscatter_from_item(ascending).geometry
    assert (
        there.intersects(Point(179.5, 62))
        and there.intersects(Point(-178, 62))
        and not there.intersects(Point(0, 62))
    )


def test_secrets_of_hrefs_are_not_kept(ascending):
    for key in ("vv", "vh"):
        ascending["assets"][key]["href"] += "?se=2023-08-10T00%3A00%3A00Z&sig=secret"
    scene = backscatter_from_item(ascending)
    assert "secret" not in scene.model_dump_json()


def test_duplicates_are_told_apart_by_platform_orbit_and_start(rtc, ascending):
    first = backscatter_from_item(rtc["20230805T020216"])
    ascending["id"] = first.id.replace("05FAFD", "05FAFE")
    ascending["properties"]["s1:orbit_source"] = "POEORB"
    ascending["properties"]["start_datetime"] = "2023-08-05 02:02:17.1+00:00"
    second = backscatter_from_item(ascending)
    kept, dropped = drop_reprocessed([second, first])
    assert kept == [second] and dropped == [
        (first, f"superseded by {second.id} (made with the orbit POEORB, not RESORB)")
    ]
    dated = first.model_copy(update={"processed": datetime(2025, 1, 1, tzinfo=UTC)})
    kept, dropped = drop_reprocessed([dated, second])
    assert kept == [dated] and dropped[0][1].endswith("(made 2025-01-01)")
    taken_in = first.model_copy(update={"created": datetime(2024, 12, 9, tzinfo=UTC)})
    assert drop_reprocessed([first, taken_in])[1][0][1].endswith("(in the catalog since 2024-12-09)")
    assert drop_reprocessed([first, first.model_copy()])[1] == [
        (first, f"superseded by {first.id} (a duplicate)")
    ]
    # The same moment from another satellite, and the next slice, are others.
    other = first.model_copy(update={"platform": "sentinel-1c"})
    later = first.model_copy(update={"sensing_start": first.sensing_start + timedelta(seconds=25)})
    assert len(drop_reprocessed([first, other, later])[0]) == 3


def test_slices_are_grouped_by_absolute_orbit(rtc):
    passes = group_by_orbit(reversed(scenes(rtc, *FACTS)))
    assert [(one.absolute_orbit, len(one.scenes)) for one in passes] == [
        (49734, 1), (49785, 2), (53498, 4), (58252, 1)
    ]  # fmt: skip
    assert [scene.slice[0] for scene in passes[2].scenes] == [27, 28, 29, 30]
    assert passes[1].label == "2023-08-08 sentinel-1a descending R013"
    # Two passes of one day, an hour and a half apart, that do not tell their orbits.
    one = passes[0].scenes[0].model_copy(update={"absolute_orbit": None})
    next_slice, next_orbit = (
        one.model_copy(update={"sensing_start": one.sensing_start + timedelta(seconds=away)}) for away in (25, 5_900)
    )  # fmt: skip
    assert [len(found.scenes) for found in group_by_orbit([next_orbit, one, next_slice])] == [2, 1]


def test_a_mosaic_is_of_one_direction_and_the_better_covering_pass(rtc):
    passes = group_by_orbit(scenes(rtc, "20230805T020216", "20230808T142154", "20230808T142219"))
    # Both cover all of it, but for a hairline between slices: the nearer in time is taken.
    kept, said = of_one_direction(passes, RAINIER, AUGUST_10)
    assert [one.direction for one in kept] == ["descending"]
    assert said == "Sentinel-1: passes are descending; left out: 1 ascending"
    assert of_one_direction(passes, RAINIER, datetime(2023, 8, 1, tzinfo=UTC))[0][0].direction == "ascending"
    assert of_one_direction(passes, RAINIER, AUGUST_10, "ascending")[0][0].relative_orbit == 137
    (best,) = rank_passes(kept, RAINIER, AUGUST_10)
    assert best.coverage > 0.9999 and round(best.days, 1) == 1.4
    shares = [one.coverage_of(RAINIER) for one in (BackscatterPass((scene,)) for scene in best.scenes)]
    assert [round(share, 3) for share in shares] == [0.398, 0.602]
    # One slice alone covers less than the pass of the other direction, however near.
    half = [passes[0], BackscatterPass(passes[1].scenes[:1])]
    kept, _ = of_one_direction(half, RAINIER, AUGUST_10)
    assert [one.direction for one in kept] == ["ascending"]
    assert of_one_direction(half[:1], RAINIER, AUGUST_10, "descending") == (
        [], "left out: 1 ascending"
    )  # fmt: skip
    assert of_one_direction([], RAINIER, AUGUST_10) == ([], "")


def test_of_passes_that_cover_alike_the_nearer_is_first_then_the_newer(rtc):
    (one,) = scenes(rtc, "20230805T020216")

    def away(days):
        return one.model_copy(update={"sensing_start": AUGUST_10 + timedelta(days=days)})

    moved = [BackscatterPass((away(days),)) for days in (-12, -6, 6)]
    assert [found.days for found in rank_passes(moved, RAINIER, AUGUST_10)] == [6, 6, 12]
    assert rank_passes(moved, RAINIER, AUGUST_10)[0].start > AUGUST_10
    elsewhere = {"footprint": mapping(box(20, 46, 21, 47)), "sensing_start": moved[2].start}
    beside = BackscatterPass((BackscatterScene.model_validate(one.model_dump() | elsewhere),))
    assert [found.days for found in rank_passes([beside, *moved], RAINIER, AUGUST_10)] == [6, 6, 12, 6]


@pytest.fixture
def catalog(folder) -> FileCatalog:
    """The co-located set over Mount Rainier: radar of both directions, Sentinel-2, heights, land cover."""
    return FileCatalog(folder / "rainier-2023-08")


AUGUST = datetime(2023, 8, 1, tzinfo=UTC), datetime(2023, 8, 31, tzinfo=UTC)


def test_a_search_finds_passes_and_names_what_it_leaves_out(catalog):
    found = find_backscatter(catalog, [RAINIER], *AUGUST)
    assert [(one.direction, len(one.scenes)) for one in found.passes] == [("ascending", 1), ("descending", 2)]
    assert found.notes() == []
    everything = find_backscatter(catalog, [RAINIER], None, None)
    assert len(everything.passes) == 2
    (line, *others) = everything.notes()
    assert (
        line.startswith("Sentinel-1: 2 items (OPERA_L2_RTC-S1_T013-026570-IW1") and "both VV and VH" in line
    )
    assert others == []  # those of other satellites are nobody's loss
    assert not find_backscatter(catalog, [box(10, 46, 11, 47)], *AUGUST).passes


def test_scenes_can_be_excluded_by_id_and_by_platform(catalog, rtc):
    unusable = Unusable(excluded=frozenset({rtc["20230808T142154"]["id"]}))
    found = find_backscatter(catalog, [RAINIER], *AUGUST, unusable)
    assert [len(one.scenes) for one in found.passes] == [1, 1]
    assert found.notes() == [f"Sentinel-1: {rtc['20230808T142154']['id']} left out: excluded by the request"]
    found = find_backscatter(catalog, [RAINIER], *AUGUST, platforms=["sentinel-1c"])
    assert (
        not found.passes and "left out: of sentinel-1a, which the request does not take" in found.notes()[0]
    )


def test_broken_items_stop_a_search_or_are_named(tmp_path, ascending):
    ascending["properties"]["sat:absolute_orbit"] = "many"
    (tmp_path / "one.json").write_text(json.dumps(ascending))
    catalog = FileCatalog(tmp_path)
    with pytest.raises(CatalogError, match="has a wrong sat:absolute_orbit"):
        find_backscatter(catalog, [RAINIER], *AUGUST)
    found = find_backscatter(catalog, [RAINIER], *AUGUST, Unusable(CatalogError))
    assert not found.passes and "has a wrong sat:absolute_orbit" in found.notes()[0]


def test_a_gap_says_which_days_and_directions_are_near(catalog):
    week = datetime(2023, 8, 12, tzinfo=UTC), datetime(2023, 8, 19, tzinfo=UTC)
    assert hint_for_no_backscatter(catalog, [RAINIER], *week) == (
        "the nearest there are ascending of 2023-08-05 (7 days before) and descending of 2023-08-08 (4 days before)"
    )
    early = datetime(2023, 7, 1, tzinfo=UTC), datetime(2023, 8, 1, tzinfo=UTC)
    assert hint_for_no_backscatter(catalog, [RAINIER], *early) == (
        "the nearest there are ascending of 2023-08-05 (5 days after) and descending of 2023-08-08 (8 days after)"
    )
    between = datetime(2023, 8, 6, tzinfo=UTC), datetime(2023, 8, 9, tzinfo=UTC)
    assert hint_for_no_backscatter(catalog, [RAINIER], *between, direction="ascending") == (
        "all passes there in that period are descending: ask for that direction, or for best"
    )
    assert "has no Sentinel-1 there: check the region" in hint_for_no_backscatter(
        catalog, [box(10, 46, 11, 47)], *week
    )
    opera = datetime(2024, 7, 1, tzinfo=UTC), datetime(2024, 8, 1, tzinfo=UTC)
    assert "nothing there in that period can be used: Sentinel-1: 2 items" in hint_for_no_backscatter(
        catalog, [RAINIER], *opera
    )


def test_catalogs_are_opened_at_their_collection_of_rtc(folder):
    assert "(sentinel-1-rtc)" in open_backscatter("planetary-computer").describe()
    assert open_backscatter("planetary-computer").profile is PLANETARY_COMPUTER
    assert "(sentinel-1-rtc)" in open_backscatter("https://stac.example.com").describe()
    assert open_backscatter("https://stac.example.com", "mine").profile is GENERIC
    assert isinstance(open_backscatter(str(folder)), FileCatalog)
    with pytest.raises(
        RequestError, match=r"Earth Search has no terrain-corrected .* take planetary-computer"
    ):
        open_backscatter("earth-search")
    with pytest.raises(RequestError, match="collection sentinel-1-grd is Sentinel-1 GRD"):
        open_backscatter("earth-search", "sentinel-1-grd")
