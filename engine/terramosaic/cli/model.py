"""``terramosaic model export | pack | info | item | check``."""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import urlsplit

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from terramosaic.cli.consoles import ERR, OUT
from terramosaic.cli.options import names_in
from terramosaic.cli.show import show_bundle, show_check, show_speed
from terramosaic.errors import ModelError, RequestError
from terramosaic.model.bundle import load_bundle
from terramosaic.model.devices import AUTO, Precision, resolve
from terramosaic.model.export import INPUTS, MADE, TAKEN, TOKENISED, VARIANTS, export_bundle, export_head
from terramosaic.model.mlm.writing import write_item
from terramosaic.model.selftest import check_bundle
from terramosaic.model.timing import measure_speed
from terramosaic.request.request import warn_renamed

#: Files that a fine-tuned model is exported of.
_OF_HEADS = (".ckpt", ".pt", ".safetensors", ".yaml", ".yml")


@click.group("model")
def model_group() -> None:
    """Makes, describes and tests models."""


@model_group.command("info")
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print bundle.json's content")
def info_command(model: str, as_json: bool) -> None:
    """Describes a bundle: a folder, or `demo`. Its files are checked on the way."""
    bundle = load_bundle(model)
    if as_json:
        click.echo(bundle.manifest.model_dump_json(indent=1))
    else:
        show_bundle(OUT, bundle)


@model_group.command("item")
@click.argument("model")
def item_command(model: str) -> None:
    """Writes a bundle's STAC item (MLM extension) into its folder, which can then be published as it is."""
    OUT.print(str(write_item(load_bundle(model))), soft_wrap=True, highlight=False)


@model_group.command("check")
@click.argument("model")
@click.option("--device", default="cpu", metavar="cpu|cuda|cuda:N|auto", help="[default: cpu]")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp16", "fp32"]),
    default="auto",
    help="That a GPU computes in  [default: auto, which is fp16]",
)
@click.option("--provider", hidden=True, help="What --device was called until 0.2")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON")
def check_command(model: str, device: str, precision: Precision, provider: str | None, as_json: bool) -> None:
    """Runs a bundle's self-test: how far it is from the reference, and how fast.

    How long each target takes is kept in the cache: `terramosaic plan` quotes runs of this machine by it. That is
    measured in the device's own precision alone.
    """
    if provider is not None:
        warn_renamed("provider", "device")
        device = provider
    bundle = load_bundle(model)
    ERR.print(f"checking {bundle.title}; the first time on a machine its graphs are prepared for it")
    device = str(resolve(device)) if device == AUTO else device
    if bundle.manifest.selftest is None:
        # The engine's own tests check such a one, which is the demo's; how fast it is they do not tell.
        speed = measure_speed(bundle, device)
        click.echo(speed.model_dump_json(indent=1)) if as_json else show_speed(OUT, speed)
        return
    check = check_bundle(bundle, device, precision)
    timed = None if check.failures else measure_speed(bundle, device, precision)
    if as_json:
        told = (
            {
                "steps": bundle.default_steps,
                "batch_size": timed.batch,
                "windows_per_second": timed.windows_per_second(bundle),
                "speed": timed.model_dump(mode="json"),
            }
            if timed
            else {}
        )
        click.echo(json.dumps({**json.loads(check.as_json()), **told}, indent=1))
    else:
        show_check(OUT, check)
        if timed:
            OUT.print(timed.in_words(bundle))
            show_speed(OUT, timed)
    if check.failures:
        raise ModelError("\n".join(check.failures))


@model_group.command("pack")
@click.argument("model", metavar="MODEL.onnx|ITEM.json")
@click.option("--spec", type=click.Path(path_type=Path), help="What its inputs and outputs mean, YAML")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to make")
def pack_command(model: str, spec: Path | None, out: Path) -> None:
    """Makes a bundle of any ONNX model that takes windows of imagery, or of a model's STAC item (MLM).

    What a spec says stands in docs/bundle.md. Of an item it needs to say what that leaves open.
    """
    # Brings onnx, half a second of start-up.
    from terramosaic.model.mlm.fetching import pack_item
    from terramosaic.model.packing import pack_model, read_spec, read_yaml

    if PurePosixPath(urlsplit(model).path).suffix.lower() in (".json", ".geojson"):
        packed = pack_item(model, out.expanduser(), read_yaml(spec.expanduser(), "spec") if spec else None)
    elif spec is None:
        raise RequestError("spec: say what the graph's inputs and outputs mean, in a file (docs/bundle.md)")
    else:
        packed = pack_model(Path(model).expanduser(), read_spec(spec.expanduser()), out.expanduser())
    for line in packed.warnings:
        ERR.print(f"warning: {line}", highlight=False, soft_wrap=True)
    show_bundle(OUT, packed.bundle)


@model_group.command("export")
@click.argument("source", metavar="VARIANT|CHECKPOINT.ckpt|CONFIG.yaml", default="")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to make")
@click.option(
    "--targets",
    default="S1GRD,S1RTC,NDVI,LULC",
    show_default=True,
    help=f"What to make, out of {', '.join(MADE)}",
)
@click.option(
    "--inputs",
    default=",".join(INPUTS),
    show_default=True,
    help=f"What runs may generate from, out of {', '.join(TAKEN)}",
)
@click.option(
    "--tokenise",
    default="",
    metavar="INPUTS",
    help=f"Inputs to take as tokens too, a third of a gigabyte each, out of {', '.join(TOKENISED)}",
)
@click.option(
    "--steps", default=10, show_default=True, help="Diffusion steps that its runs are meant to take"
)
@click.option(
    "--conditioning", type=click.Choice(["chained", "independent"]), default="chained", show_default=True
)
@click.option(
    "--checkpoint", type=click.Path(path_type=Path), help="TerraMind's weights  [default: from the hub]"
)
@click.option(
    "--tokenizer-checkpoint",
    "tokenizers",
    multiple=True,
    metavar="NAME=FILE",
    help="A target's or tokenised input's tokenizer weights, one option each  [default: from the hub]",
)
@click.option(
    "--revision",
    "revisions",
    multiple=True,
    metavar="REVISION|NAME=REVISION",
    help="Commit, tag or branch on the hub, of all repositories or of VARIANT's, a target's or an input's, one option "
    "each; which commits it was is recorded  [default: the newest]",
)
@click.option(
    "--random-weights", type=int, metavar="SEED", help="No checkpoints: weights drawn by a seed, for trying"
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16"]),
    default="fp32",
    show_default=True,
    help="Of the stored weights; fp16 takes half the room. A device computes in what suits it in any case",
)
@click.option(
    "--config", type=click.Path(path_type=Path), help="Of a checkpoint: terratorch's configuration, YAML"
)
@click.option(
    "--stats",
    type=click.Path(path_type=Path),
    help="Of a checkpoint: means and stds by modality, YAML or JSON",
)
@click.option("--classes", default="", metavar="NAME,NAME", help="Of a checkpoint: names of its classes")
@click.option("--target", default="", metavar="NAME", help="Of a checkpoint: what its map is called")
@click.option(
    "--window",
    type=int,
    metavar="N",
    help="Side of windows in pixels  [default: 224; of a checkpoint, what it was tiled with]",
)
@click.option(
    "--pixel-size", type=float, metavar="METRES", help="Of a checkpoint: of the pixels that it was trained on"
)
@click.option(
    "--dates", type=int, metavar="N", help="Of a checkpoint: dates that it sees, where no file tells it"
)
@click.option(
    "--bands",
    "bands",
    multiple=True,
    metavar="INPUT=BAND,BAND",
    help="Of a checkpoint: an input's bands in the order of its channels, where the files number them or call them "
    "otherwise, one option each",
)
@click.option(
    "--custom-modules",
    type=click.Path(path_type=Path),
    help="Of a checkpoint: folder of Python modules, or one, that registers its decoder with terratorch",
)
@click.option("--trust", is_flag=True, help="Run the code of --custom-modules, which may do anything")
def export_command(
    source: str,
    out: Path,
    targets: str,
    inputs: str,
    tokenise: str,
    steps: int,
    conditioning: Literal["chained", "independent"],
    checkpoint: Path | None,
    tokenizers: tuple[str, ...],
    revisions: tuple[str, ...],
    random_weights: int | None,
    precision: Literal["fp32", "fp16"],
    config: Path | None,
    stats: Path | None,
    classes: str,
    target: str,
    window: int | None,
    pixel_size: float | None,
    dates: int | None,
    bands: tuple[str, ...],
    custom_modules: Path | None,
    trust: bool,
) -> None:
    """Exports TerraMind from terratorch, or what you have fine-tuned of it.

    VARIANT is terramind_v1_tiny, _small, _base or _large. CHECKPOINT.ckpt is Lightning's, of a segmentation or a
    regression of pixels; CONFIG.yaml alone, with --random-weights, tries the way without one.
    """
    # terratorch and what it imports warn about themselves; what concerns the user is raised.
    warnings.simplefilter("ignore")
    if not source and config is None:
        raise RequestError("source: say a variant of TerraMind, a checkpoint or a configuration (--config)")
    source = source or str(config)
    if source not in VARIANTS and Path(source).suffix.lower() in _OF_HEADS:
        is_config = Path(source).suffix.lower() in (".yaml", ".yml")
        packed = export_head(
            out.expanduser(),
            checkpoint=None if is_config else _existing("checkpoint", Path(source)),
            config=_existing("config", Path(source) if is_config else config),
            stats=_existing("stats", stats),
            classes=names_in(classes),
            target=target,
            random_weights=random_weights,
            window=window,
            pixel_size=pixel_size,
            dates=dates,
            bands=_bands(bands),
            custom_modules=_existing("custom-modules", custom_modules),
            trust=trust,
        )
        show_bundle(OUT, packed.bundle)
        return
    started = time.monotonic()
    with (_Bar if ERR.is_terminal else _Lines)(ERR) as progress:
        folder = export_bundle(
            source,
            out.expanduser(),
            targets=names_in(targets),
            inputs=names_in(inputs),
            tokenised=names_in(tokenise),
            steps=steps,
            conditioning=conditioning,
            checkpoint=_existing("checkpoint", checkpoint),
            tokenizer_checkpoints=_tokenizers(tokenizers),
            revisions=_revisions(revisions),
            random_weights=random_weights,
            window=window,
            precision=precision,
            progress=progress,
        )
    size = sum(file.stat().st_size for file in folder.iterdir())
    OUT.print(
        f"{folder}: {size / 1e9:.2f} GB in {time.monotonic() - started:.0f} s",
        highlight=False,
        soft_wrap=True,
    )


def _bands(texts: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, equals, bands = text.partition("=")
        if not equals or not names_in(bands):
            raise RequestError(f"bands: {text!r} is not INPUT=BAND,BAND, such as S2L2A=B02,B03,B04,B08")
        if name.strip() in found:
            raise RequestError(f"bands: {name.strip()} is given twice")
        found[name.strip()] = names_in(bands)
    return found


def _revisions(texts: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, revision = (part.strip() for part in text.rpartition("="))
        if not revision or bool(equals) != bool(name):
            raise RequestError(f"revision: {text!r} is neither REVISION nor NAME=REVISION")
        if name in found:
            raise RequestError(f"revision: {name or 'that of all'} is given twice")
        found[name] = revision
    return found


def _tokenizers(texts: tuple[str, ...]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for target, path in map(_tokenizer, texts):
        if target in files:
            raise RequestError(f"tokenizer-checkpoint: {target} is given twice")
        files[target] = path
    return files


def _tokenizer(text: str) -> tuple[str, Path]:
    target, equals, file = text.partition("=")
    if not equals:
        raise RequestError(f"tokenizer-checkpoint: {text!r} is not TARGET=FILE, such as NDVI=NDVI.pt")
    path = _existing(f"tokenizer-checkpoint {target}", Path(file))
    assert path is not None
    return target.strip(), path


def _existing(field: str, path: Path | None) -> Path | None:
    if path is not None and not path.expanduser().is_file():
        raise RequestError(f"{field}: there is no file {path}")
    return path and path.expanduser()


class _Bar:
    """A bar of the parts that are written."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )

    def __enter__(self) -> _Bar:
        self._bar.start()
        self._task = self._bar.add_task("importing terratorch", total=None)
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.stop()

    def __call__(self, name: str, done: int, total: int) -> None:
        self._bar.update(self._task, description=name, completed=done, total=total)


class _Lines:
    """A line for each part, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console, self._started = console, time.monotonic()

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *error: Any) -> None:
        return

    def __call__(self, name: str, done: int, total: int) -> None:
        self._console.print(
            f"{time.monotonic() - self._started:4.0f} s  {done}/{total}  {name}", highlight=False
        )
