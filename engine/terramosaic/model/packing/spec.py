"""What a user says of an ONNX model, for the graph does not: what its inputs and outputs mean, and its windows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from terramosaic.bands import INPUT_BANDS
from terramosaic.errors import RequestError, one_line, printable
from terramosaic.ground.lattice import WINDOW
from terramosaic.model.manifest import MOST_DATES, NAME_PATTERN, Name

_BUNDLE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_COLOUR_PATTERN = r"^(#[0-9a-fA-F]{6})?$"

#: Colours of classes that are given none, told apart by readers who see colours differently, too (Okabe and Ito 2008).
_COLOURS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#56b4e9", "#d55e00", "#999999", "#332288", "#882255",
    "#44aa99", "#ddcc77",
)  # fmt: skip

#: Units of an input that a model may want, by input: what the engine hands it, and what is made of that in the graph.
UNITS = {
    "S2L2A": ("DN", "reflectance"),
    "S2L1C": ("DN", "reflectance"),
    "S2RGB": ("0-255", "0-1"),
    "S1RTC": ("dB", "linear"),
    "S1GRD": ("dB", "linear"),
    "DEM": ("m",),
}

#: Classes that a byte tells apart.
_MOST_CLASSES = 255

#: What a bundle's graphs call what they are fed with, beside the inputs.
_FED = ("windows", "uniform", "noise")

#: What patterns of fields mean.
_PATTERNS = {
    NAME_PATTERN: "is no name here; take letters and digits, a letter first",
    _BUNDLE_PATTERN: "is no name here; take letters, digits, '.', '_' and '-', a letter or digit first",
    _COLOUR_PATTERN: "is no colour; write it as '#2b6cb0'",
}

#: Below this mean and deviation, Sentinel-2's numbers are reflectances, not digital numbers.
_REFLECTANCE_BELOW = 10.0


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class PackedInput(_Said):
    """What an input of the graph is fed with.

    Attributes:
        tensor: the graph's name of it; where the graph has one input, it need not be said.
        bands: in the order of the graph's channels; by default all, in TerraMind's order.
        unit: of the numbers that the graph wants, see `UNITS`.
        mean: that is taken off each band, in that unit, where the graph does not do so itself.
        std: that each band is then divided by.
        dates: acquisitions in a window, the oldest first; several are an axis of their own.
        axes: the order of its axes where it has several dates; by default T stands before height and width (``NCTHW``),
            and where channels come last, behind the batch (``NTHWC``).
    """

    tensor: str = ""
    bands: tuple[str, ...] = ()
    unit: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    dates: int = Field(default=1, ge=1, le=MOST_DATES)
    axes: Literal["", "NCTHW", "NTCHW", "NTHWC"] = ""

    @model_validator(mode="after")
    def _has_an_axis_of_dates(self) -> Self:
        if self.axes and self.dates == 1:
            raise ValueError(f"axes: {self.axes} has an axis T of dates; say how many, as dates")
        return self


class PackedClass(_Said):
    """A class: its name, its colour, and the value that it is stored as."""

    name: str = Field(min_length=1)
    colour: str = Field(default="", pattern=_COLOUR_PATTERN)
    value: int | None = Field(default=None, ge=1, le=255)


class PackedTarget(_Said):
    """What an output of the graph means.

    Attributes:
        tensor: the graph's name of it; where the graph has one output, it need not be said.
        output: ``values``; or for classes ``probabilities``, or ``logits``, of which a softmax makes probabilities. One
            plane of logits or probabilities is that of the second of two classes, by a sigmoid.
        classes: in the order of planes, from 0 on.
        channels: names of the bands of values.
        unit: of values.
        step: the smallest difference of values that is stored, in their unit; they reach to 32 767 steps.
        uniform: the graph's name of an input that takes a number in [0, 1) for each patch of a window, float32 (N,
            window / patch, window / patch), for models that draw tokens; it belongs to the ground. Empty: it has none.
    """

    tensor: str = ""
    output: Literal["values", "probabilities", "logits"]
    classes: tuple[PackedClass, ...] = ()
    channels: tuple[str, ...] = ()
    unit: str | None = None
    step: float | None = Field(default=None, gt=0)
    uniform: str = ""

    @field_validator("classes", mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        if len(value) > _MOST_CLASSES:
            raise ValueError(f"{len(value)} classes; a map holds {_MOST_CLASSES}, and 0 where there is none")
        return [{"name": item} if isinstance(item, str) else item for item in value]

    @field_validator("classes")
    @classmethod
    def _completed(cls, classes: tuple[PackedClass, ...]) -> tuple[PackedClass, ...]:
        filled = tuple(
            item.model_copy(
                update={
                    "value": item.value or index + 1,
                    "colour": (item.colour or _COLOURS[index % len(_COLOURS)]).lower(),
                }
            )
            for index, item in enumerate(classes)
        )
        for what in ("value", "name"):
            if len({getattr(item, what) for item in filled}) < len(filled):
                raise ValueError(
                    f"two classes have the same {what}; values count from 1 in their order, if not said"
                )
        return filled

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.output == "values":
            if self.classes:
                raise ValueError("values have no classes; output is probabilities or logits for them")
        elif len(self.classes) < 2:
            raise ValueError("probabilities and logits are of two classes or more; name them")
        elif self.unit or self.step or self.channels:
            raise ValueError("unit, step and channels are of values")
        return self


class PackSpec(_Said):
    """The content of a spec file; names are those of `terramosaic.model.manifest.Manifest`."""

    name: str = Field(pattern=_BUNDLE_PATTERN, max_length=100)
    title: str = ""
    source: str = Field(min_length=1, description="Where the model comes from")
    licence: str = Field(min_length=1, description="Its licence, such as Apache-2.0; 'unknown' where it is")
    window: int = WINDOW
    patch: int = Field(default=1, description="Windows begin at multiples of it")
    stride: int | None = None
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    inputs: dict[Name, PackedInput] = Field(min_length=1)
    targets: dict[Name, PackedTarget] = Field(min_length=1)

    @field_validator("inputs")
    @classmethod
    def _known(cls, inputs: dict[str, PackedInput], info: ValidationInfo) -> dict[str, PackedInput]:
        return {name: _completed(name, item) for name, item in inputs.items()}

    @field_validator("targets")
    @classmethod
    def _are_no_inputs(
        cls, targets: dict[str, PackedTarget], info: ValidationInfo
    ) -> dict[str, PackedTarget]:
        if taken := [name for name in targets if name in (*info.data.get("inputs", ()), *_FED)]:
            raise ValueError(
                f"{', '.join(taken)} is what the model takes; give what it makes a name of its own, such as "
                f"{taken[0]}made"
            )
        return targets


def _completed(name: str, item: PackedInput) -> PackedInput:
    """An input with its bands and its unit, checked."""
    if name not in UNITS:
        raise ValueError(f"{name} is no input that imagery is read for; take {', '.join(UNITS)}")
    bands = item.bands or INPUT_BANDS[name]
    if unknown := [band for band in bands if band not in INPUT_BANDS[name]]:
        raise ValueError(
            f"{name}: there is no band {', '.join(unknown)}; it has {' '.join(INPUT_BANDS[name])}"
        )
    unit = item.unit or UNITS[name][0]
    if unit not in UNITS[name]:
        raise ValueError(f"{name}: unit is {unit!r}; it can be {' or '.join(UNITS[name])}")
    for what, numbers in (("mean", item.mean), ("std", item.std)):
        if numbers and len(numbers) != len(bands):
            raise ValueError(f"{name}: {what} has {len(numbers)} numbers for {len(bands)} bands")
    if not all(math.isfinite(number) for number in (*item.mean, *item.std)):
        raise ValueError(f"{name}: mean and std must be numbers, not NaN or infinity")
    if len(set(bands)) < len(bands):
        raise ValueError(f"{name}: a band is named twice: {', '.join(bands)}")
    if any(number <= 0 for number in item.std):
        raise ValueError(f"{name}: std must be above 0")
    return item.model_copy(update={"bands": bands, "unit": unit})


def unit_of(name: str, mean: Sequence[float], std: Sequence[float]) -> str:
    """The unit, out of `UNITS`, that an input's numbers must have been in to have such means and deviations."""
    if name in ("S2L2A", "S2L1C"):
        return "reflectance" if max(*mean, *std) < _REFLECTANCE_BELOW else "DN"
    if name in ("S1RTC", "S1GRD"):
        return "dB" if max(mean) < 0 else "linear"
    if name == "S2RGB":
        return "0-1" if max(*mean, *std) <= 1 else "0-255"
    return UNITS[name][0]


def read_spec(path: Path) -> PackSpec:
    """Reads a spec from a file of YAML or JSON.

    Raises:
        RequestError: a line for each field that is wrong.
    """
    return spec_of(read_yaml(path, "spec"), f"spec: {path}")


def read_yaml(path: Path, option: str) -> dict[str, Any]:
    """The content of a YAML or JSON file, an object.

    Raises:
        RequestError: it is none; names the option that names the file.
    """
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        if "{{" in text or "{%" in text:
            raise RequestError(
                f"{option}: {path} is a template (Jinja), not filled in; give the file that was made of it"
            ) from error
        raise RequestError(f"{option}: {path} cannot be read: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise RequestError(f"{option}: {path} is no object with fields")
    return content


def spec_of(content: Mapping[str, Any], whole: str) -> PackSpec:
    """A spec of its content; ``whole`` is what it is called where no field alone is wrong.

    Raises:
        RequestError: a line for each field that is wrong.
    """
    try:
        return PackSpec.model_validate(content)
    except ValidationError as error:
        raise RequestError(complaints_of(whole, error)) from error


def complaints_of(whole: str, error: ValidationError) -> str:
    """A line for each field that is wrong; what is of no field alone is said of the whole."""
    return "\n".join(
        f"{'spec: ' + field if (field := _field(each['loc'])) else whole}: {_in_words(each)}"
        for each in error.errors()
    )


def _field(place: Sequence[str | int]) -> str:
    """A field by its name; of a key that is wrong itself, the key."""
    return printable(".".join(str(part) for part in place if part != "[key]"))


def _in_words(each: Any) -> str:
    pattern = each.get("ctx", {}).get("pattern")
    told: str = _PATTERNS.get(pattern, each["msg"])
    return told.removeprefix("Value error, ")
