"""Writes a bundle from a reference: graphs, self-test and ``bundle.json``, in a folder that is whole or not there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.export import Dim

from terramosaic.bands import INPUT_BANDS
from terramosaic.model.bundle import load_bundle
from terramosaic.model.coordinates import TOKENS_OF_A_PLACE, write_vocabulary
from terramosaic.model.devices import available_cpus
from terramosaic.model.export.graphs import (
    Classes,
    Context,
    Decode,
    Draw,
    Embed,
    EmbedPlaces,
    Logits,
    Step,
    Tokenise,
    Tokens,
    Words,
)
from terramosaic.model.export.onnx_files import GraphForm, Precision, export_graph
from terramosaic.model.export.ranges import largest_in_half
from terramosaic.model.export.reference import Reference, tokens_key
from terramosaic.model.export.selftest import write_selftest
from terramosaic.model.export.variants import FACTORS, INPUTS, TARGETS, TOKENISED
from terramosaic.model.manifest import (
    CLASSES,
    CONTEXT,
    COORDINATES,
    DECODE,
    DRAW,
    EMBED,
    EMBEDDING,
    LOGITS,
    LULC_CLASSES,
    PLACE,
    STEP,
    TOKENISE,
    TOKENS,
    WORDS,
    FileSpec,
    InputSpec,
    Manifest,
    Sampling,
    TargetSpec,
)
from terramosaic.storage.files import whole_folder
from terramosaic.storage.hashes import sha256_of

logger = logging.getLogger(__name__)

#: Told what is written, and how many of how many parts are finished.
Progress = Callable[[str, int, int], None]

#: Attention became an operator of ONNX in set 23. Steps stay at 20: from 21 on, group normalisation is an operator
#: too, which ONNX Runtime neither runs on CUDA nor fuses with what follows.
_OPSET_TRANSFORMER, _OPSET_STEP = 23, 20

_SELFTEST, _VOCABULARY = "selftest.npz", "coordinates.json"
_CONTEXT_FILE, _DECODE_FILE, _DRAW_FILE = "context.onnx", "decode.onnx", "draw.onnx"
_WORDS_FILE, _PLACES_FILE = f"{COORDINATES}.words.onnx", f"{COORDINATES}.embed.onnx"

_BATCH = Dim("batch", min=1, max=4096)


#: Coordinates as an input.
_PLACE = InputSpec(
    bands=PLACE,
    unit="degree",
    convention="the middle of the window, in longitude and latitude of WGS 84",
    graphs={EMBED: _PLACES_FILE},
)


@dataclass(frozen=True)
class _Graph:
    """A graph to write: its file, its module (made when it is its turn), and its form."""

    file: str
    make: Callable[[], nn.Module]
    form: GraphForm


def write_bundle(
    reference: Reference,
    out: Path,
    *,
    steps: int = 10,
    conditioning: Literal["chained", "independent"] = "chained",
    precision: Precision = "fp32",
    progress: Progress = lambda name, done, total: None,
) -> Path:
    """Writes a bundle.

    Args:
        reference: the model.
        out: the folder to make; it must not be there yet, or be empty.
        steps: denoising steps that runs of the bundle are meant to take.
        conditioning: the conditioning that it is meant for.
        precision: of the stored weights.
        progress: told what is done.

    Returns:
        The folder.

    Raises:
        OutputError: it cannot be written.
    """
    out = out.expanduser().resolve()
    with whole_folder(out) as folder:
        files = _write_files(reference, folder, precision, progress)
        manifest = _manifest(reference, files, steps, conditioning)
        _write_manifest(manifest, folder)
        _write_manifest(_with_largest(manifest, folder), folder)
    return out


def _write_manifest(manifest: Manifest, folder: Path) -> None:
    text = manifest.model_dump_json(indent=2, exclude_none=True)
    (folder / "bundle.json").write_text(text + "\n", encoding="utf-8", newline="\n")


def _with_largest(manifest: Manifest, folder: Path) -> Manifest:
    """The manifest with what half precision will have to hold on a GPU; told where that is much."""
    found = largest_in_half(load_bundle(folder), threads=available_cpus())
    files = {
        name: spec.model_copy(update={"largest": found[name]}) if name in found else spec
        for name, spec in manifest.files.items()
    }
    manifest = manifest.model_copy(update={"files": files})
    for file, largest in manifest.unsafe_in_half.items():
        logger.warning(
            "%s: its numbers grow to %.3g on the self-test, and half precision ends at 65504; on a GPU ask for "
            "precision fp32",
            file,
            largest,
        )
    return manifest


def _write_files(
    reference: Reference, folder: Path, precision: Precision, progress: Progress
) -> dict[str, FileSpec]:
    graphs = list(_graphs(reference))
    files: dict[str, FileSpec] = {}
    for done, graph in enumerate(graphs):
        progress(graph.file, done, len(graphs) + 1)
        path = folder / graph.file
        export_graph(graph.make(), graph.form, path, precision)
        for written in (path, path.with_suffix(".data")):
            if written.exists():
                files[written.name] = FileSpec(
                    sha256=sha256_of(written),
                    size=written.stat().st_size,
                    opset=graph.form.opset if written == path else None,
                    precision=precision,
                )
    progress(_SELFTEST, len(graphs), len(graphs) + 1)
    path = folder / _SELFTEST
    write_selftest(reference, path)
    files[_SELFTEST] = FileSpec(sha256=sha256_of(path), size=path.stat().st_size)
    if reference.locates:
        path = folder / _VOCABULARY
        write_vocabulary(reference.vocabulary, path)
        files[_VOCABULARY] = FileSpec(sha256=sha256_of(path), size=path.stat().st_size)
    progress("bundle.json", len(graphs) + 1, len(graphs) + 1)
    return files


def _graphs(reference: Reference) -> Iterator[_Graph]:
    """All graphs of a bundle, shared ones first."""
    transformer = reference.model.sampler.model
    width = transformer.mask_token.shape[-1]
    tokens = reference.side**2
    for name in reference.inputs:
        yield _input_graph(reference, f"{name}.embed.onnx", partial(Embed, reference, name), name, "patches")
    for name in reference.tokenised:
        yield _input_graph(
            reference, f"{name}.tokenise.onnx", partial(Tokenise, reference, name), name, "ids"
        )
    if reference.placed:
        places = GraphForm(
            {"places": torch.zeros(2, 2, dtype=torch.long)},
            ("sequence",),
            {"places": {0: _BATCH}},
            _OPSET_TRANSFORMER,
        )
        yield _Graph(_PLACES_FILE, lambda: EmbedPlaces(reference), places)
    # What only a bundle has that takes coordinates.
    sequence = {"sequence": torch.randn(3, TOKENS_OF_A_PLACE, width)} if reference.placed else {}
    sequences = {"sequence": {0: _BATCH, 1: Dim("words", min=0, max=8)}} if reference.placed else {}
    images, modalities = Dim("images", min=0, max=8), Dim("modalities", min=0, max=16)
    numbers = torch.zeros(2, dtype=torch.long)
    yield _Graph(
        _CONTEXT_FILE,
        lambda: Context(reference),
        GraphForm(
            {
                "patches": torch.randn(2, 3, tokens, width),
                "image": numbers,
                "ids": torch.zeros(3, 2 * tokens, dtype=torch.long),
                "modality": numbers.clone(),
                **sequence,
            },
            ("context", "embedding") if reference.embeds else ("context",),
            {
                "patches": {0: images, 1: _BATCH},
                "image": {0: images},
                "ids": {0: _BATCH, 1: tokens * modalities},
                "modality": {0: modalities},
                **sequences,
            },
            _OPSET_TRANSFORMER,
        ),
    )
    if reference.targets:
        yield _Graph(
            _DECODE_FILE,
            lambda: Decode(reference),
            GraphForm(
                {"context": torch.randn(2, 3 * tokens, width), "target": torch.zeros(1, dtype=torch.long)},
                ("hidden",),
                {"context": {0: _BATCH, 1: Dim("length", min=2, max=8192)}},
                _OPSET_TRANSFORMER,
            ),
        )
    if reference.targets or reference.locates:
        drawn = Dim("tokens", min=1, max=1 << 20)
        yield _Graph(
            _DRAW_FILE,
            Draw,
            GraphForm(
                {"logits": torch.randn(3, 1000), "uniform": torch.rand(3), "top_p": torch.full((1,), 0.8)},
                ("ids",),
                {"logits": {0: drawn, 1: Dim("codes", min=2, max=1 << 20)}, "uniform": {0: drawn}},
                _OPSET_TRANSFORMER,
            ),
        )
    if reference.locates:
        yield _Graph(
            _WORDS_FILE,
            lambda: Words(reference),
            GraphForm(
                {
                    "context": torch.randn(2, 3 * tokens, width),
                    "ids": torch.zeros(2, 3, dtype=torch.long),
                },
                ("logits",),
                {
                    "context": {0: _BATCH, 1: Dim("length", min=2, max=8192)},
                    "ids": {0: _BATCH, 1: Dim("words", min=1, max=4)},
                },
                _OPSET_TRANSFORMER,
            ),
        )
    for target in reference.targets:
        yield from _graphs_of(reference, target, width)


def _input_graph(
    reference: Reference, file: str, make: Callable[[], nn.Module], name: str, output: str
) -> _Graph:
    windows = torch.full((2, len(_bands_of(name)), reference.window, reference.window), 0.5)
    form = GraphForm({"windows": windows}, (output,), {"windows": {0: _BATCH}}, _OPSET_TRANSFORMER)
    return _Graph(file, make, form)


def _graphs_of(reference: Reference, target: str, width: int) -> Iterator[_Graph]:
    tokenizer, side = reference.model.tokenizer[tokens_key(target)], reference.side
    code = torch.rand(2, tokenizer.latent_dim, side, side)
    yield _Graph(
        f"{target}.tokens.onnx",
        lambda: Tokens(reference, target),
        GraphForm(
            {
                "hidden": torch.randn(2, side**2, width),
                "uniform": torch.rand(2, side, side),
                "top_p": torch.full((1,), 0.8),
            },
            ("ids", "code"),
            {"hidden": {0: _BATCH}, "uniform": {0: _BATCH}},
            _OPSET_TRANSFORMER,
        ),
    )
    yield _Graph(
        f"{target}.logits.onnx",
        lambda: Logits(reference, target),
        GraphForm(
            {"hidden": torch.randn(2, side**2, width)},
            ("logits",),
            {"hidden": {0: _BATCH}},
            _OPSET_TRANSFORMER,
        ),
    )
    if target == "LULC":
        yield _Graph(
            f"{target}.classes.onnx",
            lambda: Classes(reference, target),
            GraphForm({"code": code}, ("probabilities", "logits"), {"code": {0: _BATCH}}, _OPSET_TRANSFORMER),
        )
        return
    yield _Graph(
        f"{target}.step.onnx",
        lambda: Step(reference, target),
        GraphForm(
            {
                "x": torch.randn(2, tokenizer.n_channels, reference.window, reference.window),
                "code": code,
                "t": torch.full((1,), 999.0),
                "coefficients": torch.tensor([1.0, 0.5, 0.25, 1.0]),
            },
            ("next", "values"),
            {"x": {0: _BATCH}, "code": {0: _BATCH}},
            _OPSET_STEP,
        ),
    )


def _manifest(
    reference: Reference,
    files: dict[str, FileSpec],
    steps: int,
    conditioning: Literal["chained", "independent"],
) -> Manifest:
    words = reference.variant.removeprefix("terramind_").replace("_", " ")
    random = (
        "" if reference.seed is None else f" with RANDOM WEIGHTS (seed {reference.seed}; its maps are noise)"
    )
    return Manifest(
        name=reference.variant if reference.seed is None else f"{reference.variant}_random",
        title=f"TerraMind {words}{random}",
        family="terramind",
        variant=reference.variant,
        source="IBM and ESA, TerraMind 1.0 (ICCV 2025, https://arxiv.org/abs/2504.11171), exported from terratorch",
        licence="Apache-2.0",
        checkpoints=dict(reference.checkpoints),
        origins=dict(reference.origins) or None,
        inputs={
            name: _input(reference, name) for name in dict.fromkeys((*reference.inputs, *reference.tokenised))
        }
        | ({COORDINATES: _PLACE} if reference.placed else {}),
        window=reference.window,
        conditioning=conditioning,
        targets={target: _target(reference, target, steps) for target in reference.targets}
        | ({EMBEDDING: _embedding(reference)} if reference.embeds else {})
        | ({COORDINATES: _coordinates(reference)} if reference.locates else {}),
        graphs={CONTEXT: _CONTEXT_FILE}
        | ({DECODE: _DECODE_FILE} if reference.targets else {})
        | ({DRAW: _DRAW_FILE} if reference.targets or reference.locates else {}),
        files=files,
        vocabulary=_VOCABULARY if reference.locates else None,
        selftest=_SELFTEST,
        random_weights=reference.seed,
        versions={name: version(name) for name in ("terratorch", "torch", "onnx", "onnxscript")}
        | {"terramosaic": version("terramosaic")},
    )


def _bands_of(name: str) -> tuple[str, ...]:
    return INPUT_BANDS.get(name) or tuple(land_cover.name for land_cover in LULC_CLASSES)


def _input(reference: Reference, name: str) -> InputSpec:
    unit, convention = INPUTS.get(name) or TOKENISED[name]
    bands = _bands_of(name)
    mean, std = (tuple(numbers.tolist()) for numbers in reference.statistics(name, len(bands)))
    graphs = {EMBED: f"{name}.embed.onnx"} if name in reference.inputs else {}
    graphs |= {TOKENISE: f"{name}.tokenise.onnx"} if name in reference.tokenised else {}
    return InputSpec.model_validate(
        {"bands": bands, "unit": unit, "convention": convention, "mean": mean, "std": std, "graphs": graphs}
    )


def _embedding(reference: Reference) -> TargetSpec:
    return TargetSpec(
        kind="embedding",
        output="values",
        channels=tuple(f"dim {number}" for number in range(reference.dimensions)),
        graphs={CONTEXT: _CONTEXT_FILE},
    )


def _coordinates(reference: Reference) -> TargetSpec:
    return TargetSpec(
        kind="coordinates",
        output="values",
        channels=("latitude", "longitude"),
        unit="degree",
        uniform=True,
        fed_back=False,
        sampling=Sampling(temperature=1, top_p=reference.model.top_p),
        graphs={WORDS: _WORDS_FILE},
    )


def _target(reference: Reference, target: str, steps: int) -> TargetSpec:
    model, key = reference.model, tokens_key(target)
    tokenizer = model.tokenizer[key]
    channels, unit = TARGETS[target]
    drawn = {TOKENS: f"{target}.tokens.onnx", LOGITS: f"{target}.logits.onnx"}
    spec: dict[str, Any] = {
        "channels": channels,
        "unit": unit,
        "uniform": True,
        "fed_back": target not in reference.unchained,
        "codebook_levels": tokenizer.quantize._levels.tolist(),
        "sampling": {"temperature": 1, "top_p": model.top_p},
    }
    if target == "LULC":
        spec |= {"kind": "direct", "output": "probabilities", "classes": LULC_CLASSES}
        spec["graphs"] = drawn | {CLASSES: f"{target}.classes.onnx"}
        return TargetSpec.model_validate(spec)
    scheduler, factor = tokenizer.noise_scheduler.config, FACTORS.get(target, 1)
    spec["schedule"] = {
        "training_steps": scheduler.num_train_timesteps,
        "betas": scheduler.beta_schedule,
        "beta_start": scheduler.beta_start,
        "beta_end": scheduler.beta_end,
        "zero_terminal_snr": scheduler.zero_terminal_snr,
        "prediction": {"sample": "x0"}.get(scheduler.prediction_type, scheduler.prediction_type),
        "spacing": "trailing",
        "eta": 0,
        "default_steps": steps,
    }
    spec |= {"kind": "diffusion", "output": "values", "noise_channels": tokenizer.n_channels}
    spec |= {"x0_clip": scheduler.sample_max_value, "graphs": drawn | {STEP: f"{target}.step.onnx"}}
    spec |= {
        "mean": (model.pretraining_mean[key] * factor).flatten().double().tolist(),
        "std": (model.pretraining_std[key] * factor).flatten().double().tolist(),
    }
    return TargetSpec.model_validate(spec)
