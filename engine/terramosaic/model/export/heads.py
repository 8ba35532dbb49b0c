"""Fine-tuned TerraMind of terratorch as bundles: encoder, necks, decoder and head in one graph."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from terratorch.registry import DECODER_REGISTRY, MODEL_FACTORY_REGISTRY
from torch import nn

from terramosaic.errors import ModelError, RequestError, one_line, printable
from terramosaic.ground.lattice import PATCH
from terramosaic.model.export.custom import run_custom_modules
from terramosaic.model.export.head_config import HeadConfig, read_config
from terramosaic.model.export.lora import merged
from terramosaic.model.export.onnx_files import GraphForm, export_graph
from terramosaic.model.export.tim import Thought, thought_of
from terramosaic.model.packing import Packed, PackSpec, pack_model
from terramosaic.model.packing.spec import spec_of

#: What a graph that thinks calls the numbers that its tokens are drawn with.
UNIFORM = "uniform"

#: How far the packed graph may be from terratorch.
_LIMIT = 1e-4

_OPSET = 20


def export_head(
    out: Path,
    *,
    checkpoint: Path | None = None,
    config: Path | None = None,
    stats: Path | None = None,
    classes: Sequence[str] = (),
    target: str = "",
    random_weights: int | None = None,
    window: int | None = None,
    dates: int | None = None,
    bands: Mapping[str, Sequence[str]] | None = None,
    custom_modules: Path | None = None,
) -> Packed:
    """Exports a fine-tuned model, compared with terratorch on the way.

    The arguments are those of `terramosaic.model.export.export_head`, which has checked what needs no torch.

    Raises:
        RequestError: the files do not fit, lack what a map needs, or are of a kind that cannot be exported.
        ModelError: terratorch cannot build the model, or the exported one computes something else.
    """
    if custom_modules:
        run_custom_modules(custom_modules)
    state, held = _checkpoint(checkpoint) if checkpoint else ({}, {})
    read = read_config(config, stats, held, classes=classes, window=window, dates=dates, bands=bands)
    assert read is not None  # there is a configuration, or what the checkpoint holds
    side = read.window
    # What a bundle cannot hold, such as a deviation of 0 or a name twice, is told before minutes of exporting.
    spec = _spec(read, side, target, checkpoint, config, random_weights)
    network = _built(read, side, random_weights)
    if checkpoint:
        _load(network, merged(state, read.lora) if read.lora else state, checkpoint)
    network.eval()
    head = _Head(network, [item.modality for item in read.inputs.values()], thought_of(network, read.dates))
    folder = Path(mkdtemp(prefix="terramosaic-head-"))
    try:
        _export(head, read, side, folder / "head.onnx")
        packed = pack_model(folder / "head.onnx", spec, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _require_parity(packed, head, read)
    return packed


class _Head(nn.Module):
    """The model with its inputs one after the other, which ONNX names.

    Those of several dates are (N, C, T, H, W); of a model that thinks the first is ``uniform``.
    """

    def __init__(self, network: nn.Module, modalities: Sequence[str], thought: Thought | None) -> None:
        super().__init__()
        self.network, self.modalities = network, modalities
        self._thought = [thought] if thought else []  # it is a part of the network

    def forward(
        self,
        first: torch.Tensor,
        second: torch.Tensor | None = None,
        third: torch.Tensor | None = None,
        fourth: torch.Tensor | None = None,
        fifth: torch.Tensor | None = None,
    ) -> torch.Tensor:
        # torch.export wants each argument by itself.
        windows = [one for one in (first, second, third, fourth, fifth) if one is not None]
        for thought in self._thought:
            thought.put(windows.pop(0))
        given = dict(zip(self.modalities, windows, strict=True))
        made: torch.Tensor = self.network(given).output
        # A regression's has no axis for its one value.
        return made if made.ndim == 4 else made[:, None]


def _checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Weights and hyper-parameters of Lightning's file, of safetensors weights alone; nothing of it is run."""
    try:
        if path.suffix.lower() == ".safetensors":
            content: Any = {"state_dict": load_file(path)}
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's errors have no common base
        raise RequestError(f"checkpoint: {path} cannot be read: {one_line(error)}") from error
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise RequestError(f"checkpoint: {path} is no checkpoint of Lightning: it has no state_dict")
    # Lightning keeps the network as `model`; torch.compile puts a word of its own between.
    state = {
        re.sub(r"^model\.", "", name.replace("_orig_mod.", "")): weights
        for name, weights in content["state_dict"].items()
    }
    return state, dict(content.get("hyper_parameters") or {})


def _built(read: HeadConfig, side: int, seed: int | None) -> nn.Module:
    arguments = dict(read.arguments) | {"backbone_pretrained": False, "backbone_img_size": side}
    arguments.pop("backbone_ckpt_path", None)
    if read.dates > 1:
        arguments["backbone_temporal_n_timestamps"] = read.dates
    if read.task == "regression":
        arguments.pop("num_classes", None)
    torch.manual_seed(seed or 0)
    decoder = arguments.get("decoder")
    if isinstance(decoder, str) and decoder not in DECODER_REGISTRY:
        raise RequestError(
            f"config: {printable(decoder)} is no decoder of terratorch's; where it is your own, --custom-modules PATH "
            "--trust runs the code that registers it"
        )
    try:
        factory = MODEL_FACTORY_REGISTRY.build(read.factory)
        network: nn.Module = factory.build_model(task=read.task, **arguments)
    except Exception as error:  # terratorch's errors have no common base
        raise ModelError(f"config: terratorch cannot build the model: {one_line(error)}") from error
    return network


def _load(network: nn.Module, state: Mapping[str, torch.Tensor], path: Path) -> None:
    known = network.state_dict()
    missing = [name for name in known if name not in state]
    odd = [name for name in known if name in state and state[name].shape != known[name].shape]
    if missing or odd:
        wrong = (
            f"lacks {len(missing)} of {len(known)} weights ({missing[0]})"
            if missing
            else f"has another {odd[0]}"
        )
        raise RequestError(f"checkpoint: {path} {wrong}; it is of another configuration")
    network.load_state_dict({name: state[name] for name in known})


def _export(head: _Head, read: HeadConfig, side: int, path: Path) -> None:
    dates = (read.dates,) if read.dates > 1 else ()
    examples = {
        name: torch.randn(2, len(item.bands), *dates, side, side) for name, item in read.inputs.items()
    }
    if read.thinks:
        examples = {UNIFORM: torch.rand(2, side // PATCH, side // PATCH)} | examples
    batch = torch.export.Dim("batch")
    form = GraphForm(examples, ("made",), {name: {0: batch} for name in examples}, _OPSET)
    try:
        export_graph(head, form, path, "fp32")
    except Exception as error:  # torch's errors have no common base
        raise ModelError(f"config: the model cannot be exported: {one_line(error)}") from error


def _spec(
    read: HeadConfig,
    side: int,
    target: str,
    checkpoint: Path | None,
    config: Path | None,
    random_weights: int | None,
) -> PackSpec:
    named = checkpoint or config
    assert named is not None
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", named.stem).strip("-._") or "head"
    what = "random weights, " if random_weights is not None else ""
    if read.task == "segmentation":
        said: dict[str, Any] = {"output": "logits", "classes": list(read.classes)}
    else:
        said = {"output": "values"}
    if read.thinks:
        said["uniform"] = UNIFORM
    return spec_of(
        {
            "name": name,
            "title": f"{name} ({what}{read.arguments['backbone']} with {read.arguments.get('decoder')})",
            "source": f"terratorch, {named.name}",
            "licence": "as the checkpoint's",
            "window": side,
            "patch": PATCH,
            "stride": read.stride,
            "inputs": {
                key: {
                    "tensor": key,
                    "bands": item.bands,
                    "unit": item.unit,
                    "mean": item.mean,
                    "std": item.std,
                    "dates": read.dates,
                }
                for key, item in read.inputs.items()
            },
            "targets": {target or ("classes" if read.task == "segmentation" else "values"): said},
        },
        "config",
    )


def _require_parity(packed: Packed, head: _Head, read: HeadConfig) -> None:
    """Compares what the bundle made of its self-test's windows with what terratorch makes of them."""
    bundle = packed.bundle
    stored = np.load(bundle.folder / str(bundle.manifest.selftest))
    given = []
    if read.thinks:
        given.append(
            torch.zeros(len(stored[f"windows.{next(iter(read.inputs))}"]), *(bundle.manifest.patches,) * 2)
        )
    for name, item in read.inputs.items():
        values = stored[f"windows.{name}"].astype(np.float64)
        if item.unit == "linear":
            values = 10 ** (values / 10)
        factor = {"reflectance": 1e-4, "0-1": 1 / 255}.get(item.unit, 1.0)
        ones = (1,) * (values.ndim - 2)
        mean, std = (np.array(numbers).reshape(-1, *ones) for numbers in (item.mean, item.std))
        given.append(torch.from_numpy(((values * factor - mean) / std).astype(np.float32)))
    with torch.no_grad():
        made = head(*given)
        (target,) = bundle.targets.items()
        if target[1].classes:
            made = (
                torch.softmax(made, 1)
                if made.shape[1] > 1
                else torch.cat([1 - made.sigmoid(), made.sigmoid()], 1)
            )
    apart = float(np.abs(stored[f"{target[0]}.{target[1].output}"] - made.numpy()).max())
    most = _LIMIT * max(1.0, float(made.abs().max()))
    if not apart <= most:
        shutil.rmtree(bundle.folder, ignore_errors=True)
        raise ModelError(
            f"the exported model is {apart:.2g} from terratorch's, more than {most:.0g}; no bundle was made"
        )
