"""From terratorch's TerraMind to a bundle. Needs the extra ``export``; nothing else of the engine does."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from terramosaic.errors import ModelError, RequestError
from terramosaic.ground.lattice import WINDOW
from terramosaic.model.export.variants import INPUTS, MADE, TAKEN, TOKENISED, VARIANTS
from terramosaic.model.manifest import COORDINATES, EMBEDDING
from terramosaic.storage.files import require_new

if TYPE_CHECKING:
    from terramosaic.model.export.bundle import Progress
    from terramosaic.model.packing import Packed

__all__ = ["INPUTS", "MADE", "TAKEN", "TOKENISED", "VARIANTS", "export_bundle", "export_head"]

#: Sides of windows, in pixels: decoders halve theirs three times, in patches of 4.
_WINDOW_STEP, _LARGEST_WINDOW = 32, 512

#: Metres of the pixels that maps are made of.
_PIXEL = 10


def export_bundle(
    variant: str,
    out: Path,
    *,
    targets: Sequence[str] = ("S1GRD", "S1RTC", "NDVI", "LULC"),
    inputs: Sequence[str] = tuple(INPUTS),
    tokenised: Sequence[str] = (),
    steps: int = 10,
    conditioning: Literal["chained", "independent"] = "chained",
    checkpoint: Path | None = None,
    tokenizer_checkpoints: Mapping[str, Path] | None = None,
    revisions: Mapping[str, str] | None = None,
    random_weights: int | None = None,
    window: int | None = None,
    precision: Literal["fp32", "fp16"] = "fp32",
    progress: Progress = lambda name, done, total: None,
) -> Path:
    """Exports TerraMind as a bundle.

    Args:
        variant: One of `VARIANTS`.
        out: The folder to make.
        targets: What the bundle makes; out of `MADE`.
        inputs: What the bundle takes as pixels, one or several at a time, and whether coordinates; out of `TAKEN`.
        tokenised: What it takes as tokens; out of `TOKENISED`. Each is a graph of a third of a gigabyte.
        steps: Denoising steps that its runs are meant to take; a run may ask for others.
        conditioning: What its runs are meant for; a run may ask for the other.
        checkpoint: TerraMind's weights; by default from the Hugging Face hub.
        tokenizer_checkpoints: By target or tokenised input, its tokenizer's weights; by default from the hub. Of
            coordinates it is the ``config.json`` of their tokenizer.
        revisions: Commit, tag or branch of the hub's repositories: of all of them by ``""``, of one by the variant, the
            target or the tokenised input; by default the newest.
        random_weights: Seed of random weights; then no checkpoint is read.
        window: Side of the windows that it is to see, in pixels; by default 224. TerraMind's authors map with 256, too.
        precision: Of the stored weights. What a device computes in is its own choice.
        progress: Told what is done, and how many parts of how many are finished.

    Returns:
        The folder.

    Raises:
        RequestError: The variant, a target, an input, the number of steps or the window is wrong.
        ModelError: The extra is missing, or a checkpoint cannot be had or does not fit.
        OutputError: The bundle cannot be written.
    """
    if re.match(r"terramind_v1[._]?5", variant):
        raise RequestError(
            f"variant: {variant!r} is of TerraMind 1.5, whose tokens are of 128 codebooks and are decoded without "
            f"diffusion; that cannot be exported yet; take one of {', '.join(VARIANTS)}"
        )
    if variant not in VARIANTS:
        raise RequestError(f"variant: there is no {variant!r}; take one of {', '.join(VARIANTS)}")
    _check_names("targets", targets, MADE, at_least=1)
    _check_names("inputs", inputs, TAKEN, at_least=1)
    if COORDINATES in inputs and COORDINATES in targets:
        raise RequestError(f"inputs: a bundle either takes {COORDINATES} or makes them; name them once")
    if set(inputs) == {COORDINATES}:
        raise RequestError(f"inputs: {COORDINATES} alone show nothing; name one of {', '.join(INPUTS)}, too")
    _check_names("tokenise", tokenised, TOKENISED, at_least=0)
    if steps < 1 or 1000 % steps:
        raise RequestError(f"steps: {steps} does not divide 1000; take 1, 2, 4, 5, 8, 10, 20, 25, 40 or 50")
    window = WINDOW if window is None else window
    if window % _WINDOW_STEP or not _WINDOW_STEP < window <= _LARGEST_WINDOW:
        raise RequestError(
            f"window: {window} is no multiple of {_WINDOW_STEP} from {2 * _WINDOW_STEP} to {_LARGEST_WINDOW}; "
            "TerraMind was trained on 224, and its decoders up to 256"
        )
    placed = [COORDINATES] if COORDINATES in inputs else []
    tokenizers = dict.fromkeys(name for name in (*targets, *tokenised, *placed) if name != EMBEDDING)
    if wrong := [name for name in tokenizer_checkpoints or {} if name not in tokenizers]:
        raise RequestError(
            f"tokenizer-checkpoint: {', '.join(wrong)} is not among the targets {', '.join(targets)}"
            + (f" and the tokenised inputs {', '.join(tokenised)}" if tokenised else "")
        )
    if wrong := [name for name in revisions or {} if name not in ("", variant, *tokenizers)]:
        raise RequestError(
            f"revision: {', '.join(wrong)} is none of {', '.join((variant, *tokenizers))}, whose weights are exported"
        )
    if random_weights is not None and (checkpoint or tokenizer_checkpoints or revisions):
        raise RequestError("random-weights: goes without checkpoints; give one or the other")
    with _of_the_extra():
        from terramosaic.model.export.bundle import write_bundle
        from terramosaic.model.export.reference import load_reference
    require_new(out.expanduser())  # before gigabytes are loaded
    reference = load_reference(
        variant,
        targets,
        inputs=inputs,
        tokenised=tokenised,
        checkpoint=checkpoint,
        tokenizer_checkpoints=tokenizer_checkpoints,
        revisions=revisions,
        seed=random_weights,
        window=window,
        echo=lambda what: progress(what, 0, 1),
    )
    return write_bundle(
        reference, out, steps=steps, conditioning=conditioning, precision=precision, progress=progress
    )


def export_head(
    out: Path,
    *,
    checkpoint: Path | None = None,
    config: Path | None = None,
    stats: Path | None = None,
    classes: Sequence[str] = (),
    target: str = "",
    random_weights: int | None = None,
    window: int | None = None,
    pixel_size: float | None = None,
    dates: int | None = None,
    bands: Mapping[str, Sequence[str]] | None = None,
    custom_modules: Path | None = None,
    trust: bool = False,
) -> Packed:
    """Exports a fine-tuned model of terratorch's: TerraMind with necks, decoder and head.

    Args:
        out: The folder to make.
        checkpoint: Lightning's, which holds the architecture as well.
        config: terratorch's configuration (YAML), for statistics of the inputs, or in place of a checkpoint.
        stats: A file of means and stds by modality, in place of the configuration's.
        classes: Names of classes, in place of the model's.
        target: What its map is called; by default `classes`, or `values` of a regression.
        random_weights: Seed of random weights; then no checkpoint is read.
        window: Side of windows in pixels, in place of that of tiled inference.
        pixel_size: Metres of the pixels that it was trained on, which no file tells.
        dates: Acquisitions that it sees, where it takes any number of them and no file tells.
        bands: Of an input, in the order of its channels, where the files number them or call them otherwise.
        custom_modules: A folder of Python modules, or one of them, that registers a decoder of your own.
        trust: Whether that code, which may do anything, is run.

    Raises:
        RequestError: The files lack what a map needs, or are of a kind that cannot be exported; says what gives it.
        ModelError: The extra is missing, terratorch cannot build the model, or the exported one computes otherwise.
    """
    if custom_modules is not None and not trust:
        raise RequestError(
            f"custom-modules: {custom_modules} is code, which may do anything here; say --trust if you have read it"
        )
    if (checkpoint is None) == (random_weights is None):
        raise RequestError("checkpoint: give a checkpoint, or --random-weights SEED to try without")
    from terramosaic.model.export.head_config import read_config  # brings onnx, half a second of start-up

    require_new(out.expanduser())
    # What is wrong with the files is told before half a minute of imports, and without the extra; and what cannot be
    # exported at all before anything is asked for.
    held: dict[str, str] | None = None if checkpoint else {}
    read_config(config, stats, held, classes=classes, window=window, dates=dates, bands=bands)
    if pixel_size is None:
        raise RequestError(
            "pixel-size: no file tells it; say --pixel-size 10 if the model was trained on pixels of 10 m"
        )
    if pixel_size != _PIXEL:
        raise RequestError(
            f"pixel-size: the model was trained on pixels of {pixel_size:g} m, and maps are made of {_PIXEL} m, in "
            "which it would see another world"
        )
    with _of_the_extra():
        from terramosaic.model.export import heads
    return heads.export_head(
        out,
        checkpoint=checkpoint,
        config=config,
        stats=stats,
        classes=classes,
        target=target,
        random_weights=random_weights,
        window=window,
        dates=dates,
        bands=bands,
        custom_modules=custom_modules,
    )


@contextmanager
def _of_the_extra() -> Iterator[None]:
    """Around imports of torch and terratorch, which take half a minute and are of the extra `export`.

    Raises:
        ModelError: it is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise ModelError(
            f"the export needs torch and terratorch ({error}); install them with: pip install 'terramosaic[export]'"
        ) from error


def _check_names(field: str, names: Sequence[str], known: Collection[str], *, at_least: int) -> None:
    if unknown := [name for name in names if name not in known]:
        raise RequestError(
            f"{field}: {', '.join(unknown)} cannot be exported; take some of {', '.join(known)}"
        )
    if len(names) < at_least or len(set(names)) < len(names):
        raise RequestError(f"{field}: {', '.join(names) or 'nothing'}; name each once, and at least one")
