"""Fine-tuned heads: exported, as near to terratorch as rounding lets them be, and mapped with."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from terramosaic import map_region
from terramosaic.errors import ModelError, RequestError
from terramosaic.ground.grid import Rect
from terramosaic.model.export import export_head
from terramosaic.model.export.head_config import config_of
from terramosaic.model.export.heads import _built
from terramosaic.model.selftest import check_bundle
from tests.integration.conftest import LAND, land  # noqa: F401  (a fixture)
from tests.support.pixels import read

STATS = {
    "means": {"S2L2A": [1400.0] * 12, "S1RTC": [-11.0, -17.0], "DEM": [600.0]},
    "stds": {"S2L2A": [2000.0] * 12, "S1RTC": [4.0, 4.0], "DEM": [900.0]},
}
NECKS = [
    {"name": "SelectIndices", "indices": [2, 5, 8, 11]},
    {"name": "ReshapeTokensToImage", "remove_cls_token": False},
    {"name": "LearnedInterpolateToPyramidal"},
]
LAST = [{"name": "SelectIndices", "indices": [-1]}, NECKS[1]]
ARGUMENTS: dict[str, Any] = {
    "backbone": "terramind_v1_tiny",
    "backbone_modalities": ["S2L2A"],
    "necks": NECKS,
    "decoder": "UNetDecoder",
    "decoder_channels": [64, 32, 16, 8],
    "num_classes": 3,
}
THREE = {"backbone_modalities": ["S2L2A", "S1RTC", "DEM"]}
KINDS: dict[str, dict[str, Any]] = {
    "unet of some bands": {"backbone_bands": {"S2L2A": ["BLUE", "GREEN", "RED", "NIR_NARROW"]}},
    "three inputs, mean": THREE,
    "three inputs, concat": THREE | {"backbone_merge_method": "concat"},
    "upernet": {"decoder": "UperNetDecoder", "decoder_channels": 64},
    "fcn": {"decoder": "FCNDecoder", "decoder_channels": 32, "decoder_num_convs": 2, "necks": LAST},
    "linear": {"decoder": "LinearDecoder", "decoder_upsampling_size": 16, "decoder_num_classes": 3,
               "decoder_channels": None, "necks": LAST},
    "sigmoid": {"num_classes": 1},
    "three inputs of four dates, concat": THREE
    | {"backbone_use_temporal": True, "backbone_temporal_pooling": "concat", "backbone_temporal_n_timestamps": 4},
    "two dates, mean": {"backbone_use_temporal": True},
}  # fmt: skip


def configuration(path: Path, task: str = "SemanticSegmentationTask", **changes: Any) -> Path:
    arguments = copy.deepcopy(ARGUMENTS) | changes
    model = {
        "class_path": f"terratorch.tasks.{task}",
        "init_args": {
            "model_factory": "EncoderDecoderFactory",
            "model_args": {name: value for name, value in arguments.items() if value is not None},
        },
    }
    path.write_text(yaml.safe_dump({"model": model, "data": {"init_args": STATS}}))
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_head_is_as_in_terratorch(kind: str, tmp_path: Path) -> None:
    """Parity with terratorch is the export's own check; a graph that computes otherwise makes no bundle."""
    config = configuration(tmp_path / "head.yaml", **KINDS[kind])
    window = 256 if kind in ("three inputs, mean", "three inputs of four dates, concat") else None
    dates = 2 if kind == "two dates, mean" else None
    packed = export_head(
        tmp_path / "bundle", config=config, random_weights=1, window=window, pixel_size=10, dates=dates
    )
    told = {spec.dates for spec in packed.bundle.inputs.values()}
    assert told == {4 if "four dates" in kind else 2 if "two dates" in kind else 1}
    assert packed.bundle.manifest.window == (window or 224) and packed.bundle.manifest.patch == 16
    spec = packed.bundle.targets["classes"]
    assert spec.planes == (2 if kind == "sigmoid" else 3)
    check = check_bundle(packed.bundle)
    assert not check.failures
    stored = np.load(packed.bundle.folder / "selftest.npz")["classes.probabilities"]
    assert stored.std(axis=(0, 2, 3)).max() > 1e-3  # not the same everywhere


def test_a_regression_has_values(tmp_path: Path) -> None:
    config = configuration(tmp_path / "head.yaml", "PixelwiseRegressionTask", num_classes=None)
    packed = export_head(
        tmp_path / "bundle", config=config, random_weights=1, target="biomass", pixel_size=10
    )
    assert packed.bundle.targets["biomass"].channels == ("biomass",)


def test_a_graph_that_computes_otherwise_makes_no_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configuration(tmp_path / "head.yaml")
    monkeypatch.setattr("terramosaic.model.export.heads._LIMIT", 0.0)
    with pytest.raises(ModelError, match="from terratorch's, more than"):
        export_head(tmp_path / "bundle", config=config, random_weights=1, pixel_size=10)
    assert not (tmp_path / "bundle").exists()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As Lightning writes it: weights below ``model.``, the loss's beside them, and the architecture."""
    path = tmp_path_factory.mktemp("checkpoint") / "best.ckpt"
    config = yaml.safe_load(
        configuration(path.with_suffix(".yaml"), **KINDS["unet of some bands"]).read_text()
    )
    network = _built(config_of(config["model"], STATS), 224, 7)
    state = {f"model.{name}": weights for name, weights in network.state_dict().items()}
    torch.save(
        {
            "state_dict": state | {"criterion.weight": torch.ones(3)},
            "hyper_parameters": config["model"]["init_args"] | {"class_names": ["land", "water", "ice"]},
        },
        path,
    )
    return path


def test_a_checkpoint_tells_its_architecture_and_is_asked_for_statistics(
    checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match="stats: no means of S2L2A, which no checkpoint holds"):
        export_head(tmp_path / "bundle", checkpoint=checkpoint, pixel_size=10)
    stats = tmp_path / "stats.yaml"
    stats.write_text(yaml.safe_dump(STATS))
    packed = export_head(tmp_path / "bundle", checkpoint=checkpoint, stats=stats, pixel_size=10)
    assert [item.name for item in packed.bundle.targets["classes"].classes] == ["land", "water", "ice"]
    assert packed.bundle.bands == ("B02", "B03", "B04", "B8A")


def test_a_checkpoint_of_another_configuration_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    config = configuration(tmp_path / "head.yaml", decoder_channels=[32, 32, 16, 8])
    with pytest.raises(RequestError, match="it is of another configuration"):
        export_head(tmp_path / "bundle", checkpoint=checkpoint, config=config, pixel_size=10)
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    with pytest.raises(RequestError, match="cannot be read"):
        export_head(tmp_path / "bundle", checkpoint=tmp_path / "text.ckpt", config=config, pixel_size=10)


def test_a_map_of_it_is_one_of_classes(land, checkpoint: Path, tmp_path: Path) -> None:  # noqa: F811
    stats = tmp_path / "stats.yaml"
    stats.write_text(yaml.safe_dump(STATS))
    export_head(tmp_path / "bundle", checkpoint=checkpoint, stats=stats, target="water", pixel_size=10)
    rect = Rect(LAND.row + 100, LAND.col + 100, 120, 140)
    result = map_region(
        land.request(rect, tmp_path / "out", model=str(tmp_path / "bundle"), targets=("water",))
    )
    water, _ = read(result.mosaics["water"])
    assert set(np.unique(water)) <= {0, 1, 2, 3} and (water > 0).mean() > 0.9
