"""Writes a bundle of a user's ONNX model, after its graphs have made what the spec says of made-up windows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
from pydantic import ValidationError
from scipy import ndimage

from terramosaic.errors import ModelError, RequestError, one_line
from terramosaic.model.bundle import Bundle, load_bundle
from terramosaic.model.generator import GenerationOptions
from terramosaic.model.manifest import (
    GENERATE,
    FileSpec,
    InputSpec,
    LandCover,
    Manifest,
    TargetSpec,
    feeds_of,
    step_of,
)
from terramosaic.model.opening import open_generator
from terramosaic.model.packing.graph import UserGraph, planes_of, read_graph, wrapped
from terramosaic.model.packing.spec import PackedTarget, PackSpec, complaints_of
from terramosaic.model.selftest import without_chance
from terramosaic.storage.files import whole_folder

#: Windows that a model is tried on, and that its self-test holds.
_WINDOWS = 2

#: Protobuf takes no more than 2 GB in one file; larger weights lie beside the graph.
_LARGEST_GRAPH = 2**31 - 2**20

#: How far probabilities of a pixel may add up to something else than 1.
_ROUNDED = 1e-3

#: How far a window's output may be from that of the same window beside others, as a share of the outputs' spread, which
#: rounding in half precision stays below; and what counts as spread at least.
_ALIKE, _LEAST_SPREAD = 0.01, 1e-3

#: What the made-up windows hold: mean and standard deviation of each band, as over vegetation, water and soil.
_LEVELS = {
    "S2L2A": (1500.0, 900.0),
    "S2L1C": (1700.0, 800.0),
    "S2RGB": (90.0, 40.0),
    "S1RTC": (-14.0, 4.0),
    "S1GRD": (-14.0, 4.0),
    "DEM": (400.0, 150.0),
}
_UNITS = {"S2L2A": None, "S2L1C": None, "S2RGB": None, "S1RTC": "dB", "S1GRD": "dB", "DEM": "m"}
_CONVENTIONS = {
    "S2L2A": "surface reflectance as digital numbers, the offset of baseline 04.00 taken off",
    "S2L1C": "reflectance at the top of the atmosphere as digital numbers, the offset of baseline 04.00 taken off",
    "S2RGB": "red, green and blue from 0 to 255",
    "S1RTC": "gamma nought, terrain corrected",
    "S1GRD": "sigma nought",
    "DEM": "heights above the geoid",
}


@dataclass(frozen=True)
class Packed:
    """A bundle that was written, and what to know of it.

    Attributes:
        warnings: what is no fault of the file, but looks like one of the model or the spec.
    """

    bundle: Bundle
    warnings: tuple[str, ...]


def pack_model(model: Path, spec: PackSpec, out: Path) -> Packed:
    """Makes a bundle of an ONNX model.

    The graph is wrapped, one file for each target: units, standardisation, layout and types before it, softmax or
    sigmoid behind it. Made-up windows are run before the folder appears, and are kept as its self-test.

    Args:
        model: the ONNX file; weights in files beside it are taken along.
        spec: what its inputs and outputs mean.
        out: the folder to make.

    Raises:
        RequestError: the graph is not what the spec says; names the field.
        OutputError: the folder is there, or cannot be written.
        ModelError: ONNX Runtime cannot run the graph, or what it makes cannot be a map.
    """
    with whole_folder(out) as folder:
        user = read_graph(model, spec)
        files: dict[str, FileSpec] = {}
        for target in spec.targets:
            graph = wrapped(user, spec, target, feeds_of(spec.inputs))
            files |= _write_graph(graph, folder, f"{target}.onnx")
        manifest = _manifest(spec, user, files)
        _write_manifest(folder, manifest)
        windows = _made_up(spec)
        try:
            made = _run(folder, windows)
        except ModelError as error:  # the folder that it names will be gone
            raise ModelError(str(error).replace(f"{folder}/", "")) from error
        warnings = tuple(
            line for name in spec.targets for line in _looked_at(name, spec.targets[name], made[name])
        )
        stored = {f"windows.{name}": array for name, array in windows.items()}
        stored |= {f"{name}.{manifest.targets[name].output}": array for name, array in made.items()}
        np.savez_compressed(folder / "selftest.npz", allow_pickle=False, **stored)
        files["selftest.npz"] = _file_spec(folder / "selftest.npz")
        _write_manifest(folder, manifest.model_copy(update={"files": files, "selftest": "selftest.npz"}))
    return Packed(load_bundle(out), warnings)


def _manifest(spec: PackSpec, user: UserGraph, files: Mapping[str, FileSpec]) -> Manifest:
    """What the bundle says, of graphs that are written."""
    try:
        return Manifest(
            name=spec.name,
            title=spec.title or spec.name,
            family="own",
            source=spec.source,
            licence=spec.licence,
            inputs={
                name: InputSpec(
                    bands=item.bands,
                    unit=_UNITS[name],
                    convention=_CONVENTIONS[name],
                    mean=item.mean or None,
                    std=item.std or None,
                    dates=item.dates,
                )
                for name, item in spec.inputs.items()
            },
            window=spec.window,
            patch=spec.patch,
            stride=spec.stride,
            batch=user.batch,
            conditioning="independent",
            targets={name: _target(name, item, user, spec) for name, item in spec.targets.items()},
            files=dict(files),
            versions={"terramosaic": version("terramosaic"), "onnx": onnx.__version__},
        )
    except ValidationError as error:
        raise RequestError(complaints_of("spec", error)) from error


def _target(name: str, said: PackedTarget, user: UserGraph, spec: PackSpec) -> TargetSpec:
    graphs = {GENERATE: f"{name}.onnx"}
    draws = any(each.uniform for each in spec.targets.values())
    if said.classes:
        classes = tuple(
            LandCover(index=index, value=item.value or index + 1, name=item.name, colour=item.colour)
            for index, item in enumerate(said.classes)
        )
        return TargetSpec(
            kind="direct",
            output="probabilities",
            channels=(name,),
            classes=classes,
            graphs=graphs,
            uniform=draws,
        )
    planes = planes_of(said, user.tensors[name], spec)
    channels = said.channels or ((name,) if planes == 1 else tuple(f"{name} {n + 1}" for n in range(planes)))
    return TargetSpec(
        kind="direct",
        output="values",
        channels=channels,
        unit=said.unit,
        step=said.step,
        graphs=graphs,
        uniform=draws,
    )


def _write_graph(model: onnx.ModelProto, folder: Path, name: str) -> dict[str, FileSpec]:
    """Writes a graph, with its weights beside it where it is too large for one file."""
    try:
        if model.ByteSize() < _LARGEST_GRAPH:
            onnx.save(model, folder / name)
        else:
            onnx.save(model, folder / name, save_as_external_data=True, location=f"{name}.data")
    except Exception as error:  # protobuf's errors have no common base
        raise ModelError(f"{folder / name}: the graph cannot be written: {one_line(error)}") from error
    opset = next(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))
    written = sorted(folder.glob(f"{name}*"))
    return {path.name: _file_spec(path, opset if path.name == name else None) for path in written}


def _file_spec(path: Path, opset: int | None = None) -> FileSpec:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileSpec(sha256=digest, size=path.stat().st_size, opset=opset)


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / "bundle.json").write_text(manifest.model_dump_json(exclude_none=True, indent=1) + "\n")


def _made_up(spec: PackSpec) -> dict[str, np.ndarray]:
    """Windows by input, as the bundle takes them: soft shapes, other ones in each band and date, and grain."""
    rng = np.random.default_rng(0)
    windows = {}
    for name, item in spec.inputs.items():
        mean, std = _LEVELS[name]
        dates = (item.dates,) if item.dates > 1 else ()
        shape = (_WINDOWS, len(item.bands), *dates, spec.window, spec.window)
        reach = (*(0 for _ in shape[2:]), spec.window / 16, spec.window / 16)
        soft = ndimage.gaussian_filter(rng.standard_normal(shape), reach)
        soft /= soft.std()
        values = mean + std * (soft + 0.1 * rng.standard_normal(shape))
        windows[name] = (values if mean < 0 else np.maximum(values, 1)).astype(np.float32)
    return windows


def _run(folder: Path, windows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the bundle makes of windows.

    Raises:
        ModelError: of the first it makes something else where the others are other ones.
    """
    bundle = load_bundle(folder)
    options = GenerationOptions(inputs=tuple(windows))
    generator = open_generator(bundle, tuple(bundle.targets), options=options)
    chance = without_chance(generator.needs, _WINDOWS, bundle.manifest.patches)
    made = generator.generate(windows, chance)
    others = {name: np.concatenate([array[:1], array[1:] / 2]) for name, array in windows.items()}
    at_once = open_generator(bundle, tuple(bundle.targets), options=options, batch_size=_WINDOWS)
    for name, array in at_once.generate(others, chance).items():
        first, spread = made[name][0], max(float(np.ptp(made[name])), _LEAST_SPREAD)
        if (apart := float(np.abs(array[0] - first).max())) > _ALIKE * spread:
            raise ModelError(
                f"targets.{name}: of the same window the graph makes something else, {apart:.3g} apart, with another "
                "one beside it in a batch, or at another time: no map could be made again; export it in evaluation "
                "mode (no norm over the batch, no dropout), without random numbers of its own"
            )
    return made


def _looked_at(name: str, said: PackedTarget, made: np.ndarray) -> Iterator[str]:
    """What is odd about a target made of made-up windows.

    Raises:
        ModelError: it cannot be what the spec says.
    """
    if said.output == "probabilities":
        sums = made.sum(axis=1)
        if made.min() < -_ROUNDED or np.abs(sums - 1).max() > _ROUNDED:
            raise ModelError(
                f"targets.{name}: output: these are no probabilities: they reach from {made.min():.4g} to "
                f"{made.max():.4g} and add up to {sums.min():.4g} to {sums.max():.4g}; if they are logits, say so"
            )
    if np.ptp(made, axis=(0, 2, 3)).max() == 0:
        yield f"targets.{name}: all pixels of made-up windows get the same; are unit, mean and std right?"
    elif said.classes and len(classes := np.unique(made.argmax(axis=1))) == 1:
        won = said.classes[classes[0]].name
        yield f"targets.{name}: all pixels of made-up windows are {won!r}; are unit, mean and std right?"
    if said.output == "values":
        most = (said.step or step_of(said.unit)) * np.iinfo(np.int16).max
        if (reached := float(np.abs(made).max())) > most:
            yield (
                f"targets.{name}: values reach {reached:.4g}, beyond the {most:.4g} that int16 holds in steps of "
                f"{most / np.iinfo(np.int16).max:.4g}; say a larger step, or map with --dtype float32"
            )
