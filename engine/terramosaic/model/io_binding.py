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
    """A tensor that stays where it is; on the CPU it is numpy's own memory."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, device: Device) -> None:
        self.shape, self.dtype, self.device = shape, np.dtype(dtype), device
        self._array = np.zeros(shape, dtype) if device.kind == "cpu" else None
        self.value = (
            onnxruntime.OrtValue.ortvalue_from_numpy(self._array)
            if self._array is not None
            else onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(shape, dtype), device.kind, device.index)
        )

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
        if self._array is not None:
            self._array[: len(array)] = array
        elif array.shape == self.shape:
            self.value.update_inplace(np.ascontiguousarray(array))
        else:
            padded = np.zeros(self.shape, array.dtype)
            padded[: len(array)] = array
            self.value.update_inplace(padded)

    def read(self) -> np.ndarray:
        """The numbers; on the CPU the tensor's own memory, which the next run overwrites."""
        return self._array if self._array is not None else self.value.numpy()


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
