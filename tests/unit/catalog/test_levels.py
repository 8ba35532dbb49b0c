"""Sentinel-2's two levels: what an item is of, and which L1C is that of an L2A."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from shapely.geometry import box, mapping

from terramosaic.bands import INPUT_BANDS
from terramosaic.catalog.levels import open_level_1c, paired
from terramosaic.catalog.metadata import level
from terramosaic.catalog.scene import Scene, scene_from_item, tell_apart
from terramosaic.catalog.search import of_level
from terramosaic.errors import RequestError
from tests.unit.planning.test_identity import item


@pytest.mark.parametrize(
    ("id_", "more", "expected"),
    [
        ("a", {"properties": {"s2:product_type": "S2MSI1C"}}, "L1C"),
        ("a", {"properties": {"product:type": "S2MSI2A"}}, "L2A"),
        ("a", {"properties": {"processing:level": "L1C"}, "collection": "sentinel-2-l2a"}, "L1C"),
        ("S2B_MSIL1C_20240206T131259_N0510_R081_T27VWK_20240206T133903", {}, "L1C"),
        ("S2B_27VWK_20240206_0_L1C", {}, "L1C"),
        ("S2B_27VWK_20240206_0_L2A", {}, "L2A"),
        ("a", {"collection": "sentinel-2-l1c"}, "L1C"),
        ("a", {"collection": "sentinel-2-c1-l2a"}, "L2A"),
        ("a", {"collection": "sentinel-s2-l2a-cogs"}, "L2A"),
        ("S2A_33TWL1C", {"collection": "scenes"}, None),
        ("a", {"properties": {"processing:level": None}}, None),
    ],
)
def test_an_item_tells_its_level_in_one_way_or_another(
    id_: str, more: dict[str, Any], expected: str | None
) -> None:
    made = {"id": id_, "properties": {}} | more
    assert level(made) == expected
    assert list(of_level([made], "L2A")) == ([made] if expected != "L1C" else [])


def scene(name: str, second: int = 31, *, tile: str = "33TVM", ground: Any = None, **more: Any) -> Scene:
    made = item(name, 15, cloud=1, tile=tile)
    made["properties"] |= {"datetime": f"2023-08-15T10:00:{second:02}Z"} | more
    made["geometry"] = mapping(ground) if ground is not None else made["geometry"]
    return scene_from_item(made)


def test_the_l1c_of_a_scene_is_of_its_satellite_tile_and_pass() -> None:
    l2a = scene("l2a")
    fits = scene("fits", 45)
    others = [
        scene("other tile", tile="33TVL"),
        scene("other satellite", platform="sentinel-2b"),
        scene("other pass", datetime="2023-08-15T11:41:00Z"),
        scene("other zone", **{"proj:epsg": 32632}),
        fits,
    ]
    both, alone = paired([l2a], others)
    assert [one.l1c for one in both] == [fits]
    assert both[0].both == (both[0], fits)
    assert alone == []
    both, alone = paired([l2a], others[:-1])
    assert both == []
    assert alone == [l2a]


def test_of_two_datastrips_each_has_its_own_l1c_and_of_parts_the_one_on_the_same_ground() -> None:
    first, second = (scene(f"l2a {s}", s) for s in (10, 50))
    of_first, of_second = (scene(f"l1c {s}", s) for s in (10, 50))
    both, _ = paired([first, second], [of_second, of_first])
    assert [one.l1c for one in both] == [of_first, of_second]
    west, east = box(13.7, 45.5, 14, 46), box(14, 45.5, 14.5, 46)
    parts = [scene("east", ground=east), scene("west", ground=west)]
    both, _ = paired([scene("l2a", ground=west)], parts)
    assert both[0].l1c == parts[1]


def test_without_a_tile_nothing_tells_what_is_of_the_same_ground() -> None:
    scenes = [one.model_copy(update={"mgrs_tile": None}) for one in (scene("l2a"), scene("l1c"))]
    assert paired(scenes[:1], scenes[1:]) == ([], scenes[:1])


def test_what_is_read_beside_a_scene_is_in_its_identity() -> None:
    l2a = scene("l2a")
    both, _ = paired([l2a], [scene("l1c")])
    assert both[0].identity() != l2a.identity()
    assert "l1c" not in l2a.identity()
    newer, _ = paired([l2a], [scene("l1c", **{"s2:processing_baseline": "05.11"})])
    assert newer[0].identity() != both[0].identity()
    assert [one.key for one in tell_apart(both[0].both)] == ["l2a", "l1c"]


def test_a_catalog_without_l1c_is_told() -> None:
    with pytest.raises(
        RequestError, match=r"Planetary Computer has no Sentinel-2 L1C; take earth-search, cop"
    ):
        open_level_1c("planetary-computer")
    assert open_level_1c("earth-search").describe() == "Earth Search (sentinel-2-l1c)"
    assert open_level_1c("planetary-computer", "own").describe().endswith("(own)")


def test_a_real_item_of_earth_search_has_all_bands_and_the_offset(shared_data: Path) -> None:
    folder = shared_data / "stac-items-s1-dem/earth-search/sentinel-2-l1c"
    file = next(file for file in folder.glob("*.json") if not file.name.startswith("_"))
    found = scene_from_item(json.loads(file.read_text()), bands=INPUT_BANDS["S2L1C"], level="L1C")
    assert found.require(INPUT_BANDS["S2L1C"])["B10"].key == "cirrus"
    assert {asset.offset for asset in found.assets.values()} == {1000}
    assert found.sensing_start - found.datetime < timedelta(0)
    assert (found.profile, found.mgrs_tile, found.relative_orbit) == ("earth-search", "27VWK", 81)
