"""What a user asks for: one frozen value, the same for the command line, the Python API and the Prefect form."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import date
from datetime import datetime as DateTime  # a request has a field of the other name
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar
from unicodedata import category

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from terramosaic.bands import GSD, INPUT_BANDS
from terramosaic.errors import RequestError, printable
from terramosaic.ground.zones import Area
from terramosaic.model.devices import AUTO, Precision, parse_device
from terramosaic.model.manifest import Name, NdviLimit
from terramosaic.request.dates import Dates
from terramosaic.request.face import OneLineErrors, readable
from terramosaic.request.interval import INTERVAL_SCHEMA, format_interval, interval_text, parse_interval
from terramosaic.request.pairs import catalogs_in, pairs_in, require_one_reading
from terramosaic.request.places import places_in
from terramosaic.request.region import GeoJsonFile, Region
from terramosaic.request.scene_ids import split_ids
from terramosaic.shown import Shown
from terramosaic.url_secrets import keep_written

logger = logging.getLogger(__name__)

if TYPE_CHECKING:

    class Period:
        """To a type checker the field takes what `interval_text` reads, and gives the text of the interval."""

        def __get__(self, request: object, owner: object) -> str: ...
        def __set__(
            self, request: object, value: _Moment | Sequence[_Moment] | Mapping[str, _Moment]
        ) -> None: ...

    _Moment = str | date | int | None
else:
    Period = Annotated[str, WithJsonSchema(INTERVAL_SCHEMA)]

#: What 0.1 called a field, and what it called an extra layer. Taken until 0.3, with a warning.
RENAMED = {"provider": "device"}
_RENAMED_EXTRAS = {"spread": "std"}


def _by_bands(names: tuple[str, ...]) -> tuple[str, ...]:
    """Inputs in one order whatever the order they are named in, which decides nothing."""
    known = list(INPUT_BANDS)
    return tuple(sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name)))


class Decides(Enum):
    """What a field of a request decides of a map. Each field says it, and the run's id follows from it."""

    PIXELS = "its value decides pixels, or how a run's files are cut"
    CHOICE = "it decides pixels by what is chosen with it: the outline, the scenes or the bundle"
    NOTHING = "no pixel depends on it: it names or allows something"


#: Pixels between windows; which a model allows, its bundle says.
_Stride = Annotated[int, Field(ge=1, le=2048)]

_T = TypeVar("_T")
_Pixels = Annotated[_T, Decides.PIXELS]
_Choice = Annotated[_T, Decides.CHOICE]
_Nothing = Annotated[_T, Decides.NOTHING]


def _with_examples(schema: dict[str, Any]) -> None:
    """A field that names no example of its own is best shown by its default. What fields mean stands beside them."""
    schema["description"] = schema["description"].partition("\n")[0]
    for field in schema["properties"].values():
        if field.get("default", "") not in ("", []):
            field.setdefault("examples", [field["default"]])


@readable
class RegionRequest(Shown, BaseModel, metaclass=OneLineErrors):
    """A region to map: where, when, from which catalog, with which model, and into which folder."""

    model_config = ConfigDict(
        title="Region request",
        json_schema_extra=_with_examples,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
    )

    region: _Choice[Region] = Field(
        title="Region",
        description="Bounding box, MGRS tile, GeoJSON polygon, or the path or URL of a file",
        examples=[[13.4, 45.5, 13.9, 45.9], "33TWL"],
    )
    region_name: _Nothing[str] = Field(
        default="name",
        title="Region name",
        description="Property that names the features of a file with several regions",
        min_length=1,
    )
    datetime: _Choice[Period] = Field(
        title="Period",
        description="ISO 8601 interval START/END, a day, week, month, or year; either end may be open (`..`)",
        examples=["2023-08-01/2023-08-31", "2023-08-15", "2023-08", "2023-08-01/.."],
    )
    every: _Choice[Literal["none", "month", "season", "year"]] = Field(
        default="none",
        title="Series",
        description="A run for each month, season (DJF, MAM, JJA, SON) or year of the period; none: one for all of it",
    )
    catalog: _Choice[Annotated[str, AfterValidator(keep_written)]] = Field(
        default="planetary-computer",
        title="Catalog",
        description="planetary-computer, earth-search, copernicus, a STAC API's URL, or a path on disk",
        examples=["earth-search"],
        min_length=1,
    )
    collection: _Choice[str] = Field(
        default="",
        title="Collection",
        description="Collection id; empty: the catalog's own Sentinel-2 L2A",
        examples=["sentinel-2-c1-l2a"],
    )
    imagery: _Choice[tuple[str, ...]] = Field(
        default=(),
        title="Own imagery",
        description="Files or folders of Sentinel-2 to map from, in place of a catalog: a GeoTIFF a band, stacks, SAFE "
        "folders, whose names tell the date, or STAC items of such files",
        examples=[["/data/scenes"], ["/data/stack_20230815.tif"]],
    )
    imagery_bands: _Choice[dict[str, str]] = Field(
        default={},
        title="Bands of own imagery",
        description="Where names and descriptions do not tell it, by band: its number in a stack, its description "
        "there, a part of its file's name, or an item's asset",
        examples=[{"B02": "1", "B03": "2", "B04": "3", "B08": "4"}],
    )
    imagery_scale: _Choice[float] = Field(
        default=0,
        ge=0,
        title="Scale of own imagery",
        description="Reflectance is scale x number + offset; 0: as the files' tags say, else 0.0001 of whole numbers",
    )
    imagery_offset: _Choice[float] = Field(
        default=0, title="Offset of own imagery", description="See the scale; counts where that is given"
    )
    resample: _Choice[Literal["no", "nearest", "bilinear", "cubic"]] = Field(
        default="no",
        title="Resampling of own imagery",
        description="Where it is on another grid than UTM with pixels of 10, 20 or 60 m: how it is resampled. no: it "
        "is refused",
    )
    catalogs: _Choice[dict[Name, Annotated[str, AfterValidator(keep_written)]]] = Field(
        default={},
        title="Catalogs of other inputs",
        description="Of inputs that are not where S2L2A is, such as S1RTC=planetary-computer; after a # the "
        "collection, DEM=planetary-computer#cop-dem-glo-30",
        examples=[{"S1RTC": "planetary-computer", "DEM": "planetary-computer"}],
    )
    max_cloud: _Choice[float] = Field(
        default=40, ge=0, le=100, title="Cloud limit", description="Largest scene cloud cover, in %"
    )
    direction: _Choice[Literal["best", "ascending", "descending"]] = Field(
        default="best",
        title="Orbit direction",
        description="Of Sentinel-1, one for the whole map; best: whichever covers more of the region, then the nearer "
        "in time",
    )
    max_days_apart: _Choice[float] = Field(
        default=12,
        gt=0,
        le=366,
        title="Days apart",
        description="Most days between Sentinel-1 and the best acquisition of Sentinel-2, where a map is made of both",
    )
    strict: _Nothing[bool] = Field(
        default=False,
        title="Strict",
        description="Stop at an item that cannot be used, such as one that lacks a band; else it is left out with a "
        "warning",
    )
    exclude: _Choice[tuple[str, ...]] = Field(
        default=(),
        title="Excluded scenes",
        description="Ids of items to leave out, or files of them (.txt, .csv: an id in each line)",
        examples=[["S2A_33TWL_20230815_0_L2A"]],
    )
    trust: _Pixels[tuple[str, ...]] = Field(
        default=(),
        title="Trusted scenes",
        description="Ids of items, or files of them, to use even where their pixels look implausible",
        examples=[["S2A_33TWL_20230815_0_L2A"]],
    )
    composite: _Pixels[Literal["best", "median", "single"]] = Field(
        default="best",
        title="Composite",
        description="best: clearest acquisition per pixel; median: of clear observations; single: best acquisition",
    )
    under_cloud: _Pixels[Literal["generate", "skip"]] = Field(
        default="generate",
        title="Under cloud",
        description="Windows that have seen nothing but cloud: generate them, with a flag, or skip them for no data",
    )
    dates: _Choice[Annotated[Dates, WithJsonSchema(Dates.model_json_schema())]] = Field(
        default=Dates(),
        title="Dates",
        description="Of a model of several dates: which acquisitions it sees, such as "
        "count=4,rule=before_after,reference=2023-08-31; by default the newest",
        examples=[{"count": 4, "rule": "before_after", "reference": "2023-08-31"}],
    )
    inputs: _Pixels[Annotated[tuple[Name, ...], AfterValidator(_by_bands)]] = Field(
        default=("S2L2A",),
        min_length=1,
        title="Inputs",
        description="What to generate from, one or several of what the model takes: S2L2A, S2L1C, S2RGB, S1RTC, DEM",
        examples=[["S2L2A"], ["S1RTC", "DEM"]],
    )
    tokenised: _Pixels[Annotated[tuple[Name, ...], AfterValidator(_by_bands)]] = Field(
        default=(),
        title="Tokenised inputs",
        description="Inputs that the model shall see as tokens instead of pixels, where its bundle can",
        examples=[["S2L2A"]],
    )
    reconstruct: _Pixels[bool] = Field(
        default=False,
        title="Reconstruct",
        description="Make each target of its own input's tokens, as the tokenizer gives them: what it loses, without "
        "TerraMind between",
    )
    targets: _Pixels[tuple[Name, ...]] = Field(
        default=(),
        title="Targets",
        description="What to generate, in this order, of what `terramosaic model info MODEL` lists; empty: S1GRD, NDVI "
        "and LULC of a model that makes these, of any other all but embedding and coordinates",
        examples=[["S1GRD", "NDVI", "LULC"]],
    )
    model: _Choice[str] = Field(
        default="demo",
        title="Model",
        description="Bundle folder, or `demo` (band arithmetic, not TerraMind)",
        min_length=1,
    )
    conditioning: _Pixels[Literal["chained", "independent"]] = Field(
        default="chained",
        title="Conditioning",
        description="chained: a target sees those generated before it, as in the paper; independent: the image alone",
    )
    consensus: _Pixels[Literal["none", "tokens"]] = Field(
        default="none",
        title="Consensus",
        description="tokens: overlapping windows share the tokens that they are decoded from, drawn of their mean "
        "log-probability, so that classes do not flicker; none: each window draws its own, as the reference",
    )
    steps: _Pixels[int] = Field(
        default=10, ge=1, le=1000, title="Diffusion steps", description="Number that divides 1000"
    )
    sampling: _Pixels[Literal["nucleus", "greedy"]] = Field(
        default="nucleus",
        title="Token sampling",
        description="nucleus: drawn by the seed from the model's top-p, as the reference; greedy: the most probable",
    )
    x0_clip: _Pixels[float] = Field(
        default=1,
        gt=0,
        title="Sample bound",
        description="Bound of the predicted sample in standard deviations from the mean; 1 as the reference. "
        "More lets extremes out",
    )
    x0_clips: _Pixels[dict[Name, Annotated[float, Field(gt=0)]]] = Field(
        default={},
        title="Sample bounds of targets",
        description="Of targets that have a bound of their own: at 1, a DEM never leaves -281 to 1622 m, nor NDVI "
        "0.005 to 0.649",
        examples=[{"DEM": 3}],
    )
    seed: _Pixels[int] = Field(default=0, ge=0, lt=2**63, title="Seed", description="Same seed, same map")
    stride: _Pixels[int] = Field(
        default=0,
        ge=0,
        le=2048,
        title="Stride",
        description="Pixels between windows, a multiple of the model's patch; 0 for the model's own, which is 192 of "
        "TerraMind's windows of 224",
    )
    strides: _Pixels[dict[Name, _Stride]] = Field(
        default={},
        title="Strides of targets",
        description="Strides that targets have of their own. LULC at 112 has four opinions everywhere, for what the "
        "transformer takes: no diffusion is run for it",
        examples=[{"LULC": 112}],
    )
    blend: _Pixels[Literal["mean", "cosine"]] = Field(
        default="mean",
        title="Blend",
        description="Weights where windows overlap: equal, or falling to the rim",
    )
    block_size: _Pixels[int] = Field(
        default=0,
        ge=0,
        le=16384,
        multiple_of=512,
        title="Block size",
        description="Pixels to a block's side, the unit of resume; 0 or auto for what suits model and device: 2048 on "
        "the CPU, up to 8192 on a GPU",
    )
    offset: _Pixels[Literal["remove", "keep"]] = Field(
        default="remove",
        title="Reflectance offset",
        description="The +1000 of processing baseline 04.00: remove it, as TerraMind expects, or keep it",
    )
    offset_conflict: _Pixels[Literal["stop", "metadata", "pixels"]] = Field(
        default="stop",
        title="Offset conflict",
        description="Whom to believe where a scene's metadata and pixels disagree about the offset",
    )
    dtype: _Pixels[Literal["int16", "float32"]] = Field(
        default="int16",
        title="Encoding",
        description="int16: scaled integers; float32: plain values, twice the size",
    )
    extras: _Pixels[tuple[Literal["std", "confidence", "second", "probabilities"], ...]] = Field(
        default=(),
        title="Extra layers",
        description="std: standard deviation over overlapping windows; second: the next best land cover class; "
        "probabilities: of all classes; confidence: of the class, which is made in any case",
        examples=[["std", "second"]],
    )
    device: _Pixels[str] = Field(
        default="cpu",
        title="Device",
        description="cpu, cuda, one of several GPUs as cuda:1, or auto: cuda where there is a GPU, else cpu. "
        "cuda never falls back to cpu",
        examples=["cpu", "cuda", "cuda:1", "auto"],
    )
    precision: _Pixels[Precision] = Field(
        default="auto",
        title="Precision",
        description="That a GPU computes in: fp16; fp32, slower, where a model's numbers grow beyond 65504; auto: "
        "what suits the device",
    )
    keep_imagery: _Nothing[bool] = Field(
        default=False,
        title="Keep imagery",
        description="Keep the imagery that the model saw as a mosaic of its own, of all bands: several times the size "
        "of the maps",
    )
    max_seam: _Nothing[float] = Field(
        default=0,
        ge=0,
        title="Seam limit",
        description="A map that shows seams beyond this factor, such as 1.1, is written and then fails; 0: none fails",
        examples=[1.1],
    )
    ndvi_limits: _Nothing[dict[NdviLimit, Annotated[float, Field(ge=-1, le=2)]]] = Field(
        default={},
        title="NDVI limits",
        description="Beyond what a generated NDVI is doubted, with a warning, by the imagery's: correlation (0.5), "
        "bias (0.1), error (0.2); those named here go before the model's own",
        examples=[{"correlation": 0.7, "bias": 0.05}],
    )
    max_area_km2: _Nothing[float] = Field(
        default=1_000_000, gt=0, title="Area limit", description="A larger region is refused, in km²"
    )
    max_minutes: _Nothing[float] = Field(
        default=0,
        ge=0,
        title="Time limit",
        description="A run that is quoted more minutes of its device is refused: of a GPU, or on the CPU of one "
        "processor; 0: none is",
        examples=[600],
    )
    max_cost: _Nothing[float] = Field(
        default=0,
        ge=0,
        title="Cost limit",
        description="A run that is quoted a higher cost is refused, by the prices that the machine has been set; 0: "
        "none is",
        examples=[50],
    )
    out: _Nothing[str] = Field(
        default="out",
        title="Output folder",
        description="Folder or URL such as s3://bucket/maps; runs are written below it",
        examples=["out", "s3://bucket/maps"],
        min_length=1,
    )

    @model_validator(mode="before")
    @classmethod
    def _takes_old_names(cls, fields: Any, info: ValidationInfo) -> Any:
        if not isinstance(fields, dict) or not RENAMED.keys() & fields.keys():
            return fields
        current = {name: value for name, value in fields.items() if name not in RENAMED}
        for old, new in RENAMED.items():
            if old in fields:
                said, given = current.setdefault(new, fields[old]), fields[old]
                # Only texts are compared: of arrays, equal is no yes or no.
                if said is not given and not (
                    isinstance(said, str) and isinstance(given, str) and said == given
                ):
                    raise ValueError(f"{old} is called {new} now; say {new} alone")
                _warn_renamed(old, new, info)
        return current

    @field_validator("datetime", mode="before")
    @classmethod
    def _normalise_datetime(cls, value: Any) -> Any:
        return format_interval(*parse_interval(interval_text(value)))

    @field_validator("block_size", mode="before")
    @classmethod
    def _auto_is_none(cls, value: Any) -> Any:
        return 0 if value == AUTO else value

    @field_validator("collection", mode="before")
    @classmethod
    def _none_is_empty(cls, value: Any) -> Any:
        # A form shows a text that may be None as two tabs, so it is the empty text.
        return "" if value is None else value

    @field_validator("catalog", "collection", "imagery", "model", "out", "region_name", "exclude", "trust")
    @classmethod
    def _are_names(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for name in (value,) if isinstance(value, str) else value:
            if any(category(letter) in ("Cc", "Cs") for letter in name):
                raise ValueError(f"'{printable(name, 60)}' holds what no name does")
        return value

    @field_validator("catalog", "model", "out")
    @classmethod
    def _has_a_home(cls, value: str) -> str:
        try:
            Path(value).expanduser()
        except RuntimeError:
            raise ValueError(
                f"'{printable(value, 60)}' is in the home of a user who is not known here"
            ) from None
        return value

    @field_validator("device")
    @classmethod
    def _names_a_device(cls, value: str) -> str:
        try:
            if value != AUTO:
                parse_device(value)
        except RequestError as error:
            raise ValueError(f"{error}, or auto") from None
        return value

    @field_validator("extras", mode="before")
    @classmethod
    def _takes_old_extras(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, list | tuple):
            return value
        for old, new in _RENAMED_EXTRAS.items():
            if old in value:
                _warn_renamed(old, new, info)
        return tuple(_RENAMED_EXTRAS.get(name, name) if isinstance(name, str) else name for name in value)

    @field_validator("imagery", "inputs", "tokenised", "targets", "extras", mode="before")
    @classmethod
    def _split_names(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str):
            if info.field_name == "imagery":
                return places_in(value)
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return (str(value),) if isinstance(value, Path) else value

    @field_validator("imagery_bands", mode="before")
    @classmethod
    def _number_bands(cls, value: Any) -> Any:
        # Of a list each band's place in a stack; of pairs, numbers may be numbers.
        if isinstance(value, list | tuple):
            return {str(band): str(number) for number, band in enumerate(value, start=1)}
        return {band: str(where) for band, where in value.items()} if isinstance(value, dict) else value

    @field_validator("imagery_bands")
    @classmethod
    def _are_bands(cls, value: dict[str, str]) -> dict[str, str]:
        if unknown := [band for band in value if band not in GSD]:
            raise ValueError(f"{', '.join(unknown)} is no band of Sentinel-2; it has {' '.join(GSD)}")
        return value

    @field_validator("catalogs", "imagery_bands", "strides", "x0_clips", "ndvi_limits", mode="before")
    @classmethod
    def _split_pairs(cls, value: Any, info: ValidationInfo) -> Any:
        example = cls.model_fields[info.field_name or ""].examples
        name, given = next(iter(example[0].items())) if example else ("", "")
        if not isinstance(value, str):
            return value
        return (catalogs_in if info.field_name == "catalogs" else pairs_in)(value, f"{name}={given}")

    @field_validator("catalogs")
    @classmethod
    def _say_a_catalog(cls, value: dict[str, str]) -> dict[str, str]:
        # An empty path is the folder that one happens to be in.
        if silent := [name for name, catalog in value.items() if not catalog.partition("#")[0].strip()]:
            raise ValueError(
                f"{', '.join(silent)} has no catalog; say a name, a URL or a path, or leave it out"
            )
        require_one_reading(value)
        return value

    @field_validator("strides", "x0_clips")
    @classmethod
    def _are_of_targets(cls, value: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        targets = info.data.get("targets")
        if targets and (others := [name for name in value if name not in targets]):
            raise ValueError(not_among(targets, others))
        # One that is the request's is as if it were not given, so that the run is the same.
        of_all = info.data.get({"strides": "stride", "x0_clips": "x0_clip"}[info.field_name or ""])
        return {name: own for name, own in value.items() if own != of_all}

    @field_validator("exclude", "trust", mode="before")
    @classmethod
    def _split_ids(cls, value: Any) -> Any:
        return split_ids(value)

    @field_validator("inputs", "tokenised", "targets", "extras")
    @classmethod
    def _no_repeats(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len({name.lower() for name in value}) < len(value):
            raise ValueError(f"{', '.join(value)} names one twice")
        return value

    @field_validator("max_seam")
    @classmethod
    def _is_a_factor(cls, value: float) -> float:
        if 0 < value < 1:
            raise ValueError(
                f"{value:g} is below 1, where no seam shows; take 1.1 for a tenth, or 0 for no limit"
            )
        return value

    @field_validator("steps")
    @classmethod
    def _divides_schedule(cls, value: int) -> int:
        if 1000 % value:
            raise ValueError(f"{value} does not divide 1000; take 1, 2, 4, 5, 8, 10, 20, 25, 40 or 50")
        return value

    @model_validator(mode="after")
    def _tokens_are_of_inputs(self) -> Self:
        if unseen := [name for name in self.tokenised if name not in self.inputs]:
            raise ValueError(
                f"tokenised: {', '.join(unseen)} is not among the inputs {', '.join(self.inputs)}"
            )
        return self

    @model_validator(mode="after")
    def _within_area_limit(self) -> Self:
        if not isinstance(self.region, GeoJsonFile):
            self._limited(self.region.area())
        return self

    @classmethod
    def fields_that_decide(cls, what: Decides) -> set[str]:
        """Names of the fields that decide pixels, a choice, or nothing."""
        return {name for name, field in cls.model_fields.items() if what in field.metadata}

    @property
    def interval(self) -> tuple[DateTime | None, DateTime | None]:
        """Start and end in UTC, both inclusive; None where open."""
        return parse_interval(self.datetime)

    def x0_clip_of(self, target: str) -> float:
        """The bound of a target's predicted sample, in standard deviations."""
        return next((own for name, own in self.x0_clips.items() if name == target), self.x0_clip)

    def area(self) -> Area:
        """The region as geometry; a region in a file is read here.

        Raises:
            RequestError: the file is not usable or its region is above the area limit.
        """
        try:
            return self._limited(self.region.area())
        except ValueError as error:
            raise RequestError(f"region: {error}") from error

    def _limited(self, area: Area) -> Area:
        size = area.square_kilometres
        if size > self.max_area_km2:
            raise ValueError(
                f"region has {size:,.0f} km², above the limit of {self.max_area_km2:,.0f}; "
                "take a smaller one or raise max_area_km2"
            )
        return area


def not_among(targets: Sequence[str], others: Sequence[str]) -> str:
    """What is wrong with a field that is for targets and names others."""
    return (
        f"{', '.join(others)} not among the targets {', '.join(targets)}; add it there, or leave it out here"
    )


def _warn_renamed(old: str, new: str, info: ValidationInfo) -> None:
    if info.mode == "python":  # what is read from a file was written long ago
        warn_renamed(old, new)


def warn_renamed(old: str, new: str) -> None:
    """Says that something has another name than the one it was given by."""
    logger.warning("%s is called %s now; the old name goes with version 0.3", old, new)


def request_of(**fields: Any) -> RegionRequest:
    """A request from plain fields.

    Raises:
        RequestError: one line for each field that is wrong.
    """
    return RegionRequest(**fields)


def requested(request: RegionRequest | Mapping[str, Any] | None, fields: Mapping[str, Any]) -> RegionRequest:
    """A request that is given as one, or as an object of its fields; fields of the same name go before.

    Raises:
        RequestError: one line for each field that is wrong.
    """
    if isinstance(request, RegionRequest) and not fields:
        return request
    return request_of(**{**dict(request or {}), **fields})
