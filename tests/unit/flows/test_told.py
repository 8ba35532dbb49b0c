"""What a run is called: its region and its period, short, also where others wrote them; and never at the run's cost."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from terramosaic.request.interval import parse_interval
from terramosaic.request.request import request_of
from terramosaic_flows import told
from terramosaic_flows.told import name_of_check, name_of_map, name_of_watch, period_in_words, region_name

SQUARE = {"type": "Polygon", "coordinates": [[[11, 46], [11.123, 46], [11.123, 46.2], [11, 46.2], [11, 46]]]}


@pytest.mark.parametrize(
    ("region", "name"),
    [
        ("33TWL", "33TWL"),
        ("MGRS-33twl", "33TWL"),
        ([11.1234, 46.0512, 11.3, 46.2], "11.12E 46.05N to 11.3E 46.2N"),
        ([-179.5, -17.5, -179.25, -17], "179.5W 17.5S to 179.25W 17S"),
        ([179.5, -17.5, 180.5, -17], "179.5E 17.5S to 179.5W 17S"),
        (SQUARE, "11E 46N to 11.12E 46.2N"),
        ({"type": "Feature", "properties": {"name": "Val di\nSole"}, "geometry": SQUARE}, "Val di Sole"),
        ({"type": "Feature", "properties": {}, "geometry": SQUARE}, "11E 46N to 11.12E 46.2N"),
        ("/data/regions/alps.gpkg", "alps.gpkg"),
        ("https://user:word@host.example/a/north%20side.geojson?sig=secret", "north side.geojson"),
    ],
)
def test_a_region_has_a_short_name(region, name):
    assert region_name(request_of(region=region, datetime="2023").region) == name


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("2023", "2023"),
        ("2023-08", "2023-08"),
        ("2023-12", "2023-12"),
        ("2023-08-15", "2023-08-15"),
        ("2023-08-15T10:30", "2023-08-15"),
        ("2023-08-01/2023-08-31", "2023-08"),
        ("2023-08-01/2023-08-30", "2023-08-01/2023-08-30"),
        ("2023-08/2023-09", "2023-08-01/2023-09-30"),
        ("2023-07/2024-06", "2023-07-01/2024-06-30"),
        ("2023-08-01/..", "2023-08-01/.."),
        ("../2023-08-01", "../2023-08-01"),
    ],
)
def test_a_period_is_as_short_as_it_can_be(said, shown):
    assert period_in_words(*parse_interval(said)) == shown


@pytest.fixture
def sent(monkeypatch):
    """What the flow run is sent; Prefect calls it `wild-cat`."""
    parameters = {}
    monkeypatch.setattr(
        told, "FlowRunContext", SimpleNamespace(get=lambda: SimpleNamespace(parameters=parameters))
    )
    monkeypatch.setattr(told, "runtime", SimpleNamespace(flow_run=SimpleNamespace(name="wild-cat")))
    return parameters


def test_names_are_of_region_and_period(sent):
    sent["request"] = {
        "region": {"tile": "33TWL"},
        "datetime": {"start": "2023-08-01", "end": "2023-08-31"},
        # What is wrong elsewhere is said by the run, which is found by its name.
        "decoding": {"steps": 7},
    }
    assert name_of_map() == "33TWL 2023-08"
    sent |= {"look_back_days": 30, "until": "2023-08-31"}
    assert name_of_watch() == "33TWL, 30 days until 2023-08-31"
    assert name_of_check() == "wild-cat"
    sent |= {"model": "/data/models/water/", "device": "cuda:1"}
    assert name_of_check() == "water on cuda:1"


@pytest.mark.parametrize("request_", [None, 7, {}, {"region": "33TWL"}, {"region": 5, "datetime": "2023"}])
def test_what_is_wrong_is_not_said_by_the_name(sent, request_):
    sent["request"] = request_
    assert name_of_map() == "wild-cat"
    del sent["request"]
    assert name_of_map() == "wild-cat"


def test_a_part_of_a_run_is_named_by_both_and_survives_prefects_templates(sent, monkeypatch):
    monkeypatch.setattr(told.runtime.flow_run, "name", "{x} 2023")
    assert told.name_below("32633-r001-c002").format() == "{x} 2023: 32633-r001-c002"
