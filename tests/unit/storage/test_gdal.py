"""How much GDAL holds of what it has decoded: by the machine's memory or a container's, unless the environment says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import rasterio

from terramosaic.storage import gdal

GIB = 2**30


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("GDAL_CACHEMAX", raising=False)
    gdal.cache_bytes.cache_clear()
    yield
    gdal.cache_bytes.cache_clear()


@pytest.mark.parametrize(
    ("machine", "container", "held"),
    [
        (2 * GIB, "max", 256 * 2**20),
        (40 * GIB, "max", 2 * GIB),
        (40 * GIB, str(20 * GIB), GIB),
        (1000 * GIB, "9223372036854771712", 4 * GIB),
        (None, None, 256 * 2**20),
    ],
)
def test_a_twentieth_of_the_memory_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: int | None, container: str | None, held: int
) -> None:
    if machine is None:
        monkeypatch.delattr("os.sysconf")
    else:
        known = {"SC_PHYS_PAGES": machine // 4096, "SC_PAGE_SIZE": 4096}
        monkeypatch.setattr("os.sysconf", known.__getitem__)
    limit = tmp_path / "memory.max"
    if container is not None:
        limit.write_text(container + "\n")
    monkeypatch.setattr(gdal, "_LIMITS", (limit,))
    assert gdal.cache_bytes() == held
    with gdal.local_files():
        assert rasterio.env.getenv()["GDAL_CACHEMAX"] == held


def test_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_CACHEMAX", "5%")
    with gdal.local_files():
        assert "GDAL_CACHEMAX" not in rasterio.env.getenv()
