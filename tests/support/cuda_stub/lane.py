"""A lane on the stand-ins, in a process of its own: libraries are found by what the environment says as it starts.

    python -m tests.support.cuda_stub.lane BUNDLE BATCH

Prints as JSON what was counted while the model was opened, and while two threads had it generate.
"""

from __future__ import annotations

import ctypes
import json
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from terramosaic.model import terramind
from terramosaic.model.bundle import load_bundle
from terramosaic.model.cuda import sessions
from terramosaic.model.generator import GenerationOptions, WindowRandomness
from terramosaic.model.opening import open_generator
from terramosaic.model.pipeline import BatchBuffers, Left, Pipeline

_COUNTS = (
    "captures", "replays", "launches", "copies", "overlapping_in", "overlapping_out", "forbidden", "pageable",
    "bytes_in", "bytes_out", "peak", "pinned",
)  # fmt: skip
_TARGETS = ("S1GRD", "NDVI", "LULC")

#: Calls that each of two threads makes.
_CALLS = 4


class _Watched(Pipeline):
    """Kernels write nothing here: what a batch leaves is told apart by what it brought."""

    def compute(
        self, buffers: BatchBuffers, chain: Any = None, made: Any = None
    ) -> tuple[Left, dict[str, np.ndarray]]:
        left, tokens = super().compute(buffers, chain, made)
        self._seen.write(buffers.windows["S2L2A"].taken()[:, :1])
        self._seen.copy_to(buffers.values["NDVI"])
        return left, tokens

    def _bind_inputs(self) -> None:
        super()._bind_inputs()
        self._seen = self._tensor(1, self._window, self._window, staged=True)


def main(folder: str, batch: int) -> None:
    runtime = ctypes.CDLL(f"libcudart.so.{str(onnxruntime.cuda_version).split('.', maxsplit=1)[0]}")
    vars(terramind)["Pipeline"] = _Watched
    kinds = _watch_graphs()
    bundle = load_bundle(folder)
    options = GenerationOptions(steps=4)
    model = open_generator(bundle, _TARGETS, "cuda", options=options, batch_size=batch, threads=1)
    opened = _counted(runtime)
    rng = np.random.default_rng(1)

    def call(number: int) -> bool:
        count = batch if number % 2 else batch - 1  # every other one is not full
        windows = np.full((count, 12, 224, 224), number, np.float32)
        windows += np.arange(count, dtype=np.float32)[:, None, None, None] / 100
        given = {
            name: WindowRandomness(
                np.ones((count, need.noise_channels, 224, 224), np.float32) if need.noise_channels else None,
                rng.random((count, 14, 14), np.float32),
            )
            for name, need in model.needs.items()
        }
        made = model.generate({"S2L2A": windows}, given)
        return made["NDVI"].shape == (count, 1, 224, 224) and bool((made["NDVI"] == windows[:, :1]).all())

    with ThreadPoolExecutor(2) as pool:
        own = list(pool.map(call, range(1, 2 * _CALLS + 1)))
    told = {
        "batch": getattr(model, "batch_size", 0),
        "opened": opened,
        "after": _counted(runtime),
        "each_got_its_own": own,
        "kinds": kinds(),
    }
    print(json.dumps(told))


def _counted(runtime: ctypes.CDLL) -> dict[str, int]:
    return {name: ctypes.c_longlong.in_dll(runtime, f"stub_{name}").value for name in _COUNTS}


def _watch_graphs() -> Any:
    """Has ONNX Runtime write each graph as it runs it; returns what tells their operators."""
    folder = Path(tempfile.mkdtemp())
    plain = vars(sessions)["session_options"]

    def options(threads: int) -> onnxruntime.SessionOptions:
        made: onnxruntime.SessionOptions = plain(threads)
        made.optimized_model_filepath = str(folder / f"{len(list(folder.iterdir()))}.onnx")
        return made

    vars(sessions)["session_options"] = options

    def kinds() -> dict[str, int]:
        graphs = [
            onnx.load_model(str(path), load_external_data=False).graph for path in folder.glob("*.onnx")
        ]
        return Counter(node.op_type for graph in graphs for node in graph.node)

    return kinds


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
