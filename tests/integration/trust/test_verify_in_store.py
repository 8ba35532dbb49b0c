"""A run in a bucket is verified from there, and leaves nothing in scratch."""

from __future__ import annotations

import pytest

pytest.importorskip("moto", reason="moto, which plays S3, is not installed")
pytest.importorskip("obstore", reason="obstore is not installed")

from terramosaic import map_region, open_run, verify
from terramosaic.ground.grid import Rect
from terramosaic.planning.folder import RunFolder
from terramosaic.storage.files import read_text
from terramosaic.trust.verification import verification_of
from tests.integration.conftest import LAND
from tests.support.s3 import BUCKET, s3_server

PART = Rect(LAND.row + 100, LAND.col + 200, 400, 300)


def test_a_run_in_a_bucket(land, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    monkeypatch.setenv("TERRAMOSAIC_SCRATCH", str(scratch))
    with s3_server() as store:
        for name, value in store.env.items():
            monkeypatch.setenv(name, value)
        result = map_region(land.request(PART, f"s3://{BUCKET}/maps", targets=("NDVI",)))
        found = verify(f"s3://{BUCKET}/maps/latest", windows=6)
        folder = RunFolder(result.folder)
        assert found.passed and found.verified == found.drawn > 3
        assert verification_of(folder) == found
        assert found.confidence in read_text(folder.report_file)
        assert open_run(result.folder, check=True)
        assert not list(scratch.iterdir())
