"""Watching a region: three days of a growing catalog, reprocessed imagery, several regions, two watchers at once."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import pystac
import pystac.validation
import pytest
import rasterio
from shapely.geometry import box, mapping

from terramosaic import map_region as map_without_prefect
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import lonlat_of
from terramosaic.request.request import request_of
from terramosaic.storage.lease import lease
from tests.integration.conftest import EPSG, LAND, Catalog
from tests.support.scenes import write_scene

#: Two blocks of 512 pixels, or four.
PLACE = Rect(LAND.row, LAND.col, 600, 600)


pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture
def growing(tmp_path) -> Catalog:
    """A catalog that has one acquisition so far."""
    folder = tmp_path / "catalog"
    folder.mkdir()
    catalog = Catalog(folder)
    catalog.add(scene(folder, "2023-08-15"))
    return catalog


def scene(folder, day, *, platform="A", **more):
    name = f"S2{platform}_33TWL_{day.replace('-', '')}"
    item = write_scene(folder / f"{name}{more.get('level', '')}", PLACE, name=name, day=day, **more)
    item["properties"]["platform"] = f"sentinel-2{platform.lower()}"
    return item


def watch(request, until, **options):
    from terramosaic_flows.watch_region import watch_region

    return watch_region(request, until=date.fromisoformat(until), return_state=True, **options)


def items_of(out) -> dict[str, pystac.Item]:
    collection = pystac.Collection.from_file(str(out / "collection.json"))
    return {link.extra_fields["terramosaic:solar_day"]: pystac.Item.from_file(link.get_absolute_href())
            for link in collection.get_links("item") if "terramosaic:run_id" in link.extra_fields}  # fmt: skip


def request_for(catalog, out, **options):
    return catalog.request(PLACE, out, datetime="2023-08-01/..", targets=("NDVI", "LULC"), **options)


@pytest.mark.slow
def test_three_days_of_a_growing_catalog(growing, tmp_path):
    out = tmp_path / "maps"
    request = request_for(growing, out)
    first = watch(request, "2023-08-15")
    assert first.is_completed() and first.message.endswith(
        "mapped 1 of 1 acquisitions since 2023-08-01: 2023-08-15"
    )

    same_day = watch(request, "2023-08-15")
    assert same_day.message.endswith(f" in {out}: nothing new: 1 acquisitions since 2023-08-01, all mapped")
    clouds = np.full((300, 300), 4)
    clouds[:, :100] = 9
    growing.add(scene(growing.folder, "2023-08-20", platform="B", level=300, scl=clouds))
    second = watch(request, "2023-08-20")
    assert second.message.endswith("mapped 1 of 2 acquisitions since 2023-08-01: 2023-08-20")

    before = items_of(out)["2023-08-15"]
    again = scene(growing.folder, "2023-08-15", level=900, offset=1000)
    again["id"] += "_N0510"
    again["properties"]["s2:processing_baseline"] = "05.10"
    growing.add(again)
    growing.add(scene(growing.folder, "2023-08-25", level=500))
    third = watch(request, "2023-08-25")
    assert third.message.endswith("mapped 2 of 3 acquisitions since 2023-08-01: 2023-08-15 again, 2023-08-25")
    items = items_of(out)
    assert list(items) == ["2023-08-15", "2023-08-20", "2023-08-25"]
    assert items["2023-08-15"].id != before.id
    replaced = json.loads(
        (out / "acquisitions" / before.id.removeprefix("terramosaic-") / "item.json").read_text()
    )
    assert replaced["properties"]["deprecated"] is True
    assert {link["rel"]: link["href"] for link in replaced["links"]}["successor-version"].endswith(
        "/item.json"
    )
    collection = pystac.Collection.from_file(str(out / "collection.json"))
    # Schemas of extensions are not at hand everywhere; those of the core come with pystac.
    core = json.loads((out / "collection.json").read_text()) | {"stac_extensions": []}
    assert pystac.validation.validate_dict(core, pystac.STACObjectType.COLLECTION, core["stac_version"])
    assert (out / collection.assets["newest-acquired"].href).exists()
    # What is needed no more, and what `latest` is.
    assert not list((out / "acquisitions").glob("*/blocks"))
    assert f"terramosaic-{(out / 'acquisitions' / 'latest').readlink()}" == items["2023-08-25"].id
    assert watch(request, "2023-08-25").message.endswith(
        "nothing new: 3 acquisitions since 2023-08-01, all mapped"
    )


@pytest.mark.slow
def test_an_item_that_cannot_be_used_stops_no_other_acquisition(growing, tmp_path):
    lacks = scene(growing.folder, "2023-08-20", platform="B")
    del lacks["assets"]["B8A"]
    growing.add(lacks)
    nowhere = scene(growing.folder, "2023-08-22")
    del nowhere["properties"]["proj:epsg"], nowhere["properties"]["s2:mgrs_tile"]
    growing.add(nowhere | {"id": "nowhere"})
    growing.add(scene(growing.folder, "2023-08-22"))  # of the same pass, which is not whole
    growing.add(scene(growing.folder, "2023-08-25", level=500))
    out = tmp_path / "maps"
    state = watch(request_for(growing, out), "2023-08-25")
    assert state.is_failed()
    first, *lines = state.message.splitlines()
    assert first == "2 items cannot be used; the other acquisitions are mapped"
    assert any("S2B_33TWL_20230820" in line and "B8A" in line for line in lines)
    assert any("nowhere" in line for line in lines)
    assert list(items_of(out)) == ["2023-08-15", "2023-08-25"]
    assert (out / "newest" / "NDVI.tif").exists()


def test_an_acquisition_equals_a_run_of_that_day_alone(growing, tmp_path):
    growing.add(scene(growing.folder, "2023-08-20", platform="B", level=300))
    assert watch(request_for(growing, tmp_path / "watched"), "2023-08-25").is_completed()
    alone = map_without_prefect(
        request_for(growing, tmp_path / "alone").model_copy(
            update={"datetime": "2023-08-20", "composite": "single"}
        )
    )
    watched = items_of(tmp_path / "watched")["2023-08-20"]
    with (
        rasterio.open(watched.assets["NDVI"].get_absolute_href()) as ours,
        rasterio.open(alone.mosaics["NDVI"]) as theirs,
    ):
        np.testing.assert_array_equal(ours.read(), theirs.read())


def test_several_regions_are_one_run_and_one_without_imagery_stops_no_other(growing, tmp_path, quick_retries):
    def feature(name, rect):
        left, bottom, right, top = rect.bounds
        shape = lonlat_of(box(left + 4, bottom + 4, right - 4, top - 4), EPSG)
        return {"type": "Feature", "properties": {"name": name}, "geometry": mapping(shape)}

    west, east = Rect(PLACE.row, PLACE.col, 300, 250), Rect(PLACE.row, PLACE.col + 300, 300, 250)
    broken = Rect(PLACE.row + 700, PLACE.col, 200, 200)
    # Its scene has files that are not there.
    lost = write_scene(tmp_path / "lost", broken, name="S2A_33TWM_20230816", day="2023-08-16")
    for file in (tmp_path / "lost").glob("*.tif"):
        file.unlink()
    growing.add(lost)
    regions = tmp_path / "regions.geojson"
    features = [feature("West", west), feature("Ôst", east), feature("lost", broken)]
    regions.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    fields = request_for(growing, tmp_path / "maps").model_dump(exclude_unset=True) | {
        "region": {"path": str(regions)}
    }
    request = request_of(**fields)
    state = watch(request, "2023-08-25")
    assert state.is_completed()
    west, east, lost = state.message.split("; ", 2)
    assert ": West: mapped 1 of 1 acquisitions" in west and east.startswith("Ost: mapped 1 of 1")
    assert lost.startswith("lost: acquisition of 2023-08-16: nothing is left to map")
    assert "S2A_33TWM_20230816" in lost
    for name in ("West", "Ost"):
        assert list(items_of(tmp_path / "maps" / name)) == ["2023-08-15"]
    assert not (tmp_path / "maps" / "lost" / "collection.json").exists()


def test_another_region_in_the_same_folder_is_refused(growing, tmp_path):
    watch(request_for(growing, tmp_path / "maps"), "2023-08-15")
    other = growing.request(Rect(PLACE.row, PLACE.col, 300, 300), tmp_path / "maps", datetime="2023-08-01/..")
    state = watch(other, "2023-08-15")
    assert state.is_failed() and "another region" in state.message and state.message.startswith("out: ")


@pytest.mark.slow
def test_a_region_that_another_run_holds_is_left_to_it(growing, tmp_path):
    request = request_for(growing, tmp_path / "maps")
    with lease(tmp_path / "maps" / "lease", owner="somebody else"):
        state = watch(request, "2023-08-25")
    assert state.is_completed() and "somebody else" in state.message
    assert not (tmp_path / "maps" / "acquisitions").exists()
    assert "mapped 1 of 1" in watch(request, "2023-08-25").message


def test_a_wrong_look_back_is_named(growing, tmp_path):
    state = watch(request_for(growing, tmp_path), "2023-08-25", look_back_days=0)
    assert state.is_failed() and state.message.startswith("look_back_days: 0 is not a number")
