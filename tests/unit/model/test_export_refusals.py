"""What an export is asked for is looked at before torch is imported, or anything fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from terramosaic.cli.model import model_group
from terramosaic.errors import RequestError
from terramosaic.model.export import export_bundle


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"targets": ("NDVI", "embeddings")},
            "targets: embeddings cannot be exported; take some of .* embedding",
        ),
        ({"inputs": ("coordinates",)}, "coordinates alone show nothing; name one of S2L2A"),
        (
            {"inputs": ("S2L2A", "coordinates"), "targets": ("NDVI", "coordinates")},
            "a bundle either takes coordinates or makes them",
        ),
        ({"window": 240}, "window: 240 is no multiple of 32 from 64 to 512"),
        ({"window": 32}, "window: 32 is no multiple of 32 from 64 to 512"),
        ({"revisions": {"S1GRD": "main"}}, "revision: S1GRD is none of terramind_v1_tiny, NDVI"),
        ({"revisions": {"": "main"}, "random_weights": 0}, "goes without checkpoints"),
        (
            {"targets": ("embedding",), "tokenizer_checkpoints": {"embedding": Path("x")}},
            "tokenizer-checkpoint: embedding is not among",
        ),
    ],
)
def test_it_is_refused_in_a_line(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        export_bundle("terramind_v1_tiny", tmp_path / "out", **{"targets": ("NDVI",), **fields})


@pytest.mark.parametrize("variant", ["terramind_v1_5_base", "terramind_v15_tiny"])
def test_terramind_1_5_is_refused_by_name(tmp_path: Path, variant: str) -> None:
    with pytest.raises(RequestError, match=r"TerraMind 1\.5, .* cannot be exported yet; take one of"):
        export_bundle(variant, tmp_path / "out", targets=("NDVI",))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("=main",), "'=main' is neither"),
        (("NDVI=",), "'NDVI=' is neither"),
        (("a", "b"), "that of all is given twice"),
    ],
)
def test_revisions_are_of_a_name_or_of_all(tmp_path: Path, given: tuple[str, ...], message: str) -> None:
    options = [part for text in given for part in ("--revision", text)]
    line = ["export", "terramind_v1_tiny", "--targets", "NDVI", "--out", str(tmp_path / "out"), *options]
    found = CliRunner().invoke(model_group, line)
    assert isinstance(found.exception, RequestError)
    assert message in str(found.exception)
