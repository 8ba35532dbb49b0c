"""A user's ONNX graph between two others: what the engine hands out becomes what it wants, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from terramosaic.errors import RequestError, one_line
from terramosaic.model.packing.spec import PackedInput, PackedTarget, PackSpec

#: The least operator set of a wrapped graph: from here on Softmax has an axis of its own.
_OPSET = 13

#: Put before every name of the user's graph, so that none is ours.
_OWN = "model/"

#: What a bundle calls the numbers, one a patch, that a graph draws with.
UNIFORM = "uniform"

#: What numbers in the engine's unit are multiplied by for another one.
_FACTORS = {"reflectance": 1e-4, "0-1": 1 / 255}

_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}
_NUMBERS = _FLOATS | {
    TensorProto.UINT8,
    TensorProto.UINT16,
    TensorProto.INT16,
    TensorProto.INT32,
    TensorProto.INT64,
}


@dataclass(frozen=True)
class UserGraph:
    """A user's model, read and matched with its spec.

    Attributes:
        model: with all names out of the way.
        tensors: by name of the spec's inputs and targets, the graph's own tensor.
        batch: windows that it takes at once, where that is fixed: 1, or None where it is open.
    """

    model: onnx.ModelProto
    tensors: Mapping[str, onnx.ValueInfoProto]
    batch: Literal[1] | None


def read_graph(path: Path, spec: PackSpec) -> UserGraph:
    """Reads a model and checks that its inputs and outputs are what the spec says.

    Raises:
        RequestError: it is no ONNX model, or is not what the spec says; the message names tensor and field.
    """
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's errors have no common base
        raise RequestError(f"model: {path} is no ONNX model that can be read: {one_line(error)}") from error
    if not model.graph.output:
        raise RequestError(f"model: {path} is no ONNX model: it holds no graph that makes anything")
    weights = {tensor.name for tensor in model.graph.initializer}
    given = [tensor for tensor in model.graph.input if tensor.name not in weights]
    drawn = {target.uniform for target in spec.targets.values()} - {""}
    for name, target in spec.targets.items():
        if target.uniform:
            _check_uniform(f"targets.{name}.uniform", target.uniform, given, spec)
    windows = [tensor for tensor in given if tensor.name not in drawn]
    tensors: dict[str, onnx.ValueInfoProto] = {}
    for group, said, there in (
        ("inputs", spec.inputs, windows),
        ("targets", spec.targets, model.graph.output),
    ):
        tensors |= {
            name: _matched(f"{group}.{name}", item.tensor, there, len(said)) for name, item in said.items()
        }
    fed = {tensors[name].name for name in spec.inputs}
    if unfed := [tensor.name for tensor in windows if tensor.name not in fed]:
        raise RequestError(f"inputs: the graph also wants {', '.join(unfed)}; say what it is fed with")
    batches = {_checked_input(name, item, tensors[name], spec) for name, item in spec.inputs.items()}
    if len(batches) > 1 or batches - {None, 1}:
        raise RequestError(
            f"model: the graph takes batches of {batches.pop()} windows alone; export it with an open batch, or of 1"
        )
    for name, target in spec.targets.items():
        _check_output(name, target, tensors[name], spec)
    return UserGraph(_out_of_the_way(model), tensors, 1 if batches == {1} else None)


def wrapped(user: UserGraph, spec: PackSpec, target: str, feeds: Mapping[str, str]) -> onnx.ModelProto:
    """The graph of one target: windows as the engine hands them out → the target as the engine takes it.

    Args:
        feeds: by input, what the bundle calls its windows.
    """
    model = onnx.ModelProto()
    model.CopyFrom(user.model)
    graph = model.graph
    before = _Nodes("before")
    inputs = []
    for name, item in spec.inputs.items():
        inputs.append(_value(feeds[name], user.batch, *_handed_out(item, spec)))
        before.adapt_input(feeds[name], item, user.tensors[name], spec)
    after = _Nodes("after")
    said = spec.targets[target]
    # A graph cannot do without the randomness of its other targets; they are drawn with the same.
    for drawn in sorted({each.uniform for each in spec.targets.values()} - {""}):
        before.pass_on(UNIFORM, drawn)
    if any(each.uniform for each in spec.targets.values()):
        side = spec.window // spec.patch
        inputs.append(_value(UNIFORM, user.batch, side, side))
    after.adapt_output(target, said, user.tensors[target], spec)
    nodes = [*before.nodes, *graph.node, *after.nodes]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*before.constants, *after.constants])
    # Old models list their weights as inputs, too.
    del graph.input[:]
    graph.input.extend(inputs)
    del graph.output[:]
    planes = planes_of(said, user.tensors[target], spec)
    graph.output.append(_value(target, user.batch, planes, spec.window, spec.window))
    return model


def planes_of(target: PackedTarget, tensor: onnx.ValueInfoProto, spec: PackSpec) -> int:
    """Planes of a target: classes, or bands of values."""
    return len(target.classes) or len(target.channels) or _shape(tensor)[_axis_of_channels(spec)] or 1


class _Nodes:
    """Nodes that are being put before or behind a graph."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def adapt_input(self, feed: str, item: PackedInput, tensor: onnx.ValueInfoProto, spec: PackSpec) -> None:
        """From windows in the engine's unit to the tensor that the user's graph wants."""
        now = feed
        if item.unit == "linear":
            now = self._add("Exp", self._add("Mul", now, self._constant(item, np.log(10) / 10)))
        std = np.array(item.std or (1,), float)
        factor, shift = _FACTORS.get(item.unit, 1.0) / std, -np.array(item.mean or (0,), float) / std
        if (factor != 1).any():
            now = self._add("Mul", now, self._constant(item, *factor))
        if shift.any():
            now = self._add("Add", now, self._constant(item, *shift))
        if (axes := _axes(item, spec)) != (handed := "NCTHW" if item.dates > 1 else "NCHW"):
            now = self._add("Transpose", now, perm=[handed.index(axis) for axis in axes])
        kind = tensor.type.tensor_type.elem_type
        if kind not in _FLOATS:
            now = self._add("Round", now)
        self._add("Cast", now, to=kind, out=_OWN + tensor.name)

    def pass_on(self, feed: str, tensor: str) -> None:
        """What goes into the user's graph as it is."""
        self._add("Identity", feed, out=_OWN + tensor)

    def adapt_output(
        self, target: str, said: PackedTarget, tensor: onnx.ValueInfoProto, spec: PackSpec
    ) -> None:
        """From the tensor that the user's graph makes to the target: values, or probabilities of all classes."""
        now = self._add("Cast", _OWN + tensor.name, to=TensorProto.FLOAT)
        if spec.layout == "NHWC":
            now = self._add("Transpose", now, perm=[0, 3, 1, 2])
        if said.output != "values":
            of_second = _shape(tensor)[_axis_of_channels(spec)] == 1
            if said.output == "logits":
                now = self._add("Sigmoid", now) if of_second else self._add("Softmax", now, axis=1)
            if of_second:
                rest = self._add("Sub", self._constant(None, 1.0), now)
                now = self._add("Concat", rest, now, axis=1)
        self._add("Identity", now, out=target)

    def _constant(self, item: PackedInput | None, *numbers: float) -> str:
        """A number for each band of an input, or one."""
        axes = 3 if item is not None and item.dates > 1 else 2
        name = f"{self._name}/{len(self.nodes) + len(self.constants)}"
        array = np.array(numbers, np.float32).reshape(1, -1, *(1,) * axes)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def _add(self, kind: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        out = out or f"{self._name}/{len(self.nodes) + len(self.constants)}"
        self.nodes.append(
            helper.make_node(kind, list(inputs), [out], name=f"{self._name}/{out}", **attributes)
        )
        return out


def _matched(field: str, said: str, there: Sequence[onnx.ValueInfoProto], count: int) -> onnx.ValueInfoProto:
    """The graph's tensor that a field of the spec is about."""
    names = [tensor.name for tensor in there]
    if not said and len(there) == count == 1:
        return there[0]
    if said not in names:
        told = f"{said!r} is none of the graph's" if said else "say which of the graph's it is"
        raise RequestError(f"{field}.tensor: {told}: {', '.join(names)}")
    return there[names.index(said)]


def _checked_input(name: str, item: PackedInput, tensor: onnx.ValueInfoProto, spec: PackSpec) -> int | None:
    """The fixed size of an input's batch, if it is fixed."""
    _require_numbers(f"inputs.{name}", tensor)
    axes = _axes(item, spec)
    batch, *shape = _shape(tensor, len(axes), f"inputs.{name}", axes)
    sizes = {"C": len(item.bands), "T": item.dates, "H": spec.window, "W": spec.window}
    dates = f" of {item.dates} dates, {axes}" if item.dates > 1 else ""
    _require_shape(
        f"inputs.{name}",
        tensor,
        shape,
        [sizes[axis] for axis in axes[1:]],
        f"{len(item.bands)} bands in windows of {spec.window}{dates}",
    )
    return batch


def _check_uniform(field: str, said: str, there: Sequence[onnx.ValueInfoProto], spec: PackSpec) -> None:
    tensor = next((one for one in there if one.name == said), None)
    if tensor is None:
        raise RequestError(
            f"{field}: {said!r} is none of the graph's: {', '.join(one.name for one in there)}"
        )
    if tensor.type.tensor_type.elem_type != TensorProto.FLOAT:
        raise RequestError(f"{field}: {said!r} is no float32 in the graph")
    side = spec.window // spec.patch
    sizes = _shape(tensor)
    if len(sizes) != 3 or any(size not in (None, side) for size in sizes[1:]):
        shown = " x ".join("?" if size is None else str(size) for size in sizes)
        raise RequestError(
            f"{field}: {said!r} is {shown} in the graph; a number a patch is batch x {side} x {side} "
            f"(window {spec.window} / patch {spec.patch})"
        )


def _check_output(name: str, target: PackedTarget, tensor: onnx.ValueInfoProto, spec: PackSpec) -> None:
    _require_numbers(f"targets.{name}", tensor)
    if target.classes and (kind := tensor.type.tensor_type.elem_type) not in _FLOATS:
        # Numbers of classes would pass for logits, and cannot be blended where windows overlap.
        raise RequestError(
            f"targets.{name}: {tensor.name!r} holds whole numbers ({TensorProto.DataType.Name(kind)}), as classes do "
            "after an argmax; a map is made of each class's logits or probabilities: export it without the ArgMax"
        )
    _, *shape = _shape(tensor, 4, f"targets.{name}")
    channels = shape[_axis_of_channels(spec) - 1]
    if target.classes:
        if channels is None:
            raise RequestError(
                f"targets.{name}: the graph leaves open how many planes {tensor.name!r} has; export it with fixed ones"
            )
        planes = channels if channels == 1 and len(target.classes) == 2 else len(target.classes)
        what = f"{planes} classes"
    else:
        planes = len(target.channels) or channels or 1
        what = f"{planes} channels"
    wanted = _in_layout((planes, spec.window, spec.window), spec)
    _require_shape(f"targets.{name}", tensor, shape, wanted, f"{what} in windows of {spec.window}")


def _require_numbers(field: str, tensor: onnx.ValueInfoProto) -> None:
    if tensor.type.tensor_type.elem_type not in _NUMBERS:
        kind = TensorProto.DataType.Name(tensor.type.tensor_type.elem_type)
        raise RequestError(
            f"{field}: {tensor.name!r} is of type {kind} in the graph, which is no number of a pixel"
        )


def _require_shape(
    field: str,
    tensor: onnx.ValueInfoProto,
    found: Sequence[int | None],
    wanted: Sequence[int],
    in_words: str,
) -> None:
    if any(size not in (None, want) for size, want in zip(found, wanted, strict=True)):
        shown = " x ".join("?" if size is None else str(size) for size in found)
        raise RequestError(
            f"{field}: {tensor.name!r} is {shown} in the graph, but the spec says {in_words}, "
            f"{' x '.join(map(str, wanted))}; put bands, classes, channels, dates, window or layout right"
        )


def _axes(item: PackedInput, spec: PackSpec) -> str:
    """The axes of an input's tensor."""
    if item.dates == 1:
        return spec.layout
    return item.axes or ("NCTHW" if spec.layout == "NCHW" else "NTHWC")


def _handed_out(item: PackedInput, spec: PackSpec) -> tuple[int, ...]:
    """A window's shape as the engine has it."""
    return (len(item.bands), *((item.dates,) if item.dates > 1 else ()), spec.window, spec.window)


def _in_layout(shape: tuple[int, int, int], spec: PackSpec) -> tuple[int, int, int]:
    return shape if spec.layout == "NCHW" else (shape[1], shape[2], shape[0])


def _axis_of_channels(spec: PackSpec) -> int:
    return 1 if spec.layout == "NCHW" else 3


def _shape(tensor: onnx.ValueInfoProto, rank: int = 0, field: str = "", axes: str = "") -> list[int | None]:
    """Sizes of a tensor, None where they are open."""
    dims = tensor.type.tensor_type.shape.dim
    if rank and len(dims) != rank:
        hint = "; one more is of dates: say how many, as dates" if len(dims) == rank + 1 == 5 and axes else ""
        of_dates = f" ({axes})" if rank == 5 else ""
        raise RequestError(
            f"{field}: {tensor.name!r} has {len(dims)} axes in the graph; windows have {rank}{of_dates}, the first the "
            f"batch{hint}"
        )
    return [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in dims]


def _value(name: str, batch: int | None, *shape: int) -> onnx.ValueInfoProto:
    value: onnx.ValueInfoProto = helper.make_tensor_value_info(
        name, TensorProto.FLOAT, [batch or "batch", *shape]
    )
    return value


def _out_of_the_way(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with an operator set that has what is put around it, and names that are not ours."""
    try:
        default = next(
            (opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), _OPSET
        )
        if default < _OPSET:
            model = onnx.version_converter.convert_version(model, _OPSET)
        return onnx.compose.add_prefix(model, _OWN)
    except Exception as error:  # the converter's errors have no common base
        raise RequestError(
            f"model: the graph cannot be brought to operator set {_OPSET}: {one_line(error)}; export it with that or a "
            "later one"
        ) from error
