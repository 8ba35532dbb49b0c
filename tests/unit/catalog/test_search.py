"""Catalogs on disk, opening by name, and hints for nothing."""

import json
import shutil
import sys
from datetime import UTC, datetime

import pytest
from shapely.geometry import box, mapping

from terramosaic.catalog.api import ApiCatalog
from terramosaic.catalog.files import FileCatalog
from terramosaic.catalog.profiles import COPERNICUS, EARTH_SEARCH, GENERIC, PLANETARY_COMPUTER
from terramosaic.catalog.search import hint_for_nothing, open_catalog
from terramosaic.errors import CatalogError, RequestError

WORLD = [box(-180, -90, 180, 90)]
REGION = [box(14.2, 46.2, 14.8, 46.8)]


def day(number, month=8, year=2023):
    return datetime(year, month, number, tzinfo=UTC)


def item(name, *, on=15, cloud=10.0, ground=(14, 46, 15, 47), collection="sentinel-2-l2a", **properties):
    when = {"datetime": f"2023-08-{on:02d}T10:00:00.500Z", "eo:cloud_cover": cloud, "proj:epsg": 32633}
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": collection, "links": [],
        "geometry": mapping(box(*ground)), "properties": when | properties,
        "assets": {"red": {"href": "./red.tif"}, "far": {"href": "https://example.org/red.tif"}},
    }  # fmt: skip


def ids(items):
    return [one["id"] for one in items]


def write(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def everything(path, collection=None):
    return FileCatalog(path, collection).search(WORLD, None, None, None)


def test_every_kind_of_file_and_folder(tmp_path):
    one, two = item("one"), item("two", on=16)
    single = write(tmp_path / "folder/deep/one.json", one)
    write(tmp_path / "folder/deeper/down/two.geojson", two)
    collection = {"type": "FeatureCollection", "features": [one, two]}
    write(tmp_path / "folder/again.json", collection)
    write(
        tmp_path / "folder/catalog.json", {"type": "Catalog", "links": [{"rel": "item", "href": "gone.json"}]}
    )
    write(
        tmp_path / "folder/region.geojson",
        {"type": "Feature", "geometry": mapping(REGION[0]), "properties": {}},
    )
    write(tmp_path / "folder/THREE.JSON", item("three"))
    write(tmp_path / "folder/plan.json", {"format": "of somebody else"})
    write(tmp_path / "folder/numbers.json", [1, 2])
    assert ids(everything(single)) == ["one"]
    assert ids(everything(write(tmp_path / "collection.json", collection))) == ["one", "two"]
    assert ids(everything(write(tmp_path / "list.json", [one, two]))) == ["one", "two"]
    # Those that come twice are two; which to use is decided by what they say (`drop_superseded`).
    assert sorted(ids(everything(tmp_path / "folder"))) == ["one", "one", "three", "two", "two"]


def test_items_on_lines_of_their_own(tmp_path):
    lines = [json.dumps(item(name)) for name in ("one", "two")]
    assert ids(everything(write(tmp_path / "a/items.ndjson", "\n".join(lines) + "\n"))) == ["one", "two"]
    sequence = "".join(f"\x1e{line}\n" for line in lines)
    assert ids(everything(write(tmp_path / "b/items.jsonl", sequence))) == ["one", "two"]
    assert ids(everything(write(tmp_path / "c/one.ndjson", lines[0] + "\n"))) == ["one"]
    assert ids(everything(tmp_path / "a")) == ["one", "two"]
    with pytest.raises(CatalogError, match="it is not JSON in line 2"):
        everything(write(tmp_path / "d/items.ndjson", "\n".join(lines)[:-9]))


def test_items_in_the_rows_of_a_table(tmp_path):
    arrow = pytest.importorskip("stac_geoparquet.arrow")
    from pyarrow import parquet

    said = [item(name) | {"bbox": [14, 46, 15, 47]} for name in ("one", "two")]
    parquet.write_table(arrow.parse_stac_items_to_arrow(said).read_all(), tmp_path / "items.parquet")
    found = everything(tmp_path / "items.parquet")
    assert ids(found) == ["one", "two"]
    assert found[0]["assets"]["red"]["href"] == str(tmp_path / "red.tif")
    assert ids(FileCatalog(tmp_path / "items.parquet").search(REGION, day(15), day(16), 10)) == ["one", "two"]


def test_a_table_without_its_reader_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        CatalogError, match=r"stac-geoparquet: pip install 'terramosaic\[vectors\]' to read it"
    ):
        everything(write(tmp_path / "items.parquet", "PAR1 and so on"))


def test_links_of_a_static_catalog_are_followed_once(tmp_path):
    links = [
        {"rel": "self", "href": "https://example.org/catalog.json"},
        {"rel": "child", "href": "./l2a/collection.json"},
        {"rel": "item", "href": "one.json"},
    ]
    root = write(tmp_path / "catalog.json", {"type": "Catalog", "links": links})
    write(tmp_path / "one.json", item("one"))
    back = [
        {"rel": "child", "href": "../catalog.json"},
        {"rel": "item", "href": f"{tmp_path}/l2a/two/two.json"},
    ]
    write(tmp_path / "l2a/collection.json", {"type": "Collection", "links": back})
    write(tmp_path / "l2a/two/two.json", item("two"))
    found = everything(root)
    assert sorted(ids(found)) == ["one", "two"]
    assert {one["assets"]["red"]["href"] for one in found} == {
        str(tmp_path / "red.tif"),
        str(tmp_path / "l2a/two/red.tif"),
    }
    assert {one["assets"]["far"]["href"] for one in found} == {"https://example.org/red.tif"}


def test_a_catalog_may_be_as_deep_as_it_likes(tmp_path):
    for level in range(1200):
        links = [{"rel": "child", "href": f"{level + 1}.json"}]
        write(tmp_path / f"{level}.json", {"type": "Catalog", "links": links})
    write(tmp_path / "1200.json", item("one"))
    assert ids(everything(tmp_path / "0.json")) == ["one"]


def test_the_real_static_catalog_and_its_folder(shared_data):
    folder = shared_data / "scenes-33TWL-33TWM"
    start, end = day(13), day(15)
    found = FileCatalog(folder / "catalog.json").search(WORLD, start, end, None)
    assert ids(found) == ["S2B_33TWL_20230813_0_L2A", "S2B_33TWM_20230813_0_L2A"]
    assert sorted(ids(everything(folder))) == sorted(ids(everything(folder / "catalog.json")))
    assert all(
        one["assets"]["red"]["href"] == str(folder / f"sentinel-2-l2a/{one['id']}/B04.tif") for one in found
    )


def test_hrefs_of_every_form(tmp_path):
    forms = {
        "../B04.tif": str(tmp_path / "B04.tif"),
        "file:///data/with%20space/B04.tif": "/data/with space/B04.tif",
        "/data/B04.tif": "/data/B04.tif",
        "s3://eodata/B04.jp2": "s3://eodata/B04.jp2",
    }
    assets = {str(number): {"href": href} for number, href in enumerate(forms)} | {"none": {}}
    file = write(tmp_path / "items/one.json", item("one") | {"assets": assets})
    (found,) = everything(file)
    assert [asset.get("href") for asset in found["assets"].values()] == [*forms.values(), None]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read .*: No such file"),
        ("not json", "is not JSON"),
        ("[" * 200_000, "is not JSON: "),
        ({"type": "Topology"}, "is neither a STAC item, an ItemCollection, a catalog nor a collection"),
        ([{"type": "Feature"}], "item without id is no STAC item: it has no id"),
        ([1], "what should be a STAC item is no JSON object"),
        ([item("one") | {"assets": None}], "item one is no STAC item: it has no assets"),
        (
            {"type": "Catalog", "links": [{"rel": "child", "href": "gone.json"}]},
            "links to child gone.json, which does not",
        ),
        (
            {"type": "Catalog", "links": [{"rel": "item", "href": "https://me:Pa55word@example.org/i.json"}]},
            r"links to https://example.org/i.json; a catalog on disk must hold its items on disk",
        ),
        (item("one") | {"geometry": None}, "item one has no usable geometry"),
    ],
)
def test_broken_catalogs_are_refused_in_a_line(tmp_path, content, message):
    file = tmp_path / "catalog.json"
    if content is not None:
        write(file, content)
    with pytest.raises(CatalogError, match=message) as error:
        everything(file)
    assert "\n" not in str(error.value)


def test_filters(tmp_path):
    items = [
        item("clear", on=15, cloud=0),
        item("clouded", on=16, cloud=80),
        item("untold", on=17, cloud=None),
        item("elsewhere", on=18, ground=(20, 46, 21, 47)),
        item("other", on=19, collection="sentinel-2-c1-l2a"),
        item("interval", datetime=None, start_datetime="2023-08-20T10:00:00Z"),
    ]
    catalog = FileCatalog(write(tmp_path / "items.json", items))
    search = catalog.search
    assert ids(search(REGION, None, None, None)) == ["clear", "clouded", "untold", "other", "interval"]
    assert ids(search([box(20, 46, 21, 47), *REGION], None, None, 10)) == [
        "clear", "untold", "elsewhere", "other", "interval",
    ]  # fmt: skip
    # Both ends are inclusive to the second, whatever fraction of it the item gives.
    ten = datetime(2023, 8, 16, 10, 0, 0, tzinfo=UTC)
    assert ids(search(REGION, None, ten, None)) == ["clear", "clouded"]
    assert ids(search(REGION, ten, ten, None)) == ["clouded"]
    assert ids(search(REGION, ten, None, 79.9)) == ["untold", "other", "interval"]
    # What names no collection, or something that is none, may be of any.
    write(
        tmp_path / "items.json",
        [*items, item("nobody's", collection=None), item("a list's", collection=["x"])],
    )
    only = FileCatalog(tmp_path / "items.json", "sentinel-2-c1-l2a")
    assert ids(only.search(REGION, None, None, None)) == ["other", "nobody's", "a list's"]


def test_a_region_on_both_sides_of_the_antimeridian(tmp_path):
    ring = [[179, 60], [-179, 60], [-179, 61], [179, 61], [179, 60]]
    crossing = item("crossing") | {"geometry": {"type": "Polygon", "coordinates": [ring]}}
    catalog = FileCatalog(
        write(tmp_path / "items.json", [crossing, item("greenwich", ground=(0, 60, 1, 61))])
    )
    for side in (box(179.5, 60.2, 180, 60.4), box(-180, 60.2, -179.5, 60.4)):
        assert ids(catalog.search([side], None, None, None)) == ["crossing"]
    assert ids(catalog.search([box(0, 60, 1, 61)], None, None, None)) == ["greenwich"]


def test_a_catalog_can_be_moved(tmp_path, shared_data):
    from terramosaic.catalog.scene import scene_from_item

    source = shared_data / "scenes-33TWL-33TWM"
    copy = tmp_path / "copy"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.tif*"))
    before, after = (
        [scene_from_item(one) for one in everything(folder / "catalog.json")] for folder in (source, copy)
    )
    assert [one.identity() for one in before] == [one.identity() for one in after]
    assert [one.assets["B04"].href for one in before] != [one.assets["B04"].href for one in after]


def test_opening_by_name_url_and_path(tmp_path):
    for name, profile in [
        ("planetary-computer", PLANETARY_COMPUTER),
        ("earth-search", EARTH_SEARCH),
        ("copernicus", COPERNICUS),
    ]:
        for catalog in (open_catalog(name), open_catalog(profile.url + "/")):
            assert isinstance(catalog, ApiCatalog) and catalog.profile is profile
            assert catalog.describe() == f"{profile.title} (sentinel-2-l2a)"
    assert open_catalog("earth-search", "sentinel-2-c1-l2a").describe() == "Earth Search (sentinel-2-c1-l2a)"
    other = open_catalog("https://stac.example.org/")
    assert other.profile is GENERIC and other.describe() == "https://stac.example.org (sentinel-2-l2a)"
    path = write(tmp_path / "items.json", [])
    spaced = write(tmp_path / "my items.json", [])
    for name in (str(path), f"file://{path}", str(tmp_path), f"file://{spaced}".replace(" ", "%20")):
        assert isinstance(open_catalog(name), FileCatalog)
    assert open_catalog(str(path), "c1").describe() == f"{path} (c1)"


def test_what_cannot_be_opened(tmp_path):
    with pytest.raises(CatalogError, match=r"catalog .*/none\.json does not exist"):
        open_catalog(str(tmp_path / "none.json"))
    with pytest.raises(
        RequestError, match="catalog: 'earthsearch' is not known; take planetary-computer, earth-search,"
    ):
        open_catalog("earthsearch")


def hint(catalog, start, end, max_cloud=40.0, region=REGION):
    return hint_for_nothing(catalog, region, start, end, max_cloud)


def test_hints(tmp_path):
    items = [
        item("a", on=10, cloud=12.4), item("b", on=15, cloud=63.2), item("c", on=15, cloud=90),
        item("d", on=20, cloud=100), item("e", on=25, cloud=None), item("far", ground=(50, 0, 51, 1)),
    ]  # fmt: skip
    catalog = FileCatalog(write(tmp_path / "items.json", items))
    assert hint(catalog, day(14), day(16)) == (
        "the clearest of 2 scenes there in that period has 63 % cloud: use --max-cloud 64"
    )
    assert (
        hint(catalog, day(19), day(21))
        == "the only scene there in that period has 100 % cloud: use --max-cloud 100"
    )
    assert hint(catalog, day(12), day(14)) == (
        "the nearest there are of 2023-08-10 (2 days before, 12 % cloud) "
        "and of 2023-08-15 (2 days after, 63 % cloud)"
    )
    assert hint(catalog, day(26), None) == "the nearest there is of 2023-08-25 (1 day before)"
    assert hint(catalog, None, day(1, year=2020)).startswith(
        "the nearest there is of 2023-08-10 (1105 days after"
    )
    nowhere = [box(100, 10, 101, 11)]
    assert hint(catalog, day(1), day(31), region=nowhere) == (
        f"{tmp_path}/items.json has nothing there: check the region and the collection"
    )
    assert hint(catalog, day(14), day(16), max_cloud=95).endswith("touches the region only at its edge")
    ours = item("ours", on=3, **{"terramosaic:run_id": "1"}) | {"assets": {"NDVI": {"href": "NDVI.tif"}}}
    catalog = FileCatalog(write(tmp_path / "items.json", [*items, ours]))
    assert hint(catalog, day(3), day(4)).startswith("the nearest there is of 2023-08-10")


def test_a_hint_looks_farther_only_if_it_must():
    asked = []

    class Slow:
        """Not on disk, so not all at hand; remembers how far it was asked."""

        profile = GENERIC

        def describe(self):
            return "slow"

        def stream(self, parts, start, end, max_cloud, unusable=None):
            asked.append((start, end))
            return (
                [item("old", on=10)]
                if start and end and day(11) < end < day(11, 12) and start < day(10)
                else []
            )

    found = hint_for_nothing(Slow(), REGION, day(1, 10), day(3, 10), 40)
    assert found == "the nearest there is of 2023-08-10 (52 days before, 10 % cloud)"
    before, after = day(1, 10), day(3, 10)
    assert asked[1:] == [
        (day(15, 9), before),
        (day(29, 7), before),
        (after, day(19, 10)),
        (after, day(6, 12)),
        (after, day(3, 10, 2024)),
    ]
    asked.clear()
    ends = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert "has nothing there" in hint_for_nothing(Slow(), [box(0, 0, 1, 1)], *ends, 40)
    assert asked[1:] == [(None, ends[0])] * 3 + [(ends[1], None)] * 3
    asked.clear()
    assert hint_for_nothing(Slow(), REGION, day(1, 1, 2020), day(2, 1, 2020), None) == (
        "slow has nothing there within a year of that period: check the region and the collection"
    )
