"""Published runs that the viewer's tests look at: made once, and read only."""

from __future__ import annotations

from pathlib import Path

import pytest

from terramosaic.planning.plan import Plan
from terramosaic.publishing.publish import publish
from tests.integration.publishing.small_run import polygon_run, two_zone_run


@pytest.fixture(scope="session")
def kite(tmp_path_factory) -> Plan:
    """A run over a kite in one zone, with imagery, confidence and standard deviation."""
    made = polygon_run(tmp_path_factory.mktemp("kite"), keep_imagery=True)
    publish(made)
    return made


@pytest.fixture(scope="session")
def zones(tmp_path_factory) -> Plan:
    """A run over two zones."""
    made = two_zone_run(tmp_path_factory.mktemp("zones"))
    publish(made)
    return made


def out_of(plan: Plan) -> Path:
    """The output folder of a run."""
    return Path(plan.request.out)
