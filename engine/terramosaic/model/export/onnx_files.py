"""Modules as ONNX files: exported by torch, weights beside the graph, in single or half precision."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx_ir
import torch
from torch import nn

Precision = Literal["fp32", "fp16"]

#: Weights from this size on lie beside the graph; what is smaller is shape and constant, and is read with it.
_EXTERNAL_FROM_BYTES = 1024


@dataclass(frozen=True)
class GraphForm:
    """How a module looks as a graph.

    Attributes:
        inputs: by name, an example; batches of 2, since torch would take a size of 1 for a constant.
        outputs: their names.
        dynamic: by input, the names of its sizes that stay open, by axis.
        opset: ONNX operator set.
    """

    inputs: Mapping[str, torch.Tensor]
    outputs: tuple[str, ...]
    dynamic: Mapping[str, Mapping[int, Any]]
    opset: int


def export_graph(module: nn.Module, form: GraphForm, path: Path, precision: Precision) -> None:
    """Writes a module as ``path`` with its weights in a ``.data`` file beside it.

    In half precision the weights are stored so, and are cast back where they are used: a runtime that computes in
    single precision sees weights of half the size, one that computes in half precision drops the casts.
    """
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            tuple(form.inputs.values()),
            dynamo=True,
            opset_version=form.opset,
            input_names=list(form.inputs),
            output_names=list(form.outputs),
            dynamic_shapes=tuple(dict(form.dynamic.get(name, {})) for name in form.inputs),
            verbose=False,
        )
    model = program.model
    _require_open_sizes(model.graph, form)
    if precision == "fp16":
        _store_in_half(model.graph)
    # What torch notes about its own source files is of no use, and would differ from machine to machine.
    for node in model.graph:
        node.metadata_props.clear()
        node.doc_string = None
    onnx_ir.save(
        model, path, external_data=path.with_suffix(".data").name, size_threshold_bytes=_EXTERNAL_FROM_BYTES
    )


def _require_open_sizes(graph: onnx_ir.Graph, form: GraphForm) -> None:
    """torch quietly fixes a size that a module treats as a number; such a graph would fail when it is used."""
    for value in graph.inputs:
        for axis in form.dynamic.get(value.name or "", {}):
            if value.shape is None or isinstance(value.shape[axis], int):
                raise RuntimeError(f"{value.name}: axis {axis} was to stay open and was fixed: {value.shape}")


def _store_in_half(graph: onnx_ir.Graph) -> None:
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.dtype != onnx_ir.DataType.FLOAT or tensor.nbytes < _EXTERNAL_FROM_BYTES:
            continue
        half = np.clip(tensor.numpy(), -65504, 65504).astype(np.float16)
        stored = onnx_ir.Value(
            name=f"{name}.half",
            shape=onnx_ir.Shape(half.shape),
            type=onnx_ir.TensorType(onnx_ir.DataType.FLOAT16),
            const_value=onnx_ir.tensor(half, name=f"{name}.half"),
        )
        cast = onnx_ir.node("Cast", [stored], attributes={"to": onnx_ir.DataType.FLOAT}, name=f"{name}.cast")
        cast.outputs[0].shape, cast.outputs[0].dtype = value.shape, onnx_ir.DataType.FLOAT
        value.replace_all_uses_with(cast.outputs[0])
        del graph.initializers[name]
        cast.outputs[0].name = name
        graph.register_initializer(stored)
        graph.insert_before(graph[0], cast)


@contextlib.contextmanager
def _quiet() -> Any:
    """torch tells its steps on stdout and in warnings; what goes wrong is raised."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        yield
