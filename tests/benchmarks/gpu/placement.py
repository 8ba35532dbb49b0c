"""Where ONNX Runtime would run each node of a bundle's graphs on a GPU, found out without one:

    python -m tests.benchmarks.gpu.placement BUNDLE [--batch 32]

Which nodes CUDA takes is decided when a session is opened, by the kernels in ONNX Runtime's library; the GPU is only
asked for its name and some memory. So CUDA's libraries are the tests' stand-ins, which agree to everything and do
nothing. Linux on x86-64 with onnxruntime-gpu, a C compiler and readelf; no CUDA, cuDNN or driver.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from unittest import SkipTest

from tests.support.cuda_stub import build_cuda

_MARK = "TERRAMOSAIC_NO_CUDA"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    if os.environ.get(_MARK):
        return show(options.bundle, options.batch)
    with tempfile.TemporaryDirectory() as folder:
        try:
            build_cuda(Path(folder))
        except SkipTest as missing:
            sys.exit(str(missing))
        environment = {**os.environ, _MARK: "1", "LD_LIBRARY_PATH": folder}
        command = [sys.executable, "-m", "tests.benchmarks.gpu.placement", *sys.argv[1:]]
        return subprocess.run(command, env=environment, check=False).returncode


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


if __name__ == "__main__":
    sys.exit(main())
