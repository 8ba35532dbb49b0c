"""What terratorch's files say of a fine-tuned model: its configuration (YAML), and what a Lightning checkpoint holds.

Pure: no torch. What the files do not say, and a map needs, is asked for in a line that names the option.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from terramosaic.bands import INPUT_BANDS, band_called
from terramosaic.errors import RequestError, printable
from terramosaic.model.manifest import MOST_DATES
from terramosaic.model.packing.spec import UNITS, unit_of

#: terratorch's names of inputs that are ours under another one.
_MODALITIES = {"RGB": "S2RGB"}

#: Tasks that make maps, by the end of their class's name.
_TASKS = {"SemanticSegmentationTask": "segmentation", "PixelwiseRegressionTask": "regression"}

#: How terratorch's temporal wrapper makes one of what the encoder makes of each date; with `keep` it makes none.
_POOLINGS = ("concat", "mean", "max", "diff")

#: What TerraMind was pretrained with on windows of, and its patch.
_WINDOW, _PATCH = 224, 16


#: Options of peft by which an adapter is another sum, or layers are scaled each by its own.
_OTHER_ADAPTERS = (
    "use_dora", "rank_pattern", "alpha_pattern", "fan_in_fan_out", "lora_bias", "use_qalora",
    "alora_invocation_tokens",
)  # fmt: skip


@dataclass(frozen=True)
class HeadInput:
    """An input of a fine-tuned model.

    Attributes:
        modality: terratorch's name of it.
        bands: ours, in the order of its channels.
        own_bands: terratorch's names of them where the model takes some of the input's bands, else none.
        unit: of its numbers, as a spec of `pack` says it.
        mean: of each band, in that unit.
        std: of each band.
    """

    modality: str
    bands: tuple[str, ...]
    own_bands: tuple[str, ...]
    unit: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


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


def config_of(
    model: Mapping[str, Any],
    data: Mapping[str, Any],
    *,
    stats: Mapping[str, Any] | None = None,
    classes: Sequence[str] = (),
    dates: int | None = None,
) -> HeadConfig:
    """What is to be exported.

    Args:
        model: ``class_path`` and ``init_args`` as a configuration's part ``model`` has them; of a checkpoint alone its
            ``hyper_parameters`` as ``init_args``.
        data: the ``init_args`` of the configuration's part ``data``; empty where there is none.
        stats: ``means`` and ``stds`` by modality, in place of those of the data.
        classes: names, in place of the model's.
        dates: acquisitions that the model sees, where it takes any number.

    Raises:
        RequestError: it is a kind that cannot be mapped with, or lacks what a map needs; says which option gives it.
    """
    own = dict(model.get("init_args", {}))
    arguments, factory = dict(own.get("model_args", {})), own.get("model_factory")
    task = _task(model.get("class_path"), own)
    if not arguments:
        raise RequestError(
            "config: it has no model.init_args.model_args, as terratorch's configurations have"
        )
    if factory != "EncoderDecoderFactory":
        raise RequestError(
            f"config: model_factory is {printable(factory)}; EncoderDecoderFactory can be exported"
        )
    _require_supported(arguments)
    inputs = _inputs(arguments, data, stats or data)
    names = tuple(classes or own.get("class_names") or ())
    count = arguments.get("num_classes") or own.get("num_classes")
    if task == "segmentation":
        names = _class_names(names, count)
    tiles = own.get("tiled_inference_parameters") or {}
    window = int(tiles.get("crop") or tiles.get("h_crop") or arguments.get("backbone_img_size") or _WINDOW)
    stride = tiles.get("stride") or tiles.get("h_stride")
    if stride is not None and (stride % _PATCH or not 0 < stride <= window):
        stride = None
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
        stride and int(stride),
        _dates(arguments, data, dates),
        thinks=str(arguments["backbone"]).endswith("_tim"),
        lora=lora or None,
    )


def _task(path: Any, own: Mapping[str, Any]) -> Literal["segmentation", "regression"]:
    name = str(path or own.get("_class_path") or "SemanticSegmentationTask").rpartition(".")[2]
    if name not in _TASKS:
        raise RequestError(
            f"config: {printable(name)} makes no map of pixels; {' and '.join(_TASKS)} can be exported"
        )
    return "regression" if _TASKS[name] == "regression" else "segmentation"


def _require_supported(arguments: Mapping[str, Any]) -> None:
    backbone = str(arguments.get("backbone", ""))
    if not backbone.startswith("terramind_v1_"):
        raise RequestError(f"config: the backbone is {printable(backbone)}; TerraMind's can be exported")
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
    options = config.get("peft_config_kwargs") or {}
    if str(config["method"]).upper() != "LORA":
        raise RequestError(
            f"config: peft_config's method is {printable(config['method'])}; LORA can be exported"
        )
    if other := [name for name in _OTHER_ADAPTERS if options.get(name)]:
        raise RequestError(
            f"config: peft_config's {', '.join(other)} cannot be exported; merge the adapters in peft, and leave "
            "peft_config out"
        )


def _inputs(
    arguments: Mapping[str, Any], data: Mapping[str, Any], stats: Mapping[str, Any]
) -> dict[str, HeadInput]:
    modalities = arguments.get("backbone_modalities")
    if not isinstance(modalities, list) or not modalities:
        raise RequestError("config: model_args.backbone_modalities names no modality")
    # Merged by concatenation their order counts: that which the data come in.
    order = [name for name in data.get("modalities") or modalities if name in modalities]
    if set(order) != set(modalities):
        order = list(modalities)
    subsets = arguments.get("backbone_bands") or {}
    found = {}
    for modality in order:
        name = _MODALITIES.get(str(modality), str(modality))
        if name not in UNITS:
            raise RequestError(
                f"config: {printable(modality)} is no input that imagery is read for; take {', '.join(UNITS)}"
            )
        own_bands = subsets.get(modality) or ()
        bands = _bands(modality, name, own_bands)
        mean, std = (
            _numbers(stats, field, modality, bands, alone=len(order) == 1) for field in ("means", "stds")
        )
        found[name] = HeadInput(
            str(modality), bands, tuple(map(str, own_bands)), unit_of(name, mean, std), mean, std
        )
    return found


def _bands(modality: str, name: str, own: Sequence[Any]) -> tuple[str, ...]:
    if not own:
        return INPUT_BANDS[name]
    if any(not isinstance(band, str) for band in own):
        raise RequestError(
            f"config: backbone_bands of {modality} are numbers, which tell no band (and terratorch keeps no pretrained "
            "weights for them); write their names"
        )
    known = INPUT_BANDS[name]
    bands = [band if band in known else band_called(band) or band for band in own]
    if unknown := [band for band in bands if band not in known]:
        raise RequestError(
            f"config: {modality} has no band {printable(', '.join(unknown))}; Sentinel has {' '.join(known)}"
        )
    return tuple(bands)


def _numbers(
    stats: Mapping[str, Any], field: str, modality: str, bands: Sequence[str], *, alone: bool
) -> tuple[float, ...]:
    found = stats.get(field)
    if isinstance(found, dict):
        found = found.get(modality)
    elif not alone:
        found = None
    if found is None:
        raise RequestError(
            f"stats: no {field} of {modality}, which no checkpoint holds; give the configuration as --config, or a "
            "file of means and stds by modality as --stats"
        )
    try:
        numbers = tuple(float(number) for number in (found if isinstance(found, list) else [found]))
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) == len(INPUT_BANDS[_MODALITIES.get(modality, modality)]) != len(bands):
        # All bands of the input are told, and the model takes some.
        known = INPUT_BANDS[_MODALITIES.get(modality, modality)]
        numbers = tuple(numbers[known.index(band)] for band in bands)
    if len(numbers) != len(bands):
        raise RequestError(f"stats: {field} of {modality} has {len(numbers)} numbers for {len(bands)} bands")
    return numbers


def _class_names(names: Sequence[str], count: Any) -> tuple[str, ...]:
    if not isinstance(count, int) or count < 1:
        raise RequestError("config: num_classes is missing")
    wanted = max(2, count)
    if not names:
        return tuple(f"class {index}" for index in range(wanted))
    if len(names) != wanted:
        raise RequestError(f"classes: {len(names)} names for {wanted} classes")
    return tuple(map(str, names))
