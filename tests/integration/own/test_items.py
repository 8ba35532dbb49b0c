"""Maps from STAC items of any collection, whose files lie here or on a server under names of their own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from shapely.geometry import box
from starlette.requests import Request

from terramosaic import map_region, plan, verify
from terramosaic.bands import S2L2A_BANDS
from terramosaic.errors import CatalogError, NoScenesError, RequestError, TerramosaicError
from terramosaic.ground.zones import as_geojson, lonlat_of
from terramosaic.mosaic.result import MapResult
from tests.integration.own.test_own_imagery import (
    GROUND,
    NAME,
    copied,
    files,
    mapped,
    request_of,
    same_maps,
    stack,
)
from tests.support.file_server import serve_files

__all__ = ["files", "mapped"]  # fixtures

MAPPING = {band: f"nbart_{band.lower()}" for band in S2L2A_BANDS}


def item_of(assets: dict[str, Any], *, id_: str = "ga_s2am_ard_3", day: str = "2023-08-15") -> dict[str, Any]:
    left, top = GROUND.transform.c, GROUND.transform.f
    outline = lonlat_of(box(left, top - 10 * GROUND.height, left + 10 * GROUND.width, top), 32633)
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": id_, "collection": "ga_s2am_ard_3",
        "geometry": as_geojson(outline), "bbox": list(outline.bounds), "links": [],
        "properties": {"datetime": f"{day}T10:00:31Z", "eo:cloud_cover": 12.5}, "assets": assets,
    }  # fmt: skip


def written(path: Path, *items: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(items)}))
    return path


def bands_of(files: Path) -> dict[str, Any]:
    return {key: {"href": str(files / f"{NAME}_{band}.tif")} for band, key in MAPPING.items()}


def test_a_mapping_names_the_assets(files: Path, mapped: MapResult, tmp_path: Path) -> None:
    items = written(tmp_path / "items.json", item_of(bands_of(files)))
    result = map_region(request_of(str(items), tmp_path / "out", imagery_bands=MAPPING))
    assert same_maps(mapped, result) and verify(result, write=False).passed
    (scene,) = result.plan.scenes.values()
    assert scene.assets["B02"].href == str(files / f"{NAME}_B02.tif")
    assert (scene.id.rpartition("_")[0], scene.cloud_cover) == ("ga_s2am_ard_3", 12.5)
    assert any("ga_s2am_ard_3 has no scene classification" in line for line in result.plan.warnings)


def test_a_stack_tells_its_bands_and_scale(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    path = stack(tmp_path / "data" / "stack.tif", described=False)
    with rasterio.open(path) as file:
        expected = file.read(4)
    told = {
        "eo:bands": [{"name": band, "common_name": ""} for band in S2L2A_BANDS],
        "raster:bands": [{"scale": 0.0002, "offset": 0.01}] * 12,
    }  # fmt: skip
    seen = {"href": "./seen.tif", "roles": ["visual"], "eo:bands": [{"name": "B04"}]}
    items = written(
        tmp_path / "data" / "item.json", item_of({"seen": seen, "all": {"href": "./stack.tif"} | told})
    )
    plan(request_of(str(items), tmp_path / "out"))
    np.testing.assert_array_equal(copied(tmp_path / "out"), np.rint(expected * 2.0 + 100))


def test_one_band_of_a_stack_can_be_named(tmp_path: Path) -> None:
    path = stack(tmp_path / "stack.tif", described=False)
    with rasterio.open(path) as file:
        expected = file.read(4)
    said = {band: f"all#{number}" for number, band in enumerate(S2L2A_BANDS, start=1)}
    items = written(tmp_path / "item.json", item_of({"all": {"href": "stack.tif"}}))
    plan(request_of(str(items), tmp_path / "out", imagery_bands=said))
    np.testing.assert_array_equal(copied(tmp_path / "out"), expected)


def test_items_of_another_place_or_time_are_not_looked_at(files: Path, tmp_path: Path) -> None:
    gone = {key: {"href": "/nowhere/else.tif"} for key in MAPPING.values()}
    elsewhere = item_of(gone, id_="elsewhere")
    elsewhere["geometry"] = as_geojson(box(40, 40, 41, 41))
    others = item_of(gone, id_="other", day="2021-08-15"), elsewhere
    items = written(tmp_path / "items.json", item_of(bands_of(files)), *others)
    made = plan(request_of(str(items), tmp_path / "out", imagery_bands=MAPPING))
    assert len(made.scenes) == 1
    with pytest.raises(NoScenesError, match=r"no item of .*none\.json touches the region in its period"):
        plan(
            request_of(str(written(tmp_path / "none.json", *others)), tmp_path / "out", imagery_bands=MAPPING)
        )


def on(server: Any, query: str = "") -> dict[str, Any]:
    """The bands' files by their addresses on a server."""
    return {key: {"href": server.url(f"{NAME}_{band}.tif") + query} for band, key in MAPPING.items()}


def test_files_on_a_server_are_read_where_they_are(files: Path, mapped: MapResult, tmp_path: Path) -> None:
    """Also through a failure, a stack of it is copied, and one that changes is another run's."""
    served = Path(shutil.copytree(files, tmp_path / "served"))
    with serve_files(served) as server:
        server.fail[f"{NAME}_B03.tif"] = 503, 1
        items = written(tmp_path / "items.json", item_of(on(server)))
        request = request_of(str(items), tmp_path / "out", imagery_bands=MAPPING)
        result = map_region(request)
        assert same_maps(mapped, result) and verify(result, write=False).passed
        (scene,) = result.plan.scenes.values()
        assert scene.assets["B02"].href == server.url(f"{NAME}_B02.tif")
        copies = [path.name for path in (tmp_path / "out" / "imagery").rglob("*.tif")]
        assert copies == ["SCL.tif"]  # by which all is clear
        assert plan(request).run_id == result.plan.run_id
        changed = served / f"{NAME}_B04.tif"
        changed.write_bytes(changed.read_bytes() + b"more")
        assert plan(request).run_id != result.plan.run_id
        changed.unlink()
        with pytest.raises(CatalogError, match=r"imagery: http://127.*_B04.tif cannot be read: .*404"):
            plan(request)


def test_a_stack_on_a_server_is_copied(tmp_path: Path) -> None:
    path = stack(tmp_path / "data_stack.tif", described=False)
    with rasterio.open(path) as file:
        expected = file.read(4)
    said = {band: f"all#{number}" for number, band in enumerate(S2L2A_BANDS, start=1)}
    with serve_files(tmp_path) as server:
        items = written(tmp_path / "item.json", item_of({"all": {"href": server.url("data_stack.tif")}}))
        plan(request_of(str(items), tmp_path / "out", imagery_bands=said))
    np.testing.assert_array_equal(copied(tmp_path / "out"), expected)


def test_signatures_of_files_are_used_and_written_down_nowhere(
    files: Path, mapped: MapResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allows(request: Request) -> bool:
        return request.query_params.get("X-Amz-Signature") == "hush"

    with serve_files(files, allows) as server:
        items = written(tmp_path / "items.json", item_of(on(server, "?X-Amz-Signature=hush")))
        request = request_of(str(items), tmp_path / "out", imagery_bands=MAPPING)
        made = plan(request)
        monkeypatch.setattr("terramosaic.url_secrets._whole", {})  # as in a process that knows of none
        result = map_region(request)
        assert result.plan.run_id == made.run_id and same_maps(mapped, result)
        told = [
            path for path in (tmp_path / "out").rglob("*") if path.is_file() and b"hush" in path.read_bytes()
        ]
        assert not told
        (scene,) = made.scenes.values()
        assert scene.assets["B02"].came_signed and not scene.assets["SCL"].came_signed
        refused = written(tmp_path / "refused.json", item_of(on(server, "?X-Amz-Signature=wrong")))
        with pytest.raises(CatalogError, match="cannot be read") as error:
            plan(request_of(str(refused), tmp_path / "out", imagery_bands=MAPPING))
        assert "wrong" not in str(error.value)


def test_what_an_item_says_counts_for_which_run_it_is(files: Path, tmp_path: Path) -> None:
    runs = set()
    for scale in (0.0001, 0.0001, 0.0002):
        assets = {key: asset | {"raster:scale": scale} for key, asset in bands_of(files).items()}
        items = written(tmp_path / "items.json", item_of(assets))
        runs.add(plan(request_of(str(items), tmp_path / "out", imagery_bands=MAPPING)).run_id)
    assert len(runs) == 2


@pytest.mark.parametrize(
    ("change", "fields", "told"),
    [
        ({"nbart_b04": {"href": "zip+file:///etc/b04.tif"}}, {}, "is zip.file:///etc/b04.tif; files are"),
        ({"nbart_b04": {"href": "gone.tif"}}, {}, "asset nbart_b04 of item ga_s2am_ard_3 is not there"),
        ({"nbart_b04": {"href": "b04.hdf"}}, {}, "is no GeoTIFF"),
        ({"nbart_b04": {}}, {}, "has no href"),
        ({}, {"imagery_bands": {"B04": "rouge"}}, "imagery_bands: B04=rouge: item ga_s2am_ard_3 has no such asset"),
        ({}, {"imagery_bands": {"B04": "nbart_b04#7"}}, "B04 is said to be band 7 of .*_B04.tif, which has 1"),
        ({}, {"imagery_bands": {}}, "no asset that is called as a band of Sentinel-2 is"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told(
    change: dict[str, Any], fields: dict[str, Any], told: str, files: Path, tmp_path: Path
) -> None:
    items = written(tmp_path / "items.json", item_of(bands_of(files) | change))
    with pytest.raises(RequestError, match=told):
        plan(request_of(str(items), tmp_path / "out", **{"imagery_bands": MAPPING} | fields))


def test_l1c_and_files_beyond_the_roots_are_refused(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = item_of(bands_of(files), id_="S2A_MSIL1C_20230815T100031_N0509_R122_T33TWL_20230815T143201")
    with pytest.raises(RequestError, match="top of the atmosphere"):
        plan(request_of(str(written(tmp_path / "l1c.json", top)), tmp_path / "out", imagery_bands=MAPPING))
    items = written(tmp_path / "items.json", item_of(bands_of(files)))
    request = request_of(str(items), tmp_path / "out", imagery_bands=MAPPING)
    monkeypatch.setenv("TERRAMOSAIC_ROOTS", str(tmp_path))
    with pytest.raises(TerramosaicError, match=r"imagery: .*B01\.tif is beyond"):
        plan(request)
