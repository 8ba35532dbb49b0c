"""Graphs made for CUDA, run on the CPU with the same rounding: what the rewriting does to the numbers, without a GPU.

ONNX Runtime's operators for CUDA alone are spelled out by ONNX's own, and every tensor in half precision is kept in
single and rounded to half after the operator that makes it. (On the CPU ONNX Runtime computes half precision in single
too, but drops the casts between operators, and with them the rounding.)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import NodeProto, TensorProto, helper, numpy_helper

from terramosaic.model.cuda.graph import HALF, MICROSOFT, attribute

#: Veltkamp's splitter: x * s - (x * s - x) is x with 24 - 13 digits, as half precision has.
_SPLITTER = float(2**13 + 1)


def emulated(path: Path) -> onnxruntime.InferenceSession:
    """A session on the CPU that computes what a graph for CUDA would."""
    model = onnx.load_model(str(path))
    writer = _Writer({tensor.name: tensor for tensor in model.graph.initializer})
    for node in model.graph.node:
        writer.write(node)
    graph = helper.make_graph(
        writer.nodes, "emulated", model.graph.input, model.graph.output, list(writer.constants.values())
    )
    opsets = [opset for opset in model.opset_import if opset.domain != MICROSOFT]
    plain = helper.make_model(graph, opset_imports=opsets, ir_version=model.ir_version)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        plain.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


class _Writer:
    def __init__(self, constants: dict[str, TensorProto]) -> None:
        self.nodes: list[NodeProto] = []
        self.constants = {"splitter": helper.make_tensor("splitter", TensorProto.FLOAT, [], [_SPLITTER])}
        self._half: set[str] = set()
        self._made = 0
        for name, tensor in constants.items():
            array = numpy_helper.to_array(tensor)
            if tensor.data_type == HALF:
                self._half.add(name)
                array = array.astype(np.float32)
            self.constants[name] = numpy_helper.from_array(array, name)

    def write(self, node: NodeProto) -> None:
        is_half = any(name in self._half for name in node.input)
        if node.op_type == "Cast":
            is_half = attribute(node, "to") == HALF
            if is_half:
                node = helper.make_node("Identity", node.input, node.output)
        outputs = list(node.output)
        if is_half:
            self._half.update(outputs)
            del node.output[:]
            node.output.extend(f"{name}:exact" if name else "" for name in outputs)
        {"NhwcConv": self._convolution, "GroupNorm": self._norm, "SkipGroupNorm": self._norm}.get(
            node.op_type, self.nodes.append
        )(node)
        for name in outputs if is_half else ():
            if name:
                self._round(f"{name}:exact", name)

    def _add(self, kind: str, *inputs: str, output: str = "", **attributes: object) -> str:
        self._made += 1
        output = output or f"emulation:{self._made}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))  # type: ignore[arg-type]
        return output

    def _constant(self, array: np.ndarray) -> str:
        self._made += 1
        name = f"emulation:{self._made}"
        self.constants[name] = numpy_helper.from_array(array, name)
        return name

    def _round(self, name: str, output: str = "") -> str:
        scaled = self._add("Mul", name, "splitter")
        return self._add("Sub", scaled, self._add("Sub", scaled, name), output=output)

    def _convolution(self, node: NodeProto) -> None:
        weight = numpy_helper.to_array(self.constants[node.input[1]]).transpose(0, 3, 1, 2)
        names = ("dilations", "kernel_shape", "pads", "strides")
        options = {name: attribute(node, name) for name in names if attribute(node, name) is not None}
        turned = self._add("Transpose", node.input[0], perm=[0, 3, 1, 2])
        made = self._add("Conv", turned, self._constant(weight), *node.input[2:], **options)
        self._add("Transpose", made, output=node.output[0], perm=[0, 2, 3, 1])

    def _normal(self, rows: str, epsilon: float) -> str:
        """Rows (B, groups, N) less their mean, by their deviation, as ONNX Runtime's kernel for CUDA has it.

        It reads a row once and takes the variance as E[x²] − E[x]², in single precision: of rows whose mean is far from
        0 the difference of two large numbers, where ``InstanceNormalization`` takes the mean off first.
        """
        axis = self._constant(np.array([2]))
        mean = self._add("ReduceMean", rows, axis, keepdims=1)
        squares = self._add("ReduceMean", self._add("Mul", rows, rows), axis, keepdims=1)
        variance = self._add("Sub", squares, self._add("Mul", mean, mean))
        above_zero = self._add("Add", variance, self._constant(np.array(epsilon, np.float32)))
        return self._add("Div", self._add("Sub", rows, mean), self._add("Sqrt", above_zero))

    def _norm(self, node: NodeProto) -> None:
        image = node.input[0]
        if node.op_type == "SkipGroupNorm":
            image = self._add("Add", image, node.input[3], output=node.output[1])
            if image.endswith(":exact"):  # the kernel sums what it has rounded
                image = self._round(image)
        groups = attribute(node, "groups")
        turned = self._add("Transpose", image, perm=[0, 3, 1, 2])
        grouped = self._add("Reshape", turned, self._constant(np.array([0, groups, -1])))
        normal = self._normal(grouped, attribute(node, "epsilon"))
        back = self._add("Reshape", normal, self._add("Shape", turned))
        gamma, beta = (
            self._constant(numpy_helper.to_array(self.constants[name])[:, None, None])
            for name in node.input[1:3]
        )
        result = self._add("Add", self._add("Mul", back, gamma), beta)
        if attribute(node, "activation"):
            result = self._add("Mul", result, self._add("Sigmoid", result))
        self._add("Transpose", result, output=node.output[0], perm=[0, 2, 3, 1])
