"""CUDA's libraries as stand-ins, built with the system's C compiler: they say what a test wants and compute nothing."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class StubGpu:
    """A GPU that the driver tells of."""

    name: str = "NVIDIA H100 80GB HBM3"
    capability: tuple[int, int] = (9, 0)
    number: int = 1

    @property
    def uuid(self) -> str:
        return f"00000000-0000-0000-0000-0000000000{self.number:02x}"


def compiled(source: Path, library: Path, *options: str) -> Path:
    """Compiles a C file to a shared library; without a compiler the test is skipped."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    command = [compiler, "-w", "-O1", "-shared", "-fPIC", f"-Wl,-soname,{library.name}", *options]
    subprocess.run([*command, "-o", str(library), str(source), "-lpthread"], check=True)
    return library


def build_driver(folder: Path, *gpus: StubGpu, cuda: int = 13000, failure: int = 0) -> Path:
    """NVIDIA's driver, ``libcuda.so.1``.

    Args:
        folder: takes it.
        gpus: that it tells of.
        cuda: the newest CUDA that it knows, as 1000 * major + 10 * minor.
        failure: the error that it starts with, if any.
    """
    rows = ", ".join(
        f'{{"{gpu.name}", {gpu.capability[0]}, {gpu.capability[1]}, {gpu.number}}}' for gpu in gpus
    )
    folder.mkdir(parents=True, exist_ok=True)
    return compiled(
        _HERE / "driver.c",
        folder / "libcuda.so.1",
        f"-DCUDA={cuda}",
        f"-DFAILURE={failure}",
        f"-DCOUNT={len(gpus)}",
        f"-DGPUS={rows or '{0}'}",
    )
