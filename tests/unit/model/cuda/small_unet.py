"""A U-Net of a few channels, spelled as PyTorch's exporter spells TerraMind's, for `terramosaic.model.cuda` to find.

Patches of 2, three residual blocks that are told the time, attention on joined pixels, one halving and one doubling.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

#: Side of the sample, of the code, groups of a normalisation, channels.
SIDE, CODE, GROUPS, WIDTH = 16, 4, 4, 16


def write_small_unet(path: Path, *, stored_in_half: bool = False) -> Path:
    """Writes a step graph of `a_step`'s input, with weights beside it."""
    unet = _Unet()
    unet.build()
    free = ["batch"]
    inputs = {"x": [*free, 2, SIDE, SIDE], "code": [*free, 3, CODE, CODE], "t": [1], "coefficients": [4]}
    graph = helper.make_graph(
        unet.nodes,
        "step",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, inputs["x"]) for name in ("next", "values")],
        list(unet.constants.values()),
    )
    if stored_in_half:
        _store_in_half(graph)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save_model(
        model, str(path), save_as_external_data=True, location=f"{path.stem}.data", size_threshold=256
    )
    onnx.checker.check_model(str(path), full_check=True)
    return path


def a_step(batch: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Input of a step."""
    rng = np.random.default_rng(seed)
    return {
        "x": rng.standard_normal((batch, 2, SIDE, SIDE), np.float32),
        "code": (rng.integers(0, 5, (batch, 3, CODE, CODE)) / 4).astype(np.float32),
        "t": np.array([799], np.float32),
        "coefficients": np.array([0.6, 0.9, 0.3, 1], np.float32),
    }


def _store_in_half(graph: onnx.GraphProto) -> None:
    """As the exporter does for fp16: large weights in half precision, each followed by a Cast."""
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) > 64:
            name = tensor.name
            tensor.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{name}.half")
            )
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


class _Unet:
    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}
        self._rng = np.random.default_rng(5)

    def build(self) -> None:
        selected = [
            self.add("Gather", "coefficients", self.constant(np.array(index)), axis=0) for index in range(4)
        ]
        code = self.add("Sub", self.add("Mul", "code", self.number(2)), self.number(1))
        parted = self.shaped("x", -1, 2, SIDE // 2, 2, SIDE // 2, 2)
        patches = self.shaped(self.add("Transpose", parted, perm=[0, 1, 3, 5, 2, 4]), -1, 8, 8, 8)
        sizes = self.add("Concat", self.add("Shape", code, start=0, end=2), self.integers(8, 8), axis=0)
        wide = self.add("Resize", code, "", "", sizes, **_NEAREST)
        h = self.convolution(self.add("Concat", patches, wide, axis=1), 11, WIDTH)
        time = self.time()
        first = h = self.block(h, time, WIDTH, WIDTH)
        h = self.convolution(h, WIDTH, WIDTH, strides=[2, 2])
        h = self.attention(self.block(h, time, WIDTH, 2 * WIDTH), 2 * WIDTH, 4)
        factors = self.constant(np.array([1, 1, 2, 2], np.float32))
        h = self.convolution(self.add("Resize", h, "", factors, **_NEAREST), 2 * WIDTH, 2 * WIDTH)
        h = self.block(self.add("Concat", h, first, axis=1), time, 3 * WIDTH, WIDTH)
        x0 = self.convolution(self.silu(self.norm(h, WIDTH)), WIDTH, 8)
        x0 = self.add("Transpose", self.shaped(x0, -1, 2, 2, 2, 8, 8), perm=[0, 1, 4, 2, 5, 3])
        self.update(self.shaped(x0, -1, 2, SIDE, SIDE), *selected)

    def update(self, x0: str, a: str, b: str, c: str, clip: str) -> None:
        bounded = self.add("Min", self.add("Max", x0, self.add("Neg", clip)), clip)
        sums = self.add("Add", self.add("Mul", a, bounded), self.add("Mul", b, "x"))
        self.nodes.append(helper.make_node("Sub", [sums, self.add("Mul", c, x0)], ["next"]))
        mean, std = (self.constant(np.float32(pair).reshape(1, 2, 1, 1)) for pair in ((-12, -20), (5, 6)))
        self.nodes.append(helper.make_node("Add", [self.add("Mul", "next", std), mean], ["values"]))

    def time(self) -> str:
        angles = self.add("Mul", self.add("Unsqueeze", "t", self.integers(0)), self.weight(1, 8, scale=0.01))
        return self.linear(
            self.add("Concat", self.add("Cos", angles), self.add("Sin", angles), axis=-1), 16, 32
        )

    def block(self, x: str, time: str, width: int, out: int) -> str:
        h = self.convolution(self.silu(self.norm(x, width)), width, out)
        told = self.add("Unsqueeze", self.linear(time, 32, out), self.integers(2, 3))
        h = self.convolution(self.silu(self.norm(self.add("Add", h, told), out)), out, out)
        skip = x if width == out else self.convolution(x, width, out, kernel=1)
        return self.add("Add", skip, h)

    def attention(self, image: str, width: int, side: int) -> str:
        x = self.shaped(image, -1, width, side * side)
        qkv = self.flat_convolution(self.norm(x, width, rank=3), width, 3 * width)
        q, k, v = (f"{qkv}:{part}" for part in "qkv")
        self.nodes.append(helper.make_node("Split", [qkv], [q, k, v], axis=1, num_outputs=3))
        scale = self.number(width**-0.25)
        weight = self.add(
            "Einsum", self.add("Mul", q, scale), self.add("Mul", k, scale), equation="bct,bcs->bts"
        )
        found = self.add("Einsum", self.add("Softmax", weight, axis=-1), v, equation="bts,bcs->bct")
        h = self.flat_convolution(self.shaped(found, -1, width, side * side), width, width)
        return self.shaped(self.add("Add", x, h), -1, width, side, side)

    def norm(self, x: str, width: int, rank: int = 4) -> str:
        one, zero = (self.constant(np.full(GROUPS, value, np.float32)) for value in (1, 0))
        grouped = self.add("Reshape", x, self.integers(0, GROUPS, -1), allowzero=0)
        normal = self.add("InstanceNormalization", grouped, one, zero, epsilon=1e-5)
        back = self.add("Reshape", normal, self.add("Shape", x, start=0), allowzero=0)
        ones = [1] * (rank - 2)
        gamma = self.constant(1 + 0.3 * self._rng.standard_normal((width, *ones)).astype(np.float32))
        beta = self.constant(0.3 * self._rng.standard_normal((width, *ones)).astype(np.float32))
        return self.add("Add", self.add("Mul", back, gamma), beta)

    def silu(self, x: str) -> str:
        return self.add("Mul", x, self.add("Sigmoid", x))

    def linear(self, x: str, width: int, out: int) -> str:
        return self.add("Gemm", x, self.weight(out, width), self.weight(out, scale=0.1), transB=1)

    def convolution(self, x: str, width: int, out: int, kernel: int = 3, **options: object) -> str:
        weight, bias = self.weight(out, width, kernel, kernel), self.weight(out, scale=0.1)
        pads = [kernel // 2] * 4
        return self.add("Conv", x, weight, bias, kernel_shape=[kernel, kernel], pads=pads, **options)

    def flat_convolution(self, x: str, width: int, out: int) -> str:
        weight, bias = self.weight(out, width, 1), self.weight(out, scale=0.1)
        return self.add("Conv", x, weight, bias, kernel_shape=[1], pads=[0, 0], group=1)

    def shaped(self, x: str, *shape: int) -> str:
        return self.add("Reshape", x, self.integers(*shape), allowzero=1)

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        output = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))  # type: ignore[arg-type]
        return output

    def weight(self, *shape: int, scale: float | None = None) -> str:
        scale = scale or float(np.prod(shape[1:])) ** -0.5
        return self.constant(scale * self._rng.standard_normal(shape, np.float32))

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def integers(self, *numbers: int) -> str:
        return self.constant(np.array(numbers))

    def constant(self, array: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants[name] = numpy_helper.from_array(array, name)
        return name


_NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
