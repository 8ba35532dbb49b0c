"""Windows in, targets out: the one boundary between the engine and whatever model a bundle holds."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Literal, Protocol

import numpy as np
import onnxruntime

from engine.bundle import GENERATE, Bundle, one_line
from engine.errors import ModelError
from engine.lattice import PATCH, WINDOW

Provider = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Needs:
    """The randomness that a target asks for: planes of noise, and whether a uniform number for each patch."""

    noise_channels: int
    uniform: bool


@dataclass(frozen=True)
class WindowRandomness:
    """Ground-anchored randomness of a batch of windows for one target.

    Attributes:
        noise: Standard normal, float32 (N, channels, 224, 224); None where the target needs none.
        uniform: In [0, 1), float32 (N, 14, 14), one number per patch; None where the target needs none.
    """

    noise: np.ndarray | None = None
    uniform: np.ndarray | None = None


class Generator(Protocol):
    """A model that is ready to run. ``generate`` may be called by several threads at once."""

    @property
    def targets(self) -> tuple[str, ...]:
        """What ``generate`` returns, in the order of generation."""

    @property
    def needs(self) -> Mapping[str, Needs]:
        """The randomness that each target asks for."""

    def generate(
        self, windows: np.ndarray, randomness: Mapping[str, WindowRandomness]
    ) -> dict[str, np.ndarray]:
        """Generates all targets for a batch of windows.

        Args:
            windows: float32 (N, bands, 224, 224), harmonised DN, no gaps.
            randomness: What ``needs`` asks for, by target; a target that needs none may be left out.

        Returns:
            By target, float32 (N, C, 224, 224): values in the target's unit, or class probabilities.

        Raises:
            ModelError: the model or its device failed, or returned numbers that are not finite.
        """


def open_generator(
    bundle: Bundle,
    targets: Sequence[str],
    provider: Provider = "cpu",
    *,
    batch_size: int | None = None,
    threads: int | None = None,
) -> Generator:
    """Opens a bundle's model, with sessions made once per process.

    Args:
        bundle: A loaded bundle.
        targets: What to generate, in this order.
        provider: Where to run. ``cuda`` is strict: it never falls back to the CPU.
        batch_size: Windows in one pass of the model, whatever ``generate`` is given; by default 1 on the CPU,
            whose caches like it best, and 16 on a GPU.
        threads: CPU threads of a session; by default all that the process may use.

    Raises:
        RequestError: the bundle lacks a target.
        ModelError: this engine cannot run the bundle, or the device cannot be used; with the reason.
    """
    bundle.require(targets)
    for target in targets:
        spec = bundle.targets[target]
        if spec.kind != "direct" or GENERATE not in spec.graphs:
            roles = ", ".join(spec.graphs)
            raise ModelError(
                f"bundle {bundle.name!r}: targets.{target} is of kind {spec.kind!r} with graphs {roles}, "
                "which this version of terramosaic cannot run; upgrade it"
            )
    return OnnxGenerator(bundle, targets, provider, batch_size=batch_size, threads=threads)


class OnnxGenerator:
    """Runs targets of kind ``direct``, each by one ONNX graph from windows (and randomness) to the target."""

    def __init__(
        self,
        bundle: Bundle,
        targets: Sequence[str],
        provider: Provider = "cpu",
        *,
        batch_size: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.targets = tuple(targets)
        self._bands = len(bundle.bands)
        self._specs = {target: bundle.targets[target] for target in self.targets}
        self._batch_size = batch_size or (1 if provider == "cpu" else 16)
        files = {target: spec.graphs[GENERATE] for target, spec in self._specs.items()}
        self._sessions = {
            target: _session(
                bundle.folder / file,
                bundle.manifest.files[file].sha256,
                provider,
                threads or available_cpus(),
            )
            for target, file in files.items()
        }

    @property
    def needs(self) -> dict[str, Needs]:
        return {target: Needs(spec.noise_channels, spec.uniform) for target, spec in self._specs.items()}

    def generate(
        self, windows: np.ndarray, randomness: Mapping[str, WindowRandomness]
    ) -> dict[str, np.ndarray]:
        return {
            target: self._run(target, windows, randomness.get(target, WindowRandomness()))
            for target in self.targets
        }

    def _run(self, target: str, windows: np.ndarray, randomness: WindowRandomness) -> np.ndarray:
        feeds = self._feeds(target, windows, randomness)
        out = np.empty((len(windows), self._specs[target].planes, WINDOW, WINDOW), np.float32)
        session = self._sessions[target]
        for start in range(0, len(windows), self._batch_size):
            part = slice(start, start + self._batch_size)
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

    def _feeds(self, target: str, windows: np.ndarray, randomness: WindowRandomness) -> dict[str, np.ndarray]:
        spec, n = self._specs[target], len(windows)
        wanted: dict[str, tuple[np.ndarray | None, tuple[int, ...]]] = {
            "windows": (windows, (n, self._bands, WINDOW, WINDOW))
        }
        if spec.noise_channels:
            wanted["noise"] = (randomness.noise, (n, spec.noise_channels, WINDOW, WINDOW))
        if spec.uniform:
            wanted["uniform"] = (randomness.uniform, (n, WINDOW // PATCH, WINDOW // PATCH))
        feeds = {}
        for name, (array, shape) in wanted.items():
            if array is None or array.dtype != np.float32 or array.shape != shape:
                found = "absent" if array is None else f"{array.dtype} {array.shape}"
                raise ModelError(f"{target}: {name} must be float32 {shape}, and is {found}")
            feeds[name] = np.ascontiguousarray(array)
        return feeds


_sessions: dict[tuple[Path, str, Provider, int], onnxruntime.InferenceSession] = {}
_opening = Lock()


def _session(path: Path, sha256: str, provider: Provider, threads: int) -> onnxruntime.InferenceSession:
    """The process's one session of a graph's content on a provider; threads may share its ``run``."""
    key = path, sha256, provider, threads
    with _opening:
        if key not in _sessions:
            _sessions[key] = _open(path, provider, threads)
        return _sessions[key]


def _open(path: Path, provider: Provider, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Readers and writers share the cores: waiting threads must sleep, not spin.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # ENABLE_ALL adds blocked layouts for wide convolutions; the demo's narrow ones take twice as long so.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 4  # what goes wrong is raised; said on stderr too, it would be noise
    if provider == "cuda":
        return _open_on_cuda(path, options)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"{path}: ONNX Runtime cannot open it: {one_line(error)}") from error


def _open_on_cuda(path: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    """Opens a session whose nodes all run on CUDA.

    Left to itself, ONNX Runtime answers an unusable GPU with two lines on stderr and a session on the CPU.
    """
    complaint = _load_cuda_libraries()
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    onnxruntime.set_default_logger_severity(4)
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CUDAExecutionProvider"])
    except Exception as error:
        raise _no_cuda(" ".join(filter(None, (complaint, one_line(error))))) from error
    finally:
        onnxruntime.set_default_logger_severity(2)  # ONNX Runtime's default
    if session.get_providers()[0] != "CUDAExecutionProvider":
        raise _no_cuda(complaint or f"ONNX Runtime chose {session.get_providers()[0]}")
    return session


def _load_cuda_libraries() -> str:
    """Loads CUDA and cuDNN from their wheels or the system; returns what could not be loaded, if anything.

    Raises:
        ModelError: CUDA cannot work here: ONNX Runtime was built without it, or there is no driver.
    """
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise _no_cuda(
            f"onnxruntime {onnxruntime.__version__} has no CUDA provider; if onnxruntime was installed over "
            "onnxruntime-gpu, run pip install --force-reinstall --no-deps onnxruntime-gpu"
        )
    driver = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        ctypes.CDLL(driver)
    except OSError:
        raise _no_cuda(f"there is no NVIDIA driver ({driver} cannot be loaded)") from None
    with contextlib.redirect_stdout(io.StringIO()) as printed:  # it prints what it misses, and never raises
        onnxruntime.preload_dlls()
    return one_line(printed.getvalue())


def _no_cuda(reason: str) -> ModelError:
    return ModelError(f"provider: cuda was asked for and cannot be used: {reason}; or ask for cpu")


def available_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):  # a container's share, where the platform tells
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
