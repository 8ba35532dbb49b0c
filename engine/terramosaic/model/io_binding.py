"""Tensors at fixed places on a device, and graphs bound to them: nothing is allocated or bound while windows run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime

from terramosaic.model.devices import Device


class Tensor:
    """A tensor that stays where it is; on the CPU it is numpy's own memory.

    Args:
        shape: of the tensor.
        dtype: of its numbers.
        device: where it lies; it begins with zeros.
        staged: whether what is written goes through pinned memory of the tensor's own, as large batches should: one
            thread at a time writes it.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any, device: Device, *, staged: bool = False) -> None:
        self.shape, self.dtype, self.device = shape, np.dtype(dtype), device
        self._array = np.zeros(shape, dtype) if device.kind == "cpu" else None
        self._copies, self._stage = None, None
        if self._array is not None:
            self.value = onnxruntime.OrtValue.ortvalue_from_numpy(self._array)
            return
        from terramosaic.model.cuda.memory import copies_of  # which only CUDA has

        self.value = onnxruntime.OrtValue.ortvalue_from_numpy(
            np.zeros(shape, dtype), device.kind, device.index
        )
        self._copies = copies_of(device.index)
        if staged:
            self._stage = self._copies.pinned(shape, dtype)

    @property
    def address(self) -> int:
        """Where its numbers begin, in the device's memory."""
        return int(self.value.data_ptr())

    def place(self, index: int) -> Place:
        """The ``index``-th part along the first dimension, for a graph to write."""
        size = math.prod(self.shape[1:]) * self.dtype.itemsize
        return Place(self, self.shape[1:], self.address + index * size)

    def write(self, array: np.ndarray) -> None:
        """Copies numbers in, to the device if need be; a batch that is not full leaves the rest as it was."""
        if self._copies is None:
            assert self._array is not None
            self._array[: len(array)] = array
            return
        if self._stage is not None:
            staged = self._stage[: len(array)]
            np.copyto(staged, array)
            array = staged
        self._copies.to_device(self.address, np.ascontiguousarray(array, self.dtype))

    def read(self) -> np.ndarray:
        """The numbers; on the CPU the tensor's own memory, which the next run overwrites."""
        return self.taken() if self._array is None else self._array

    def taken(self, count: int | None = None) -> np.ndarray:
        """The numbers, or the first ``count`` along the first dimension, in an array that is the caller's."""
        if self._copies is None:
            assert self._array is not None
            return self._array[:count].copy()
        found = self._copies.pinned((self.shape[0] if count is None else count, *self.shape[1:]), self.dtype)
        self._copies.to_host(found, self.address)
        return found

    def copy_to(self, other: Tensor) -> None:
        """Copies all numbers to another tensor of this shape on the same device."""
        if self._copies is None:
            assert self._array is not None and other._array is not None
            other._array[:] = self._array
        else:
            self._copies.on_device(other.address, self.address, math.prod(self.shape) * self.dtype.itemsize)


@dataclass(frozen=True)
class Place:
    """Where a graph writes an output: in a tensor, which it keeps alive."""

    tensor: Tensor
    shape: tuple[int, ...]
    address: int


class BoundGraph:
    """A session with all inputs and outputs bound to tensors.

    Args:
        session: the graph.
        inputs: every input by name.
        outputs: every output that is wanted by name.
        capture: number under which CUDA keeps the captured launches of exactly this binding, from 1.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        inputs: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor | Place],
        capture: int | None = None,
    ) -> None:
        self._session = session
        self._tensors = {**inputs, **outputs}  # kept alive: a binding holds addresses only
        self._binding = session.io_binding()
        for name, tensor in inputs.items():
            self._binding.bind_ortvalue_input(name, tensor.value)
        for name, output in outputs.items():
            if isinstance(output, Tensor):
                self._binding.bind_ortvalue_output(name, output.value)
            else:
                whole = output.tensor
                self._binding.bind_output(
                    name,
                    whole.device.kind,
                    whole.device.index,
                    whole.dtype.type,
                    output.shape,
                    output.address,
                )
        self._options = onnxruntime.RunOptions()
        if capture is not None:
            self._options.add_run_config_entry("gpu_graph_id", str(capture))

    def run(self) -> None:
        """Runs the graph on what its input tensors hold."""
        self._session.run_with_iobinding(self._binding, self._options)
