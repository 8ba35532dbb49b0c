"""What ``bundle.json`` says: a model's inputs, its targets, how each is generated, and the files that do it."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from terramosaic.bands import INPUT_BANDS
from terramosaic.ground.lattice import MOST_OVERLAPPING, PATCH, WINDOW

FORMAT: Final = "terramosaic-bundle"
VERSION: Final = 2

#: Role of the graph that makes a target from windows (and randomness) in one go.
GENERATE: Final = "generate"

#: Roles of an input's own graphs in TerraMind: its windows to embedded patches, or to tokens.
EMBED: Final = "embed"
TOKENISE: Final = "tokenise"

#: Roles of TerraMind's shared graphs: embedded patches and tokens to context, context to a target's hidden state.
CONTEXT: Final = "context"
DECODE: Final = "decode"

#: Role of the shared graph that draws tokens from logits; only what is exported for a consensus of windows has it.
DRAW: Final = "draw"

#: Roles of a TerraMind target's own graphs: hidden state to tokens, then tokens to pixels by steps or at once.
TOKENS: Final = "tokens"
STEP: Final = "step"
CLASSES: Final = "classes"

#: Role of the graph that gives what a target's tokens are drawn from; it may be absent, as `DRAW`.
LOGITS: Final = "logits"

#: Role of the graph of coordinates: context and the words so far to what the next word is drawn from.
WORDS: Final = "words"

#: The target that is no modality: what the encoder makes of the inputs' patches, a number for each of its dimensions.
EMBEDDING: Final = "embedding"

#: The target that is no map: where on the Earth the model takes a window to lie, as two words, latitude and longitude.
#: As an input, where it does lie, by the same words.
COORDINATES: Final = "coordinates"

#: What coordinates are as an input.
PLACE: Final = ("longitude", "latitude")

#: Targets of which no patch has a token, by the kind that bears their name and that no other target is of.
NAMED_KINDS: Final = (EMBEDDING, COORDINATES)
#: What a map is of that names no targets, where the model makes them: ids of runs hang on it.
USUAL: Final = ("S1GRD", "NDVI", "LULC")


#: Acquisitions that a window may be of at most: two years of months.
MOST_DATES: Final = 24

#: What a generated NDVI is held to against the one that the imagery shows: the least correlation, and beyond what the
#: bound of samples explains the largest bias and mean absolute error.
NdviLimit = Literal["correlation", "bias", "error"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LandCover(_Frozen):
    """A class: the model's plane, the value written to the raster, its name and its colour."""

    index: int = Field(ge=0, le=255)
    value: int = Field(ge=0, le=255)
    name: str
    colour: str = Field(pattern=r"^#[0-9a-f]{6}$")


#: TerraMind's LULC planes, with values, names and colours of the IO/ESRI land cover (io-lulc-annual-v02).
LULC_CLASSES = (
    LandCover(index=0, value=0, name="no data", colour="#000000"),
    LandCover(index=1, value=1, name="water", colour="#419bdf"),
    LandCover(index=2, value=2, name="trees", colour="#397d49"),
    LandCover(index=3, value=4, name="flooded vegetation", colour="#7a87c6"),
    LandCover(index=4, value=5, name="crops", colour="#e49635"),
    LandCover(index=5, value=7, name="built area", colour="#c4281b"),
    LandCover(index=6, value=8, name="bare ground", colour="#a59b8f"),
    LandCover(index=7, value=9, name="snow/ice", colour="#a8ebff"),
    LandCover(index=8, value=10, name="clouds", colour="#616161"),
    LandCover(index=9, value=11, name="rangeland", colour="#e3e2c3"),
)


def _inside(name: str) -> str:
    """Refuses a file name that leaves the bundle's folder on any platform."""
    if (
        re.search(r'[\\:*?"<>|\0]', name)
        or PurePosixPath(name).is_absolute()
        or ".." in PurePosixPath(name).parts
    ):
        raise ValueError(f"{name!r} is no path inside the bundle's folder")
    return name


def _usable(name: str) -> str:
    """Refuses names that layers of every run have."""
    if name.lower() in _TAKEN:
        raise ValueError(f"{name!r} is the name of a layer that every run has; choose another")
    return name


#: Layers of a run that are not a target's own.
_TAKEN = frozenset(("acquired", "imagery", "quality"))

#: A name of a target or an input: it becomes a part of files' names.
NAME_PATTERN = "^[A-Za-z][A-Za-z0-9]*$"
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=64), AfterValidator(_usable)]

FileName = Annotated[str, Field(min_length=1), AfterValidator(_inside)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def feeds_of(inputs: Collection[str]) -> dict[str, str]:
    """By input, what a graph that takes all of them calls its windows."""
    return {name: name if len(inputs) > 1 else "windows" for name in inputs}


#: The smallest difference that is stored of values of a unit.
_STEPS = {"dB": 0.01, "1": 0.0001, "m": 1.0}


def step_of(unit: str | None) -> float:
    """The smallest difference that is stored of values of a unit, where a bundle says no other."""
    return _STEPS.get(unit or "1", 0.0001)


class InputSpec(_Frozen):
    """What a window of an input holds. Graphs standardise it; ``mean`` and ``std`` are on record for readers."""

    bands: tuple[str, ...] = Field(min_length=1)
    unit: str | None = Field(default=None, description="Unit of the values, where they have one")
    convention: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    dates: int = Field(
        default=1,
        ge=1,
        le=MOST_DATES,
        description="Acquisitions of the same ground in a window, the oldest first; several are an axis behind bands",
    )
    graphs: dict[str, FileName] = Field(
        default_factory=dict,
        description="Role to file: TerraMind takes an input as patches, as tokens, or as either",
    )

    @model_validator(mode="after")
    def _check(self) -> InputSpec:
        if len(set(self.bands)) != len(self.bands):
            raise ValueError("bands must be distinct names")
        if not set(self.graphs) <= {EMBED, TOKENISE}:
            raise ValueError(f"an input's graphs are {EMBED} and {TOKENISE}")
        if self.graphs and self.dates > 1:
            raise ValueError("dates: TerraMind's own graphs see one date")
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if numbers is not None and len(numbers) != len(self.bands):
                raise ValueError(f"{name} has {len(numbers)} numbers for {len(self.bands)} bands")
        return self

    @model_serializer(mode="wrap")
    def _as_before_dates(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A bundle of one date is written as ever, and keeps its fingerprint.
        content: dict[str, Any] = write(self)
        if self.dates == 1:
            content.pop("dates", None)
        return content

    @property
    def depth(self) -> tuple[int, ...]:
        """What a pixel of a window has: (bands,), of several dates (bands, dates)."""
        return (len(self.bands), self.dates) if self.dates > 1 else (len(self.bands),)

    def shape(self, side: int) -> tuple[int, ...]:
        """Of a window ``side`` pixels to a side: (bands, side, side), of several dates (bands, dates, side, side).

        Of a place it is (2,).
        """
        return (2,) if self.bands == PLACE else (*self.depth, side, side)


class Schedule(_Frozen):
    """Noise schedule of a diffusion decoder and how it is walked; the number of steps is the run's choice."""

    training_steps: int = Field(gt=0)
    betas: Literal["linear"]
    beta_start: float = 0.0001
    beta_end: float = 0.02
    zero_terminal_snr: bool
    prediction: Literal["x0"]
    spacing: Literal["trailing"]
    eta: float
    default_steps: int = Field(gt=0)


class Sampling(_Frozen):
    """How tokens are drawn: at temperature 1 from the nucleus ``top_p``; temperature 0 is greedy."""

    temperature: float = 1.0
    top_p: float = Field(gt=0, le=1)

    @model_validator(mode="after")
    def _check(self) -> Sampling:
        if self.temperature not in (0, 1):
            raise ValueError(f"temperature {self.temperature:g} is not supported; 1 samples, 0 is greedy")
        return self


_ROLES_WITH_TOKENS = {"diffusion": {TOKENS, STEP}, "direct": {TOKENS, CLASSES}}


class TargetSpec(_Frozen):
    """A target: how it is generated, what the model returns for it, and the graphs that do it."""

    kind: Literal["direct", "diffusion", "embedding", "coordinates"]
    output: Literal["values", "probabilities"]
    channels: tuple[str, ...] = Field(min_length=1, description="Bands of the mosaic, such as VV and VH")
    unit: str | None = Field(default=None, description="Unit of the values, where they have one")
    step: float | None = Field(
        default=None,
        gt=0,
        description="Smallest difference of values that is stored; by default as the unit has it",
    )
    classes: tuple[LandCover, ...] = Field(default=(), description="By index, with probabilities only")
    noise_channels: int = Field(default=0, ge=0, description="Planes of standard normal noise a window needs")
    uniform: bool = Field(default=False, description="Whether each patch needs a uniform number")
    codebook_levels: tuple[int, ...] = ()
    fed_back: bool = Field(default=True, description="Whether later targets of a chain can see its tokens")
    sampling: Sampling | None = None
    schedule: Schedule | None = None
    x0_clip: float | None = Field(default=None, gt=0, description="Bound of the predicted sample, in std")
    mean: tuple[float, ...] | None = Field(
        default=None, description="Of the standardised values, per channel"
    )
    std: tuple[float, ...] | None = None
    graphs: dict[str, FileName] = Field(min_length=1, description="Role to file, of this target's own graphs")

    @property
    def planes(self) -> int:
        """Planes that the model returns for a window: one per class, or one per channel."""
        return len(self.classes) if self.output == "probabilities" else len(self.channels)

    @property
    def candidates(self) -> tuple[LandCover, ...]:
        """The classes that a pixel with imagery can have: not the one that stands for no data."""
        return tuple(item for item in self.classes if item.value != 0)

    @model_validator(mode="after")
    def _check(self) -> TargetSpec:
        if self.step and self.classes:
            raise ValueError("step is of values, and these are classes")
        if (self.output == "probabilities") != bool(self.classes):
            raise ValueError("an output of probabilities has classes, one of values has none")
        if [land_cover.index for land_cover in self.classes] != list(range(len(self.classes))):
            raise ValueError("classes must be in the order of index, from 0, without a gap")
        if self.kind in NAMED_KINDS:
            self._check_named_kind()
            return self
        if self.kind == "diffusion" and not (self.schedule and self.codebook_levels):
            raise ValueError("a diffusion target needs schedule and codebook_levels")
        if wanted := _ROLES_WITH_TOKENS.get(self.kind) if TOKENS in self.graphs else None:
            if set(self.graphs) - {LOGITS} != wanted:
                raise ValueError(f"a {self.kind} target's graphs are {' and '.join(sorted(wanted))}")
            if not (self.codebook_levels and self.sampling and self.uniform):
                raise ValueError("a target with tokens needs codebook_levels, sampling and uniform")
        elif self.kind == "diffusion":
            raise ValueError(f"a diffusion target needs the graphs {TOKENS} and {STEP}")
        return self

    def _check_named_kind(self) -> None:
        if self.kind == EMBEDDING and (self.output != "values" or set(self.graphs) != {CONTEXT}):
            raise ValueError(f"an embedding is values of the graph {CONTEXT}")
        if self.kind == COORDINATES:
            if self.output != "values" or set(self.graphs) != {WORDS} or len(self.channels) != 2:
                raise ValueError(f"coordinates are two values, latitude and longitude, by the graph {WORDS}")
            if not (self.uniform and self.sampling):
                raise ValueError("coordinates need sampling and uniform")


#: A quarter of the largest number of half precision: the self-test is no more than two made-up windows.
_SAFE_IN_HALF = 65504 / 4


class FileSpec(_Frozen):
    """A file as it must be found; ``opset``, ``precision`` and ``largest`` where it is a graph."""

    sha256: Sha256
    size: int = Field(ge=0)
    opset: int | None = None
    precision: Literal["fp32", "fp16", "bf16"] | None = None
    largest: float | None = Field(
        default=None,
        description="Largest number, on the self-test, of what becomes half precision on a GPU, which ends at 65504",
    )


class Manifest(_Frozen):
    """The content of ``bundle.json``."""

    format: Literal["terramosaic-bundle"] = FORMAT
    version: Literal[2] = VERSION
    name: str
    title: str
    family: str = Field(description="`terramind`, or a name for what is not TerraMind")
    variant: str | None = Field(default=None, description="Such as terramind_v1_base")
    source: str
    licence: str
    checkpoints: dict[str, Sha256] = Field(default_factory=dict, description="Hashes of what was exported")
    origins: dict[str, str] | None = Field(
        default=None,
        description="Of these, REPOSITORY@COMMIT on the Hugging Face hub, where they came from there",
    )
    inputs: dict[Name, InputSpec] = Field(min_length=1)
    window: int = Field(default=WINDOW, ge=16, le=2048, description="Side of the windows it sees, in pixels")
    patch: int = Field(default=PATCH, ge=1, description="Side of its patches: windows begin where patches do")
    batch: Literal[1] | None = Field(
        default=None, description="Windows that a target's one graph takes at once, where not any number"
    )
    stride: int | None = Field(
        default=None,
        description="Pixels between windows by default; if not given, neighbours share a seventh",
    )
    conditioning: Literal["chained", "independent"]
    targets: dict[Name, TargetSpec] = Field(min_length=1)
    graphs: dict[str, FileName] = Field(default_factory=dict, description="Role to file, of shared graphs")
    files: dict[FileName, FileSpec]
    vocabulary: FileName | None = Field(default=None, description="Numbers of the words of coordinates")
    selftest: FileName | None = Field(default=None, description="Stored input and the reference's output")
    ndvi_limits: dict[NdviLimit, float] = Field(
        default_factory=dict, description="Of the self-check, where the model is known to do better or worse"
    )
    random_weights: int | None = Field(default=None, description="Seed, where the weights are not trained")
    versions: dict[str, str] = Field(default_factory=dict, description="Of the tools that made the bundle")

    @model_validator(mode="after")
    def _check(self) -> Manifest:
        if self.window % self.patch or self.window < 2 * self.patch:
            raise ValueError(f"window: {self.window} is not made of two or more patches of {self.patch}")
        if self.stride is not None and (wrong := self.unfit_stride(self.stride)):
            raise ValueError(f"stride: {wrong}")
        self._check_inputs()
        self._check_names_of_targets()
        self._check_graphs()
        named = {f"graphs.{role}": file for role, file in self.graphs.items()}
        for group, specs in (("inputs", self.inputs), ("targets", self.targets)):
            for name, each in specs.items():
                named |= {f"{group}.{name}.graphs.{role}": file for role, file in each.graphs.items()}
        named |= {field: file for field in ("selftest", "vocabulary") if (file := getattr(self, field))}
        for field, file in named.items():
            if file not in self.files:
                raise ValueError(f"{field} names {file!r}, which `files` does not list")
        return self

    def _check_inputs(self) -> None:
        for name, spec in self.inputs.items():
            if not set(spec.bands) <= set(known := INPUT_BANDS.get(name, spec.bands)):
                raise ValueError(f"inputs.{name}: bands must be out of {' '.join(known)}")
            if (name == COORDINATES) != (spec.bands == PLACE):
                raise ValueError(
                    f"inputs.{name}: bands of {COORDINATES}, and of no other, are {' and '.join(PLACE)}"
                )
        if len({self.dates, *(spec.dates for spec in self.inputs.values())} - {1}) > 1:
            told = " and ".join(f"{spec.dates} of {name}" for name, spec in self.inputs.items())
            raise ValueError(f"inputs: dates are {told}; those that have several must have the same")

    def _check_graphs(self) -> None:
        with_tokens = [name for name, spec in self.targets.items() if TOKENS in spec.graphs]
        if with_tokens and not {CONTEXT, DECODE} <= set(self.graphs):
            raise ValueError(f"{', '.join(with_tokens)} need the shared graphs {CONTEXT} and {DECODE}")
        if COORDINATES in self.targets and not ({CONTEXT, DRAW} <= set(self.graphs) and self.vocabulary):
            raise ValueError(f"{COORDINATES} need a vocabulary, and the shared graphs {CONTEXT} and {DRAW}")
        is_encoded = bool(with_tokens) or any(name in self.targets for name in NAMED_KINDS)
        if without := [name for name, spec in self.inputs.items() if bool(spec.graphs) != is_encoded]:
            owned = f"graphs of their own, {EMBED} or {TOKENISE}" if is_encoded else "no graphs of their own"
            raise ValueError(f"inputs {', '.join(without)} need {owned}")

    def _check_names_of_targets(self) -> None:
        if len({target.lower() for target in self.targets}) < len(self.targets):
            raise ValueError("targets must differ in more than case: they become names of files")
        for name, spec in self.targets.items():
            for own in NAMED_KINDS:
                if (name == own) != (spec.kind == own):
                    raise ValueError(
                        f"targets.{name}: {own!r} is the name of the target of that kind, and of no other"
                    )

    @property
    def unsafe_in_half(self) -> dict[str, float]:
        """Graphs that half precision may be too narrow for, each with the largest number that was found."""
        return {
            file: spec.largest
            for file, spec in self.files.items()
            if spec.largest is not None and spec.largest > _SAFE_IN_HALF
        }

    @property
    def default_stride(self) -> int:
        """Pixels between windows where a request does not say.

        If the bundle does not either, neighbours share a seventh of a window, two patches at least: 32 of 224 pixels.
        """
        shared = max(2, self.window // (7 * self.patch)) * self.patch
        return self.stride or max(self.window - shared, self.patch)

    @property
    def dates(self) -> int:
        """Acquisitions that a window is cut from; an input with one of several shows the newest."""
        return max(spec.dates for spec in self.inputs.values())

    @property
    def patches(self) -> int:
        """Patches to a side of a window."""
        return self.window // self.patch

    def unfit_stride(self, stride: int) -> str:
        """Why windows cannot lie so many pixels apart, if so."""
        least = -(-self.window // (MOST_OVERLAPPING * self.patch)) * self.patch
        if stride % self.patch or not least <= stride <= self.window:
            return (
                f"is {stride}; windows of {self.window} pixels lie a multiple of {self.patch} apart, the model's "
                f"patch, from {least} to {self.window}"
            )
        return ""

    @property
    def feeds(self) -> dict[str, str]:
        """By input, what a target's one graph calls its windows: ``windows``, or of several inputs by their names."""
        return feeds_of(self.inputs)

    @property
    def embedded(self) -> tuple[str, ...]:
        """Inputs whose patches the context can take, in the order of its table."""
        return tuple(
            name for name, spec in self.inputs.items() if EMBED in spec.graphs and name != COORDINATES
        )

    @property
    def vocabularies(self) -> tuple[str, ...]:
        """Modalities whose tokens the context can take, in the order of its table: targets, then other inputs."""
        tokenised = [name for name, spec in self.inputs.items() if TOKENISE in spec.graphs]
        return (*self.generated, *(name for name in tokenised if name not in self.targets))

    @property
    def generated(self) -> tuple[str, ...]:
        """Targets that are generated, in the order of the decoder's table: all whose patches have tokens."""
        return tuple(name for name in self.targets if name not in NAMED_KINDS)

    @property
    def usual_targets(self) -> tuple[str, ...]:
        """What a map is of that names no targets, in order.

        `USUAL` of a model that makes all of these. Of any other what it generates, first what later targets of a chain
        can see; the large embedding and the tables of coordinates only of one that makes nothing else.
        """
        if set(USUAL) <= set(self.targets):
            return USUAL
        return tuple(sorted(self.generated, key=lambda name: not self.targets[name].fed_back)) or tuple(
            self.targets
        )
