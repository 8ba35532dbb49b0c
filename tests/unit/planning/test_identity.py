"""A run's id: what it hangs on and what it does not, and that it stays what it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import box, mapping

from terramosaic.bands import GSD
from terramosaic.block.block import run_block
from terramosaic.errors import NoScenesError, RequestError
from terramosaic.ground import zones
from terramosaic.ground.zones import as_geojson
from terramosaic.model.bundle import load_bundle
from terramosaic.planning.identity import PIXELS, gives_same_pixels, run_id_of
from terramosaic.planning.plan import Plan
from terramosaic.planning.planning import plan
from terramosaic.request.request import Decides, RegionRequest
from tests.support.country import country, plain_template, write_country

BOX = (14.01, 46.02, 14.2, 46.13)
TRIANGLE = {"type": "Polygon", "coordinates": [[[14.01, 46.02], [14.3, 46.05], [14.1, 46.2], [14.01, 46.02]]]}


def item(
    name: str, day: int, *, cloud: float, collection: str = "sentinel-2-l2a", tile: str = "33TVM"
) -> dict:
    """An item with nothing in it but what the engine reads."""
    return {
        "type": "Feature", "id": name, "collection": collection, "geometry": mapping(box(13.7, 45.5, 15.2, 46.9)),
        "properties": {
            "datetime": f"2023-08-{day}T10:00:31.024Z", "platform": "sentinel-2a", "eo:cloud_cover": cloud,
            "proj:epsg": 32633, "s2:mgrs_tile": tile, "s2:processing_baseline": "05.09",
            "s2:generation_time": f"2023-08-{day}T18:00:00Z", "updated": "2024-01-01T00:00:00Z",
        },
        "assets": {
            band: {"href": f"https://example.com/{name}/{band}.tif", "file:checksum": f"1220{name}{band}"}
            for band in GSD
        },
    }  # fmt: skip


ITEMS = [item("clear", 15, cloud=1.5), item("cloudy", 20, cloud=20.0)]


def planned(folder: Path, region: object = BOX, items: list[dict] | None = None, **fields: object) -> Plan:
    """A plan for the items, as if of a bundle that never changes."""
    (folder / "items.json").write_text(json.dumps(ITEMS if items is None else items))
    request = {
        "region": region,
        "datetime": "2023-08",
        "catalog": str(folder / "items.json"),
        "out": str(folder),
    }
    made = plan(RegionRequest.model_validate(request | fields))
    assert made.run_id == run_id_of(made)
    bundle = made.bundle.model_copy(update={"fingerprint": "of a bundle"})
    return made.model_copy(update={"bundle": bundle})


@pytest.mark.parametrize(
    ("region", "id_"),
    [(BOX, "90418561d239cf4d"), ("33TVM", "ed5011ff9bf78461"), (TRIANGLE, "e4631ca254ef7e39")],
)
def test_ids_are_promised_stable(tmp_path, region, id_):
    """From 0.2.0 on: another id here makes all users map everything again. Only raising `PIXELS` may do that.

    A field that a request gains is left out of it where it has its default.
    """
    assert run_id_of(planned(tmp_path, region)) == id_


def test_targets_that_are_not_named_are_the_models_own_and_the_same_run_as_if_they_were(tmp_path):
    made = planned(tmp_path)
    assert made.request.targets == ("S1GRD", "NDVI", "LULC")
    assert planned(tmp_path, targets=()).run_id == made.run_id
    assert planned(tmp_path, targets="S1GRD,NDVI,LULC").run_id == made.run_id
    with pytest.raises(RequestError, match=r"^strides: DEM not among the targets S1GRD, NDVI, LULC; add it"):
        planned(tmp_path, strides="DEM=112")
    with pytest.raises(RequestError, match=r"^x0_clips: DEM not among the targets S1GRD, NDVI, LULC; add it"):
        planned(tmp_path, x0_clips="DEM=3")


@pytest.mark.parametrize(
    ("makes", "mapped"),
    [
        ("S1GRD S1RTC NDVI LULC embedding", "S1GRD NDVI LULC"),
        ("LULC S1GRD NDVI", "S1GRD NDVI LULC"),
        ("S1RTC LULC embedding coordinates", "S1RTC LULC"),
        ("water", "water"),
        ("first! later", "later first"),
        ("embedding", "embedding"),
        ("embedding coordinates", "embedding coordinates"),
    ],
)
def test_a_model_without_the_usual_targets_makes_all_but_the_large_ones(makes, mapped):
    """With a mark: what no later target of a chain can see, so that it is made last."""
    spec = load_bundle("demo").targets["NDVI"]
    targets = {
        name.rstrip("!"): spec.model_copy(update={"fed_back": not name.endswith("!")})
        for name in makes.split()
    }
    manifest = load_bundle("demo").manifest.model_copy(update={"targets": targets})
    assert manifest.usual_targets == tuple(mapped.split())


#: For each field of a request another value than the one in `planned`.
OTHER = {
    "region": (14.01, 46.02, 14.2, 46.14), "region_name": "id", "datetime": "2023", "catalog": "earth-search",
    "collection": "sentinel-2-c1-l2a", "max_cloud": 50, "strict": True, "composite": "median",
    "targets": ("NDVI", "LULC"), "model": "elsewhere", "conditioning": "independent", "steps": 20,
    "sampling": "greedy", "x0_clip": 2, "seed": 1, "stride": 208, "blend": "cosine", "block_size": 1024,
    "offset": "keep", "offset_conflict": "pixels", "dtype": "float32", "extras": ("std",), "device": "cuda",
    "max_area_km2": 1000, "out": "elsewhere", "exclude": ("cloudy",), "trust": ("clear",), "max_seam": 1.1,
    "ndvi_limits": {"bias": 0.05},
    "keep_imagery": True, "inputs": ("S2L2A", "DEM"), "tokenised": ("S2L2A",), "reconstruct": True,
    "catalogs": {"DEM": "earth-search"}, "direction": "ascending", "max_days_apart": 6,
    "strides": {"LULC": 112}, "x0_clips": {"NDVI": 3}, "imagery": ("here",), "imagery_bands": {"B02": "1"},
    "imagery_scale": 0.0001, "imagery_offset": -0.1, "resample": "nearest", "consensus": "tokens",
    "dates": {"rule": "evenly"}, "under_cloud": "skip", "every": "month", "precision": "fp16",
    "max_minutes": 1e6, "max_cost": 1e6,
}  # fmt: skip


def test_each_field_of_a_request_says_what_it_decides():
    for name, field in RegionRequest.model_fields.items():
        said = [word for word in field.metadata if isinstance(word, Decides)]
        assert len(said) == 1, f"{name}: say once in the model whether it decides pixels"
    assert OTHER.keys() == RegionRequest.model_fields.keys()


@pytest.mark.parametrize("name", OTHER)
def test_an_id_hangs_on_the_fields_that_decide_pixels(tmp_path, name):
    made = planned(tmp_path)
    request = RegionRequest.model_validate(made.request.model_dump() | {name: OTHER[name]})
    assert getattr(request, name) != getattr(made.request, name)
    other = made.model_copy(update={"request": request})
    decides = name in RegionRequest.fields_that_decide(Decides.PIXELS)
    assert (run_id_of(other) != run_id_of(made)) == decides


def test_a_precision_is_in_an_id_where_it_is_not_its_devices_own(tmp_path):
    made = planned(tmp_path)
    assert made.request.precision == "fp32" and made.run_id == planned(tmp_path, precision="fp32").run_id
    on_gpu = [planned(tmp_path, device="cuda", precision=word) for word in ("auto", "fp16", "fp32")]
    assert [one.request.precision for one in on_gpu] == ["fp16", "fp16", "fp32"]
    assert on_gpu[0].run_id == on_gpu[1].run_id != on_gpu[2].run_id
    before = made.request.model_copy(update={"precision": "auto"})  # as plans had it
    assert run_id_of(made.model_copy(update={"request": before})) == run_id_of(made)


def test_a_cpu_does_not_compute_in_half(tmp_path):
    with pytest.raises(RequestError, match=r"^precision: a cpu computes in fp32 alone; take device cuda"):
        planned(tmp_path, precision="fp16")


def test_a_stride_of_a_targets_own_that_is_the_requests_is_none(tmp_path):
    own, same = planned(tmp_path, strides={"LULC": 112}), planned(tmp_path, strides={"LULC": 192})
    assert run_id_of(same) == run_id_of(planned(tmp_path)) != run_id_of(own)
    both = planned(tmp_path, strides={"NDVI": 96, "LULC": 112}), planned(tmp_path, strides="LULC=112,NDVI=96")
    assert run_id_of(both[0]) == run_id_of(both[1]) != run_id_of(own)


def test_scenes_that_are_named_count_by_what_is_found_of_them(tmp_path):
    made = planned(tmp_path)
    assert planned(tmp_path, exclude="nobody", trust="nobody").run_id == made.run_id
    trusting = planned(tmp_path, trust="sentinel-2-l2a/clear,nobody")
    assert trusting.request.trust == ("clear",) and run_id_of(trusting) != run_id_of(made)
    assert trusting.warnings[-1] == "trust: 1 of 2 ids are not among the scenes that were found"
    without = planned(tmp_path, exclude=["cloudy"])
    assert list(without.scenes) == ["clear"] and without.request.exclude == ("cloudy",)
    assert [(scene.id, scene.reason) for scene in without.dropped] == [("cloudy", "excluded by the request")]
    assert run_id_of(without) == run_id_of(planned(tmp_path, items=ITEMS[:1])) != run_id_of(made)


def test_a_file_of_scenes_leaves_nothing_else_in_the_plan(tmp_path):
    file = tmp_path / "bad.txt"
    file.write_text("cloudy\na secret line\n")
    made = planned(tmp_path, exclude=str(file))
    assert made.request.exclude == ("cloudy",) and "secret" not in made.model_dump_json()


def test_in_an_excluded_scenes_place_comes_its_earlier_processing(tmp_path):
    earlier = item("earlier", 15, cloud=1.5)
    earlier["properties"]["s2:processing_baseline"] = "04.00"
    assert "earlier" not in planned(tmp_path, items=[*ITEMS, earlier]).scenes
    assert "earlier" in planned(tmp_path, items=[*ITEMS, earlier], exclude="clear").scenes


def test_where_all_are_excluded_that_is_told(tmp_path):
    with pytest.raises(NoScenesError, match="2 scenes were found and are excluded by the request"):
        planned(tmp_path, exclude="clear,cloudy")


def test_one_gpu_computes_what_another_does(tmp_path):
    made = planned(tmp_path)
    first, second = (
        made.model_copy(update={"request": made.request.model_copy(update={"device": name})})
        for name in ("cuda", "cuda:1")
    )
    assert run_id_of(first) == run_id_of(second) != run_id_of(made)


def test_an_id_hangs_on_bundle_and_version_of_pixels(tmp_path):
    made = planned(tmp_path)
    bundle = made.bundle.model_copy(update={"fingerprint": "another", "title": "Another"})
    ids = {
        run_id_of(made.model_copy(update=change))
        for change in ({}, {"bundle": bundle}, {"pixels": PIXELS + 1})
    }
    assert len(ids) == 3
    told = {"engine_version": "9.9", "searched": "elsewhere", "warnings": (), "preview_factor": 1}
    assert run_id_of(made.model_copy(update=told)) == run_id_of(made)


def test_a_run_is_not_carried_on_with_another_model_behind_the_same_name(tmp_path):
    made = planned(tmp_path)  # as if with another bundle than the one that is there
    with pytest.raises(
        RequestError,
        match=rf"^block \w+: model: 'demo' is another model than the run was made with: .*, with the fingerprint "
        rf"{own_fingerprint()}, not .*, with of a bundle; put that one back to go on with run {made.run_id}, or plan",
    ):
        run_block(made, made.blocks[0])


def own_fingerprint() -> str:
    return load_bundle("demo").fingerprint[:12]


class TestRegions:
    def test_an_id_hangs_on_the_region_as_it_was_asked_for(self, tmp_path):
        file = tmp_path / "region.geojson"
        file.write_text(json.dumps({"type": "Feature", "properties": {"a": 1}, "geometry": TRIANGLE}))
        written, in_file, tile, spelled, rectangle, drawn = (
            run_id_of(planned(tmp_path, region))
            for region in (TRIANGLE, str(file), "33TVM", "t33tvm", BOX, mapping(box(*BOX)))
        )
        assert written == in_file and tile == spelled
        assert len({written, tile, rectangle, drawn}) == 4

    @pytest.mark.parametrize(("degrees", "is_same"), [(1e-10, True), (1e-8, False)])
    def test_it_is_told_apart_to_a_tenth_of_a_millimetre(self, tmp_path, degrees, is_same):
        west, *others = BOX
        moved = (west + degrees, *others)
        assert (run_id_of(planned(tmp_path, moved)) == run_id_of(planned(tmp_path))) == is_same


class TestItems:
    def test_where_they_lie_and_when_a_catalog_touched_them_is_nothing(self, tmp_path):
        touched = json.loads(
            json.dumps(ITEMS).replace("https://example.com", "s3://elsewhere").replace("2024-01", "2025-02")
        )
        assert touched != ITEMS
        assert run_id_of(planned(tmp_path, items=touched)) == run_id_of(planned(tmp_path))

    def test_their_order_and_scenes_that_no_block_reads_are_nothing(self, tmp_path):
        far = item("far", 15, cloud=0.0, tile="32TQR") | {"geometry": mapping(box(14.25, 45.5, 15.2, 46.9))}
        made = planned(tmp_path, items=[*reversed(ITEMS), far])
        assert run_id_of(made) == run_id_of(planned(tmp_path))

    def test_which_comes_first_is_not(self, tmp_path):
        clearer = [ITEMS[0], item("cloudy", 20, cloud=0.5)]
        assert run_id_of(planned(tmp_path, items=clearer)) != run_id_of(planned(tmp_path))

    def test_two_of_one_id_in_two_collections_are_two(self, tmp_path):
        second = item("clear", 17, cloud=3.0, collection="other")
        made = planned(tmp_path, items=[*ITEMS, second])
        assert [day.scenes for day in made.acquisitions] == [
            ("sentinel-2-l2a/clear",),
            ("other/clear",),
            ("cloudy",),
        ]
        assert [made.scenes[f"{name}/clear"].datetime.day for name in ("sentinel-2-l2a", "other")] == [15, 17]
        assert made.blocks[0].acquisitions == tuple(day.scenes for day in made.acquisitions)


@pytest.mark.parametrize("seed", range(3))
def test_an_id_does_not_hang_on_the_build_of_proj(tmp_path, monkeypatch, seed):
    """Builds differ by 1e-9 m; here by a hundred times that, so that the outlines on record differ as well."""
    region = as_geojson(country(2_000, longitude=12.1, vertices=400))
    write_country(
        tmp_path / "items.json",
        country(2_000, longitude=12.1, vertices=400),
        days=5,
        template=plain_template(),
    )
    requests = [
        RegionRequest(
            region=region, datetime="2023-06", catalog=str(tmp_path / "items.json"), out=str(tmp_path)
        )
        for region in (region, "33UUQ")
    ]
    before = [plan(request) for request in requests]
    exact = zones._transformer

    class Shaken:
        def __init__(self, epsg: int) -> None:
            self.epsg = epsg

        def transform(self, *points: np.ndarray, direction: object) -> list[np.ndarray]:
            step = 1e-7 if direction == zones.TransformDirection.FORWARD else 1e-12
            moved = exact(self.epsg).transform(*points, direction=direction)
            # By the point, so that a ring stays closed.
            return [values + step * np.cos(1e9 * points[0] + seed) for values in moved]

    monkeypatch.setattr(zones, "_transformer", Shaken)
    after = [plan(request) for request in requests]
    assert [made.run_id for made in after] == [made.run_id for made in before]
    assert after[0].zones[0].outline != before[0].zones[0].outline
    assert after[1].region != before[1].region


class TestTheSamePixels:
    def test_whatever_the_id(self, tmp_path):
        made = planned(tmp_path)
        held = made.model_copy(update={"run_id": "of version 0.1", "engine_version": "0.1.0"})
        assert gives_same_pixels(held, made)
        assert not gives_same_pixels(held.model_copy(update={"pixels": PIXELS + 1}), made)

    def test_a_checksum_that_was_not_kept_is_no_other_scene(self, tmp_path):
        items = json.loads(json.dumps(ITEMS))
        for asset in (asset for one in items for asset in one["assets"].values()):
            del asset["file:checksum"]
        held, made = planned(tmp_path, items=items), planned(tmp_path)
        assert held.run_id != made.run_id and gives_same_pixels(held, made)
        changed = json.loads(json.dumps(ITEMS).replace("1220clear", "1220other"))
        assert not gives_same_pixels(made, planned(tmp_path, items=changed))

    def test_a_plan_of_other_pixels_is_not_carried_on(self, tmp_path):
        other = planned(tmp_path).model_copy(update={"pixels": PIXELS + 1, "engine_version": "9.9"})
        with pytest.raises(
            RequestError, match=r"^plan: run \w{16} was planned by version 9.9, .* plan the request again"
        ):
            run_block(other, other.blocks[0])
