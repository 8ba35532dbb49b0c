"""Scenes from real items of every provider: facts, files, offsets, identity."""

import json
from copy import deepcopy
from datetime import UTC, date, datetime

import pytest
import shapely
from shapely.geometry import box, mapping, shape

from terramosaic.bands import S2L2A_BANDS
from terramosaic.catalog.footprint import footprint_of, middle_longitude, square_degrees
from terramosaic.catalog.profiles import COPERNICUS, EARTH_SEARCH, GENERIC, PLANETARY_COMPUTER, profile_of
from terramosaic.catalog.scene import SCENE_BANDS, Scene, scene_from_item, tell_apart
from terramosaic.errors import CatalogError, MissingBandError

PC_TILE_EDGES = (499980.0, 4490220.0, 609780.0, 4600020.0)


def utc(*numbers):
    return datetime(*numbers, tzinfo=UTC)


@pytest.fixture(scope="module")
def items(shared_data):
    """Real items by a short name."""
    folder = shared_data / "stac-items"

    def read(name, index=0):
        document = json.loads((folder / name).read_text())
        features = document if isinstance(document, list) else document.get("features", [document])
        return features[index]

    return {
        "planetary computer": read("planetary-computer_200_items.json"),
        "planetary computer 2019": read("pc_S2B_MSIL2A_20190629_T06VVN.json"),
        "planetary computer 04.00": read("pc_sentinel-2-item.json"),
        "earth search": read("earth-search-v1/S2A_12RWT_20240106_0_L2A.json"),
        "earth search c1": read("rustac_sentinel-2_item-collection.json"),
        "earth search v0": read("earth-search-v0_20_items.json"),
        "copernicus 2020": read("cdse_2020_N0500.json"),
        "copernicus 2026": read("cdse_2026_N0512.json"),
    }


def test_scenes_of_one_id_have_keys_of_their_own(items):
    one = scene_from_item(items["earth search"])
    other = one.model_copy(update={"collection": "other"})
    moved = one.model_copy(update={"mgrs_tile": "12RWS"})
    nobodys = [
        one.model_copy(update={"collection": "", "id": name}) for name in ("x", f"{one.collection}/{one.id}")
    ]

    def keys(*scenes):
        return [scene.key for scene in tell_apart(scenes)]

    assert keys(one, nobodys[0]) == [one.id, "x"]
    assert keys(one, other) == [f"{one.collection}/{one.id}", f"other/{one.id}"]
    assert keys(one, moved, other) == [
        *(f"{one.collection}/{one.id}~{scene.fingerprint}" for scene in (one, moved)), f"other/{one.id}"
    ]  # fmt: skip
    assert keys(moved, one)[::-1] == keys(one, moved)
    assert len(set(keys(one, other, nobodys[1]))) == 3
    assert tell_apart([one])[0].identity() == one.identity()


FACTS = {
    # name: provider, platform, tile, epsg, baseline, solar day, sensing start, generation time, cloud
    "planetary computer": (
        "planetary-computer", "sentinel-2b", "13TEF", 32613, "05.11", date(2024, 8, 28),
        utc(2024, 8, 28, 18, 1, 34), utc(2024, 8, 28, 21, 49, 16), 8.7e-05,
    ),
    "planetary computer 2019": (
        "planetary-computer", "sentinel-2b", "06VVN", 32606, "02.12", date(2019, 6, 29),
        utc(2019, 6, 29, 21, 25, 30), utc(2020, 10, 6, 8, 5, 31, 830000), 0.314306,
    ),
    "planetary computer 04.00": (
        "planetary-computer", "sentinel-2b", "24XWR", 32624, "04.00", date(2022, 6, 12),
        utc(2022, 6, 12, 18, 29, 20), utc(2022, 6, 13, 12, 32, 51, 874500), 30.529344,
    ),
    "earth search": (
        "earth-search", "sentinel-2a", "12RWT", 32612, "05.10", date(2024, 1, 6),
        utc(2024, 1, 6, 18, 5, 27), utc(2024, 1, 6, 20, 55, 50), 1.051041,
    ),
    "earth search c1": (
        "earth-search", "sentinel-2a", "13TDE", 32613, "05.10", date(2024, 4, 22),
        utc(2024, 4, 22, 17, 47, 53), utc(2024, 4, 23, 0, 49, 50), 81.344962,
    ),
    # Its own grid:code says 60CWE, and its datastrip is not named.
    "earth search v0": (
        "earth-search-v0", "sentinel-2b", "01CCV", 32701, "00.01", date(2018, 10, 4),
        utc(2018, 10, 4, 21, 5, 21), utc(2020, 3, 7, 11, 57, 7), 17.19,
    ),
    "copernicus 2020": (
        "copernicus", "sentinel-2b", "36NYH", 32636, "05.00", date(2020, 3, 22),
        utc(2020, 3, 22, 7, 58, 11), utc(2023, 6, 12, 21, 42, 23), 87.94,
    ),
    "copernicus 2026": (
        "copernicus", "sentinel-2c", "55WFR", 32655, "05.12", date(2026, 5, 27),
        utc(2026, 5, 27, 1, 46, 47), utc(2026, 5, 27, 4, 20, 5), 36.08,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FACTS)
def test_facts_of_each_provider(items, name):
    scene = scene_from_item(items[name])
    found = (
        scene.profile, scene.platform, scene.mgrs_tile, scene.epsg, scene.processing_baseline,
        scene.solar_day, scene.sensing_start, scene.generation_time, scene.cloud_cover,
    )  # fmt: skip
    assert found == FACTS[name]
    assert scene.id == items[name]["id"] and scene.collection == items[name]["collection"]


#: Bands whose names differ between providers, and what must be subtracted from all twelve.
FILES = {
    "planetary computer": ({"B01": "B01", "B04": "B04", "B8A": "B8A", "SCL": "SCL"}, 1000),
    "planetary computer 2019": ({"B01": "B01", "B12": "B12", "SCL": "SCL"}, 0),
    "planetary computer 04.00": ({"B04": "B04"}, 1000),
    "earth search": (
        {
            "B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1",
            "B06": "rededge2", "B07": "rededge3", "B08": "nir", "B8A": "nir08", "B09": "nir09",
            "B11": "swir16", "B12": "swir22", "SCL": "scl",
        },
        0,
    ),
    "earth search c1": ({"B02": "blue", "B8A": "nir08", "SCL": "scl"}, 1000),
    "earth search v0": ({"B02": "B02", "B8A": "B8A", "SCL": "SCL"}, 0),
    "copernicus 2020": (
        {
            "B01": "B01_60m", "B02": "B02_10m", "B03": "B03_10m", "B04": "B04_10m", "B05": "B05_20m",
            "B06": "B06_20m", "B07": "B07_20m", "B08": "B08_10m", "B8A": "B8A_20m", "B09": "B09_60m",
            "B11": "B11_20m", "B12": "B12_20m", "SCL": "SCL_20m",
        },
        1000,
    ),
    "copernicus 2026": ({"B01": "B01_60m", "B08": "B08_10m", "SCL": "SCL_20m"}, 1000),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_files_and_offsets_of_each_provider(items, name):
    keys, offset = FILES[name]
    scene = scene_from_item(items[name])
    assert tuple(scene.assets) == SCENE_BANDS
    assert {band: scene.assets[band].key for band in keys} == keys
    for band, asset in scene.assets.items():
        assert asset.band == band
        assert asset.href == items[name]["assets"][asset.key]["href"]
        assert asset.offset == (0 if band == "SCL" else offset), band


def test_bounds_come_from_the_ten_metre_band(items):
    assert scene_from_item(items["planetary computer"]).grid_bounds == PC_TILE_EDGES
    assert scene_from_item(items["copernicus 2026"]).grid_bounds == (600000, 7490220, 709800, 7600020)
    untold = deepcopy(items["planetary computer"])
    for name in ("proj:transform", "proj:shape"):
        del untold["assets"]["B04"][name]
    assert scene_from_item(untold).grid_bounds == PC_TILE_EDGES  # proj:bbox is left
    del untold["assets"]["B04"]["proj:bbox"]
    assert scene_from_item(untold).grid_bounds is None


def test_a_scene_survives_json(items):
    for item in items.values():
        scene = scene_from_item(item)
        assert Scene.model_validate_json(scene.model_dump_json()) == scene


def test_a_missing_band_is_named_only_when_it_is_wanted(items):
    item = deepcopy(items["earth search"])
    for key in ("nir08", "nir08-jp2", "visual"):
        del item["assets"][key]
    scene = scene_from_item(item)
    assert "B8A" not in scene.assets
    assert [asset.key for asset in scene.require(["B04", "SCL"]).values()] == ["red", "scl"]
    with pytest.raises(
        MissingBandError, match="item S2A_12RWT_20240106_0_L2A lacks B8A; its assets are aot, blue"
    ):
        scene.require(S2L2A_BANDS)


def test_the_cog_is_preferred_to_its_twin_and_the_twin_keeps_the_offset(items):
    item = deepcopy(items["earth search"])
    del item["assets"]["red"]
    scene = scene_from_item(item)
    assert (scene.assets["B04"].key, scene.assets["B04"].offset) == ("red-jp2", 1000)
    assert scene.assets["B04"].href == "s3://sentinel-s2-l2a/tiles/12/R/WT/2024/1/6/0/B04.jp2"
    assert (scene.assets["B03"].key, scene.assets["B03"].offset) == ("green", 0)
    assert "JPEG 2000 original" in scene.offset_rule and "boa_offset_applied is true" in scene.offset_rule


def test_a_saved_signature_is_taken_off(items):
    item = deepcopy(items["planetary computer"])
    plain = item["assets"]["B04"]["href"]
    item["assets"]["B04"]["href"] = (
        plain + "?st=2024-01-01T00%3A00%3A00Z&se=2024-01-02T00%3A00%3A00Z&sp=rl&sig=x"
    )
    assert scene_from_item(item).assets["B04"].href == plain


def test_the_tile_of_earth_search_v0_is_not_its_grid_code(items):
    item = deepcopy(items["earth search v0"])
    del item["properties"]["sentinel:product_id"]
    assert scene_from_item(item).mgrs_tile == "01CCV"
    for part in ("utm_zone", "latitude_band", "grid_square"):
        del item["properties"][f"sentinel:{part}"]
    assert item["properties"]["grid:code"] == "MGRS-60CWE" == f"MGRS-{scene_from_item(item).mgrs_tile}"
    del item["properties"]["grid:code"]
    assert scene_from_item(item).mgrs_tile == "01CCV"  # from S2B_1CCV_20181004_0_L2A


def test_identity_follows_content_neither_place_nor_what_a_catalog_says_of_itself(items):
    item = items["earth search c1"]
    same = scene_from_item(item).identity()
    assert json.loads(json.dumps(same)) == same
    touched = deepcopy(item)
    for asset in touched["assets"].values():
        asset["href"] = f"/elsewhere/{asset['href'].rpartition('/')[2]}?token=abc/def"
        asset["title"] = "another"
    touched["links"] = []
    touched["properties"] |= {"updated": "2030-01-01T00:00:00Z", "created": "2030-01-01T00:00:00Z", "new": 1}
    touched["properties"]["eo:cloud_cover"] = 99
    assert scene_from_item(touched).identity() == same


def _without_product(item):
    item["properties"] = {
        name: value
        for name, value in item["properties"].items()
        if name not in ("s2:product_uri", "s2:datastrip_id")
    }
    item["properties"]["datetime"] = "2024-04-22T00:00:00Z"


@pytest.mark.parametrize(
    "change",
    [
        lambda item: item["properties"].update({"s2:processing_baseline": "05.11"}),
        lambda item: item["properties"].update({"s2:generation_time": "2024-05-01T00:00:00Z"}),
        lambda item: item["properties"].update({"earthsearch:boa_offset_applied": True}),
        lambda item: item["properties"].update({"platform": "sentinel-2b"}),
        lambda item: item.update({"id": "another"}),
        lambda item: item.update({"collection": "another"}),
        lambda item: item["assets"]["red"].update({"file:checksum": "1220ff"}),
        lambda item: item["assets"]["red"].update({"href": "https://example.com/other.tif"}),
        _without_product,
    ],
)
def test_identity_follows_product_processing_offset_and_files(items, change):
    item = deepcopy(items["earth search c1"])
    before = scene_from_item(item).identity()
    change(item)
    assert scene_from_item(item).identity() != before


def test_checksums_can_be_left_out_of_an_identity(items):
    item = deepcopy(items["earth search c1"])
    told = scene_from_item(item)
    assert told.assets["B04"].checksum == item["assets"]["red"]["file:checksum"]
    for asset in item["assets"].values():
        asset.pop("file:checksum", None)
    untold = scene_from_item(item)
    assert untold.identity() == told.identity(checksums=False) != told.identity()


def test_names_alone_tell_what_properties_leave_out(items):
    item = deepcopy(items["planetary computer"])
    item["properties"] = {"datetime": "2024-08-28T17:49:09.024Z", "s2:product_type": "S2MSI2A"}
    scene = scene_from_item(item)
    assert (scene.platform, scene.mgrs_tile, scene.epsg) == ("sentinel-2b", "13TEF", 32613)
    assert scene.generation_time == utc(2024, 8, 28, 21, 49, 16)
    assert scene.sensing_start == utc(2024, 8, 28, 17, 49, 9)
    assert (scene.processing_baseline, scene.cloud_cover) == (None, None)
    assert scene.offset_rule.startswith("guessed") and scene.offset_is_guessed
    item["properties"]["s2:product_uri"] = "S2B_MSIL2A_20240828T174909_N0511_R141_T13TEF_20240828T214916.SAFE"
    scene = scene_from_item(item)
    assert scene.processing_baseline == "05.11" and not scene.offset_is_guessed


@pytest.mark.parametrize(
    ("band", "names", "says"),
    [
        ("B02", ("B02_20m",), {}),
        ("B02", ("B02_60m",), {}),
        ("B05", ("B05_60m",), {}),
        ("B04", ("B04",), {"proj:transform": [20, 0, 499980, 0, -20, 5000040]}),
        ("B04", ("B04",), {"raster:bands": [{"spatial_resolution": 20}]}),
        ("B08", ("B08",), {"gsd": 60}),
        ("SCL", ("SCL_60m",), {}),
    ],
)
def test_a_band_at_another_of_sentinel_2s_resolutions_is_refused_by_name(band, names, says):
    found = item_of({name: {"href": f"{name}.tif", **says} for name in names})
    with pytest.raises(
        CatalogError, match=rf"^asset {names[0]} of item x has pixels of [26]0 m, and {band} is wanted"
    ):
        scene_from_item(found)


def test_a_band_at_its_own_or_a_finer_resolution_is_taken():
    names = {
        "B02": ("B02_20m", "B02_10m"),
        "B01": ("B01_20m",),
        "B05": ("B05_20m", "B05_60m"),
        "SCL": ("SCL_20m",),
    }
    found = item_of({name: {"href": name} for several in names.values() for name in several})
    keys = {band: asset.key for band, asset in scene_from_item(found).assets.items()}
    assert keys == {"B02": "B02_10m", "B01": "B01_20m", "B05": "B05_20m", "SCL": "SCL_20m"}
    # An overview of a scene, said to be one, is no mix-up.
    coarse = {"href": "B04", "proj:transform": [120, 0, 499980, 0, -120, 5000040]}
    assert "B04" in scene_from_item(item_of({"B04": coarse})).assets


def item_of(assets):
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": "x", "links": [], "geometry": mapping(box(15, 45, 16, 46)),
        "properties": {"datetime": "2023-08-15T10:00:00Z", "platform": "sentinel-2a", "proj:epsg": 32633},
        "assets": assets,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["13TEF", "T13TEF", "t13tef"])
def test_a_tile_is_the_same_with_the_t_of_esas_names(items, name):
    item = deepcopy(items["planetary computer"])
    for code in ("proj:epsg", "proj:code"):
        item["properties"].pop(code, None)
    item["properties"]["s2:mgrs_tile"] = name
    scene = scene_from_item(item, PLANETARY_COMPUTER)
    assert (scene.mgrs_tile, scene.epsg) == ("13TEF", 32613)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"geometry": None}, "item x has no usable geometry"),
        ({"properties": {"proj:epsg": 32633}}, "item x has neither datetime nor start_datetime"),
        (
            {"properties": {"proj:epsg": 32633, "datetime": "yesterday"}},
            "item x has a datetime that is not RFC 3339",
        ),
        ({"properties": {"datetime": "2023-08-15T10:00:00Z"}}, "item x says neither its CRS"),
        (
            {"properties": {"datetime": "2023-08-15T10:00:00Z", "proj:code": "EPSG:4326"}},
            "item x is in EPSG:4326",
        ),
        ({"assets": None}, "item x is no STAC item: it has no assets"),
    ],
)
def test_unusable_items_are_refused_in_a_line(change, message):
    item = {
        "id": "x",
        "geometry": mapping(box(14, 46, 15, 47)),
        "assets": {},
        "properties": {"proj:epsg": 32633, "datetime": "2023-08-15T10:00:00Z"},
    }
    scene_from_item(item)
    item = {key: value for key, value in (item | change).items() if value is not None}
    with pytest.raises(CatalogError, match=message):
        scene_from_item(item)


def test_vocabularies_are_recognised_by_marks(items):
    assert profile_of(items["copernicus 2026"]) is COPERNICUS
    assert profile_of(items["earth search c1"]) is EARTH_SEARCH
    assert profile_of(items["planetary computer"]) is PLANETARY_COMPUTER
    b04 = {"href": "/a/B04.tif"}
    assert (
        profile_of({"properties": {"s2:processing_baseline": "05.09"}, "assets": {"B04": b04}})
        is PLANETARY_COMPUTER
    )
    # Unlike Planetary Computer's, this asset says itself what its numbers mean.
    honest = b04 | {"raster:bands": [{"scale": 1e-4, "offset": 0}]}
    assert (
        profile_of({"properties": {"s2:processing_baseline": "05.09"}, "assets": {"B04": honest}}) is GENERIC
    )
    assert profile_of({"properties": {}, "assets": {"red": {"href": "/a/red.tif"}}}) is GENERIC


def tile_at(west, east, *, zone, hour=22):
    """A made-up item whose polygon is written as some catalogs do: with longitudes as they come."""
    ring = [[west, 60], [east, 60], [east, 61], [west, 61], [west, 60]]
    return {
        "id": f"at{west}", "assets": {}, "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"datetime": f"2023-08-15T{hour}:00:00Z", "proj:epsg": 32600 + zone},
    }  # fmt: skip


def test_a_footprint_over_the_antimeridian_is_split_however_it_is_written():
    expected = shapely.union_all([box(179, 60, 180, 61), box(-180, 60, -179, 61)])
    for west, east in [(179, -179), (179, 181), (-181, -179)]:
        found = footprint_of(tile_at(west, east, zone=1))
        assert found.equals(expected), (west, east)
    halves = {"id": "x", "geometry": mapping(expected)}
    assert footprint_of(halves).equals(expected)


def test_the_middle_of_a_split_footprint_lies_on_its_zones_side():
    split = footprint_of(tile_at(179, -179, zone=1))
    assert middle_longitude(split, 32601) == pytest.approx(-180)
    assert middle_longitude(split, 32660) == pytest.approx(180)
    # 177.5 east in zone 1: as far west of its meridian (-177) as -182.5.
    assert middle_longitude(box(177, -73, 178, -72), 32701) == pytest.approx(-182.5)
    assert middle_longitude(box(14, 46, 15, 47), 32633) == pytest.approx(14.5)


@pytest.mark.parametrize(
    ("west", "east", "zone", "hour", "day"),
    [
        (14, 15, 33, 10, date(2023, 8, 15)),
        (16, 17, 33, 23, date(2023, 8, 16)),
        (-156, -155, 4, 10, date(2023, 8, 14)),  # Hawaii, before midnight
        (178, 179, 60, 22, date(2023, 8, 16)),
        (-179, -178, 1, 22, date(2023, 8, 15)),
        (179, -179, 1, 22, date(2023, 8, 15)),
        (179, -179, 60, 22, date(2023, 8, 16)),
        (178, 179, 1, 22, date(2023, 8, 15)),  # a tile of zone 1 keeps to its neighbours' day
    ],
)
def test_solar_day(west, east, zone, hour, day):
    assert scene_from_item(tile_at(west, east, zone=zone, hour=hour)).solar_day == day


def test_a_broken_footprint_is_repaired():
    bow_tie = [[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]
    found = footprint_of({"id": "x", "geometry": {"type": "Polygon", "coordinates": [bow_tie]}})
    assert found.is_valid and found.area == pytest.approx(2)
    assert shape(mapping(found)).is_valid


def test_areas_are_in_proportion_to_the_ground():
    # Sphere: a degree between 60 and 61 north is as long as cos(60.5 degrees) of one at the equator.
    assert square_degrees(box(0, 60, 1, 61)) / square_degrees(box(0, -0.5, 1, 0.5)) == pytest.approx(
        0.49242, abs=1e-5
    )
