"""CUDA's libraries: loaded before the first session, and whatever is missing said in one line."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import io
import sys

import onnxruntime

from terramosaic.errors import ModelError, one_line
from terramosaic.model.gpus import cuda_wanted, why_unusable

#: ONNX Runtime's name for itself on CUDA.
CUDA = "CUDAExecutionProvider"


def load_cuda_libraries(device_index: int) -> str:
    """Checks a GPU, its driver and ONNX Runtime, and loads CUDA and cuDNN from their wheels or the system.

    Args:
        device_index: the GPU, as CUDA counts those that this process may see.

    Returns:
        What ONNX Runtime said about it, to go with its errors; nothing if all is well.

    Raises:
        ModelError: CUDA cannot work here: ONNX Runtime was built without it, there is no driver, no such GPU, the
            driver or the GPU is too old or too new for it, or a library is missing; also those that ONNX Runtime would
            not miss before a convolution is run (cuDNN), or at all (NVRTC).
    """
    if CUDA not in onnxruntime.get_available_providers():
        raise no_cuda(
            f"onnxruntime {onnxruntime.__version__} has no CUDA provider{_overwritten()}; to have it, run "
            "pip install --force-reinstall --no-deps onnxruntime-gpu"
        )
    if reason := why_unusable(device_index):
        raise no_cuda(reason)
    with contextlib.redirect_stdout(io.StringIO()) as printed:  # it prints what it misses, and never raises
        onnxruntime.preload_dlls()
    if sys.platform == "win32":
        return one_line(printed.getvalue())
    if missing := _missing_libraries():
        raise no_cuda(
            f"{', '.join(missing)} cannot be loaded; install terramosaic[gpu], which brings CUDA and cuDNN, or name "
            "the folders of the system's in LD_LIBRARY_PATH"
        )
    return ""


def no_cuda(reason: str) -> ModelError:
    """The error that says why CUDA cannot be used."""
    return ModelError(f"device: cuda was asked for and cannot be used: {reason}; or ask for cpu")


def _missing_libraries() -> list[str]:
    """Libraries that the model needs on CUDA and that this process cannot load, by their names on Linux.

    Without NVRTC cuDNN drops the engines that it compiles for a convolution with its bias, and takes slower ones
    without a word.
    """
    wanted = [f"lib{name}.so.{cuda_wanted()}" for name in ("cudart", "cublasLt", "cublas", "nvrtc")]
    missing = []
    for name in (*wanted, "libcurand.so.10", "libcudnn.so.9"):
        try:
            ctypes.CDLL(name)
        except OSError:
            missing.append(name)
    return missing


def _overwritten() -> str:
    """Tells where the CPU's package lies over the GPU's: both own one folder, and pip does not mind."""
    try:
        for name in ("onnxruntime", "onnxruntime-gpu"):
            importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
    return ", because the package onnxruntime was installed over onnxruntime-gpu"
