"""A bundle: an exported model as a folder of ``bundle.json`` and ONNX graphs, checked before use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from terramosaic.errors import ModelError, RequestError, meant, one_line
from terramosaic.model.manifest import (
    COORDINATES,
    DRAW,
    EMBEDDING,
    FORMAT,
    GENERATE,
    LOGITS,
    NAMED_KINDS,
    TOKENISE,
    TOKENS,
    VERSION,
    FileSpec,
    InputSpec,
    Manifest,
    TargetSpec,
)
from terramosaic.storage.hashes import sha256_of

#: What a request calls the bundle that comes with the engine, and where it is.
DEMO = "demo"
DEMO_FOLDER = Path(__file__).parent / "bundles" / "demo"


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
    def is_demo(self) -> bool:
        """Whether it is the small model that comes along."""
        return self.manifest.family == "demo"

    @property
    def is_terramind(self) -> bool:
        return self.manifest.family == "terramind"

    @property
    def inputs(self) -> Mapping[str, InputSpec]:
        """What the bundle can take, by name."""
        return self.manifest.inputs

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands of Sentinel-2 that the bundle takes, in the model's order; none where that is no input of it."""
        return self.inputs["S2L2A"].bands if "S2L2A" in self.inputs else ()

    @property
    def bands_by_input(self) -> dict[str, tuple[str, ...]]:
        """Bands of a window of each input, in the model's order."""
        return {name: spec.bands for name, spec in self.inputs.items()}

    @property
    def default_steps(self) -> int:
        """Steps of diffusion that it is made for; 1 where it has none."""
        return max(
            (spec.schedule.default_steps for spec in self.targets.values() if spec.schedule), default=1
        )

    @property
    def targets(self) -> Mapping[str, TargetSpec]:
        """What the bundle generates, by name."""
        return self.manifest.targets

    def require(
        self,
        targets: Sequence[str],
        inputs: Sequence[str] = (),
        tokenised: Sequence[str] = (),
        *,
        reconstruct: bool = False,
        consensus: bool = False,
        chained: bool = False,
    ) -> None:
        """Checks that all of ``targets`` and ``inputs`` are in the bundle, and that it makes tokens of some of these.

        A target that is one graph takes all of the bundle's inputs. To reconstruct targets, it must make tokens of all
        of them, as inputs. For a consensus it must draw tokens of all of them, and tell what they are drawn from. In a
        chain each but the last must be one that later targets can see.

        Raises:
            RequestError: some are not; the message lists those that are.
        """
        if missing := [name for name in inputs if name not in self.inputs]:
            raise RequestError(
                f"inputs: bundle {self.name!r} cannot take {', '.join(missing)}; it takes {', '.join(self.inputs)}"
                f"{meant(missing[0], self.inputs)}"
            )
        if missing := [target for target in targets if target not in self.targets]:
            raise RequestError(
                f"targets: bundle {self.name!r} has no {', '.join(missing)}; it generates {', '.join(self.targets)}"
                f"{meant(missing[0], self.targets)}"
            )
        is_one_graph = all(GENERATE in self.targets[target].graphs for target in targets)
        if inputs and is_one_graph and set(inputs) != set(self.inputs):
            raise RequestError(
                f"inputs: bundle {self.name!r} takes {' and '.join(self.inputs)}, no more and no less"
            )
        behind = targets[targets.index(COORDINATES) + 1 :] if COORDINATES in targets else ()
        if set(behind) - {EMBEDDING}:
            raise RequestError(
                f"targets: {COORDINATES} are made last, of all that was made before; name them last"
            )
        if reconstruct and (others := [target for target in targets if target not in inputs]):
            raise RequestError(
                f"reconstruct: {', '.join(others)} is not among the inputs {', '.join(inputs)}, and only these can be "
                "made again"
            )
        for name in targets if reconstruct else tokenised:
            if TOKENISE not in self.inputs[name].graphs:
                raise RequestError(
                    f"tokenised: bundle {self.name!r} makes no tokens of {name}; leave it out, or export the bundle "
                    f"with --tokenise {name}"
                )
        if consensus and reconstruct:
            raise RequestError(
                "consensus: of inputs that are reconstructed no tokens are drawn that windows could share; take none"
            )
        if consensus:
            self._require_logits(targets)
        if chained and not reconstruct:
            self._require_chain(targets)

    def _require_chain(self, targets: Sequence[str]) -> None:
        generated = [target for target in targets if target not in NAMED_KINDS]
        for target in generated if COORDINATES in targets else generated[:-1]:
            if not self.targets[target].fed_back:
                raise RequestError(
                    f"targets: of bundle {self.name!r} no later target can see {target}; name it last, or take the "
                    "conditioning independent"
                )

    def _require_logits(self, targets: Sequence[str]) -> None:
        graphs = [self.targets[target].graphs for target in targets]
        if without := [name for name, roles in zip(targets, graphs, strict=True) if TOKENS not in roles]:
            raise RequestError(
                f"consensus: bundle {self.name!r} draws no tokens of {', '.join(without)} that windows could share; "
                "take none"
            )
        if DRAW not in self.manifest.graphs or not all(LOGITS in roles for roles in graphs):
            raise RequestError(
                f"consensus: bundle {self.name!r} does not tell what its tokens are drawn from; export the bundle anew"
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
    folder = _folder_of(model)
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


def read_manifest(model: str | Path) -> Manifest:
    """What a bundle says of itself; its files are not looked at.

    Args:
        model: The bundle's folder, or ``demo``.

    Raises:
        RequestError: there is no such folder.
        ModelError: it holds no manifest, or one that is not valid; the message names file and field.
    """
    path = _folder_of(model) / "bundle.json"
    return _validate(path, _read_json(path))


def _folder_of(model: str | Path) -> Path:
    folder = DEMO_FOLDER if str(model) == DEMO else Path(model).expanduser()
    if not folder.is_dir():
        raise RequestError(f"model: there is no folder {folder}; give a bundle's folder, or {DEMO!r}")
    return folder.resolve()


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
    found = content.get("version")
    if found not in (1, VERSION):
        raise ModelError(
            f"{path}: version: is {found!r}, this engine reads {VERSION} and 1; export the bundle anew"
        )
    try:
        return Manifest.model_validate(content if found == VERSION else _of_version_1(path, content))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "content"
        more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise ModelError(f"{path}: {field}: {first['msg']}{more}") from error


def _of_version_1(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """What version 2 says instead: until then a model took Sentinel-2, and nothing else."""
    if content.get("graphs"):
        raise ModelError(
            f"{path}: version: is 1, whose TerraMind takes Sentinel-2 alone; this engine reads {VERSION}: export the "
            "bundle anew, with terramosaic model export"
        )
    inputs = {"S2L2A": content["input"]} if "input" in content else {}
    return {key: value for key, value in content.items() if key != "input"} | {
        "version": VERSION,
        "inputs": inputs,
    }


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
        found = sha256_of(path)
    except OSError as error:
        raise ModelError(f"{path}: files.{name}: cannot be read: {error.strerror}") from error
    if found != spec.sha256:
        raise ModelError(
            f"{path}: sha256: is {found[:12]}…, bundle.json says {spec.sha256[:12]}…; copy it anew"
        )


#: Tensors by name as (type, shape); None stands for a size left open, as the batch's must be.
Tensors = dict[str, tuple[str, tuple[int | None, ...]]]


def _check_graph(folder: Path, manifest: Manifest, target: str) -> None:
    """Compares what a target's one graph declares with what the manifest promises."""
    spec, window, patches = manifest.targets[target], manifest.window, manifest.patches
    batch = manifest.batch
    inputs: Tensors = {
        feed: ("tensor(float)", (batch, *manifest.inputs[name].shape(window)))
        for name, feed in manifest.feeds.items()
    }
    if spec.noise_channels:
        inputs["noise"] = ("tensor(float)", (batch, spec.noise_channels, window, window))
    if spec.uniform:
        inputs["uniform"] = ("tensor(float)", (batch, patches, patches))
    outputs: Tensors = {target: ("tensor(float)", (batch, spec.planes, window, window))}

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
    import onnxruntime  # for start-up time: what only describes a bundle does without

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
