"""The form is the request in boxes: nothing is left out or told twice, and what is sent flat means the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import ValidationError, validate

from terramosaic.errors import RequestError
from terramosaic.model.bundle import DEMO_FOLDER
from terramosaic.request.request import RegionRequest, request_of
from terramosaic_flows.assess_map import assess_map
from terramosaic_flows.form import BOXES, RequestForm, request_of_form
from terramosaic_flows.map_region import map_region
from terramosaic_flows.models import check_model, export_model
from terramosaic_flows.offered import first_model
from terramosaic_flows.watch_region import watch_region

WHERE = {"region": {"tile": "33TWL"}, "datetime": "2023-08"}


def flow(request: RequestForm) -> None:
    """Has the form as its parameter."""


SCHEMA = parameter_schema(flow).model_dump_for_openapi()
FORM = SCHEMA["properties"]["request"]


def shown_in(box: str, form: dict = FORM) -> dict[str, Any]:
    """The fields of a box, which may be closed: then they are behind the second choice."""
    schema = form["properties"][box]
    if BOXES[box].other:
        closed, schema = schema["anyOf"]
        assert closed["properties"] == {} and schema["title"] == BOXES[box].other
    return schema["properties"]


def refusal(request: dict) -> str:
    """What the server answers to a trigger with this request; empty if it takes it."""
    try:
        validate({"request": request}, SCHEMA, raise_on_error=True)
    except ValidationError as error:
        return str(error)
    return ""


def test_every_field_of_the_request_is_shown_once_in_the_requests_own_words():
    shown = [name for name in FORM["properties"] if name not in BOXES]
    assert shown == ["region", "datetime"] == FORM["required"]
    for name in BOXES:
        shown += shown_in(name)
    assert sorted(shown) == sorted(RegionRequest.model_fields)
    own = RegionRequest.model_json_schema()["properties"]
    assert all(
        shown_in(name)[field] == own[field]
        for name in BOXES
        for field in BOXES[name].fields
        if field != "catalog"
    )
    # A choice between text and nothing would be two tabs.
    assert not [field for field in own if {"type": "null"} in own[field].get("anyOf", ())]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"generation": {"steps": 0}}, "'request.generation.steps'"),
        ({"generation": {"device": 5}}, "'request.generation.device'"),
        ({"decoding": {"steps": 0}}, "'request.decoding.steps'"),
        ({"steps": 0}, "'request.steps'"),
        ({"generation": {"targets": ["S 2"]}}, "'request.generation.targets[0]'"),
        ({"windows": {"steps": 10}}, "'request.windows'"),
        ({"step": 10}, "'step' does not match"),
        ({"region": {"west": 400, "south": 0, "east": 1, "north": 1}}, "'request.region.west'"),
    ],
)
def test_the_server_refuses_what_a_schema_can_refuse_in_boxes_and_flat(more, field):
    assert field in refusal(WHERE | more)


def test_no_box_has_the_name_of_a_field():
    assert not BOXES.keys() & RegionRequest.model_fields.keys()


def test_boxes_and_flat_fields_mean_the_same_request():
    flat = WHERE | {"steps": 20, "out": "/data", "catalog": "earth-search", "targets": ["NDVI"]}
    boxed = WHERE | {
        "scenes": {"catalog": "earth-search"},
        "generation": {"steps": 20, "targets": ["NDVI"]},
        "output": {"out": "/data"},
        "windows": None,
    }
    mixed = flat | {"generation": {"steps": 20, "seed": 0}}
    assert refusal(flat) == refusal(mixed) == "" == refusal({key: boxed[key] for key in boxed if boxed[key]})
    assert request_of(**flat) == request_of_form(flat) == request_of_form(boxed) == request_of_form(mixed)
    dumped = request_of(**flat).model_dump(mode="json")
    assert refusal(dumped) == "" and request_of_form(dumped) == request_of(**flat)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"steps": 20, "generation": {"steps": 10}}, "steps: 20 here and 10 in generation; say it once"),
        ({"windows": {"steps": 10}}, "windows: it has stride, strides, blend"),
        ({"decoding": {"model": "demo"}}, "decoding: it has tokenised,"),
        ({"output": "/data"}, "output: an object with out"),
        ({"generation": {"steps": 7}}, "steps: 7 does not divide 1000"),
    ],
)
def test_what_the_schema_cannot_know_is_said_in_one_line(more, line):
    with pytest.raises(RequestError) as error:
        request_of_form(WHERE | more)
    assert str(error.value).startswith(line) and len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("sent", [{"provider": "cuda"}, {"generation": {"provider": "cuda"}}])
def test_parameters_that_a_deployment_stored_before_a_field_was_renamed_still_run(sent):
    assert refusal(WHERE | sent) == ""
    assert request_of_form(WHERE | sent).device == "cuda"


def test_a_renamed_field_is_checked_and_is_not_shown():
    assert "provider" in refusal(WHERE | {"generation": {"provider": 3}})
    assert "provider" not in shown_in("generation")
    with pytest.raises(RequestError, match="say device alone"):
        request_of_form(WHERE | {"provider": "cpu", "generation": {"device": "cuda"}})


def test_what_stored_parameters_have_in_the_box_where_a_field_was_still_runs():
    stored = WHERE | {
        "scenes": {"collection": "c", "strict": True, "imagery_scale": 1},
        "generation": {"steps": 20, "seed": 7, "sampling": "greedy"},
        "output": {"dtype": "float32", "out": "/data"},
    }
    request = request_of_form(stored)
    assert refusal(stored) == "" and (request.collection, request.steps, request.dtype) == (
        "c",
        20,
        "float32",
    )
    had = {field for box in BOXES.values() for field in box.had}
    # Each is shown, closed, in a box of today.
    assert had <= {field for box in BOXES.values() if box.other for field in box.fields}


@pytest.mark.parametrize("region", ["33TWL", "13.4 45.5 13.9 45.9", "/data/alps.gpkg"])
def test_a_region_may_be_sent_as_text_and_a_catalog_by_any_place(region):
    for catalog in ("earth-search", "https://stac.example.com/v1", "/data/catalog.json"):
        sent = {"region": region, "datetime": "2023-08", "scenes": {"catalog": catalog}}
        assert refusal(sent) == "" and request_of_form(sent) == request_of(
            region=region, datetime="2023-08", catalog=catalog
        )
    assert "'request.region'" in refusal({"region": "", "datetime": "2023-08"})


def examples_in(schema: dict[str, Any], definitions: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """What a form begins with or shows as an example, each with the schema that it is for."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    yield from ((schema, value) for value in schema.get("examples", []))
    if "default" in schema:
        yield schema, schema["default"]
    for below in (*schema.get("properties", {}).values(), *schema.get("anyOf", ())):
        yield from examples_in(below, definitions)


@pytest.mark.parametrize("of", [map_region, watch_region, assess_map, export_model, check_model])
def test_the_server_takes_every_example_and_default_of_its_forms(of):
    schema = parameter_schema(of.fn).model_dump_for_openapi()
    definitions = schema.get("definitions", {})
    found = list(examples_in(schema, definitions))
    assert found
    for own, value in found:
        one = {"type": "object", "properties": {"field": own}, "definitions": definitions}
        validate({"field": value}, one, raise_on_error=True)


def bundles_in(folder: Path, **made: tuple[str, ...]) -> Path:
    """A folder of manifests with these targets: the demo's, of which some are left out."""
    for name, targets in made.items():
        content = json.loads((DEMO_FOLDER / "bundle.json").read_text(encoding="utf-8"))
        content["targets"] = {target: content["targets"][target] for target in targets}
        (folder / name).mkdir(parents=True)
        (folder / name / "bundle.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_the_form_offers_the_bundles_of_the_setting_and_what_they_make(tmp_path, monkeypatch):
    models = bundles_in(tmp_path / "models", a=("S1RTC", "LULC"), b=("NDVI",))
    monkeypatch.setenv("TERRAMOSAIC_MODELS", f"{models}, demo")
    schema = parameter_schema(flow).model_dump_for_openapi()
    shown = shown_in("generation", schema["properties"]["request"])
    assert shown["model"]["enum"] == [f"{models}/a", f"{models}/b", "demo"]
    assert shown["model"]["default"] == first_model() == f"{models}/a"
    assert shown["targets"]["items"]["enum"] == ["S1RTC", "LULC", "NDVI", "S1GRD"]
    assert f"{models}/b: NDVI; demo: S1GRD, S1RTC, NDVI, LULC" in shown["targets"]["description"]
    assert shown["inputs"]["items"]["enum"] == ["S2L2A"]

    def refused(request: dict[str, Any]) -> bool:
        try:
            validate({"request": WHERE | request}, schema, raise_on_error=True)
        except ValidationError:
            return True
        return False

    assert not refused({"generation": {"model": f"{models}/b", "targets": ["NDVI"]}})
    assert refused({"generation": {"model": "/models/other"}}) and refused(
        {"generation": {"targets": ["DEM"]}}
    )
    # What a program sends flat is no choice of the form's.
    assert not refused({"model": "/models/other", "targets": ["DEM"]})


def test_the_form_leaves_targets_to_the_model_that_is_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("TERRAMOSAIC_MODELS", str(bundles_in(tmp_path, a=("LULC",), b=("NDVI",))))
    generation = parameter_schema(flow).properties["request"]["properties"]["generation"]["properties"]
    assert generation["targets"]["default"] == [] and generation["inputs"]["default"] == ["S2L2A"]


@pytest.mark.parametrize("empty", [True, False])
def test_a_folder_without_bundles_is_told_to_who_sets_up_and_stops_no_run(
    tmp_path, monkeypatch, caplog, empty
):
    if not empty:
        (tmp_path / "broken").mkdir()
        (tmp_path / "broken" / "bundle.json").write_text("{}", encoding="utf-8")
    monkeypatch.setenv("TERRAMOSAIC_MODELS", str(tmp_path))
    with pytest.raises(RequestError, match=rf"^TERRAMOSAIC_MODELS: {tmp_path}.*bundle"):
        first_model()
    generation = parameter_schema(flow).properties["request"]["properties"]["generation"]["properties"]
    assert "enum" not in generation["model"] and "the form offers no models" in caplog.text
