"""How every session of ONNX Runtime is opened: its options, and its errors as ours."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from terramosaic.errors import ModelError, one_line


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Options of every session: threads sleep while they wait, and what goes wrong is raised, not printed."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Readers and writers share the cores: waiting threads must sleep, not spin.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # what goes wrong is raised; said on stderr too, it would be noise
    return options


def graph_session(path: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    """A session of a graph on the CPU.

    Raises:
        ModelError: ONNX Runtime refuses it.
    """
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no other common base
        raise ModelError(f"{path}: ONNX Runtime cannot open it: {one_line(error)}") from error


#: What an allocation that fails is called, by ONNX Runtime, CUDA, cuBLAS, cuDNN and cuRAND.
_NO_ROOM = (
    "out of memory",
    "failed to allocate memory",
    "bad_alloc",
    "cudaerrormemoryallocation",
    "alloc_failed",  # CUBLAS_STATUS_, CUDNN_STATUS_
    "allocation_failed",  # CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ and _HOST_, CURAND_STATUS_
    "resource allocation failed",  # in cuBLAS's own words
)


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device or the machine had no memory left, by the words for it."""
    text = str(error).lower()
    return any(words in text for words in _NO_ROOM) or isinstance(error, MemoryError)
