"""How long does the command take to answer? Processor time of ``--help`` and others beside Python with pydantic alone.

    python -m tests.benchmarks.startup [--runs 7]

Prints the least of several runs each, taken in turns: processor time, what it is above the reference, and how many
modules are imported. ``--help`` and ``--version`` are meant to stay within 0.35 s of the reference.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

_REFERENCE = "import click, pydantic"

#: What is measured: a name, and the program that a fresh interpreter runs.
_PROGRAMS = {
    _REFERENCE: _REFERENCE,
    **{
        f"terramosaic {words}": (
            f"import sys; sys.argv = ['terramosaic', *{words.split()!r}]\n"
            "from terramosaic.cli import main\n"
            "try: main()\n"
            "except SystemExit: pass"
        )
        for words in ("--version", "--help", "map --help", "model info demo")
    },
    "from terramosaic import *": "from terramosaic import *",
}


def processor_seconds(program: str) -> float:
    """User and system time of a fresh interpreter that runs the program."""
    before = os.times()
    subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def modules(program: str) -> int:
    """Modules that the program leaves imported."""
    counted = f"{program}\nimport sys; print(len(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", counted], capture_output=True, text=True, check=True)
    return int(done.stderr.splitlines()[-1])


def main() -> None:
    """Prints a line for each program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    least = {name: float("inf") for name in _PROGRAMS}
    for _ in range(runs):
        for name, program in _PROGRAMS.items():
            least[name] = min(least[name], processor_seconds(program))
    for name, program in _PROGRAMS.items():
        above = least[name] - least[_REFERENCE]
        print(f"{name:32} {least[name]:5.2f} s   {above:+5.2f} s   {modules(program):5d} modules", flush=True)


if __name__ == "__main__":
    main()
