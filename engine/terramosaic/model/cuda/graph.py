"""An ONNX graph that is rewritten while its weights stay on disk: each is read, changed and written on its own.

A step graph's weights are some 800 MB; rewriting one takes 300 MB of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from terramosaic.errors import ModelError, one_line

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16

#: Operators of ONNX Runtime's own, some of which only CUDA has.
MICROSOFT = "com.microsoft"

#: Constants from this size on are written beside the graph; smaller ones stay in it, where shape inference sees them.
_EXTERNAL_FROM_BYTES = 1024
#: Constants beside the graph begin at multiples of this, so that they can be mapped.
_ALIGNMENT = 4096

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Constant:
    """A constant whose numbers are made when they are asked for.

    Attributes:
        type: ONNX element type.
        shape: its dimensions.
        read: makes the array, of that type and shape.
    """

    type: int
    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]

    def map(self, change: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...]) -> Constant:
        """The constant after a change that keeps its type."""
        return Constant(self.type, shape, lambda: change(self.read()))


class Graph:
    """A model's main graph.

    Attributes:
        nodes: in an order in which each node's inputs come before it.
        constants: initializers by name.
        types: element type of every tensor, by name.
        shapes: of every tensor whose rank is known; None for a free or unknown size.
    """

    def __init__(self, model: onnx.ModelProto, folder: Path) -> None:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        self.nodes = list(model.graph.node)
        self.inputs = [tensor.name for tensor in model.graph.input]
        self.outputs = [tensor.name for tensor in model.graph.output]
        self.constants = {tensor.name: _constant(tensor, folder) for tensor in model.graph.initializer}
        self.types = {name: constant.type for name, constant in self.constants.items()}
        self.shapes: dict[str, Shape] = {name: constant.shape for name, constant in self.constants.items()}
        for value in (*inferred.input, *inferred.value_info, *inferred.output):
            tensor = value.type.tensor_type
            self.types[value.name] = tensor.elem_type
            if tensor.HasField("shape"):
                self.shapes[value.name] = tuple(
                    size.dim_value if size.HasField("dim_value") else None for size in tensor.shape.dim
                )
        self._model = model
        self._made = 0
        self._absorb_constant_nodes()

    def producers(self) -> dict[str, NodeProto]:
        """The node that makes each tensor."""
        return {name: node for node in self.nodes for name in node.output if name}

    def consumers(self) -> dict[str, list[NodeProto]]:
        """The nodes that read each tensor, once for each time; the graph's outputs are no nodes."""
        found: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                if name:
                    found.setdefault(name, []).append(node)
        return found

    def new_name(self, stem: str) -> str:
        """A name that no tensor has yet."""
        self._made += 1
        return f"{stem}~{self._made}"

    def add_constant(self, stem: str, constant: Constant | np.ndarray) -> str:
        """Adds a constant and returns its name."""
        if isinstance(constant, np.ndarray):
            constant = _in_memory(constant)
        name = self.new_name(stem)
        self.constants[name] = constant
        self.types[name], self.shapes[name] = constant.type, constant.shape
        return name

    def add_output(self, name: str) -> None:
        """Makes a single number of the graph, in single precision, an output of it."""
        self.outputs.append(name)
        self._model.graph.output.append(helper.make_tensor_value_info(name, FLOAT, []))

    def value(self, name: str) -> np.ndarray | None:
        """A constant's numbers; None for what is no constant."""
        return self.constants[name].read() if name in self.constants else None

    def descendants(self, names: Iterable[str]) -> set[int]:
        """Ids of the nodes that depend on any of these tensors."""
        reached, found = set(names), set()
        for node in self.nodes:
            if not reached.isdisjoint(node.input):
                reached.update(filter(None, node.output))
                found.add(id(node))
        return found

    def ancestors(self, names: Iterable[str]) -> set[int]:
        """Ids of the nodes that any of these tensors depends on."""
        wanted, found = set(names), set()
        for node in reversed(self.nodes):
            if not wanted.isdisjoint(node.output):
                wanted.update(filter(None, node.input))
                found.add(id(node))
        return found

    def sort(self) -> None:
        """Puts every node after those that it reads from; the order stays where it can."""
        producers = self.producers()
        done: set[int] = set()
        nodes: list[NodeProto] = []
        for wanted in self.nodes:
            stack = [wanted]
            while stack:
                node = stack[-1]
                first = [
                    producers[name]
                    for name in node.input
                    if name in producers and id(producers[name]) not in done
                ]
                if first and id(node) not in done:
                    stack.extend(reversed(first))
                    continue
                stack.pop()
                if id(node) not in done:
                    done.add(id(node))
                    nodes.append(node)
        self.nodes = nodes

    def drop_unused(self) -> None:
        """Removes nodes and constants that no output depends on."""
        used = self.ancestors(self.outputs)
        self.nodes = [node for node in self.nodes if id(node) in used]
        names = {name for node in self.nodes for name in node.input} | set(self.outputs)
        self.constants = {name: constant for name, constant in self.constants.items() if name in names}

    def save(self, target: Path) -> None:
        """Writes the graph, and its large constants beside it as ``<stem>.data``.

        Raises:
            ModelError: the graph is not valid ONNX any more, by the checker's words; a fault of the rewriting.
        """
        self.drop_unused()
        for number, node in enumerate(self.nodes):
            node.name = f"{node.op_type}_{number}"  # unique, whatever nodes they were made from
        data = target.with_suffix(".data")
        with data.open("wb") as file:
            initializers = [
                _written(name, constant, file, data.name) for name, constant in self.constants.items()
            ]
        if not data.stat().st_size:
            data.unlink()
        graph = helper.make_graph(
            self.nodes,
            self._model.graph.name or "graph",
            self._model.graph.input,
            self._model.graph.output,
            initializers,
        )
        domains = {node.domain for node in self.nodes}
        opsets = [opset for opset in self._model.opset_import if opset.domain in ("", *domains)]
        if MICROSOFT in domains and MICROSOFT not in {opset.domain for opset in opsets}:
            opsets.append(helper.make_opsetid(MICROSOFT, 1))
        model = helper.make_model(graph, opset_imports=opsets, ir_version=self._model.ir_version)
        onnx.save_model(model, str(target))
        try:
            onnx.checker.check_model(str(target))
        except onnx.checker.ValidationError as error:
            raise ModelError(f"{target}: cannot be made ready for CUDA: {one_line(error)}") from error

    def _absorb_constant_nodes(self) -> None:
        """Makes initializers of Constant nodes, and of Casts of constants, as of weights that are stored in half."""
        kept = []
        for node in self.nodes:
            constant = None
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                constant = _in_memory(numpy_helper.to_array(node.attribute[0].t))
            elif node.op_type == "Cast" and node.input[0] in self.constants:
                constant = cast_constant(self.constants[node.input[0]], attribute(node, "to"), node.input[0])
            if constant is None or node.output[0] in self.outputs:
                kept.append(node)
            else:
                self.constants[node.output[0]] = constant
                self.types[node.output[0]], self.shapes[node.output[0]] = constant.type, constant.shape
        self.nodes = kept


def load_graph(path: Path) -> Graph:
    """Reads a graph, not its weights.

    Raises:
        ModelError: it holds loops or branches, whose names this module does not follow, and CUDA graphs not either.
    """
    model = onnx.load_model(str(path), load_external_data=False)
    inner = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
    for node in model.graph.node:
        if any(found.type in inner for found in node.attribute):
            raise ModelError(
                f"{path}: holds a {node.op_type}, which cannot be made ready for CUDA; export it without"
            )
    return Graph(model, path.parent)


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    """An attribute's value."""
    for found in node.attribute:
        if found.name == name:
            return helper.get_attribute_value(found)
    return default


def cast_constant(constant: Constant, to: int, name: str) -> Constant:
    """A constant of another type.

    Raises:
        ModelError: a number is too large for half precision.
    """
    if constant.type == to:
        return constant
    dtype = helper.tensor_dtype_to_np_dtype(to)

    def read() -> np.ndarray:
        numbers = constant.read()
        with np.errstate(over="ignore"):
            cast = numbers.astype(dtype)
        if to == HALF and not np.array_equal(np.isfinite(cast), np.isfinite(numbers)):
            raise ModelError(
                f"{name}: a weight is beyond 65504, the largest number of half precision; ask for precision fp32"
            )
        return cast

    return Constant(to, constant.shape, read)


def _in_memory(array: np.ndarray) -> Constant:
    return Constant(helper.np_dtype_to_tensor_dtype(array.dtype), array.shape, lambda: array)


def _constant(tensor: TensorProto, folder: Path) -> Constant:
    shape = tuple(tensor.dims)
    if tensor.data_location != TensorProto.EXTERNAL:
        return Constant(tensor.data_type, shape, lambda: numpy_helper.to_array(tensor))
    where = {entry.key: entry.value for entry in tensor.external_data}
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))

    def read() -> np.ndarray:
        if 0 in shape:
            return np.empty(shape, dtype)
        return np.memmap(
            folder / where["location"], dtype, "r", int(where.get("offset", 0)), shape or (1,)
        ).reshape(shape)

    return Constant(tensor.data_type, shape, read)


def _written(name: str, constant: Constant, file: Any, location: str) -> TensorProto:
    numbers = np.ascontiguousarray(constant.read()).reshape(
        constant.shape
    )  # the former makes a vector of a scalar
    if numbers.nbytes < _EXTERNAL_FROM_BYTES:
        return numpy_helper.from_array(numbers, name)
    file.write(bytes(-file.tell() % _ALIGNMENT))
    tensor = TensorProto(name=name, data_type=constant.type, dims=constant.shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, entry in (("location", location), ("offset", file.tell()), ("length", numbers.nbytes)):
        tensor.external_data.add(key=key, value=str(entry))
    file.write(numbers.data)
    return tensor
