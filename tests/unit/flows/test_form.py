"""The form is the request in boxes: nothing is left out or told twice, and what is sent flat means the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import ValidationError, validate

from terramosaic.errors import RequestError
from terramosaic.model.bundle import DEMO_FOLDER
from terramosaic.request.request import RegionRequest, request_of
from terramosaic_flows.form import BOXES, RequestForm, request_of_form
from terramosaic_flows.offered import first_model

WHERE = {"region": {"tile": "33TWL"}, "datetime": "2023-08"}


def flow(request: RequestForm) -> None:
    """Has the form as its parameter."""


SCHEMA = parameter_schema(flow).model_dump_for_openapi()
FORM = SCHEMA["properties"]["request"]


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
        shown += FORM["properties"][name]["properties"]
    assert sorted(shown) == sorted(RegionRequest.model_fields)
    own = RegionRequest.model_json_schema()["properties"]
    assert all(
        FORM["properties"][name]["properties"][field] == own[field]
        for name in BOXES
        for field in BOXES[name].fields
    )
    # A choice between text and nothing would be two tabs.
    assert not [field for field in own if {"type": "null"} in own[field].get("anyOf", ())]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"generation": {"steps": 0}}, "'request.generation.steps'"),
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
    assert "provider" not in FORM["properties"]["generation"]["properties"]
    with pytest.raises(RequestError, match="say device alone"):
        request_of_form(WHERE | {"provider": "cpu", "generation": {"device": "cuda"}})


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
    shown = schema["properties"]["request"]["properties"]["generation"]["properties"]
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


def test_the_form_begins_with_what_the_first_model_makes_where_it_has_not_the_usual(tmp_path, monkeypatch):
    monkeypatch.setenv("TERRAMOSAIC_MODELS", str(bundles_in(tmp_path, a=("LULC",), b=("NDVI",))))
    generation = parameter_schema(flow).properties["request"]["properties"]["generation"]["properties"]
    assert generation["targets"]["default"] == ["LULC"] and generation["inputs"]["default"] == ["S2L2A"]


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
