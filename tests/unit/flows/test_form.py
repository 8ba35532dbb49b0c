"""The form is the request in boxes: nothing is left out or told twice, and what is sent flat means the same."""

from __future__ import annotations

import pytest
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import ValidationError, validate

from terramosaic.errors import RequestError
from terramosaic.request.request import RegionRequest, request_of
from terramosaic_flows.form import BOXES, RequestForm, request_of_form

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
