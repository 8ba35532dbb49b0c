"""Rewrites a denoising step for the CPU: wide 3 x 3 convolutions become Winograd's matrix products.

On a CPU these convolutions are nine tenths of TerraMind's time, and they run at the processor's best rate already; what
is left is to multiply less. A convolution as this rewriting makes it:

    x → channels last → R x → S (R x) → 36 products, tiles by filters → joined tiles → + bias → channels first

R and S cut rows and columns into transformed tiles, see `terramosaic.model.cpu.winograd`. Channels lie last on the
way, so that what is moved is moved in long runs: the other way round takes 1.4 times as long (512 channels, 56
pixels, 2 cores).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from terramosaic.model.cpu.winograd import TAPS, TILE, from_products, into_tiles, transform_filters

#: Smaller images have too few tiles, and narrower convolutions too short products, to win what the transforms cost.
_SMALLEST_SIDE = 28
_FEWEST_CHANNELS = 128


def rewrite_step(source: Path, target: Path) -> None:
    """Writes a step graph with fewer multiplications; inputs, outputs and results (to rounding) are the same.

    Args:
        source: an ONNX graph, weights beside it.
        target: the graph to write; weights go beside it.
    """
    model = onnx.load(str(source))
    _Winograd(model.graph).run()
    onnx.save_model(
        model,
        str(target),
        save_as_external_data=True,
        location=target.with_suffix(".data").name,
        size_threshold=1 << 16,
    )


class _Winograd:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        self._maker = {name: node for node in graph.node for name in node.output}
        self._shapes = {
            value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            for value in (*graph.input, *graph.value_info, *graph.output)
        }
        self._uses: dict[str, int] = {}
        for name in (
            *(name for node in graph.node for name in node.input),
            *(value.name for value in graph.output),
        ):
            self._uses[name] = self._uses.get(name, 0) + 1
        self._shared: set[str] = set()
        self._dropped: set[str] = set()

    def run(self) -> None:
        nodes: list[onnx.NodeProto] = []
        for node in self._graph.node:
            nodes += self._winograd(node) if self._is_wide(node) else [node]
        kept = [node for node in nodes if not set(node.output) & self._dropped]
        del self._graph.node[:]
        self._graph.node.extend(kept)
        used = {name for node in kept for name in node.input}
        initializers = [tensor for tensor in self._graph.initializer if tensor.name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(initializers)

    def _is_wide(self, node: onnx.NodeProto) -> bool:
        """Whether a node is a 3 x 3 convolution that keeps its size, and wide enough to be worth it."""
        if node.op_type != "Conv":
            return False
        said = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        shape, weights = self._shapes.get(node.input[0], []), self._constant(node.input[1])
        return (
            weights is not None
            and weights.shape[2:] == (3, 3)
            and min(weights.shape[:2]) >= _FEWEST_CHANNELS
            and len(shape) == 4
            and min(shape[2:]) >= _SMALLEST_SIDE
            and not any(side % TILE for side in shape[2:])
            and list(said.get("pads", [])) == [1, 1, 1, 1]
            and list(said.get("strides", [1, 1])) == [1, 1]
            and list(said.get("dilations", [1, 1])) == [1, 1]
            and said.get("group", 1) == 1
        )

    def _winograd(self, conv: onnx.NodeProto) -> list[onnx.NodeProto]:
        source, scale = conv.input[0], 1
        doubled = self._doubling(source)
        if doubled is not None:
            self._dropped.add(source)
            source, scale = doubled, 2
        weights = self._constant(conv.input[1])
        assert weights is not None  # or `_is_wide` would have said no
        outputs, channels = weights.shape[:2]
        height, width = self._shapes[conv.input[0]][2:]
        rows, columns = height // TILE, width // TILE
        result = conv.output[0]

        def name(part: str) -> str:
            return f"{result}.{part}"

        def node(kind: str, inputs: list[str], part: str, **attributes: Any) -> onnx.NodeProto:
            return helper.make_node(kind, inputs, [name(part)], name=name(part), **attributes)

        def reshape(of: str, part: str, *sizes: int) -> onnx.NodeProto:
            return node("Reshape", [name(of), self._shape(*sizes)], part)

        filters = self._add(name("filters"), transform_filters(weights))
        nodes = [
            node("Transpose", [source], "last", perm=[0, 2, 3, 1]),
            reshape("last", "rows", 0, height // scale, -1),
            node("MatMul", [self._cut(height // scale, scale), name("rows")], "rows_cut"),
            reshape("rows_cut", "columns", 0, TAPS * rows, width // scale, channels),
            node("MatMul", [self._cut(width // scale, scale), name("columns")], "cut"),
            reshape("cut", "split", 0, TAPS, rows, TAPS, columns * channels),
            node("Transpose", [name("split")], "taps_first", perm=[1, 3, 0, 2, 4]),
            reshape("taps_first", "values", TAPS * TAPS, -1, channels),
            node("MatMul", [name("values"), filters], "products"),
            reshape("products", "flat", TAPS * TAPS, -1),
            node("MatMul", [self._joining(), name("flat")], "sums"),
            reshape("sums", "tiles", TILE, TILE, -1, rows, columns, outputs),
            node("Transpose", [name("tiles")], "joined", perm=[2, 3, 0, 4, 1, 5]),
            reshape("joined", "image", 0, height, width, outputs),
        ]
        if len(conv.input) > 2:
            nodes.append(node("Add", [name("image"), conv.input[2]], "biased"))
        return [
            *nodes,
            helper.make_node("Transpose", [nodes[-1].output[0]], [result], name=result, perm=[0, 3, 1, 2]),
        ]

    def _doubling(self, name: str) -> str | None:
        """What a value is before it is doubled by nearest neighbour, if that is all that makes it and all it is for."""
        node = self._maker.get(name)
        if node is None or node.op_type != "Resize" or self._uses[name] != 1 or len(node.input) < 3:
            return None
        said = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        scales = self._constant(node.input[2])
        is_plain = (
            said.get("mode") == b"nearest"
            and said.get("coordinate_transformation_mode") == b"asymmetric"
            and said.get("nearest_mode") == b"floor"
        )
        doubles = scales is not None and scales.tolist() == [1, 1, 2, 2]
        return node.input[0] if is_plain and doubles else None

    def _constant(self, name: str) -> np.ndarray | None:
        """An initializer's numbers as float32 where they are floats; also where it is stored in half precision."""
        if name in self._initializers:
            array = numpy_helper.to_array(self._initializers[name])
            return array.astype(np.float32) if array.dtype == np.float16 else array
        node = self._maker.get(name)
        if node is not None and node.op_type == "Cast" and node.input[0] in self._initializers:
            return self._constant(node.input[0])
        return None

    def _cut(self, length: int, scale: int) -> str:
        return self._once(
            f"winograd.cut.{length}x{scale}", lambda: into_tiles(length, scale).astype(np.float32)
        )

    def _joining(self) -> str:
        return self._once("winograd.joining", lambda: from_products().astype(np.float32))

    def _shape(self, *sizes: int) -> str:
        return self._once(f"winograd.shape.{sizes}", lambda: np.array(sizes, np.int64))

    def _once(self, name: str, make: Callable[[], np.ndarray]) -> str:
        """The name of an initializer that several convolutions share."""
        if name not in self._shared:
            self._shared.add(self._add(name, make()))
        return name

    def _add(self, name: str, array: np.ndarray) -> str:
        self._graph.initializer.append(numpy_helper.from_array(array, name))
        return name
