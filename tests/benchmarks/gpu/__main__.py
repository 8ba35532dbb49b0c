"""Correctness and speed of TerraMind on a GPU, in one command:

    python -m tests.benchmarks.gpu [--device cuda] [--variant terramind_v1_base] [--only correct,repeats,speed]

Each step is a process of its own. What it found is in OUT/results.md as soon as it is known; a step that fails is a
line there, and the next one follows; one that would begin after ``--minutes`` is left out, and one that is at work then
is stopped. ``--device cpu --small`` runs the script where there is no GPU, and ``--simulate-bare`` as on a machine that
has little else than PyTorch and ONNX. See RESULTS.md for a lent machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.gpu.bare import run_as_bare
from tests.benchmarks.gpu.machine import CARRIED, prepare_imports
from tests.benchmarks.gpu.steps import PARTS, Planned, Run, planned, run_step
from tests.benchmarks.gpu.table import STEPS

#: Exit code of a step that measured something and found it wrong.
_WRONG = 3


def main() -> int:
    arguments = sys.argv[1:]
    options = parse(arguments)
    if options.simulate_bare:
        arguments.remove("--simulate-bare")
        return run_as_bare(arguments)
    if options.step:
        prepare_imports()
        return 0 if run_step(Run.of(options), options.step) else _WRONG
    if options.work:
        options.work.mkdir(parents=True, exist_ok=True)
        return 0 if run_all(options) else 1
    with tempfile.TemporaryDirectory() as scratch:
        options.work = Path(scratch)
        return 0 if run_all(options) else 1


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command's options; a step's process gets the same ones."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], prog="tests.benchmarks.gpu")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--variant", default="terramind_v1_base")
    parser.add_argument("--targets", default="S1GRD,S1RTC,NDVI,LULC")
    parser.add_argument("--steps", type=int, default=10, help="of diffusion")
    parser.add_argument("--batches", default="32,16,64", help="the first also for choices and rivals")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--bundle", type=Path, help="its folder; made there unless it exists")
    parser.add_argument("--carried", type=Path, default=CARRIED, help="what carry.sh brought")
    parser.add_argument("--work", type=Path, help="keeps bundle and prepared graphs for the next command")
    parser.add_argument("--out", type=Path, help="of results.md and logs; by default $OUT, or out/gpu")
    parser.add_argument("--minutes", type=float, default=9, help="that all of it may take")
    parser.add_argument("--compile-mode", default="reduce-overhead", help="of torch.compile, for a rival")
    parser.add_argument("--small", action="store_true", help="tiny, two targets, one window, one step")
    parser.add_argument("--simulate-bare", action="store_true", help="only with what a bare machine has")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.small:
        options.variant, options.targets, options.batches = "terramind_v1_tiny", "S1GRD,LULC", "1"
        options.steps, options.repeats = 1, 1
    if unknown := set(options.only.split(",")) - set(PARTS):
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(PARTS)}")
    options.out = options.out or Path(os.environ.get("OUT") or "out/gpu")
    return options


def run_all(options: argparse.Namespace) -> bool:
    """Runs all steps, each in its own process; whether all that was begun came to its end, and is right."""
    began = time.monotonic()
    options.bundle = options.bundle or options.work / "bundle"
    run = Run.of(options)
    run.results.clear()
    (options.out / "failures.log").unlink(missing_ok=True)
    fine = True
    for step in planned(run, set(options.only.split(","))):
        start, spent = time.monotonic(), processor_seconds()
        left = 60 * options.minutes - (start - began)
        outcome = "not begun: the time is over" if left <= 0 else run_one(options, step, left)
        figures = (time.monotonic() - start, processor_seconds() - spent)
        run.results.row(
            STEPS, ("part", "step", "outcome", "s", "processor s"), (step.part, step.name, outcome, *figures)
        )
        fine &= outcome == "done"
        if step.name == "bundle" and outcome != "done":
            run.results.note("**Nothing could be measured**: there is no bundle.")
            return False
    if not fine:
        run.results.note("**Not all is well**: see the steps.")
    return fine


def run_one(options: argparse.Namespace, step: Planned, left: float) -> str:
    """Runs a step in a process, for as long as it may take; how it ended."""
    # A process of a bare machine's Python has no site either.
    flags = ["-S"] if sys.flags.no_site else []
    command = [sys.executable, *flags, "-m", "tests.benchmarks.gpu", *sys.argv[1:], "--step", step.name]
    command += ["--bundle", str(options.bundle), "--out", str(options.out), "--work", str(options.work)]
    environment = {"TERRAMOSAIC_CACHE": str(options.work / "cache"), **os.environ}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(command, env=environment, stderr=log, process_group=0)
        try:
            code = process.wait(min(step.limit, left))
        except subprocess.TimeoutExpired:
            code = None
        finally:  # with those that it has started, such as torch's compilers
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.seek(0)
        said = log.read()
    if code == 0:
        return "done"
    with (options.out / "failures.log").open("a", encoding="utf-8") as file:
        file.write(f"--- {step.name}\n{said}\n")
    if code is None:
        return f"stopped after {min(step.limit, left):.0f} s"
    if code == _WRONG:
        return "**not correct**"
    last = [line.strip() for line in said.splitlines() if line.strip()]
    return f"failed ({code}): {last[-1][:300] if last else 'it said nothing'}"


def processor_seconds() -> float:
    """Of all processes that this one has started and seen end."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main())
