"""A bundle: an exported model as a folder of ``bundle.json`` and ONNX graphs, checked before use."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from engine.bands import S2L2A_BANDS
from engine.errors import ModelError, RequestError
from engine.lattice import PATCH, WINDOW

FORMAT: Final = "terramosaic-bundle"
VERSION: Final = 1

#: Role of the graph that makes a target from windows (and randomness) in one go.
GENERATE: Final = "generate"

#: The bundle that comes with the engine.
DEMO_FOLDER = Path(__file__).parent / "bundles" / "demo"


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


FileName = Annotated[str, Field(min_length=1), AfterValidator(_inside)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class InputSpec(_Frozen):
    """What a window holds. The graphs standardise it; ``mean`` and ``std`` are on record for readers."""

    bands: tuple[str, ...] = Field(min_length=1)
    convention: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _check(self) -> InputSpec:
        if not set(self.bands) <= set(S2L2A_BANDS) or len(set(self.bands)) != len(self.bands):
            raise ValueError(f"bands must be distinct names out of {' '.join(S2L2A_BANDS)}")
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if numbers is not None and len(numbers) != len(self.bands):
                raise ValueError(f"{name} has {len(numbers)} numbers for {len(self.bands)} bands")
        return self


class Schedule(_Frozen):
    """Noise schedule of a diffusion decoder and how it is walked; the number of steps is the run's choice."""

    training_steps: int = Field(gt=0)
    betas: Literal["linear"]
    zero_terminal_snr: bool
    prediction: Literal["x0"]
    spacing: Literal["trailing"]
    eta: float
    default_steps: int = Field(gt=0)


class Sampling(_Frozen):
    """How tokens are drawn: from the nucleus ``top_p``; temperature 0 is greedy."""

    temperature: float = Field(ge=0)
    top_p: float = Field(gt=0, le=1)


class TargetSpec(_Frozen):
    """A target: how it is generated, what the model returns for it, and the graphs that do it."""

    kind: Literal["direct", "diffusion"]
    output: Literal["values", "probabilities"]
    channels: tuple[str, ...] = Field(min_length=1, description="Bands of the mosaic, such as VV and VH")
    unit: str | None = Field(default=None, description="Unit of the values, where they have one")
    classes: tuple[LandCover, ...] = Field(default=(), description="By index, with probabilities only")
    noise_channels: int = Field(default=0, ge=0, description="Planes of standard normal noise a window needs")
    uniform: bool = Field(default=False, description="Whether each patch needs a uniform number")
    codebook_levels: tuple[int, ...] = ()
    sampling: Sampling | None = None
    schedule: Schedule | None = None
    x0_clip: float | None = Field(default=None, gt=0)
    graphs: dict[str, FileName] = Field(min_length=1, description="Role to file, of this target's own graphs")

    @property
    def planes(self) -> int:
        """Planes that the model returns for a window: one per class, or one per channel."""
        return len(self.classes) if self.output == "probabilities" else len(self.channels)

    @model_validator(mode="after")
    def _check(self) -> TargetSpec:
        if (self.output == "probabilities") != bool(self.classes):
            raise ValueError("an output of probabilities has classes, one of values has none")
        if [land_cover.index for land_cover in self.classes] != list(range(len(self.classes))):
            raise ValueError("classes must be in the order of index, from 0, without a gap")
        if self.kind == "diffusion" and not (self.schedule and self.codebook_levels):
            raise ValueError("a diffusion target needs schedule and codebook_levels")
        return self


class FileSpec(_Frozen):
    """A file as it must be found; ``opset`` and ``precision`` where it is a graph."""

    sha256: Sha256
    size: int = Field(ge=0)
    opset: int | None = None
    precision: Literal["fp32", "fp16", "bf16"] | None = None


class Manifest(_Frozen):
    """The content of ``bundle.json``."""

    format: Literal["terramosaic-bundle"] = FORMAT
    version: Literal[1] = VERSION
    name: str
    title: str
    family: str = Field(description="`terramind`, or a name for what is not TerraMind")
    variant: str | None = Field(default=None, description="Such as terramind_v1_base")
    source: str
    licence: str
    checkpoints: dict[str, Sha256] = Field(default_factory=dict, description="Hashes of what was exported")
    input: InputSpec
    window: Literal[224] = 224
    patch: Literal[16] = 16
    conditioning: Literal["chained", "independent"]
    targets: dict[str, TargetSpec] = Field(min_length=1)
    graphs: dict[str, FileName] = Field(default_factory=dict, description="Role to file, of shared graphs")
    files: dict[FileName, FileSpec]
    versions: dict[str, str] = Field(default_factory=dict, description="Of the tools that made the bundle")

    @model_validator(mode="after")
    def _check(self) -> Manifest:
        named = {f"graphs.{role}": file for role, file in self.graphs.items()}
        for target, spec in self.targets.items():
            named |= {f"targets.{target}.graphs.{role}": file for role, file in spec.graphs.items()}
        for field, file in named.items():
            if file not in self.files:
                raise ValueError(f"{field} names {file!r}, which `files` does not list")
        return self


@dataclass(frozen=True)
class Bundle:
    """A bundle that passed its checks."""

    folder: Path
    manifest: Manifest
    #: Sha256 of the manifest's content, and through the hashes in it of every file.
    fingerprint: str

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def title(self) -> str:
        return self.manifest.title

    @property
    def is_terramind(self) -> bool:
        return self.manifest.family == "terramind"

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands of a window, in the model's order."""
        return self.manifest.input.bands

    @property
    def targets(self) -> Mapping[str, TargetSpec]:
        """What the bundle generates, by name."""
        return self.manifest.targets

    def require(self, targets: Sequence[str]) -> None:
        """Checks that all of ``targets`` are in the bundle.

        Raises:
            RequestError: some are not; the message lists those that are.
        """
        if missing := [target for target in targets if target not in self.targets]:
            have = ", ".join(self.targets)
            raise RequestError(
                f"targets: bundle {self.name!r} has no {', '.join(missing)}; it generates {have}"
            )


def load_bundle(model: str | Path) -> Bundle:
    """Reads a bundle and checks it: manifest, size and sha256 of every file, inputs and outputs of graphs.

    A file is hashed once per process, as long as its size and time of change stay.

    Args:
        model: The bundle's folder, or ``demo`` for the one that comes with the engine.

    Raises:
        RequestError: there is no such folder.
        ModelError: the bundle is broken; the message names file and field.
    """
    folder = DEMO_FOLDER if str(model) == "demo" else Path(model).expanduser()
    if not folder.is_dir():
        raise RequestError(f"model: there is no folder {folder}; give a bundle's folder, or 'demo'")
    folder = folder.resolve()
    content = _read_json(folder / "bundle.json")
    manifest = _validate(folder / "bundle.json", content)
    for name, spec in manifest.files.items():
        _check_file(folder, name, spec)
    for name, target in manifest.targets.items():
        # Other roles' contracts belong to the generator that plays them.
        if target.kind == "direct" and GENERATE in target.graphs:
            _check_graph(folder, manifest, name)
    # Layout and line ends of the file do not count.
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return Bundle(folder, manifest, hashlib.sha256(canonical.encode()).hexdigest())


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path.parent} is not a bundle: it has no bundle.json") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {one_line(error)}") from error


def _validate(path: Path, content: Any) -> Manifest:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelError(f"{path}: format: is not {FORMAT!r}, so this is no bundle")
    if content.get("version") != VERSION:
        found = content.get("version")
        raise ModelError(
            f"{path}: version: is {found!r}, this engine reads {VERSION}; export the bundle anew"
        )
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "content"
        more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise ModelError(f"{path}: {field}: {first['msg']}{more}") from error


def _check_file(folder: Path, name: str, spec: FileSpec) -> None:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):  # a link may lead out where the name does not
        raise ModelError(f"{folder / 'bundle.json'}: files.{name}: leads out of the folder, to {path}")
    try:
        stat = path.stat()
        if stat.st_size != spec.size:
            raise ModelError(
                f"{path}: size: is {stat.st_size} bytes, bundle.json says {spec.size}; copy it anew"
            )
        found = _sha256(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise ModelError(f"{path}: files.{name}: cannot be read: {error.strerror}") from error
    if found != spec.sha256:
        raise ModelError(
            f"{path}: sha256: is {found[:12]}…, bundle.json says {spec.sha256[:12]}…; copy it anew"
        )


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    """Hash of a file; size and time are the cache's, since gigabytes of weights take seconds."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


#: Tensors by name as (type, shape); None stands for a size left open, as the batch's must be.
Tensors = dict[str, tuple[str, tuple[int | None, ...]]]


def _check_graph(folder: Path, manifest: Manifest, target: str) -> None:
    """Compares what a target's one graph declares with what the manifest promises."""
    spec, patches = manifest.targets[target], WINDOW // PATCH
    inputs: Tensors = {"windows": ("tensor(float)", (None, len(manifest.input.bands), WINDOW, WINDOW))}
    if spec.noise_channels:
        inputs["noise"] = ("tensor(float)", (None, spec.noise_channels, WINDOW, WINDOW))
    if spec.uniform:
        inputs["uniform"] = ("tensor(float)", (None, patches, patches))
    outputs: Tensors = {target: ("tensor(float)", (None, spec.planes, WINDOW, WINDOW))}

    file = spec.graphs[GENERATE]
    declared = _declared_tensors(folder / file, manifest.files[file].sha256)
    for side, found, wanted in zip(("input", "output"), declared, (inputs, outputs), strict=True):
        for name in sorted(found.keys() | wanted.keys()):
            if found.get(name) != wanted.get(name):
                raise ModelError(
                    f"{folder / file}: {side} {name!r} is {_show(found.get(name))} in the graph, "
                    f"but {_show(wanted.get(name))} by targets.{target} of bundle.json"
                )


@lru_cache(maxsize=64)
def _declared_tensors(path: Path, sha256: str) -> tuple[Tensors, Tensors]:
    """Inputs and outputs that a graph declares, read by ONNX Runtime without optimising; once per content."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no other common base
        raise ModelError(f"{path}: is no graph that ONNX Runtime opens: {one_line(error)}") from error

    def tabulate(tensors: Sequence[Any]) -> Tensors:
        return {
            tensor.name: (tensor.type, tuple(n if isinstance(n, int) else None for n in tensor.shape))
            for tensor in tensors
        }

    return tabulate(session.get_inputs()), tabulate(session.get_outputs())


def _show(tensor: tuple[str, tuple[int | None, ...]] | None) -> str:
    return f"{tensor[0]} {list(tensor[1])}".replace("None", "N") if tensor else "absent"


def one_line(message: object) -> str:
    """A foreign message without line breaks, as part of an error of ours."""
    return " ".join(str(message).split())
