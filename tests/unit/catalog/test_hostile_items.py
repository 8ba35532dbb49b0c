"""Items of which some field is what it must not be: each is a scene all the same, or one line says what is wrong."""

from __future__ import annotations

import json
import random
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from shapely.geometry import box, mapping

from terramosaic.bands import GSD
from terramosaic.catalog import drop_superseded, group_by_pass, rank, scene_from_item, tell_apart
from terramosaic.catalog.files import FileCatalog
from terramosaic.catalog.profiles import sign
from terramosaic.catalog.scene import SCENE_BANDS
from terramosaic.errors import CatalogError, ForeignItemError, MissingBandError, UnusableItemError

REGION = box(14.2, 46.2, 14.4, 46.4)
NAME = "S2A_MSIL2A_20230815T100031_N0509_R122_T33TVM_20230815T180000"


def item() -> dict[str, Any]:
    """An item in which everything is told that anything reads, some of it twice."""
    edges = [399960, 5090220, 509760, 5200020]
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": NAME, "collection": "sentinel-2-l2a",
        "geometry": mapping(box(13.7, 45.9, 15.1, 46.9)), "bbox": [13.7, 45.9, 15.1, 46.9],
        "links": [{"rel": "self", "href": "https://example.com/item.json"}],
        "properties": {
            "datetime": "2023-08-15T10:00:31.024Z", "platform": "sentinel-2a", "eo:cloud_cover": 3.5,
            "proj:epsg": 32633, "proj:code": "EPSG:32633", "s2:mgrs_tile": "33TVM", "grid:code": "MGRS-33TVM",
            "s2:processing_baseline": "05.09", "s2:generation_time": "2023-08-15T18:00:00Z", "s2:product_uri": NAME,
            "s2:datastrip_id": "S2A_OPER_MSI_L2A_DS_2APS_20230815T180000_S20230815T100031_N05.09",
            "sat:relative_orbit": 122, "proj:bbox": edges,
        },
        "assets": {
            band: {
                "href": f"https://example.com/{band}.tif", "file:checksum": "1220ab", "type": "image/tiff",
                "proj:shape": [109800 // gsd] * 2, "proj:transform": [gsd, 0, 399960, 0, -gsd, 5200020],
                "raster:bands": [{"offset": -0.1, "scale": 0.0001, "nodata": 0}], "eo:bands": [{"name": band}],
            }
            for band, gsd in GSD.items()
        },
    }  # fmt: skip


def deep(levels: int) -> list[Any]:
    """Lists in lists."""
    return [deep(levels - 1)] if levels else []


NOTHINGS = [
    None, "", " ", "x", "null", "NaN", "false", "99.99", "2023", "L" * 300, "\ud800", "a\0b", "a\nb", "http://[::1/x",
    "file://[x", "../" * 100, "EPSG:99999", "99ZZZ", 0, -1, 180, 1.5, 10**400, 1e308, float("nan"), float("inf"), True,
    False, [], [None], ["a"], [[]], [0, 0], [1e308] * 6, {}, {"a": None}, {"type": "Point", "coordinates": [14, 46]},
    {"type": "Polygon", "coordinates": [[[float("nan"), 1], [2, 2], [3, 1]]]}, deep(300),
    mapping(box(-180, -90, 180, 90)),
]  # fmt: skip


def mutated(rng: random.Random) -> tuple[dict[str, Any], list[Any]]:
    """An item in which one thing, at any depth, is another one or gone; and the way to it."""
    changed: dict[str, Any] = item()
    place: Any = changed
    way: list[Any] = []
    while True:
        key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
        way.append(key)
        if not isinstance(place[key], dict | list) or not place[key] or rng.random() < 0.3:
            break
        place = place[key]
    if rng.random() < 0.15:
        del place[key]
    else:
        place[key] = deepcopy(rng.choice(NOTHINGS))
    return changed, way


def scenes_of(catalog: Path) -> list[Any]:
    """What planning does with a catalog, up to a ranked scene that is written down."""
    found = FileCatalog(catalog).search([REGION], None, None, 40)
    scenes = [scene_from_item(one) for one in found]
    for scene in scenes:
        scene.require(SCENE_BANDS)
    kept, _ = drop_superseded(scenes)
    for acquisition in rank(group_by_pass(kept), REGION):
        for scene in tell_apart(acquisition.scenes):
            json.dumps([scene.identity(), scene.key]).encode()
            scene.model_dump_json().encode()
    return kept


def test_a_thousand_items_with_something_wrong_are_scenes_or_named(tmp_path):
    rng = random.Random(13)
    file = tmp_path / "items.json"
    outcomes = {"scene": 0, "not there": 0, "named": 0}
    for _ in range(1000):
        changed, way = mutated(rng)
        file.write_text(json.dumps([changed]))
        try:
            outcomes["scene" if scenes_of(file) else "not there"] += 1
        except CatalogError as error:
            text = str(error)
            text.encode()
            assert len(text.splitlines()) == 1 and len(text) < 1000 and text.isprintable()
            given = changed.get("id")
            assert NAME in text or "id" in way or (isinstance(given, str) and given[:20] in text), text
            told = [str(part).rpartition(":")[2] for part in way if isinstance(part, str)]
            names_it = any(part in text for part in told) or way == ["properties"]
            assert names_it or isinstance(error, UnusableItemError), (way, text)
            outcomes["named"] += 1
    assert outcomes["scene"] > 500 and outcomes["named"] > 100 and outcomes["not there"] < 50


@pytest.mark.parametrize(
    ("way", "value", "said"),
    [
        (("assets", "B04"), "x", "has a wrong asset B04: an object is wanted, not x"),
        (("assets", "B04"), None, "has a wrong asset B04"),
        (("assets", "B04", "href"), [None], r"has a wrong href of asset B04: a URL or a path is wanted, not \[None\]"),
        (("assets", "B04", "href"), 180, "has a wrong href of asset B04"),
        (("assets", "B04", "href"), None, "has a wrong href of asset B04"),
        (("assets", "B04", "href"), "http://[::1/x.tif", r"has a wrong href of asset B04.*\[::1"),
        (("assets", "B04", "href"), "a\0b", "has a wrong href of asset B04"),
        (("properties", "datetime"), ["2023"], r"has a datetime that is not RFC 3339.*\['2023'\]"),
        (("properties", "datetime"), "0001-01-01T00:00:00+23:59", "has a datetime that is not RFC 3339"),
        (("properties", "datetime"), "9999-12-31T23:59:59Z", "or of a year without satellites"),
        (("assets", "B04", "raster:bands"), [{"offset": "x", "scale": 1}], "has a wrong offset of asset B04"),
        (("id",), "\ud800", r"ud800 is no STAC item: its id is no Unicode"),
    ],
)  # fmt: skip
def test_what_must_not_be_guessed_is_an_error_that_names_item_and_field(tmp_path, way, value, said):
    changed = place = item()
    changed["properties"].pop("s2:processing_baseline")
    changed["properties"].pop("s2:product_uri")
    changed["id"] = "x"
    for part in way[:-1]:
        place = place[part]
    place[way[-1]] = value
    (tmp_path / "items.json").write_text(json.dumps([changed]))
    with pytest.raises(CatalogError, match=f"^item .*{said}") as error:
        scenes_of(tmp_path / "items.json")
    assert not isinstance(error.value, UnusableItemError)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("eo:cloud_cover", "null"), ("eo:cloud_cover", ""), ("eo:cloud_cover", -1), ("eo:cloud_cover", [5]),
        ("proj:epsg", None), ("proj:epsg", ["x"]), ("platform", 5), ("s2:mgrs_tile", ["33TVM"]),
        ("s2:generation_time", {}), ("s2:datastrip_id", "_S99999999T999999"), ("proj:bbox", "x"),
    ],
)  # fmt: skip
def test_what_others_tell_or_nobody_must_know_is_as_if_it_were_absent(name, value):
    given, without = item(), item()
    given["properties"][name] = value
    del without["properties"][name]
    assert scene_from_item(given) == scene_from_item(without)


def test_a_code_that_is_null_is_as_if_it_were_absent():
    told = item()
    del told["properties"]["proj:epsg"]
    told["properties"]["proj:code"] = None
    assert scene_from_item(told).epsg == 32633
    told["properties"]["s2:mgrs_tile"] = None
    told["assets"]["B04"]["proj:code"] = "EPSG:32634"
    assert scene_from_item(told).epsg == 32634


@pytest.mark.parametrize(
    "wrong", [None, "x", {"type": "Point", "coordinates": [1, 2]}, box(-180, -18.1, 180, -18.0)]
)
def test_a_footprint_that_can_be_none_is_that_of_the_pixels_or_the_tile(wrong):
    good = scene_from_item(item()).geometry
    geometry = mapping(wrong) if hasattr(wrong, "bounds") else wrong
    by_pixels = scene_from_item(item() | {"geometry": geometry}).geometry
    assert by_pixels.bounds == pytest.approx((13.69, 45.95, 15.13, 46.95), abs=0.02) and by_pixels.intersects(
        good
    )
    by_tile = item() | {"geometry": geometry}
    del by_tile["properties"]["proj:bbox"]
    for asset in by_tile["assets"].values():
        asset.pop("proj:transform")
    assert scene_from_item(by_tile).geometry.symmetric_difference(by_pixels).area < 0.01
    by_tile["properties"]["proj:bbox"] = [13.7, 45.9, 15.1, 46.9]  # in degrees, which are no metres
    assert scene_from_item(by_tile).geometry.symmetric_difference(by_pixels).area < 0.01
    del by_tile["properties"]["proj:bbox"]
    by_tile["properties"] = {"datetime": "2023-08-15T10:00:00Z"} | {"proj:epsg": 32633}
    by_tile["id"] = "x"
    with pytest.raises(UnusableItemError, match="item x has no usable geometry"):
        scene_from_item(by_tile)


@pytest.mark.parametrize(
    "around", [(-180, -18.1016, 180, -18.065), (-180, -90, 180, 90), (-180, -18.2, -179, -17)]
)
def test_a_tile_on_the_antimeridian_lies_on_both_sides_of_it(around):
    found = item() | {"geometry": mapping(box(*around))}
    found["properties"] |= {"proj:epsg": 32760, "s2:mgrs_tile": "60KYF", "proj:bbox": None}
    for asset in found["assets"].values():
        asset |= {"proj:shape": [400, 400], "proj:transform": [10, 0, 815020, 0, -10, 8000020]}
    geometry = scene_from_item(found).geometry
    expected = box(*around) if around[2] < 0 else box(179.96, -18.10, 180, -18.07)
    assert geometry.intersects(expected) and geometry.area < 2


def test_no_band_is_read_from_the_file_of_another():
    changed = item()
    for band, asset in changed["assets"].items():
        asset["href"] = f"https://example.com/get?token=Pa55word&file=a/{band}.tif"
    scene = scene_from_item(changed)
    for band, asset in scene.assets.items():
        assert asset.href == f"https://example.com/get?file=a/{band}.tif"
        assert sign(asset.href, scene.profile) == changed["assets"][band]["href"]
    for band, asset in changed["assets"].items():
        asset["href"] = f"https://example.com/get?token=Pa55word{band}"
    with pytest.raises(UnusableItemError, match=f"assets of item {NAME} are told apart by secrets") as error:
        scene_from_item(changed)
    assert "Pa55word" not in str(error.value)


@pytest.mark.parametrize(
    ("way", "value"),
    [
        (("assets", "B04", "href"), "https://me:Pa55word@[::1/B04.tif"),
        (("assets", "B04", "href"), "https://host/B04.tif?sig=Pa55word\n"),
        (("assets", "B04"), "https://me:Pa55word@host/B04.tif"),
        (("properties", "datetime"), "https://me:Pa55word@host/B04.tif"),
        (("properties", "platform"), "https://me:Pa55word@host/B04.tif"),
    ],
)
def test_what_is_told_of_a_wrong_value_holds_no_secret(way, value):
    changed = place = item()
    for part in way[:-1]:
        place = place[part]
    place[way[-1]] = value
    with pytest.raises(CatalogError) as error:
        scene_from_item(changed)
    assert "Pa55word" not in str(error.value) and str(error.value).isprintable()


def test_names_of_assets_break_no_line():
    changed = item() | {
        "assets": {"B04": item()["assets"]["B04"], "a\nb": {}, **{f"x{number}": {} for number in range(999)}}
    }
    with pytest.raises(MissingBandError) as error:
        scene_from_item(changed).require(SCENE_BANDS)
    assert str(error.value).isprintable() and len(str(error.value)) < 600


def test_what_is_no_scene_of_sentinel_2_is_told_apart_from_one_that_lacks_a_band():
    ours = item() | {"assets": {"NDVI": {"href": "NDVI.tif"}}, "id": "terramosaic-1"}
    ours["properties"]["terramosaic:run_id"] = "1"
    others = item()
    others["properties"]["platform"] = "landsat-8"
    for foreign, said in (
        (ours, "is a map that Terramosaic has made"),
        (others, "is of landsat-8, not of Sentinel-2"),
    ):
        with pytest.raises(ForeignItemError, match=said):
            scene_from_item(foreign)
    partial = item()
    del partial["assets"]["B11"]["href"]
    with pytest.raises(MissingBandError, match=f"item {NAME} lacks B11"):
        scene_from_item(partial).require(SCENE_BANDS)


def test_catalogs_that_are_none_are_told_in_a_line(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "deep.json").write_text("[" * 200_000)
    (tmp_path / "features.json").write_text('{"type": "FeatureCollection", "features": null}')
    link = {"rel": "item", "href": "L" * 300}
    (tmp_path / "link.json").write_text(json.dumps({"type": "Catalog", "links": [None, {"rel": 5}, link]}))
    for name, said in {
        "pipe": "is no file that can be read: it is a pipe",
        "deep": "is not JSON: it is nested too deeply",
        "features": "is an ItemCollection without a list of features",
        "link": "which does not exist",
    }.items():
        with pytest.raises(CatalogError, match=said):
            FileCatalog(tmp_path / f"{name}.json").search([REGION], None, None, None)
