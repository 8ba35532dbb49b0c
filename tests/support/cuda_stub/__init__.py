"""CUDA's libraries as stand-ins, built with the system's C compiler: they say what a test wants and compute nothing."""

from __future__ import annotations

import mmap
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import SkipTest

import onnxruntime

from terramosaic.model.gpus import cuda_wanted

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
    """Compiles a C file to a shared library; without a compiler that raises what skips a test."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise SkipTest("there is no C compiler")
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


def build_cuda(folder: Path) -> Path:
    """All libraries that ONNX Runtime's CUDA provider loads, for ``LD_LIBRARY_PATH``; skips what cannot be had.

    Each has the functions that the provider wants of it, by its table of symbols: those that count are in
    ``runtime.c`` and ``cudnn.c``, the others succeed and do nothing.
    """
    provider = Path(onnxruntime.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"
    if not provider.is_file() or shutil.which("readelf") is None:
        raise SkipTest("there is no onnxruntime with CUDA, or no readelf")
    wanted = defaultdict[str, set[str]](set)
    for name, library in re.findall(r" UND (\w+)@(lib\S+)", _readelf("--dyn-syms", provider)):
        wanted[library].add(name)
    build_driver(folder, StubGpu())
    for library in re.findall(r"NEEDED.*\[(libcu\S+)\]", _readelf("-d", provider)):
        if not library.startswith("libcuda."):
            own = _HERE / "runtime.c" if "cudart" in library else None
            _build(folder / library, wanted[library], own, is_versioned=True)
    with provider.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        names = {name.decode() for name in re.findall(rb"\0(cudnn[A-Z]\w+)(?=\0)", content)}
    _build(folder / "libcudnn.so.9", names, _HERE / "cudnn.c")
    _build(folder / f"libnvrtc.so.{cuda_wanted()}", {"nvrtcVersion"}, None)
    return folder


#: Functions that nobody counts, and that must do more than succeed.
_ANSWERS: Mapping[str, str] = {
    "cublasLtMatmulAlgoGetHeuristic": "int {}(void *a, void *b, void *c, void *d, void *e, void *f, void *g, int n, "
    "char *found, int *count) {{ memset(found, 0, 120); *count = 1; return 0; }}",
    "cublasGetStatusName": 'char *{}(int code) {{ return "stub"; }}',
    "cublasGetMathMode": "int {}(void *handle, int *mode) {{ *mode = 0; return 0; }}",
}


def _build(library: Path, names: Collection[str], own: Path | None, *, is_versioned: bool = False) -> None:
    source = own.read_text() if own else ""
    lines = [source, "#include <stdlib.h>", "#include <string.h>"]
    for name in sorted(set(names) - set(re.findall(r"(\w+)\s*\(", source))):
        makes = re.search(r"Create(WithFlags|WithPriority|_v2)?$", name)
        answer = (
            "int {}(void **made) {{ *made = calloc(1, 4096); return 0; }}"
            if makes
            else "int {}() {{ return 0; }}"
        )
        lines.append(_ANSWERS.get(name, answer).format(name))
    written = library.with_suffix(".c")
    written.write_text("\n".join(lines))
    options = []
    if is_versioned:
        script = library.with_suffix(".map")
        script.write_text(f"{library.name} {{ global: *; }};\n")
        options = [f"-Wl,--version-script,{script}"]
    compiled(written, library, *options)


def _readelf(what: str, library: Path) -> str:
    command = ["readelf", "-W", what, str(library)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
