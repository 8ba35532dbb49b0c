"""Copies to and from a GPU that hold no lock of Python's, through host memory that the GPU reads and writes by itself.

ONNX Runtime's own (``OrtValue.update_inplace`` and ``numpy``) hold Python's lock for the whole copy: while a batch of
600 MB is fetched nothing else in the process moves, blocks that read and write among it. CUDA's, called through ctypes,
do not. They have streams of their own, so that what one batch brings and another one leaves is copied while the model
computes a third.
"""

from __future__ import annotations

import ctypes
import math
import sys
import threading
import weakref
from functools import cache
from typing import Any

import numpy as np

from terramosaic.model.gpus import cuda_wanted

#: Directions of a copy, as CUDA numbers them.
_TO_DEVICE, _TO_HOST, _ON_DEVICE = 1, 2, 3

#: A stream that does not wait for the default one.
_NON_BLOCKING = 1

#: Pieces of pinned memory that are kept for the next batch, of each size.
_KEPT = 4


class DeviceCopies:
    """Copies of one GPU; threads may share them. Each has arrived when its call returns.

    Args:
        device_index: the GPU, as CUDA counts those that this process may see.

    Raises:
        RuntimeError: CUDA failed; says what it calls that, as ONNX Runtime's errors do.
    """

    def __init__(self, device_index: int) -> None:
        self._device, self._cuda = device_index, _runtime()
        self._streams = {way: self._stream() for way in (_TO_DEVICE, _TO_HOST, _ON_DEVICE)}
        self._spare: dict[int, list[int]] = {}
        self._guard = threading.Lock()

    def to_device(self, address: int, array: np.ndarray) -> None:
        """Copies a contiguous array to where ``address`` says."""
        self._copy(address, array.ctypes.data, array.nbytes, _TO_DEVICE)

    def to_host(self, array: np.ndarray, address: int) -> None:
        """Fills a contiguous array with what lies where ``address`` says."""
        self._copy(array.ctypes.data, address, array.nbytes, _TO_HOST)

    def on_device(self, target: int, source: int, size: int) -> None:
        """Copies bytes from one place on the device to another."""
        self._copy(target, source, size, _ON_DEVICE)

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array in pinned memory, whose content is anything; once nobody has it any more, others get its memory."""
        size = max(1, math.prod(shape) * np.dtype(dtype).itemsize)
        with self._guard:
            spare = self._spare.get(size)
            address = spare.pop() if spare else 0
        if not address:
            made = ctypes.c_void_p()
            self._check(self._cuda.cudaSetDevice(self._device))
            self._check(self._cuda.cudaHostAlloc(ctypes.byref(made), ctypes.c_size_t(size), 0))
            address = made.value or 0
        memory = (ctypes.c_ubyte * size).from_address(address)
        weakref.finalize(memory, self._give_back, address, size).atexit = False
        return np.frombuffer(memory, dtype, count=math.prod(shape)).reshape(shape)

    def _give_back(self, address: int, size: int) -> None:
        with self._guard:
            spare = self._spare.setdefault(size, [])
            if len(spare) < _KEPT:
                spare.append(address)
                return
        self._cuda.cudaFreeHost(ctypes.c_void_p(address))

    def _copy(self, target: int, source: int, size: int, way: int) -> None:
        stream = self._streams[way]
        self._check(self._cuda.cudaSetDevice(self._device))  # each thread has its own
        self._check(
            self._cuda.cudaMemcpyAsync(
                ctypes.c_void_p(target), ctypes.c_void_p(source), ctypes.c_size_t(size), way, stream
            )
        )
        self._check(self._cuda.cudaStreamSynchronize(stream))

    def _stream(self) -> ctypes.c_void_p:
        made = ctypes.c_void_p()
        self._check(self._cuda.cudaSetDevice(self._device))
        self._check(self._cuda.cudaStreamCreateWithFlags(ctypes.byref(made), _NON_BLOCKING))
        return made

    def _check(self, code: int) -> None:
        if code:
            said = self._cuda.cudaGetErrorString(code)
            raise RuntimeError(f"CUDA failure {code}: {said.decode(errors='replace')}")


@cache
def copies_of(device_index: int) -> DeviceCopies:
    """The process's copies of a GPU."""
    return DeviceCopies(device_index)


@cache
def _runtime() -> Any:
    """CUDA's runtime, the one that ONNX Runtime has loaded."""
    major = cuda_wanted()
    runtime = ctypes.CDLL(f"cudart64_{major}.dll" if sys.platform == "win32" else f"libcudart.so.{major}")
    runtime.cudaGetErrorString.restype = ctypes.c_char_p
    return runtime
