"""What terratorch's files say of a fine-tuned model: its configuration (YAML), and what a Lightning checkpoint holds.

Pure: no torch. What the files do not say, and a map needs, is asked for in a line that names the option.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from terramosaic.errors import RequestError, printable
from terramosaic.model.export.head_inputs import HeadInput, input_called, inputs_of
from terramosaic.model.manifest import MOST_DATES
from terramosaic.model.packing.spec import read_yaml

#: Tasks that make maps, by the end of their class's name.
_TASKS = {"SemanticSegmentationTask": "segmentation", "PixelwiseRegressionTask": "regression"}

#: What others make, by words in their class's name.
_OTHER_TASKS = {
    "Detection": "it finds boxes",
    "Classification": "it gives a window one class",
    "ScalarRegression": "it gives a window one number",
    "Embedding": "it makes embeddings",
}

#: How terratorch's temporal wrapper makes one of what the encoder makes of each date; with `keep` it makes none.
_POOLINGS = ("concat", "mean", "max", "diff")

#: What TerraMind was pretrained with on windows of, and its patch.
_WINDOW, _PATCH = 224, 16


#: Options of peft by which an adapter is another sum, or layers are scaled each by its own.
_OTHER_ADAPTERS = (
    "use_dora", "rank_pattern", "alpha_pattern", "fan_in_fan_out", "lora_bias", "use_qalora",
    "alora_invocation_tokens",
)  # fmt: skip


_NO_ARGUMENTS = (
    "config: it has no model.init_args.model_args, as terratorch's configurations have; of a model in a format of its "
    "own, write them (docs/bundle.md), or make an ONNX file of it and use terramosaic model pack"
)
_NO_CONFIG = "config: the checkpoint holds no hyper_parameters; give its configuration as --config"


@dataclass(frozen=True)
class HeadConfig:
    """A fine-tuned model, as far as files say it.

    Attributes:
        task: ``segmentation`` or ``regression``.
        factory: terratorch's model factory.
        arguments: what it is called with.
        inputs: by our name, in the order that the model was trained with.
        classes: names; none of a regression.
        thinks: whether it generates a modality first (TiM).
        lora: terratorch's ``peft_config``, where low-rank adapters are to be merged into the weights.
        window: side of the windows of its tiled inference, or of pretraining.
        stride: pixels between them, where the file says tiles.
        dates: acquisitions that it sees, the oldest first; of several its inputs have an axis behind channels.
    """

    task: Literal["segmentation", "regression"]
    factory: str
    arguments: Mapping[str, Any]
    inputs: Mapping[str, HeadInput]
    classes: tuple[str, ...]
    window: int
    stride: int | None
    dates: int = 1
    thinks: bool = False
    lora: Mapping[str, Any] | None = None


def read_config(
    path: Path | None,
    stats: Path | None,
    held: Mapping[str, Any] | None = None,
    *,
    classes: Sequence[str] = (),
    window: int | None = None,
    dates: int | None = None,
    bands: Mapping[str, Sequence[str]] | None = None,
) -> HeadConfig | None:
    """What is to be exported, by files.

    Args:
        path: the configuration; its part ``model`` goes before what a checkpoint holds.
        stats: a file of means and stds.
        held: a checkpoint's ``hyper_parameters``, empty without one; None where it has not been read yet.
        classes: as of `config_of`.
        window: as of `config_of`.
        dates: as of `config_of`.
        bands: as of `config_of`.

    Returns:
        None where only the checkpoint can tell.

    Raises:
        RequestError: as `config_of`, or a file cannot be read.
    """
    content = read_yaml(path, "config") if path else {}
    numbers = read_yaml(stats, "stats") if stats else None
    model = _object(content, "model", "config")
    if not model:
        if held is None:
            return None
        if not held:
            raise RequestError(_NO_ARGUMENTS if path else _NO_CONFIG)
        model = {"init_args": held}
    data = _object(_object(content, "data", "config"), "init_args", "config: data")
    return config_of(model, data, stats=numbers, classes=classes, window=window, dates=dates, bands=bands)


def config_of(
    model: Mapping[str, Any],
    data: Mapping[str, Any],
    *,
    stats: Mapping[str, Any] | None = None,
    classes: Sequence[str] = (),
    window: int | None = None,
    dates: int | None = None,
    bands: Mapping[str, Sequence[str]] | None = None,
) -> HeadConfig:
    """What is to be exported.

    Args:
        model: ``class_path`` and ``init_args`` as a configuration's part ``model`` has them; of a checkpoint alone its
            ``hyper_parameters`` as ``init_args``.
        data: the ``init_args`` of the configuration's part ``data``; empty where there is none.
        stats: ``means`` and ``stds`` by modality, in place of those of the data.
        classes: names, in place of the model's.
        window: side of windows, in place of that of tiled inference.
        dates: acquisitions that the model sees, where it takes any number.
        bands: of an input, in the order of its channels, where the files name none, or by names of their own.

    Raises:
        RequestError: it is a kind that cannot be mapped with, or lacks what a map needs; says which option gives it.
    """
    own = dict(_object(model, "init_args", "config: model"))
    arguments, factory = (
        dict(_object(own, "model_args", "config: model.init_args")),
        own.get("model_factory"),
    )
    task = _task(model.get("class_path"), own)
    if not arguments:
        raise RequestError(_NO_ARGUMENTS)
    if factory != "EncoderDecoderFactory":
        raise RequestError(
            f"config: model_factory is {printable(factory)}; EncoderDecoderFactory can be exported"
        )
    _require_supported(arguments)
    inputs = inputs_of(arguments, data, stats or data, bands or {})
    told = own.get("class_names")
    names = tuple(classes or (told if isinstance(told, list | tuple) else ()))
    count = arguments.get("num_classes") or own.get("num_classes")
    if task == "segmentation":
        names = _class_names(names, count)
    window, stride = _tiles(own, arguments, window)
    lora = arguments.pop("peft_config", None)
    if lora:
        _require_mergeable(lora)
    return HeadConfig(
        task,
        factory,
        arguments,
        inputs,
        names,
        window,
        stride,
        _dates(arguments, data, dates),
        thinks=str(arguments["backbone"]).endswith("_tim"),
        lora=lora or None,
    )


def _task(path: Any, own: Mapping[str, Any]) -> Literal["segmentation", "regression"]:
    name = str(path or own.get("_class_path") or "SemanticSegmentationTask").rpartition(".")[2]
    if name not in _TASKS:
        why = next((f" ({told})" for word, told in _OTHER_TASKS.items() if word in name), "")
        instead = _embeddings(own) if "Embedding" in name else f"{' and '.join(_TASKS)} can be exported"
        raise RequestError(f"config: {printable(name)} makes no map of pixels{why}; {instead}")
    return "regression" if _TASKS[name] == "regression" else "segmentation"


def _embeddings(own: Mapping[str, Any]) -> str:
    """How to have TerraMind's embeddings of what a task of them takes."""
    variant = str(own.get("model") or "terramind_v1_base")
    taken = _object(own, "model_args", "config: model.init_args").get("modalities")
    named = [input_called(one) for one in taken] if isinstance(taken, list) else []
    inputs = ",".join(one for one in named if one) or "S2L2A"
    line = f"terramosaic model export {printable(variant)} --targets embedding --inputs {inputs}"
    return f"have TerraMind's own by {line}"


def _tiles(own: Mapping[str, Any], arguments: Mapping[str, Any], said: int | None) -> tuple[int, int | None]:
    """Side and stride of windows, as tiled inference had them."""
    tiles = _object(own, "tiled_inference_parameters", "config: model.init_args")
    window = tiles.get("crop") or tiles.get("h_crop") or arguments.get("backbone_img_size") or _WINDOW
    window = window if said is None else said
    stride = tiles.get("stride") or tiles.get("h_stride")
    if not isinstance(window, int) or window % _PATCH or window <= _PATCH:
        where = "config: tiled inference's windows" if said is None else "window: windows"
        raise RequestError(
            f"{where} of {printable(window)} pixels are none that patches of {_PATCH} pixels fill; say --window "
            f"{_WINDOW}, or another multiple of {_PATCH}"
        )
    if not isinstance(stride, int) or stride % _PATCH or not 0 < stride <= window:
        stride = None
    return window, stride


def _object(content: Any, name: str, where: str) -> Mapping[str, Any]:
    """A part of a file that has fields of its own; empty where it is not there."""
    found = content.get(name)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise RequestError(f"{where}: {name} is {printable(found)}, and no object with fields")
    return found


def _require_supported(arguments: Mapping[str, Any]) -> None:
    backbone = str(arguments.get("backbone", ""))
    if not backbone.startswith("terramind_v1_"):
        raise RequestError(f"config: the backbone is {printable(backbone)}; TerraMind's can be exported")
    channels = arguments.get("decoder_channels")
    if arguments.get("decoder") == "UperNetDecoder" and isinstance(channels, list):
        # As Geospatial Studio's template writes it.
        raise RequestError(
            f"config: decoder_channels is {printable(channels)}, and terratorch's UperNetDecoder takes one number: "
            "with a list no such model can have been trained; write the one that it was trained with, such as 256"
        )
    if backbone.endswith("_tim") and arguments.get("backbone_bands"):
        raise RequestError(
            "config: backbone_bands with thinking in modalities (TiM) is nothing that terratorch builds; take all bands"
        )


def _dates(arguments: Mapping[str, Any], data: Mapping[str, Any], said: int | None) -> int:
    """How many dates the model sees: as it says itself; else as an option does, or the data it was trained with."""
    if not arguments.get("backbone_use_temporal"):
        if said not in (None, 1):
            raise RequestError(f"dates: the model takes one date (backbone_use_temporal), not {said}")
        return 1
    is_joined = arguments.get("backbone_temporal_concat")  # what terratorch called pooling by concat before
    pooling = arguments.get("backbone_temporal_pooling", "concat" if is_joined else "mean")
    if pooling not in _POOLINGS:
        raise RequestError(
            f"config: dates are pooled by {printable(pooling)}; {', '.join(_POOLINGS)} can be exported"
        )
    told = arguments.get("backbone_temporal_n_timestamps")
    if told is None and arguments.get("backbone_temporal_subset_lengths"):
        told = sum(arguments["backbone_temporal_subset_lengths"])
    if told is not None and said not in (None, told):
        raise RequestError(
            f"dates: the model takes {told} dates (backbone_temporal_n_timestamps), not {said}"
        )
    steps = data.get("timesteps")
    count = told or said or (len(steps) if isinstance(steps, list) else None)
    if not isinstance(count, int):
        raise RequestError("dates: the model takes any number of dates; say --dates N")
    if not 2 <= count <= MOST_DATES:
        raise RequestError(
            f"dates: {count} dates are none that windows can be cut from; 2 to {MOST_DATES} are"
        )
    return count


def _require_mergeable(config: Any) -> None:
    """Refuses low-rank adapters that terratorch does not read so, or that are of another kind."""
    if not isinstance(config, Mapping) or not config.get("method"):
        raise RequestError(
            "config: peft_config has no method, without which terratorch itself builds no model; write method: LORA, "
            "and peft's own options below peft_config_kwargs"
        )
    options = _object(config, "peft_config_kwargs", "config: peft_config")
    if str(config["method"]).upper() != "LORA":
        raise RequestError(
            f"config: peft_config's method is {printable(config['method'])}; LORA can be exported"
        )
    if other := [name for name in _OTHER_ADAPTERS if options.get(name)]:
        raise RequestError(
            f"config: peft_config's {', '.join(other)} cannot be exported; merge the adapters in peft, and leave "
            "peft_config out"
        )


def _class_names(names: Sequence[str], count: Any) -> tuple[str, ...]:
    if not isinstance(count, int) or count < 1:
        raise RequestError("config: num_classes is missing")
    wanted = max(2, count)
    if not names:
        return tuple(f"class {index}" for index in range(wanted))
    if len(names) != wanted:
        raise RequestError(f"classes: {len(names)} names for {wanted} classes")
    return tuple(map(str, names))
