"""The newest mosaics in catalogs and GIS programs: an item that the collection links to, quicklooks, and styles."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pystac
import pytest
import rasterio
from PIL import Image

from terramosaic.ground.grid import Rect
from terramosaic.storage.hashes import multihash_of
from terramosaic.storage.location import location
from terramosaic.watch.collection import MapCollection
from terramosaic.watch.stable_paths import point
from tests.integration.conftest import LAND, Catalog
from tests.integration.watch.newest_region import put, watch

PLACE = Rect(LAND.row, LAND.col, 240, 240)


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """A watched region with two acquisitions, mapped one after the other; the second one has a hole."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "catalog").mkdir()
    catalog = Catalog(folder / "catalog")
    holes = np.zeros(PLACE.shape, bool)
    holes[:120] = True
    request = catalog.request(
        PLACE, folder / "maps", datetime="2023-01-01/..", targets=("NDVI", "LULC", "S1GRD")
    )
    put(catalog, "2023-08-10", place=PLACE)
    watch(request, "2023-08-11")
    put(catalog, "2023-08-12", place=PLACE, holes=holes)
    watch(request, "2023-08-13")
    return folder / "maps"


@pytest.fixture(scope="module")
def item(out) -> pystac.Item:
    collection = pystac.Collection.from_file(out / "collection.json")
    (found,) = [one for one in collection.get_items() if one.properties.get("terramosaic:newest")]
    return found


def test_the_collection_links_to_it_beside_the_acquisitions(out, item):
    collection = pystac.Collection.from_file(out / "collection.json")
    items = list(collection.get_items())
    assert len(items) == 3 and item.collection_id == collection.id
    assert item.get_collection().id == collection.id and item.get_root().id == collection.id
    others = {Path(one.self_href) for one in items if one.id != item.id}
    sources = [Path(link.get_absolute_href()).resolve() for link in item.get_links("derived_from")]
    assert {one.parent.name for one in sources} == {one.parent.name for one in others}
    assert all(one.is_file() for one in sources)
    assert item.datetime.date().isoformat() == "2023-08-12"
    assert item.properties["start_datetime"].startswith("2023-08-10")
    # It is no acquisition.
    assert len(MapCollection(location(str(out))).mapped) == 2


def test_it_is_valid_and_vouches_for_its_files(item):
    core = item.to_dict() | {"stac_extensions": []}
    assert pystac.validation.validate_dict(core, pystac.STACObjectType.ITEM, "1.1.0")
    for name, asset in item.assets.items():
        path = Path(asset.get_absolute_href())
        assert path.is_file(), name
        if "file:checksum" in asset.extra_fields:
            assert asset.extra_fields["file:checksum"] == multihash_of(path)
            with rasterio.open(path) as dataset:
                assert list(dataset.shape) == asset.extra_fields["proj:shape"]
                assert len(asset.extra_fields["bands"]) == dataset.count
    assert {
        "NDVI",
        "NDVI_style",
        "NDVI_quicklook",
        "LULC_table",
        "S1GRD_composite",
        "acquired",
        "quality",
    } <= (item.assets.keys())


def test_figures_are_of_the_pixels_that_are_seen(out, item):
    with rasterio.open(out / "newest" / "NDVI.tif") as dataset:
        pixels = dataset.read(1)
        seen = pixels[pixels != dataset.nodata] * dataset.scales[0]
    (band,) = item.assets["NDVI"].extra_fields["bands"]
    assert band["statistics"]["mean"] == pytest.approx(seen.mean(), abs=1e-5)
    days = item.assets["acquired"].extra_fields["bands"][0]["classification:classes"]
    shares = {one["title"]: one.get("percentage") for one in days if not one.get("nodata")}
    assert shares.keys() == {"2023-08-10", "2023-08-12"} and all(share > 0 for share in shares.values())


def test_pictures_show_them(out, item):
    for name in ("NDVI", "LULC", "S1GRD", "acquired"):
        picture = np.asarray(Image.open(item.assets[f"{name}_quicklook"].get_absolute_href()).convert("RGB"))
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1, name


def test_styles_lie_where_the_paths_stay(out):
    newest = out / "newest"
    for name in ("NDVI", "LULC", "S1GRD", "acquired", "quality", "S1GRD_composite"):
        assert ElementTree.parse(newest / f"{name}.qml").getroot().tag == "qgis", name
    entries = {one.attrib["label"] for one in ElementTree.parse(newest / "acquired.qml").iter("paletteEntry")}
    assert entries == {"2023-08-10", "2023-08-12"}
    with rasterio.open(newest / "S1GRD_composite.vrt") as dataset:
        vv, vh, difference = dataset.read().astype(int)
        assert (difference == vv - vh)[vv != dataset.nodata].all()


def test_a_style_that_somebody_saved_there_stays(out):
    newest = out / "newest"
    (newest / "NDVI.qml").unlink()
    (newest / "NDVI.qml").write_text("<qgis version='3.40'/>")
    (newest / "mine.qml").write_text("<qgis version='3.40'/>")
    from terramosaic.watch.generation import Generation

    name = (newest / "current").readlink().name
    point(location(str(newest)), name, Generation.read(newest / name).mosaics)
    assert (newest / "NDVI.qml").read_text() == (newest / "mine.qml").read_text() == "<qgis version='3.40'/>"


def test_an_acquisition_that_comes_later_leaves_the_link(out):
    before = json.loads((out / "collection.json").read_text())
    (link,) = [link for link in before["links"] if link.get("terramosaic:newest")]
    assert (out / link["href"]).is_file() and link["rel"] == "item"
    generations = [path for path in (out / "newest").iterdir() if path.is_dir() and not path.is_symlink()]
    assert len(generations) == 2 and all((path / "item.json").exists() for path in generations)


def test_the_report_shows_them_and_leads_to_each_acquisition(out, item):
    page = Path(item.assets["report"].get_absolute_href())
    text = page.read_text()
    links = set(re.findall(r'href="([^"#]+)"', text))
    assert all((page.parent / link).is_file() for link in links), links
    assert sum(link.endswith("report.html") for link in links) == 2
    assert {"NDVI.tif", "NDVI.qml", "quicklooks/NDVI.png", "item.json", "../../collection.json"} <= links
    # Half of the newest has no data, and the older one is seen there.
    assert text.count(">50") >= 2 and "2023-08-10" in text and "Not TerraMind" in text
    assert text.count("url(&#34;data:image/") + text.count('url("data:image/') >= 5
    assert (out / "newest" / "current" / "report.html").resolve() == page.resolve()
