"""Where ONNX Runtime would run each node of a bundle's graphs on a GPU, found out without one:

    python -m tests.benchmarks.gpu.placement BUNDLE [--batch 32]

Which nodes CUDA takes is decided when a session is opened, by the kernels in ONNX Runtime's library; the GPU is only
asked for its name and some memory. So CUDA's libraries are replaced by ones that agree to everything and do nothing.
Nothing can be run in that way. Linux on x86-64 with a C compiler and readelf; no CUDA, cuDNN or driver.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

_MARK = "TERRAMOSAIC_NO_CUDA"

#: What must do more than return success. Addresses of `cudaDeviceProp`: 360 and 364 are the compute capability.
_SPEAKING = {
    "cudaMalloc": "int f(void **p, size_t n) { *p = calloc(1, n + 1); return 0; }",
    "cudaHostAlloc": "int f(void **p, size_t n, unsigned _) { *p = calloc(1, n + 1); return 0; }",
    "cudaMallocHost": "int f(void **p, size_t n) { *p = calloc(1, n + 1); return 0; }",
    "cudaMemcpy": "int f(void *d, void *s, size_t n, int _) { memcpy(d, s, n); return 0; }",
    "cudaMemcpyAsync": "int f(void *d, void *s, size_t n, int _, void *t) { memcpy(d, s, n); return 0; }",
    "cudaGetDeviceCount": "int f(int *n) { *n = 1; return 0; }",
    "cudaGetDevice": "int f(int *n) { *n = 0; return 0; }",
    "cudaMemGetInfo": "int f(size_t *a, size_t *b) { *a = *b = 80ull << 30; return 0; }",
    "cudaDriverGetVersion": "int f(int *v) { *v = 13000; return 0; }",
    "cudaRuntimeGetVersion": "int f(int *v) { *v = 13000; return 0; }",
    "cudaDeviceGetAttribute": "int f(int *v, int a, int _) { *v = a == 75 ? 9 : a == 76 ? 0 : 1024; return 0; }",
    "cudaGetDeviceProperties": "int f(char *p, int _) { memset(p, 0, 1024); ((int *)p)[90] = 9; return 0; }",
    "cudaGetErrorString": 'char *f(int _) { return "none"; }',
    "cudaGetErrorName": 'char *f(int _) { return "none"; }',
    "cublasGetStatusName": 'char *f(int _) { return "none"; }',
    "__cudaRegisterFatBinary": "void **f(void *_) { static void *x; return &x; }",
}
_MAKING = re.compile(r"Create(WithFlags|WithPriority|_v2)?$")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    if os.environ.get(_MARK):
        return show(options.bundle, options.batch)
    with tempfile.TemporaryDirectory() as folder:
        write_libraries(Path(folder))
        environment = {**os.environ, _MARK: "1", "LD_LIBRARY_PATH": folder}
        command = [sys.executable, "-m", "tests.benchmarks.gpu.placement", *sys.argv[1:]]
        return subprocess.run(command, env=environment, check=False).returncode


def write_libraries(folder: Path) -> None:
    """Compiles a library for each that ONNX Runtime's CUDA provider is linked with."""
    import onnxruntime

    provider = Path(onnxruntime.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"
    wanted: dict[str, set[str]] = defaultdict(set)
    for line in _read(provider, "--dyn-syms").splitlines():
        if found := re.search(r" UND (\w+)@(libcu\S+)", line):
            wanted[found[2]].add(found[1])
    for library in re.findall(r"NEEDED.*\[(lib(?:cu|nv)\S+)\]", _read(provider, "-d")):
        names = wanted.get(library, {"cuInit", "cuTensorMapEncodeTiled"})
        lines = ["#include <stdlib.h>", "#include <string.h>", *map(_function, sorted(names))]
        source, versions = folder / "source.c", folder / "versions"
        source.write_text("\n".join(lines) + "\n")
        versions.write_text(f"{library} {{ global: *; }};\n")
        script = [f"-Wl,--version-script,{versions}"] if library in wanted else []
        command = ["cc", "-w", "-shared", "-fPIC", f"-Wl,-soname,{library}", *script]
        subprocess.run([*command, "-o", folder / library, source], check=True)


def show(folder: Path, batch: int) -> int:
    """Prints each graph's nodes by where they would run; fails if the engine would refuse one."""
    import onnxruntime

    from terramosaic.errors import ModelError
    from terramosaic.model.bundle import load_bundle
    from terramosaic.model.cuda import prepare_step, prepare_transformer, sessions
    from terramosaic.model.manifest import STEP

    bundle = load_bundle(folder)
    graphs = dict(bundle.manifest.graphs)
    for target, spec in bundle.targets.items():
        graphs |= {f"{target} {role}": file for role, file in spec.graphs.items()}
    refused = 0
    for name, file in graphs.items():
        with tempfile.TemporaryDirectory() as scratch:
            graph, is_step = Path(scratch, "graph.onnx"), name.endswith(STEP)
            (prepare_step if is_step else prepare_transformer)(bundle.folder / file, graph)
            try:
                session: onnxruntime.InferenceSession = sessions._open(
                    graph, 0, batch, 1, "", capture=is_step
                )
            except ModelError as error:
                print(f"{name}: {error}")
                refused += 1
                continue
        placed: dict[str, Counter[str]] = defaultdict(Counter)
        for part in session.get_provider_graph_assignment_info():
            placed[part.ep_name].update(node.op_type for node in part.get_nodes())
        for where, kinds in placed.items():
            shown = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
            print(f"{name}: {where.removesuffix('ExecutionProvider')} {kinds.total()}: {shown}")
    return 1 if refused else 0


def _read(library: Path, what: str) -> str:
    return subprocess.run(["readelf", "-W", what, library], check=True, capture_output=True, text=True).stdout


def _function(name: str) -> str:
    if name in _SPEAKING:
        return _SPEAKING[name].replace(" f(", f" {name}(").replace("*f(", f"*{name}(")
    if _MAKING.search(name):
        return f"int {name}(void **p) {{ *p = calloc(1, 4096); return 0; }}"
    return f"int {name}() {{ return 0; }}"


if __name__ == "__main__":
    sys.exit(main())
