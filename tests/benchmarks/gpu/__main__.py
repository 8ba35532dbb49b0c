"""Correctness and speed of TerraMind on a GPU, in one command:

    python -m tests.benchmarks.gpu [--device cuda] [--variant terramind_v1_base] [--only correct,speed,choices,rivals]

``--device cpu --small`` runs the script itself where there is no GPU. See RESULTS.md for a lent machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.gpu.machine import describe, prepare_imports

PARTS = ("correct", "repeats", "speed", "choices", "rivals")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--variant", default="terramind_v1_base")
    parser.add_argument("--targets", default="S1GRD,S1RTC,NDVI,LULC")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batches", default="16,32,64")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--bundle", type=Path, help="folder of the bundle; made there unless it exists")
    parser.add_argument(
        "--compile-mode", default="reduce-overhead", help="of torch.compile, for the strongest rival"
    )
    parser.add_argument(
        "--small", action="store_true", help="the smallest variant, two targets, one window, one step"
    )
    options = parser.parse_args()
    if options.small:
        options.variant, options.targets, options.batches = "terramind_v1_tiny", "S1GRD,LULC", "1"
        options.steps, options.repeats = 1, 1
    only = set(options.only.split(","))
    if unknown := only - set(PARTS):
        parser.error(f"--only: {', '.join(unknown)}")
    prepare_imports()
    with tempfile.TemporaryDirectory() as scratch:
        return 0 if run(options, only, options.bundle or Path(scratch, "bundle")) else 1


def run(options: argparse.Namespace, only: set[str], folder: Path) -> bool:
    """Runs the parts that were asked for; whether everything is correct."""
    # After `prepare_imports`, which has a say in what these bring along.
    from tests.benchmarks.gpu import correct, speed
    from tests.benchmarks.gpu.models import make_bundle, make_reference
    from tests.benchmarks.gpu.table import Results

    device, steps = options.device, options.steps
    targets = tuple(options.targets.split(","))
    batches = [int(size) for size in options.batches.split(",")]
    results = Results(f"{options.variant} on {describe(device)}")
    bundle = make_bundle(folder, options.variant, targets)
    passed = True
    if "correct" in only:
        passed &= correct.check_denoising(results, bundle, targets, device, steps)
        passed &= correct.check_whole(results, bundle, targets, device, steps)
        results.note(
            "Correct." if passed else "**Not correct**: see the tables; the speeds below do not count."
        )
    if "repeats" in only:
        correct.check_repeats(results, bundle, targets, device, batches[0])
    if "speed" in only:
        speed.measure_batches(
            results, bundle, targets, device, steps=steps, batches=batches, repeats=options.repeats
        )
    diffusion = [target for target in targets if bundle.targets[target].schedule]
    if "choices" in only and device != "cpu" and diffusion:
        speed.measure_choices(results, bundle, diffusion[0], device, steps, batches[-1], options.repeats)
    if "rivals" in only:
        from tests.benchmarks.gpu.rivals import measure_rivals

        reference = make_reference(options.variant, targets)
        measure_rivals(results, reference, device, steps, batches, options.repeats, options.compile_mode)
    return passed


if __name__ == "__main__":
    sys.exit(main())
