"""Models whose targets are each one graph, from windows (and randomness) to values: the demo bundle is one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TypeAlias

import numpy as np
import onnxruntime

from terramosaic.errors import ModelError, one_line
from terramosaic.model.bundle import Bundle
from terramosaic.model.devices import Device
from terramosaic.model.generator import (
    BATCH_SIZES,
    Needs,
    WindowRandomness,
    Windows,
    checked,
    checked_windows,
)
from terramosaic.model.manifest import GENERATE
from terramosaic.model.runtime import session_options


class SingleGraphGenerator:
    """Runs targets of kind ``direct``, each by one ONNX graph from windows (and randomness) to the target."""

    def __init__(
        self,
        bundle: Bundle,
        targets: Sequence[str],
        device: Device,
        *,
        batch_size: int | None = None,
        threads: int,
    ) -> None:
        self.targets = tuple(targets)
        self._inputs, self._fed = bundle.inputs, bundle.manifest.feeds
        self._window, self._patches = bundle.manifest.window, bundle.manifest.patches
        self._specs = {target: bundle.targets[target] for target in self.targets}
        self.batch_size = bundle.manifest.batch or batch_size or BATCH_SIZES[device.kind].single_graph
        files = {target: spec.graphs[GENERATE] for target, spec in self._specs.items()}
        self._sessions = {
            target: _session(
                bundle.folder / file, bundle.manifest.files[file].sha256, device, threads, _level(bundle)
            )
            for target, file in files.items()
        }

    @property
    def needs(self) -> dict[str, Needs]:
        return {target: Needs(spec.noise_channels, spec.uniform) for target, spec in self._specs.items()}

    def generate(
        self,
        windows: Windows,
        randomness: Mapping[str, WindowRandomness],
        wanted: Collection[str] | None = None,
    ) -> dict[str, np.ndarray]:
        given = checked_windows(self._inputs, self._window, windows)
        feeds = {self._fed[name]: np.ascontiguousarray(array) for name, array in given.items()}
        return {
            target: self._run(target, feeds, randomness.get(target, WindowRandomness()))
            for target in self.targets
            if wanted is None or target in wanted
        }

    def _run(self, target: str, windows: dict[str, np.ndarray], randomness: WindowRandomness) -> np.ndarray:
        count = len(next(iter(windows.values())))
        feeds = windows | self._random(target, count, randomness)
        out = np.empty((count, self._specs[target].planes, self._window, self._window), np.float32)
        session = self._sessions[target]
        for start in range(0, count, self.batch_size):
            part = slice(start, start + self.batch_size)
            try:
                # Bound, results are written where they belong instead of being copied there.
                binding = session.io_binding()
                for name, feed in feeds.items():
                    binding.bind_cpu_input(name, feed[part])
                results = out[part]
                binding.bind_output(
                    session.get_outputs()[0].name, "cpu", 0, np.float32, results.shape, results.ctypes.data
                )
                session.run_with_iobinding(binding)
            except Exception as error:  # ONNX Runtime's errors have no other common base
                raise ModelError(f"{target}: ONNX Runtime failed: {one_line(error)}") from error
        # A sum is finite only if all its terms are, and costs a fiftieth of what the model does.
        if not np.isfinite(out.sum()):
            raise ModelError(f"{target}: the model returned numbers that are not finite; nothing was written")
        return out

    def _random(self, target: str, count: int, randomness: WindowRandomness) -> dict[str, np.ndarray]:
        """The randomness that a target's graph wants, checked."""
        spec = self._specs[target]
        feeds = {}
        if spec.noise_channels:
            shape = (count, spec.noise_channels, self._window, self._window)
            feeds["noise"] = checked(f"{target}: noise", randomness.noise, shape)
        if spec.uniform:
            feeds["uniform"] = checked(
                f"{target}: uniform", randomness.uniform, (count, self._patches, self._patches)
            )
        return {name: np.ascontiguousarray(array) for name, array in feeds.items()}


_Level: TypeAlias = "onnxruntime.GraphOptimizationLevel"


def _level(bundle: Bundle) -> _Level:
    """How far ONNX Runtime may rearrange graphs on the processor.

    ENABLE_ALL adds blocked layouts, by which convolutions of 8 channels and more take 10 to 30 % less time; the demo's
    narrow ones take longer so.
    """
    levels = onnxruntime.GraphOptimizationLevel
    return levels.ORT_ENABLE_EXTENDED if bundle.is_demo else levels.ORT_ENABLE_ALL


_sessions: dict[tuple[Path, str, Device, int, _Level], onnxruntime.InferenceSession] = {}
_opening = Lock()


def _session(
    path: Path, sha256: str, device: Device, threads: int, level: _Level
) -> onnxruntime.InferenceSession:
    """The process's one session of a graph's content on a device; threads may share its ``run``."""
    key = path, sha256, device, threads, level
    with _opening:
        if key not in _sessions:
            # One model at a time: a process that maps with one after the other would hold all their weights.
            for other in [held for held in _sessions if held[0].parent != path.parent]:
                del _sessions[other]
            _sessions[key] = _open(path, device, threads, level)
        return _sessions[key]


def _open(path: Path, device: Device, threads: int, level: _Level) -> onnxruntime.InferenceSession:
    if device.kind == "cuda":
        from terramosaic.model.cuda import open_on_cuda  # brings onnx, which a CPU does without

        return open_on_cuda(path, device_index=device.index, batch=None, threads=threads)
    options = session_options(threads)
    options.graph_optimization_level = level
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no other common base
        raise ModelError(f"{path}: ONNX Runtime cannot open it: {one_line(error)}") from error
