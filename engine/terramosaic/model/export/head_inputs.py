"""What a fine-tuned model takes: inputs, their bands and statistics, of terratorch's names and numbers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from terramosaic.bands import INPUT_BANDS, band_called
from terramosaic.errors import RequestError, printable
from terramosaic.model.packing.spec import UNITS, unit_of

#: What terratorch's names of pixel inputs hold, in lower case and in the order that it looks for them; ours beside it.
_MODALITIES = {
    "sen2l2a": "S2L2A", "s2l2a": "S2L2A", "sen2l1c": "S2L1C", "s2l1c": "S2L1C", "sen1rtc": "S1RTC", "s1rtc": "S1RTC",
    "sen1": "S1GRD", "s1": "S1GRD", "rgb": "S2RGB", "dem": "DEM",
}  # fmt: skip


@dataclass(frozen=True)
class HeadInput:
    """An input of a fine-tuned model.

    Attributes:
        modality: terratorch's name of it.
        bands: ours, in the order of its channels.
        unit: of its numbers, as a spec of `pack` says it.
        mean: of each band, in that unit.
        std: of each band.
    """

    modality: str
    bands: tuple[str, ...]
    unit: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


def input_called(modality: Any) -> str | None:
    """Our name of what terratorch calls a modality; None of tokens and of modalities that are a user's own."""
    if not isinstance(modality, str) or modality.startswith("tok_"):
        return None
    lowered = modality.lower()
    return next((name for part, name in _MODALITIES.items() if part in lowered), None)


def inputs_of(
    arguments: Mapping[str, Any],
    data: Mapping[str, Any],
    stats: Mapping[str, Any],
    said: Mapping[str, Sequence[str]],
) -> dict[str, HeadInput]:
    """A model's inputs by our name, in the order that it was trained with.

    Args:
        arguments: the model's.
        data: the data module's, which tells the order.
        stats: ``means`` and ``stds``, by modality or of the only one.
        said: bands by input, where a user names them.

    Raises:
        RequestError: one is none that imagery is read for, or its bands or statistics are not told.
    """
    modalities = arguments.get("backbone_modalities")
    if not isinstance(modalities, list) or not modalities:
        raise RequestError("config: model_args.backbone_modalities names no modality")
    names: dict[str, str] = {}
    for modality in modalities:
        name = input_called(modality)
        if name is None or name in names.values():
            twice = "is an input that another names, too" if name else "is no input that imagery is read for"
            raise RequestError(f"config: {printable(modality)} {twice}; take {', '.join(UNITS)}, each once")
        names[modality] = name
    if unknown := [name for name in said if name not in (*names, *names.values())]:
        raise RequestError(
            f"bands: {printable(', '.join(unknown))} is no input of the model, which takes {', '.join(names.values())}"
        )
    # Merged by concatenation their order counts: that which the data come in.
    told = data.get("modalities")
    order = (
        [name for name in told if isinstance(name, str) and name in names] if isinstance(told, list) else []
    )
    if set(order) != set(names):
        order = list(names)
    found = {}
    for modality in order:
        name = names[modality]
        bands = _bands(modality, name, arguments.get("backbone_bands"), said.get(name) or said.get(modality))
        mean, std = (
            _numbers(stats, field, modality, name, bands, alone=len(order) == 1)
            for field in ("means", "stds")
        )
        found[name] = HeadInput(modality, bands, unit_of(name, mean, std), mean, std)
    return found


def _bands(modality: str, name: str, subsets: Any, said: Sequence[str] | None) -> tuple[str, ...]:
    if subsets and not isinstance(subsets, Mapping):
        raise RequestError("config: backbone_bands is no object of modalities with their bands")
    own = (subsets or {}).get(modality) or ()
    if not isinstance(own, list | tuple):
        raise RequestError(f"config: backbone_bands of {modality} is no list of bands")
    known = INPUT_BANDS[name]
    count = len(own) or len(known)
    mend = f"say --bands {name}=BAND,BAND ..., {count} of {' '.join(known)} in the order of its channels"
    if said:
        bands = _ours(said, known)
        if unknown := [band for band in bands if band not in known]:
            raise RequestError(
                f"bands: {name} has no band {printable(', '.join(unknown))}; it has {' '.join(known)}"
            )
        if len(bands) != count or len(set(bands)) < count:
            raise RequestError(
                f"bands: {len(bands)} of {name} are named, each to be named once; the model takes {count}"
            )
        return tuple(bands)
    if not own:
        return known
    if any(not isinstance(band, str) for band in own):
        raise RequestError(f"config: backbone_bands of {modality} are numbers, which tell no band; {mend}")
    bands = _ours(own, known)
    if unknown := [band for band in bands if band not in known]:
        raise RequestError(
            f"config: {modality} has no band {printable(', '.join(unknown))}; where it is one of {name}'s under "
            f"another name, {mend}"
        )
    if len(set(bands)) < len(bands):
        raise RequestError(f"config: backbone_bands of {modality} names a band twice; {mend}")
    return tuple(bands)


def _ours(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """ESA's names of bands; radar's in capitals, whatever a file spells them."""
    return [
        name if name in known else name.upper() if name.upper() in known else band_called(name) or name
        for name in names
    ]


def _numbers(
    stats: Mapping[str, Any], field: str, modality: str, name: str, bands: Sequence[str], *, alone: bool
) -> tuple[float, ...]:
    found = stats.get(field)
    if isinstance(found, Mapping):
        found = found.get(modality, found.get(name))
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
        raise RequestError(
            f"stats: {field} of {modality} is {printable(found)}, not a number a band"
        ) from None
    known = INPUT_BANDS[name]
    if len(numbers) == len(known) != len(bands):
        # All bands of the input are told, and the model takes some.
        numbers = tuple(numbers[known.index(band)] for band in bands)
    if len(numbers) != len(bands):
        raise RequestError(f"stats: {field} of {modality} has {len(numbers)} numbers for {len(bands)} bands")
    return numbers
