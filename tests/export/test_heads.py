"""Fine-tuned heads: exported, as near to terratorch as rounding lets them be, and mapped with."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from terratorch.models.peft_utils import replace_qkv

from terramosaic import map_region, verify
from terramosaic.errors import ModelError, RequestError
from terramosaic.ground.grid import Rect
from terramosaic.model.export import export_head
from terramosaic.model.export.head_config import config_of
from terramosaic.model.export.heads import _built, _load
from terramosaic.model.export.lora import merged
from terramosaic.model.export.tim import thought_of
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
    "thinks in LULC": THREE | {"backbone": "terramind_v1_tiny_tim", "backbone_tim_modalities": ["LULC"]},
    "thinks in DEM": {"backbone": "terramind_v1_tiny_tim", "backbone_tim_modalities": ["DEM"],
                      "backbone_merge_method": "concat", "backbone_modalities": ["S1RTC"]},
    "thinks at each of two dates": {"backbone": "terramind_v1_tiny_tim", "backbone_tim_modalities": ["LULC"],
                                    "backbone_use_temporal": True, "backbone_temporal_n_timestamps": 2},
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


@pytest.mark.parametrize(
    ("stats", "options", "told"),
    [
        (STATS | {"stds": {"S2L2A": [0.0] * 12}}, {}, "S2L2A: std must be above 0"),
        (STATS, {"classes": ["a", "b", "b"]}, "two classes have the same name"),
        (STATS, {"target": "my flood"}, "is no name here; take letters and digits"),
    ],
)
def test_what_no_bundle_can_hold_is_told_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stats: Any, options: Any, told: str
) -> None:
    monkeypatch.setattr("terramosaic.model.export.heads._built", None)
    config = configuration(tmp_path / "head.yaml")
    (tmp_path / "stats.json").write_text(json.dumps(stats))
    given = {"config": config, "stats": tmp_path / "stats.json", "random_weights": 1, "pixel_size": 10}
    with pytest.raises(RequestError, match=told):
        export_head(tmp_path / "bundle", **given, **options)


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


def test_weights_of_safetensors_are_those_of_the_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    """They hold no architecture, so the configuration tells it."""
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    weights = tmp_path / "model.safetensors"
    save_file({name: each.contiguous() for name, each in state.items()}, weights)
    with pytest.raises(RequestError, match="holds no hyper_parameters; give its configuration as --config"):
        export_head(tmp_path / "bundle", checkpoint=weights, pixel_size=10)
    config = configuration(tmp_path / "head.yaml", **KINDS["unet of some bands"])
    packed = export_head(tmp_path / "bundle", checkpoint=weights, config=config, pixel_size=10)
    of_checkpoint = export_head(tmp_path / "other", checkpoint=checkpoint, config=config, pixel_size=10)
    made, expected = (
        np.load(each.bundle.folder / "selftest.npz")["classes.probabilities"]
        for each in (packed, of_checkpoint)
    )
    np.testing.assert_array_equal(made, expected)


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


def test_thinking_is_terratorchs(tmp_path: Path) -> None:
    """Of the likeliest tokens; which are drawn otherwise, terratorch decides by a seed of its own."""
    arguments = THREE | {"backbone": "terramind_v1_tiny_tim", "backbone_tim_modalities": ["LULC"]}
    networks = []
    for changes in ({"backbone_tim_top_k": 1}, {}):
        config = yaml.safe_load(configuration(tmp_path / "head.yaml", **arguments | changes).read_text())
        networks.append(_built(config_of(config["model"], STATS), 224, 3).eval())
    theirs, ours = networks
    rng = torch.Generator().manual_seed(4)
    windows = {
        name: torch.randn(2, bands, 224, 224, generator=rng)
        for name, bands in (("S2L2A", 12), ("S1RTC", 2), ("DEM", 1))
    }
    thought = thought_of(ours)
    assert thought is not None and thought.top_p == pytest.approx(0.8)
    uniform = torch.rand(2, 14, 14, generator=rng)
    with torch.no_grad():
        thought.put(uniform, top_p=0)
        likeliest = ours(dict(windows)).output
        np.testing.assert_allclose(likeliest, theirs(dict(windows)).output, atol=1e-5)
        thought.put(uniform)
        drawn = ours(dict(windows)).output
    assert (likeliest - drawn).abs().max() > 1e-4  # what was thought is seen


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"backbone_tim_modalities": ["LULC", "DEM"]}, "thinks in LULC, DEM; one modality of images"),
        ({"backbone_tim_decoding_steps": 3}, "drawn in 3 steps"),
    ],
)
def test_thinking_of_other_kinds_is_refused(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    config = configuration(tmp_path / "head.yaml", **{"backbone": "terramind_v1_tiny_tim"} | changes)
    with pytest.raises(RequestError, match=told):
        export_head(tmp_path / "bundle", config=config, random_weights=1, pixel_size=10)


class _Adapted(torch.nn.Module):
    """A layer with an adapter beside it, as peft computes it."""

    def __init__(self, base: torch.nn.Linear, scale: float) -> None:
        super().__init__()
        self.base_layer, self.scale = base, scale
        self.lora_A = torch.nn.ModuleDict({"default": torch.nn.Linear(base.in_features, 4, bias=False)})
        self.lora_B = torch.nn.ModuleDict({"default": torch.nn.Linear(4, base.out_features, bias=False)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base_layer(x) + self.scale * self.lora_B["default"](self.lora_A["default"](x))


LORA = {
    "method": "LORA",
    "replace_qkv": "qkv",
    "peft_config_kwargs": {
        "r": 4,
        "lora_alpha": 12,
        "target_modules": ["qkv.q_linear", "qkv.v_linear", "proj"],
    },
}


def test_adapters_are_merged(tmp_path: Path) -> None:
    """A checkpoint with LoRA's adapters, as terratorch writes it, makes what the model with them makes."""
    config = yaml.safe_load(configuration(tmp_path / "plain.yaml").read_text())
    network = _built(config_of(config["model"], STATS), 224, 7).eval()
    torch.manual_seed(8)
    plain = copy.deepcopy(network)
    replace_qkv(network.encoder, "qkv")
    for block in network.encoder.encoder:
        for parent, name in (
            (block.attn.qkv, "q_linear"),
            (block.attn.qkv, "v_linear"),
            (block.attn, "proj"),
        ):
            setattr(parent, name, _Adapted(getattr(parent, name), 12 / 4))
    state = {f"model.{name}": weights for name, weights in network.state_dict().items()}
    state = {
        name.replace("model.encoder.", "model.encoder.base_model.model.", 1): w for name, w in state.items()
    }
    hyper = config["model"]["init_args"]
    hyper = hyper | {"model_args": hyper["model_args"] | {"peft_config": LORA}}
    read = config_of({"init_args": hyper}, STATS)
    assert read.lora == LORA
    whole = merged({name.removeprefix("model."): weights for name, weights in state.items()}, LORA)
    windows = torch.randn(1, 12, 224, 224)
    with torch.no_grad():
        without = plain({"S2L2A": windows}).output
        _load(plain, whole, tmp_path)
        with_adapters = network({"S2L2A": windows}).output
        np.testing.assert_allclose(plain({"S2L2A": windows}).output, with_adapters, atol=1e-5)
    assert (with_adapters - without).abs().max() > 1e-2
    torch.save({"state_dict": state, "hyper_parameters": hyper}, tmp_path / "best.ckpt")
    stats = tmp_path / "stats.yaml"
    stats.write_text(yaml.safe_dump(STATS))
    export_head(tmp_path / "bundle", checkpoint=tmp_path / "best.ckpt", stats=stats, pixel_size=10)
    del state["model.encoder.base_model.model.encoder.0.attn.proj.lora_A.default.weight"]
    torch.save({"state_dict": state, "hyper_parameters": hyper}, tmp_path / "half.ckpt")
    with pytest.raises(RequestError, match="no adapters, or parts of them"):
        export_head(tmp_path / "half", checkpoint=tmp_path / "half.ckpt", stats=stats, pixel_size=10)


def test_a_map_of_a_head_that_thinks(land, tmp_path: Path) -> None:  # noqa: F811
    """Tokens are drawn with the ground's numbers: what two blocks make is what one makes, and it can be verified."""
    arguments = {"backbone": "terramind_v1_tiny_tim", "backbone_tim_modalities": ["LULC"]}
    config = configuration(tmp_path / "head.yaml", **arguments)
    export_head(tmp_path / "bundle", config=config, random_weights=5, pixel_size=10)
    rect = Rect(LAND.row + 100, LAND.col + 100, 120, 140)
    made = [
        map_region(
            land.request(
                rect,
                tmp_path / str(size),
                model=str(tmp_path / "bundle"),
                targets=("classes",),
                block_size=size,
            )
        )
        for size in (512, 2048)
    ]
    one, other = (read(result.mosaics["classes"])[0] for result in made)
    np.testing.assert_array_equal(one, other)
    assert (one > 0).mean() > 0.9 and verify(made[0], write=False).passed


OWN_DECODER = """
from terratorch.registry import TERRATORCH_DECODER_REGISTRY
from torch import nn

@TERRATORCH_DECODER_REGISTRY.register
class {name}(nn.Module):
    includes_head = False

    def __init__(self, channels, width=8):
        super().__init__()
        self.out_channels = width
        self.layer = nn.Conv2d(channels[-1], width, 1)

    def forward(self, features):
        return nn.functional.interpolate(self.layer(features[-1]), scale_factor=16)
"""


@pytest.mark.parametrize("is_folder", [True, False])
def test_a_decoder_of_ones_own_is_run_if_it_is_trusted(is_folder: bool, tmp_path: Path) -> None:
    name = "FolderDecoder" if is_folder else "FileDecoder"
    code = tmp_path / f"own_{name}" / "__init__.py" if is_folder else tmp_path / f"own_{name}.py"
    code.parent.mkdir(exist_ok=True)
    code.write_text(OWN_DECODER.format(name=name))
    config = configuration(
        tmp_path / "head.yaml", decoder=name, decoder_channels=None, decoder_width=4, necks=LAST
    )
    fields: dict[str, Any] = {"config": config, "random_weights": 1, "pixel_size": 10}
    with pytest.raises(RequestError, match=f"{name} is no decoder of terratorch's; where it is your own"):
        export_head(tmp_path / "bundle", **fields)
    fields["custom_modules"] = code.parent if is_folder else code
    with pytest.raises(RequestError, match="which may do anything here; say --trust"):
        export_head(tmp_path / "bundle", **fields)
    packed = export_head(tmp_path / "bundle", **fields, trust=True)
    assert not check_bundle(packed.bundle).failures
    with pytest.raises(RequestError, match=r"broken_\w+\.py failed: .*no way"):
        export_head(tmp_path / "again", **fields | {"custom_modules": broken(tmp_path)}, trust=True)


def broken(folder: Path) -> Path:
    path = folder / f"broken_{folder.name}.py"
    path.write_text("raise ValueError('no\\nway')")
    return path
