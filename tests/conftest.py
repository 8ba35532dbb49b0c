"""Settings of all tests: loopback only, a Prefect home of their own, no clock, shared data found or skipped."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# Before anything imports Prefect. A forgotten harness then fails at once instead of starting a server.
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="terramosaic-prefect-")
os.environ.update(
    DO_NOT_TRACK="1",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE="false",
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="300",
)
os.environ.pop("PREFECT_API_URL", None)
os.environ["TERRAMOSAIC_CACHE"] = tempfile.mkdtemp(prefix="terramosaic-cache-")

# A busy machine fails no test.
settings.register_profile("terramosaic", deadline=None)
settings.load_profile("terramosaic")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real Sentinel-2 data beside the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip("../shared/data with real Sentinel-2 samples is not there")
    return SHARED_DATA
