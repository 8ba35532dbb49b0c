"""The steps of the benchmark: what each measures, and those that an order asks for, the most telling ones first.

Each runs in a process of its own (`run_step`), so that one that fails, hangs or is killed takes no other along.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.benchmarks.gpu import machine
from tests.benchmarks.gpu.table import Results
from tests.benchmarks.gpu.unet import CHOICES, RIVALS, measure

PARTS = ("correct", "repeats", "speed", "choices", "rivals")


@dataclass(frozen=True)
class Run:
    """What all steps of a run share.

    Attributes:
        results: where rows go.
        bundle: the bundle's folder; the first step makes it, unless it is there.
        work: for what one step makes and others use.
        variant: of TerraMind.
        targets: in the order of the chain.
        device: where to run, such as ``cuda``.
        steps: of diffusion.
        batches: sizes of batches; choices and rivals are measured with the first.
        repeats: of a measurement, whose median counts.
        compile_mode: of ``torch.compile``.
        carried: folder of what `carry.sh` brought, graphs for the bundle among it.
        wants_ceilings: whether the card's own ceilings are measured; that needs PyTorch.
    """

    results: Results
    bundle: Path
    work: Path
    variant: str
    targets: tuple[str, ...]
    device: str
    steps: int
    batches: tuple[int, ...]
    repeats: int
    compile_mode: str
    carried: Path
    wants_ceilings: bool

    @classmethod
    def of(cls, options: argparse.Namespace) -> Run:
        """Of the command's options."""
        return cls(
            Results(options.out),
            options.bundle,
            options.work,
            options.variant,
            tuple(options.targets.split(",")),
            options.device,
            options.steps,
            tuple(int(size) for size in options.batches.split(",")),
            options.repeats,
            options.compile_mode,
            options.carried,
            options.device != "cpu" and not options.small,
        )

    @property
    def diffusion(self) -> tuple[str, ...]:
        """Targets that a U-Net makes."""
        return tuple(target for target in self.targets if target != "LULC")


#: Whether what was measured is right.
Step = Callable[[Run], bool]


@dataclass(frozen=True)
class Planned:
    """A step: its part, its name, and the seconds that it may take at most."""

    part: str
    name: str
    limit: int = 240


def planned(run: Run, only: set[str]) -> Iterator[Planned]:
    """The steps of some parts, in their order; machine and bundle before all."""
    yield Planned("machine", "machine", 60)
    if run.wants_ceilings:
        yield Planned("machine", "ceilings", 60)
    yield Planned("machine", "bundle", 400)
    if only & {"correct", "repeats", "speed"}:
        yield Planned("machine", "prepare", 300)
    if "correct" in only:
        for name in ("denoising", "chain", "selftest"):
            yield Planned("correct", name)
    if "repeats" in only:
        yield Planned("repeats", "repeats")
    if "speed" in only:
        for batch in run.batches:
            yield Planned("speed", f"speed {batch}")
    if run.diffusion:
        yield from _of_a_unet(only)


def _of_a_unet(only: set[str]) -> Iterator[Planned]:
    """What compares one target's U-Net; torch last, which takes minutes to compile."""
    if "rivals" in only:
        for name in RIVALS:
            yield Planned("rivals", f"rival: {name}", 150)
    if "choices" in only:
        for name in CHOICES:
            yield Planned("choices", f"choice: {name}", 120)
    if "rivals" in only:
        for name in ("ours", "eager", "compiled"):
            yield Planned("rivals", f"whole: {name}", 300)


def run_step(run: Run, name: str) -> bool:
    """Carries a step out in this process.

    Returns:
        Whether what it measured is right; where nothing is checked, it is.
    """
    kind, _, rest = name.partition(" ")
    return _STEPS[kind](run, rest) if kind in _STEPS else False


def _machine(run: Run, _: str) -> bool:
    name, driver = machine.name_and_driver(run.device)
    best = machine.card(run.device)
    run.results.note(f"# {run.variant} on {name}")
    rows: list[tuple[str, object]] = [("device", f"{name} ({run.device})"), ("driver", driver)]
    rows += machine.versions().items()
    if best:
        rows.append(("16-bit products at best", f"{best.tflops:g} TFLOP/s ({best.source})"))
        rows.append(("memory at best", f"{best.memory:g} TB/s (data sheet)"))
    run.results.table("Machine", ("what", "is"), rows)
    return True


def _ceilings(run: Run, _: str) -> bool:
    products, copy = machine.ceilings(run.device)
    found = [
        ("16-bit products, measured now", f"{products:.0f} TFLOP/s"),
        ("a copy, measured now", f"{copy:.2f} TB/s"),
    ]
    run.results.table("Machine", ("what", "is"), found)
    return True


def _bundle(run: Run, _: str) -> bool:
    from tests.benchmarks.gpu.models import make_bundle

    bundle, how = make_bundle(run.bundle, run.variant, run.targets, run.carried)
    size = sum(spec.size for spec in bundle.manifest.files.values())
    run.results.note(f"The bundle: {how}, {size / 1e6:,.0f} MB, {', '.join(run.targets)}.")
    return True


def _prepare(run: Run, _: str) -> bool:
    from tests.benchmarks.gpu.preparing import prepare

    prepare(run.results, run.bundle, run.targets, ("cpu", run.device) if run.device != "cpu" else ("cpu",))
    return True


def _correct(check: str, run: Run, _: str) -> bool:
    from tests.benchmarks.gpu import correct
    from tests.benchmarks.gpu.models import open_bundle

    bundle = open_bundle(run.bundle)
    if check == "selftest":
        return correct.check_selftest(run.results, bundle, run.device)
    whole = {"denoising": correct.check_denoising, "chain": correct.check_whole}[check]
    return whole(run.results, bundle, run.targets, run.device, run.steps)


def _repeats(run: Run, _: str) -> bool:
    from tests.benchmarks.gpu import correct
    from tests.benchmarks.gpu.models import open_bundle

    bundle = open_bundle(run.bundle)
    correct.check_repeats(run.results, bundle, run.targets, run.device, run.batches[0], run.steps)
    return True


def _speed(run: Run, batch: str) -> bool:
    from tests.benchmarks.gpu import speed
    from tests.benchmarks.gpu.models import open_bundle

    bundle = open_bundle(run.bundle)
    speed.measure_batch(run.results, bundle, run.targets, run.device, run.steps, int(batch), run.repeats)
    return True


def _unet(run: Run, name: str) -> bool:
    from tests.benchmarks.gpu.models import open_bundle

    bundle, target = open_bundle(run.bundle), run.diffusion[0]
    measure(run.results, bundle, target, run.device, run.steps, run.batches[0], run.repeats, name, run.work)
    return True


def _whole(run: Run, name: str) -> bool:
    from tests.benchmarks.gpu.models import open_bundle
    from tests.benchmarks.gpu.whole import measure_whole

    measure_whole(
        run.results,
        open_bundle(run.bundle),
        run.diffusion[0],
        run.device,
        run.steps,
        run.batches[0],
        run.repeats,
        run.compile_mode,
        name,
    )
    return True


_STEPS: dict[str, Callable[[Run, str], bool]] = {
    "machine": _machine,
    "ceilings": _ceilings,
    "bundle": _bundle,
    "prepare": _prepare,
    "denoising": partial(_correct, "denoising"),
    "chain": partial(_correct, "chain"),
    "selftest": partial(_correct, "selftest"),
    "repeats": _repeats,
    "speed": _speed,
    "choice:": _unet,
    "rival:": _unet,
    "whole:": _whole,
}
