"""Requests with something odd in them, drawn from a seed: what people, programs and attackers send."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np

from terramosaic.request.request import RENAMED, RegionRequest

POLYGON = {"type": "Polygon", "coordinates": [[[13, 45], [13.2, 45], [13.2, 45.2], [13, 45]]]}
FEATURE = {"type": "Feature", "properties": {"name": "a"}, "geometry": POLYGON}

_DATUM = {"type": "name", "properties": {"name": "EPSG:4258"}}

#: Requests as they should be.
GOOD: list[dict[str, Any]] = [
    {"region": [13.4, 45.5, 13.9, 45.9], "datetime": "2023-08-01/2023-08-31"},
    {"region": {"west": 13.4, "south": 45.5, "east": 13.9, "north": 45.9}, "datetime": "2023-08"},
    {"region": {"tile": "33TWL"}, "datetime": {"start": "2023-08-01", "end": "2023-08-31"}},
    {"region": POLYGON, "datetime": "2023-08-15"},
    {"region": {"geojson": FEATURE}, "datetime": "20230815/2023-W40"},
    {"region": {"type": "FeatureCollection", "features": [FEATURE], "crs": _DATUM}, "datetime": "2023"},
    {"region": {"type": "GeometryCollection", "geometries": [POLYGON, POLYGON]}, "datetime": "2023"},
    {"region": {"path": "/no/such/region.geojson"}, "datetime": "2023-08/.."},
]


def _nested(depth: int) -> list[Any]:
    value: list[Any] = [1.0]
    for _ in range(depth):
        value = [value]
    return value


def _collections(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = POLYGON
    for _ in range(depth):
        value = {"type": "GeometryCollection", "geometries": [value]}
    return value


_TRIANGLE = [[0, 0], [1, 0], [1, 1], [0, 0]]

#: What may stand anywhere.
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 10**400, -(10**5000), float("nan"), float("inf"), -float("inf"), 1e308, 2**63),
    *("", " ", "\0", "\n", "a\nb", "\ud800", "\udfff/..", "x" * 100_000, "١٢٣", "null", "..", "/", "~x/y"),
    *("{}", '{"type"', "[" * 10_000, "POLYGON((1 2, 3", "POLYGON EMPTY", "SRID=99;POLYGON((0 0,1 0,1 1,0 0))"),
    *("http://[::1/x", "file:///no/such", "gopher://x/y", "+proj=longlat", "33TWL", "99ZZZ", "13,45,13.2,45.2"),
    *("2023-08", "2023-366", "0000", "9999-12-31/..", "S1GRD", "cpu", "cuda:x", "cuda:99999999999", "auto"),
    *(b"", b"\xff", [], {}, (), set(), [None], [[]], {"": ""}, {1: 2}, {"a" * 5000: 1}, {"a\nb": 1}, {"\ud800": 1}),
    *({"type": None}, {"type": "Polygon"}, {"type": ["x"]}, {"type": "Feature", "geometry": None}, {"start": 5}),
    *({"type": "Point", "coordinates": [0, 0]}, {"type": "Polygon", "coordinates": [[["a", "b"]]]}),
    {"type": "Polygon", "coordinates": [[[float("nan"), 0], *_TRIANGLE[1:]]]},
    {"type": "Polygon", "coordinates": [[[10**400, 0], *_TRIANGLE[1:]]]},
    {"type": "MultiPolygon", "coordinates": [[[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]]},
    *(_nested(50), _nested(3_000), _collections(50), _collections(3_000), list(range(1000))),
    *([13, 45, 13.2, 45.2], [13, 45, 0, 13.2, 45.2, 9], [1, 2, 3], ["a", "b", "c", "d"], [1e400, 0, 1, 1]),
    *(np.arange(4.0), np.zeros((4, 4)), np.float32(3), np.datetime64("NaT"), dt.date(2023, 8, 15), dt.timedelta(1)),
    dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=5))),
    *(object(), Exception, print, range(4), iter([1]), complex(1, 2)),
]  # fmt: skip

_FIELDS = sorted({*RegionRequest.model_fields, *RENAMED, "colour", "model_fields", "\ud800", "line\nbreak"})


def odd_requests(count: int, seed: int = 13) -> Iterator[dict[str, Any]]:
    """So many requests, each a good one with one to three things changed, at any depth."""
    dice = random.Random(seed)
    for _ in range(count):
        fields = deepcopy(dice.choice(GOOD))
        for _ in range(dice.choice((1, 1, 1, 2, 3))):
            if dice.random() < 0.5:
                fields[dice.choice(_FIELDS)] = dice.choice(ODD)
            else:
                _change_inside(fields, dice)
        yield fields


def _change_inside(value: Any, dice: random.Random) -> None:
    """Replaces, removes or doubles something in a list or an object, however deep."""
    while isinstance(value, dict | list) and value:
        key = dice.choice(list(value)) if isinstance(value, dict) else dice.randrange(len(value))
        if isinstance(value[key], dict | list) and value[key] and dice.random() < 0.8:
            value = value[key]
            continue
        match dice.randrange(4):
            case 0:
                del value[key]
            case 1 if isinstance(value, list):
                value.append(value[key])
            case _:
                value[key] = dice.choice(ODD)
        return
