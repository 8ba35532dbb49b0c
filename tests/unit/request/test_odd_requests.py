"""A thousand odd requests: each is taken, or refused in lines that name the field."""

from __future__ import annotations

import re

from terramosaic.errors import RequestError
from terramosaic.request.features import requests_of
from terramosaic.request.request import RENAMED, RegionRequest, request_of
from tests.support.odd_requests import GOOD, odd_requests

#: A line that names a field: one of the request's, or one that there is not.
_NAMES_A_FIELD = re.compile(
    rf"({'|'.join([*RegionRequest.model_fields, *RENAMED])})\b|.+: there is no such field"
)


def test_each_is_taken_or_refused_by_name():
    taken = refused = 0
    for fields in [*GOOD, *odd_requests(1000)]:
        try:
            request = request_of(**fields)
            assert RegionRequest.model_validate_json(request.model_dump_json()) == request
            requests_of(request)
            taken += 1
        except RequestError as error:
            refused += 1
            for line in str(error).split("\n"):
                assert line.isprintable() and len(line) < 1000 and _NAMES_A_FIELD.match(line), line
    assert taken > 20 and refused > 700
