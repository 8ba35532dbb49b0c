"""Sessions on CUDA, as far as they go without a GPU: options, reasons, and what is refused."""

from __future__ import annotations

import ctypes
import importlib.metadata
import logging
import types
from typing import Any, ClassVar

import numpy as np
import onnxruntime
import pytest

from terramosaic.errors import ModelError
from terramosaic.model.bundle import DEMO_FOLDER
from terramosaic.model.cuda import libraries, sessions
from terramosaic.model.cuda.sessions import open_on_cuda

GRAPH = DEMO_FOLDER / "NDVI.onnx"
CUDA = "CUDAExecutionProvider"


class FakeSession:
    """What ONNX Runtime would make where there is a GPU; counts as opened with its options."""

    opened: ClassVar[list[dict[str, Any]]]
    on_cpu: tuple[str, ...] = ()
    fails_at: str = ""

    def __init__(self, path: str, options: Any, *, providers: list[Any], enable_fallback: int) -> None:
        ((name, chosen),) = providers
        assert (name, enable_fallback) == (CUDA, 0)
        self.opened.append(chosen)
        if self.fails_at == "opening" and chosen["enable_cuda_graph"] == "1":
            raise RuntimeError(
                "all compute graph nodes have not been partitioned to the CUDAExecutionProvider"
            )
        if self.fails_at == "always":
            raise RuntimeError("Load model failed:\nno such operator")

    def get_providers(self) -> list[str]:
        return [CUDA, "CPUExecutionProvider"]

    def get_provider_graph_assignment_info(self) -> list[Any]:
        def part(name: str, kinds: tuple[str, ...]) -> Any:
            nodes = [types.SimpleNamespace(op_type=kind) for kind in kinds]
            return types.SimpleNamespace(ep_name=name, get_nodes=lambda: nodes)

        return [part(CUDA, ("MatMul",)), part("CPUExecutionProvider", self.on_cpu)]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> type[FakeSession]:
    """A machine with two GPUs, to all appearances."""

    class Session(FakeSession):
        opened: ClassVar[list[dict[str, Any]]] = []

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(sessions, "load_cuda_libraries", lambda index: "")
    return Session


def open_it(**changes: Any) -> onnxruntime.InferenceSession:
    return open_on_cuda(GRAPH, **{"device_index": 0, "batch": 4, "threads": 1} | changes)


def test_options_reach_the_provider(gpu: type[FakeSession]) -> None:
    open_it(device_index=1)
    (options,) = gpu.opened
    assert options["device_id"] == "1"
    assert options["enable_cuda_graph"] == "0"
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"
    assert options["use_tf32"] == "1"


def test_a_session_that_is_first_on_another_provider_is_refused(
    gpu: type[FakeSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ONNX Runtime makes, without an error, where it cannot use CUDA after all."""
    monkeypatch.setattr(gpu, "get_providers", lambda session: ["CPUExecutionProvider"])
    with pytest.raises(ModelError, match="cannot be used: ONNX Runtime chose CPUExecutionProvider; or ask"):
        open_it()


def test_work_on_the_cpu_is_refused(gpu: type[FakeSession]) -> None:
    gpu.on_cpu = ("Shape", "Gather", "Conv", "MatMul")
    with pytest.raises(ModelError, match="would run Conv, MatMul on the CPU; or ask for cpu"):
        open_it()


def test_other_operators_on_the_cpu_are_told(
    gpu: type[FakeSession], caplog: pytest.LogCaptureFixture
) -> None:
    gpu.on_cpu = ("Shape", "Gather", "Mod")
    with caplog.at_level(logging.WARNING, "terramosaic"):
        open_it()
    assert "no CUDA kernel for Mod and runs it on the CPU" in caplog.text
    gpu.on_cpu = ("Shape", "Gather")
    caplog.clear()
    open_it()
    assert not caplog.text


def test_a_graph_that_cannot_be_captured_is_run_without_and_that_is_told(
    gpu: type[FakeSession], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu.fails_at = "opening"
    with caplog.at_level(logging.WARNING, "terramosaic"):
        open_it(capture=True)
    assert "cannot be captured as a CUDA graph" in caplog.text
    assert [options["enable_cuda_graph"] for options in gpu.opened] == ["1", "0"]

    def fail(*_: object) -> None:
        raise RuntimeError("CUDA failure 900: operation not permitted when stream is capturing")

    gpu.fails_at = ""
    caplog.clear()
    monkeypatch.setattr(sessions, "_try_capture", fail)
    with caplog.at_level(logging.WARNING, "terramosaic"):
        open_it(capture=True)
    assert "operation not permitted when stream is capturing" in caplog.text


def test_a_device_that_is_full_is_not_taken_for_a_graph_that_cannot_be_captured(
    gpu: type[FakeSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("Failed to allocate memory for requested buffer of size 123")

    monkeypatch.setattr(sessions, "_try_capture", fail)
    with pytest.raises(ModelError, match="Failed to allocate memory"):
        open_it(capture=True)
    assert len(gpu.opened) == 1


def test_a_graph_that_does_not_open_is_one_line(gpu: type[FakeSession]) -> None:
    gpu.fails_at = "always"
    with pytest.raises(ModelError, match=r"cannot open it on CUDA: Load model failed: no such"):
        open_it()


def test_a_trial_run_is_bound_to_what_the_graph_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU, whose sessions are bound in the same way."""
    options = onnxruntime.SessionOptions()
    options.add_free_dimension_override_by_name(sessions.BATCH, 3)
    session = onnxruntime.InferenceSession(str(GRAPH), options, providers=["CPUExecutionProvider"])
    on_device = onnxruntime.OrtValue.ortvalue_from_numpy
    shaped = onnxruntime.OrtValue.ortvalue_from_shape_and_type
    shapes: list[tuple[int, ...]] = []

    def from_numpy(array: np.ndarray, device: str, index: int) -> onnxruntime.OrtValue:
        shapes.append(array.shape)
        return on_device(array)

    monkeypatch.setattr(onnxruntime.OrtValue, "ortvalue_from_numpy", from_numpy)
    monkeypatch.setattr(
        onnxruntime.OrtValue, "ortvalue_from_shape_and_type", lambda shape, dtype, *_: shaped(shape, dtype)
    )
    sessions._try_capture(session, 0)
    assert shapes == [(3, 12, 224, 224)]


def test_a_missing_provider_is_explained_with_its_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.31.1")
    with pytest.raises(ModelError, match="because the package onnxruntime was installed over") as caught:
        open_it()
    assert "pip install --force-reinstall --no-deps onnxruntime-gpu" in str(caught.value)


@pytest.mark.parametrize("missing", [("cublasLt", "cublas", "cudnn"), ("nvrtc",), ("cudnn",)])
def test_libraries_that_do_not_load_are_named(
    monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    """cuDNN is none that ONNX Runtime itself would complain about before a convolution runs, and NVRTC none at all."""

    def load(name: str) -> object:
        if any(f"lib{each}.so" in name for each in missing):
            raise OSError(name)
        return object()

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: print("noise"))
    monkeypatch.setattr(libraries, "why_unusable", lambda index: "")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA])
    monkeypatch.setattr(onnxruntime, "cuda_version", "13.0", raising=False)
    names = ", ".join(rf"lib{each}\.so\.{9 if each == 'cudnn' else 13}" for each in missing)
    with pytest.raises(ModelError, match=f"used: {names} cannot be loaded; install terramosaic"):
        libraries.load_cuda_libraries(0)
