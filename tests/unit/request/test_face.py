"""What a request looks like to who writes Python: its signature, its help, and its errors."""

from __future__ import annotations

import inspect
import pydoc

import pytest
from pydantic import ValidationError

from terramosaic.errors import RequestError
from terramosaic.request.request import RegionRequest, request_of, requested

GOOD = {"region": [13.4, 45.5, 13.9, 45.9], "datetime": "2023-08"}


def test_the_signature_has_plain_names_and_defaults():
    told = str(inspect.signature(RegionRequest))
    assert told.startswith("(*, region: BoundingBox | MgrsTile | GeoJson | GeoJsonFile, ")
    assert "datetime: str, " in told and "max_cloud: float = 40, " in told
    assert "composite: 'best' | 'median' | 'single' = 'best', " in told
    assert "targets: tuple[str, ...] = (), " in told
    assert not any(word in told for word in ("Annotated", "FieldInfo", "typing", "Decides"))


def test_the_help_tells_what_each_field_means():
    text = pydoc.render_doc(RegionRequest, renderer=pydoc.plaintext)
    for name, field in RegionRequest.model_fields.items():
        assert f"{name}: {field.description}" in text


def test_the_form_is_described_in_one_line():
    described = RegionRequest.model_json_schema()["description"]
    assert (
        described
        == "A region to map: where, when, from which catalog, with which model, and into which folder."
    )


@pytest.mark.parametrize(
    ("fields", "lines"),
    [
        ({"target": ("NDVI",)}, ["target: there is no such field; did you mean targets?"]),
        ({"colour": "red"}, ["colour: there is no such field"]),
        (
            {"targets": ("nd vi",)},
            ["targets.0: 'nd vi' is no name here: letters and digits, and a letter first"],
        ),
        ({"inputs": ()}, ["inputs: Tuple should have at least 1 item after validation, not 0"]),
        (
            {"stride": -16, "steps": 7},
            [
                "steps: 7 does not divide 1000; take 1, 2, 4, 5, 8, 10, 20, 25, 40 or 50",
                "stride: Input should be greater than or equal to 0 (not -16)",
            ],
        ),
    ],
)
def test_a_request_that_is_written_wrong_says_so_in_a_line_for_each_field(fields, lines):
    for written in (RegionRequest, request_of):
        with pytest.raises(RequestError) as error:
            written(**GOOD, **fields)
        assert str(error.value).splitlines() == lines


def test_what_is_read_keeps_the_place_of_what_is_wrong():
    with pytest.raises(ValidationError) as error:
        RegionRequest.model_validate({**GOOD, "stride": -16})
    assert error.value.errors()[0]["loc"] == ("stride",)


def test_a_request_may_be_given_whole_as_an_object_of_fields_or_as_arguments():
    whole = request_of(**GOOD, seed=3)
    assert requested(whole, {}) is whole
    assert requested(GOOD, {"seed": 3}) == requested(None, {**GOOD, "seed": 3}) == whole
    # Arguments go before, and are checked as ever.
    assert requested(whole, {"seed": 4}) == request_of(**GOOD, seed=4)
    with pytest.raises(RequestError, match="steps: 7 does not divide 1000"):
        requested(whole, {"steps": 7})
    with pytest.raises(RequestError, match="region: Field required"):
        requested(None, {"datetime": "2023-08"})
