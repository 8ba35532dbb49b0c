"""The item of a run: valid by the published schemas, true to the files, the last thing that is written."""

from __future__ import annotations

import hashlib
import json
import sys
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pystac
import pytest
import rasterio
from PIL import Image
from pystac.validation import RegisteredValidator
from shapely.geometry import MultiPolygon, box, mapping, shape

from terramosaic.errors import OutputError
from terramosaic.planning.folder import RunFolder, is_complete
from terramosaic.publishing.item import bbox_of, scene_href
from terramosaic.publishing.publish import publish
from tests.integration.publishing.small_run import HOSTILE_ID, polygon_run, two_zone_run


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    plan = polygon_run(tmp_path_factory.mktemp("polygon"))
    publish(plan)
    return plan


@pytest.fixture(scope="module")
def folder(plan):
    return RunFolder.of(plan).path


@pytest.fixture(scope="module")
def item(folder):
    return json.loads((folder / "item.json").read_text())


@pytest.fixture
def schemas(shared_data, monkeypatch):
    """The validator knows the extensions' schemas, so that it does not fetch them."""
    cache = RegisteredValidator.get_validator().schema_cache
    for path in (shared_data / "stac-schemas").glob("*.json"):
        schema = json.loads(path.read_text())
        monkeypatch.setitem(cache, schema["$id"].rstrip("#"), schema)


def validate(content: dict) -> list:
    return pystac.validation.validate_dict(content, pystac.STACObjectType.ITEM, content["stac_version"])


class TestItem:
    def test_is_valid_stac_with_all_its_extensions(self, schemas, item):
        assert item["stac_version"] == "1.1.0"
        assert len(validate(item)) == 1 + 5

    def test_the_schemas_would_notice(self, schemas, item):
        broken = json.loads(json.dumps(item))
        broken["assets"]["NDVI"]["bands"][0]["raster:scale"] = "small"
        with pytest.raises(pystac.STACValidationError):
            validate(broken)

    def test_can_be_read_by_pystac_and_its_hrefs_lead_to_files(self, folder):
        read = pystac.Item.from_file(folder / "item.json")
        for asset in read.assets.values():
            assert asset.href.startswith("./")
            assert Path(asset.get_absolute_href()).is_file()

    def test_is_the_region(self, plan, item):
        assert shape(item["geometry"]).equals(shape(plan.region))
        assert item["bbox"] == list(shape(plan.region).bounds)

    def test_its_box_goes_on_across_the_antimeridian(self):
        west, east = box(179.5, -17, 180, -16), box(-180, -17, -179.5, -16)
        for region in (MultiPolygon([west, east]), MultiPolygon([east, west])):
            assert bbox_of(mapping(region)) == [179.5, -17, -179.5, -16]
        assert bbox_of(mapping(west)) == [179.5, -17, 180, -16]

    def test_tells_the_period_of_the_scenes(self, item):
        properties = item["properties"]
        # The first scene's: programs that stack items want a moment.
        assert properties["datetime"] == "2023-08-15T10:00:00Z"
        assert properties["start_datetime"] == "2023-08-15T10:00:00Z"
        assert properties["end_datetime"] == "2023-08-20T10:00:00Z"

    def test_tells_how_it_was_made(self, plan, item):
        properties = item["properties"]
        assert properties["terramosaic:run_id"] == plan.run_id
        assert properties["terramosaic:targets"] == ["S1GRD", "NDVI", "LULC"]
        assert properties["terramosaic:seed"] == 0
        model = properties["terramosaic:model"]
        told = plan.bundle.model_dump(mode="json", exclude={"bands", "inputs", "ndvi_limits"})
        # Tables cannot hold what is empty.
        assert model == {name: value for name, value in told.items() if value != {}}
        assert model["source"] == "terramosaic, tools/make_demo_bundle.py"
        assert not model["is_terramind"]
        assert properties["processing:software"]["terramosaic"] == plan.engine_version
        assert properties["terramosaic:offsets"]["S2B_33TWL_20230820"] == {
            "rule": "processing baseline 05.09 is 04.00 or later: offset of 1000",
            "subtracted": 1000,
            "pixels": "present",
        }
        assert set(properties["terramosaic:offsets"]) == set(plan.scenes)

    def test_every_file_is_sized_and_hashed(self, folder, item):
        for asset in item["assets"].values():
            content = (folder / asset["href"]).read_bytes()
            if asset["href"].endswith((".qml", ".vrt", ".xml")):
                continue  # GIS programs keep in them what their users change
            assert asset["file:size"] == len(content)
            assert asset["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()

    def test_georeference_and_encoding_are_the_mosaics(self, folder, item):
        for name in ("S1GRD", "NDVI", "LULC", "quality", "S1GRD_std", "LULC_confidence", "acquired"):
            asset = item["assets"][name]
            with rasterio.open(folder / asset["href"]) as dataset:
                assert asset["proj:code"] == str(dataset.crs) == item["properties"]["proj:code"]
                assert asset["proj:shape"] == list(dataset.shape)
                assert asset["proj:transform"] == list(dataset.transform)[:6]
                assert asset["proj:bbox"] == list(dataset.bounds)
                assert [band["name"] for band in asset["bands"]] == list(dataset.descriptions)
                for band, dtype, unit, scale in zip(
                    asset["bands"], dataset.dtypes, dataset.units, dataset.scales, strict=True
                ):
                    assert band["data_type"] == dtype
                    assert band["nodata"] == dataset.nodata
                    assert band.get("unit") == unit
                    assert band.get("raster:scale", 1) == scale

    def test_statistics_are_those_of_the_mosaic(self, folder, item):
        with rasterio.open(folder / "S1GRD.tif") as dataset:
            pixels = dataset.read(masked=True) * 0.01
        for band, values in zip(item["assets"]["S1GRD"]["bands"], pixels, strict=True):
            found = band["statistics"]
            assert found["mean"] == pytest.approx(values.mean(), abs=1e-3)
            assert found["stddev"] == pytest.approx(values.std(), abs=1e-3)
            assert found["minimum"] == pytest.approx(values.min(), abs=1e-4)
            assert found["maximum"] == pytest.approx(values.max(), abs=1e-4)
            assert found["valid_percent"] == pytest.approx(100 * (1 - values.mask.mean()), abs=1e-3)

    def test_classes_have_names_colours_and_their_share(self, folder, item):
        classes = {entry["name"]: entry for entry in item["assets"]["LULC"]["classification:classes"]}
        assert classes["no_data"]["nodata"] is True
        flooded = classes["flooded_vegetation"]
        assert (flooded["value"], flooded["title"]) == (4, "flooded vegetation")
        assert flooded["color_hint"] == "7A87C6"
        with rasterio.open(folder / "LULC.tif") as dataset:
            pixels = dataset.read(1)
        for entry in classes.values():
            if not entry.get("nodata"):
                share = 100 * np.mean(pixels[pixels != 0] == entry["value"])
                assert entry["percentage"] == pytest.approx(share, abs=1e-4)

    def test_flags_are_bit_fields(self, item):
        fields = item["assets"]["quality"]["classification:bitfields"]
        assert [field["offset"] for field in fields] == [0, 1, 2, 3, 4]
        names = [field["name"] for field in fields]
        assert names[:3] == ["generated_under_cloud", "filled_neighbour", "edge_of_data"]
        assert names[3] == "imagery_of_the_neighbouring_UTM_zone"

    def test_acquired_tells_days_passes_and_their_scenes(self, plan, folder, item):
        asset = item["assets"]["acquired"]
        assert asset["roles"] == ["data", "date"]
        days, passes = asset["bands"]
        with rasterio.open(folder / "acquired.tif") as dataset:
            pixels, tags = dataset.read(), dataset.tags()
        of_days = {each["title"]: each for each in days["classification:classes"]}
        assert list(of_days) == ["no data", "2023-08-15", "2023-08-20"]
        for ranked, one in zip(plan.acquisitions, plan.passes, strict=True):
            described = of_days[ranked.solar_day]
            assert date(1970, 1, 1) + timedelta(days=described["value"]) == one.solar_day
            # Both are clouded in the same place, so the newer one gives all pixels.
            is_newer = ranked.solar_day == "2023-08-20"
            told = f"Sentinel-2 scenes {ranked.scenes[0]}" if is_newer else "not used"
            assert described["description"] == told
            share = 100 * np.mean(pixels[0][pixels[0] != 0] == described["value"])
            assert described["percentage"] == pytest.approx(share, abs=1e-4)
            key = f"ACQUISITION_{described['value']}_{one.number}"
            assert tags[key] == f"{ranked.solar_day}: {ranked.scenes[0]}"
        told = {each["value"] for each in passes["classification:classes"]}
        assert told == {0, *(one.number for one in plan.passes)}
        newer = of_days["2023-08-20"]["value"], plan.passes[0].number
        assert {tuple(pair) for pair in pixels.reshape(2, -1).T} == {(0, 0), newer}

    def test_gaps_and_cloud_are_counted(self, folder, item):
        with rasterio.open(folder / "quality.tif") as dataset:
            quality = dataset.read(1)
        mapped = (quality != 255).sum()
        hole = 120 * 90  # it lies wholly inside the region
        assert item["properties"]["terramosaic:gap_share"] == pytest.approx(hole / (mapped + hole), abs=1e-6)
        cloudy = ((quality & 1 == 1) & (quality != 255)).sum()
        assert cloudy > 0
        assert item["properties"]["terramosaic:cloud_share"] == pytest.approx(cloudy / mapped, abs=1e-6)

    def test_links_to_the_scenes_it_comes_from(self, plan, item):
        links = [link for link in item["links"] if link["rel"] == "derived_from"]
        assert {link["title"] for link in links} == set(plan.scenes)
        assert HOSTILE_ID in plan.scenes

    def test_two_zones_have_their_own_georeference(self, schemas, tmp_path):
        plan = two_zone_run(tmp_path)
        item = json.loads(publish(plan).read_text())
        validate(item)
        assert "proj:code" not in item["properties"]
        for epsg in (32632, 32633):
            asset = item["assets"][f"NDVI_{epsg}"]
            assert asset["proj:code"] == f"EPSG:{epsg}"
            assert asset["href"] == f"./NDVI_{epsg}.tif"
            assert item["assets"][f"S2_{epsg}_quicklook"]["href"] == f"./quicklooks/S2_{epsg}.png"


class TestSceneHref:
    def href(self, catalog, tmp_path, beside=False):
        (tmp_path / "scenes").mkdir()
        if beside:
            (tmp_path / "scenes" / "S2A_1.json").write_text("{}")
        asset = SimpleNamespace(href=str(tmp_path / "scenes" / "B04.tif"))
        scene = SimpleNamespace(id="S2A_1", collection="sentinel-2-l2a", assets={"B04": asset})
        plan = SimpleNamespace(request=SimpleNamespace(catalog=catalog))
        return scene_href(scene, plan, tmp_path / "out" / "run")

    @pytest.mark.parametrize(
        ("catalog", "expected"),
        [
            (
                "earth-search",
                "https://earth-search.aws.element84.com/v1/collections/sentinel-2-l2a/items/S2A_1",
            ),
            ("https://stac.example/api/", "https://stac.example/api/collections/sentinel-2-l2a/items/S2A_1"),
        ],
    )
    def test_in_an_api(self, tmp_path, catalog, expected):
        assert self.href(catalog, tmp_path) == expected

    def test_in_a_folder(self, tmp_path):
        assert self.href(f"file://{tmp_path}/items.json", tmp_path) == "../../items.json#S2A_1"

    def test_beside_its_pixels(self, tmp_path):
        assert self.href(str(tmp_path), tmp_path, beside=True) == "../../scenes/S2A_1.json"


@pytest.fixture(scope="module")
def unpublished(tmp_path_factory):
    return two_zone_run(tmp_path_factory.mktemp("unpublished"))


class TestPublish:
    def test_without_a_mosaic_nothing_is_published(self, unpublished):
        folder = RunFolder.of(unpublished)
        mosaic = folder.path / "NDVI_32633.tif"
        content = mosaic.read_bytes()
        mosaic.unlink()
        with pytest.raises(OutputError, match=r"NDVI_32633\.tif is missing; assemble"):
            publish(unpublished)
        assert not folder.item_file.exists()
        mosaic.write_bytes(content)

    @pytest.mark.parametrize("step", ["render_report", "item_of"])
    def test_a_run_that_failed_while_publishing_is_published_the_next_time(
        self, unpublished, monkeypatch, step
    ):
        folder = RunFolder.of(unpublished)
        folder.item_file.unlink(missing_ok=True)
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules["terramosaic.publishing.publish"], step, lambda record: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                publish(unpublished)
        assert not folder.item_file.exists()
        assert publish(unpublished) == folder.item_file
        assert folder.item_file.exists()
        assert folder.report_file.exists()
        assert (folder.path.parent / "latest").resolve() == folder.path.resolve()

    def test_a_published_run_stays_as_it_is(self, plan, folder):
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
        (folder.parent / "latest").unlink()
        assert publish(plan) == folder / "item.json"
        assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
        assert (folder.parent / "latest" / "item.json").exists()

    def test_styles_are_a_run_s_and_may_be_changed(self, plan, folder, item):
        names = {asset["href"].removeprefix("./") for asset in item["assets"].values()}
        there = {path.name for path in folder.iterdir() if path.suffix in (".qml", ".vrt", ".xml")}
        assert there <= names
        assert {"NDVI.qml", "S1GRD.qml", "S1GRD_composite.vrt", "LULC.tif.aux.xml", "quality.qml"} <= there
        written = {name: (folder / name).read_bytes() for name in there}
        (folder / "NDVI.qml").write_text("<qgis/>")
        assert is_complete(plan)
        for name in there:
            (folder / name).unlink()
        publish(plan)
        assert {name: (folder / name).read_bytes() for name in there} == written

    def test_pictures_share_one_frame(self, plan, folder):
        sizes = {path.name: Image.open(path).size for path in (folder / "quicklooks").glob("*.png")}
        assert set(sizes) == {
            f"{name}.png"
            for name in (
                "S2", "S1GRD", "NDVI", "LULC", "quality", "S1GRD_std", "NDVI_std", "LULC_confidence",
                "LULC_disagreement", "acquired",
            )
        }  # fmt: skip
        assert set(sizes.values()) == {(plan.zones[0].width, plan.zones[0].height)}
