"""Items that cannot be used: left out by name where others are left, an error where none is or a request is strict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from terramosaic.errors import CatalogError, MissingBandError, NoScenesError, UnusableItemError
from terramosaic.planning.plan import Plan
from terramosaic.planning.planning import plan, plan_acquisitions
from terramosaic.request.request import RegionRequest
from tests.unit.planning.test_identity import BOX, item

GOOD = item("good", 15, cloud=1.5)


def wrong(name: str, day: int = 20, **changes: Any) -> dict[str, Any]:
    """An item with other properties; those that are None are taken out."""
    changed = item(name, day, cloud=5)
    changed["properties"] |= changes
    changed["properties"] = {key: value for key, value in changed["properties"].items() if value is not None}
    return changed


def without_bands(name: str, *bands: str, day: int = 20) -> dict[str, Any]:
    """An item that lacks bands."""
    changed = item(name, day, cloud=5)
    changed["assets"] = {band: asset for band, asset in changed["assets"].items() if band not in bands}
    return changed


UNUSABLE = {
    "no place": (
        wrong("no place", **{"s2:mgrs_tile": None}) | {"geometry": None}, "item no place has no usable geometry"
    ),
    "partial": (without_bands("partial", "B11", "SCL"), "item partial lacks B11, SCL"),
    "nobody's CRS": (wrong("nobody's CRS", **{"proj:epsg": 999999}), "item nobody's CRS is in EPSG:999999"),
    "another satellite": (wrong("another satellite", platform="landsat-9"), "is of landsat-9, not of Sentinel-2"),
    "our own": (
        wrong("our own", **{"terramosaic:run_id": "1"}) | {"assets": {"NDVI": {"href": "NDVI.tif"}}},
        "item our own is a map that Terramosaic has made",
    ),
}  # fmt: skip


def request_of(folder: Path, items: list[dict[str, Any]], **fields: Any) -> RegionRequest:
    (folder / "items.json").write_text(json.dumps(items))
    return RegionRequest(
        region=BOX, datetime="2023-08", catalog=str(folder / "items.json"), out=str(folder), **fields
    )


def planned(folder: Path, items: list[dict[str, Any]], **fields: Any) -> Plan:
    return plan(request_of(folder, items, **fields))


@pytest.mark.parametrize("kind", UNUSABLE)
def test_one_is_left_out_with_its_reason_and_a_warning(tmp_path, kind):
    bad, said = UNUSABLE[kind]
    made, alone = planned(tmp_path, [bad, GOOD]), planned(tmp_path, [GOOD])
    assert list(made.scenes) == ["good"] and made.run_id == alone.run_id
    (dropped,) = made.dropped
    assert dropped.id == kind and said in dropped.reason
    (warning,) = set(made.warnings) - set(alone.warnings)
    assert warning.startswith("an item left out that cannot be used: ") and said in warning


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_strict_request_stops_at_it(tmp_path, kind):
    bad, said = UNUSABLE[kind]
    with pytest.raises(UnusableItemError, match=said):
        planned(tmp_path, [GOOD, bad], strict=True)
    assert planned(tmp_path, [GOOD], strict=True).run_id == planned(tmp_path, [GOOD]).run_id


def test_if_none_is_left_all_reasons_are_told(tmp_path):
    with pytest.raises(CatalogError) as error:
        planned(tmp_path, [bad for bad, _ in UNUSABLE.values()])
    first, *reasons = str(error.value).splitlines()
    assert first.startswith("none of the 5 items found in ") and first.endswith(" can be used")
    assert len(reasons) == 5 and all(
        said in line
        for line, (_, said) in zip(
            sorted(reasons), sorted(UNUSABLE.values(), key=lambda bad: f"item {bad[0]['id']}"), strict=True
        )
    )
    assert error.value.exit_code == 4


@pytest.mark.parametrize("kind", ["another satellite", "our own"])
def test_where_nothing_is_a_scene_there_is_none(tmp_path, kind):
    bad, said = UNUSABLE[kind]
    with pytest.raises(NoScenesError, match=f"has nothing there: .*; an item left out .*{said}"):
        planned(tmp_path, [bad])
    with pytest.raises(NoScenesError, match="the only scene there in that period has 80 % cloud"):
        planned(tmp_path, [bad, item("clouded", 15, cloud=80)])


def test_of_many_the_first_are_told_and_all_are_on_record(tmp_path):
    many = [without_bands(f"partial {number}", "B02") for number in range(9)]
    made = planned(tmp_path, [*many, GOOD])
    assert len(made.dropped) == 9
    assert (
        sum(word.startswith("9 items left out") and word.endswith("; and 4 more") for word in made.warnings)
        == 1
    )


def test_a_warning_of_many_scenes_names_some(tmp_path):
    silent = [
        wrong("x", 10 + number, **{"s2:processing_baseline": None}) | {"id": f"a\nb{number}"}
        for number in range(7)
    ]
    (told,) = (line for line in planned(tmp_path, silent).warnings if line.startswith("no item says"))
    assert told.endswith(" and 2 more") and told.count("a\\nb") == 5 and told.isprintable()


def test_an_item_elsewhere_or_of_another_time_concerns_nobody(tmp_path):
    late = without_bands("late", "B02")
    late["properties"]["datetime"] = "2024-08-20T10:00:00Z"
    undated = wrong("undated", datetime="never") | {"geometry": item("far", 15, cloud=0)["geometry"]}
    undated["geometry"] = {"type": "Polygon", "coordinates": [[[50, 1], [51, 1], [51, 2], [50, 1]]]}
    nowhere = wrong("nowhere", datetime="2024-08-20T10:00:00Z", **{"s2:mgrs_tile": None}) | {"geometry": "x"}
    assert planned(tmp_path, [late, undated, nowhere, GOOD], strict=True).dropped == ()


def test_an_older_processing_takes_the_place_of_one_that_lacks_a_band(tmp_path):
    newer = without_bands("newer", "B8A", day=15)
    newer["properties"]["s2:processing_baseline"] = "05.11"
    assert list(planned(tmp_path, [newer, GOOD]).scenes) == ["good"]
    whole = planned(tmp_path, [item("newer", 15, cloud=5) | {"properties": newer["properties"]}, GOOD])
    assert list(whole.scenes) == ["newer"]


def test_metadata_that_is_broken_stops_a_plan_in_any_case(tmp_path):
    broken = item("broken", 20, cloud=5)
    broken["assets"]["B04"]["href"] = ["x"]
    with pytest.raises(CatalogError, match="item broken has a wrong href of asset B04") as error:
        planned(tmp_path, [GOOD, broken])
    assert not isinstance(error.value, MissingBandError)


def test_copies_of_one_item_are_one_scene_and_on_record(tmp_path):
    made = planned(tmp_path, [GOOD, GOOD, GOOD | {"collection": "other"}])
    assert list(made.scenes) == ["good"]
    assert [(dropped.id, dropped.reason) for dropped in made.dropped] == [
        ("good", "superseded by good (a duplicate)"), ("good", "superseded by good (a duplicate)")
    ]  # fmt: skip
    # Which of them it is does not hang on their order, nor does the run's id.
    assert planned(tmp_path, [GOOD | {"collection": "other"}, GOOD]).scenes == made.scenes


def test_items_without_a_tile_that_share_id_and_collection_are_scenes_of_their_own(tmp_path):
    east = wrong("same", **{"s2:mgrs_tile": None, "s2:datastrip_id": "x"})
    west = json.loads(json.dumps(east))
    east["geometry"] = {
        "type": "Polygon",
        "coordinates": [[[14.1, 46], [14.1, 46.2], [14.4, 46.2], [14.4, 46], [14.1, 46]]],
    }
    west["geometry"] = {
        "type": "Polygon",
        "coordinates": [[[13.9, 46], [13.9, 46.2], [14.1, 46.2], [14.1, 46], [13.9, 46]]],
    }
    made = planned(tmp_path, [east, west])
    assert len(made.scenes) == 2 and made.figures.covered_share == pytest.approx(1)
    assert set(made.blocks[0].acquisitions[0]) == set(made.scenes)
    assert planned(tmp_path, [west, east]).run_id == made.run_id


def test_who_watches_maps_the_passes_that_are_whole_and_hears_of_the_others(tmp_path):
    part = without_bands("part", "B11")
    rest = item("rest", 20, cloud=3, tile="33TVN")
    plans, errors = plan_acquisitions(request_of(tmp_path, [GOOD, part, rest, UNUSABLE["our own"][0]]))
    assert [list(made.scenes) for made in plans] == [["good"]]
    assert [str(error).partition(";")[0] for error in errors] == ["item part lacks B11"]


def test_an_asset_that_would_be_read_for_ever_is_refused(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe")
    bad = item("bad", 20, cloud=5)
    bad["assets"]["B04"]["href"] = str(tmp_path / "pipe")
    with pytest.raises(
        CatalogError, match=r"asset B04 of item bad is no file: .*pipe is a folder, a pipe or a device"
    ):
        planned(tmp_path, [GOOD, bad])
