"""A cache of its own, so that each test finds the indices that it made itself."""

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The user's cache folder."""
    monkeypatch.setenv("TERRAMOSAIC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
