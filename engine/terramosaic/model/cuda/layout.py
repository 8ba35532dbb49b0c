"""Channels last: tensor cores read a pixel's channels side by side, PyTorch's exporter puts them plane by plane.

Left to ONNX Runtime, each convolution turns its input and its output. Here a tensor is turned once, where the network
begins, and everything that can work on turned tensors does: convolutions, normalisations, sums, concatenations,
enlarging, attention. What cannot is given the tensor as it was.

A tensor (B, C, H, W), or (B, C, L) where the exporter has joined H and W, is kept as (B, H, W, C).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import NodeProto, helper

from terramosaic.model.cuda.graph import MICROSOFT, Graph, attribute

#: Channels that a product's depth is filled up to a multiple of, with zeros: tensor cores work on eight at a time.
_DEPTH = 8

#: Operators on single numbers, which do not care where these lie.
_ELEMENTWISE = frozenset(("Add", "Div", "Mul", "Neg", "Relu", "Sigmoid", "Sub", "Tanh"))


@dataclass(frozen=True)
class _ChannelsLast:
    """A tensor's twin with channels last, (B, height, width, channels)."""

    name: str
    height: int
    width: int
    channels: int

    @property
    def shape(self) -> tuple[int | None, int, int, int]:
        return (None, self.height, self.width, self.channels)


def channels_last(graph: Graph) -> None:
    """Rewrites all that touches an image's channels to have them last; inputs and outputs of the graph stay."""
    _LayoutRewriting(graph).run()
    graph.drop_unused()


class _LayoutRewriting:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes: list[NodeProto] = []
        self._last: dict[str, _ChannelsLast] = {}
        #: Tensors that exist as they were; the others only turned.
        self._there = {*graph.inputs, *graph.constants}
        self._handlers: dict[str, Callable[[NodeProto], bool]] = dict.fromkeys(
            _ELEMENTWISE, self._elementwise
        )
        self._handlers |= {
            "Conv": self._convolution,
            "GroupNorm": self._norm,
            "Concat": self._concat,
            "Split": self._split,
            "Resize": self._resize,
            "Reshape": self._reshape,
            "Einsum": self._einsum,
        }

    def run(self) -> None:
        for node in self._graph.nodes:
            handler = self._handlers.get(node.op_type)
            if handler is None or not handler(node):
                for name in node.input:
                    self._as_it_was(name)
                self._nodes.append(node)
                self._there.update(filter(None, node.output))
        for name in self._graph.outputs:
            self._as_it_was(name)
        self._graph.nodes = self._nodes

    # Tensors.

    def _add(
        self, kind: str, inputs: list[str], name: str, *, domain: str = "", **attributes: object
    ) -> None:
        self._nodes.append(helper.make_node(kind, inputs, [name], None, None, domain, None, **attributes))
        self._there.add(name)

    def _integers(self, *numbers: int) -> str:
        return self._graph.add_constant("integers", np.array(numbers, np.int64))

    def _turned(self, name: str) -> _ChannelsLast | None:
        """The tensor's twin, made now from an image that has none yet; None for what is no image."""
        if name not in self._last:
            shape = self._graph.shapes.get(name, ())
            if len(shape) not in (3, 4) or None in shape[1:] or name in self._graph.constants:
                return None
            channels, height, width = (size or 0 for size in (*shape[1:], 1)[:3])
            twin = self._new(name, height, width, channels)
            if len(shape) == 4:
                self._add("Transpose", [name], twin.name, perm=[0, 2, 3, 1])
            else:
                turned = self._graph.new_name(name)
                self._graph.types[turned] = self._graph.types[name]
                self._add("Transpose", [name], turned, perm=[0, 2, 1])
                self._add("Reshape", [turned, self._integers(-1, height, 1, channels)], twin.name)
        return self._last[name]

    def _new(self, name: str, height: int, width: int, channels: int) -> _ChannelsLast:
        """Announces the twin of a tensor."""
        twin = _ChannelsLast(self._graph.new_name(name), height, width, channels)
        self._last[name] = twin
        self._graph.types[twin.name], self._graph.shapes[twin.name] = self._graph.types[name], twin.shape
        return twin

    def _as_it_was(self, name: str) -> None:
        """Makes sure that the tensor exists with channels where they were."""
        if name in self._there or name not in self._last:
            return
        twin, rank = self._last[name], len(self._graph.shapes[name])
        if rank == 4:
            self._add("Transpose", [twin.name], name, perm=[0, 3, 1, 2])
        else:
            self._add("Transpose", [self._joined(twin)], name, perm=[0, 2, 1])

    def _joined(self, twin: _ChannelsLast) -> str:
        """(B, H * W, C) of a twin."""
        name = self._graph.new_name(twin.name)
        self._graph.types[name] = self._graph.types[twin.name]
        size = twin.height * twin.width
        self._graph.shapes[name] = (None, size, twin.channels)
        self._add("Reshape", [twin.name, self._integers(-1, size, twin.channels)], name)
        return name

    # Operators. Each returns whether it took the node.

    def _convolution(self, node: NodeProto) -> bool:
        graph, weight = self._graph, self._graph.constants.get(node.input[1])
        shape = graph.shapes.get(node.output[0], ())
        if weight is None or not _is_known(node, len(weight.shape)) or None in shape[2:]:
            return False
        image = self._turned(node.input[0])
        if image is None:
            return False
        filters, depth, *kernel = weight.shape
        is_flat = len(kernel) == 1  # over joined pixels, one by one: the same as over pixels in rows
        kernel = [1, 1] if is_flat else kernel
        height, width = (image.height, image.width) if is_flat else (size or 0 for size in shape[2:])
        filled = math.ceil(depth / _DEPTH) * _DEPTH
        source = image.name
        if filled != depth:
            source = graph.new_name(image.name)
            graph.types[source] = graph.types[image.name]
            self._add("Pad", [image.name, self._integers(*[0] * 7, filled - depth)], source)

        def turn(numbers: np.ndarray) -> np.ndarray:
            turned = np.zeros((filters, *kernel, filled), numbers.dtype)
            turned[..., :depth] = numbers.reshape(filters, depth, *kernel).transpose(0, 2, 3, 1)
            return turned

        turned = graph.add_constant(node.input[1], weight.map(turn, (filters, *kernel, filled)))
        options = {"kernel_shape": kernel}
        for name in () if is_flat else ("dilations", "pads", "strides"):
            if (option := attribute(node, name)) is not None:
                options[name] = option
        result = self._new(node.output[0], height, width, filters)
        self._add("NhwcConv", [source, turned, *node.input[2:]], result.name, domain=MICROSOFT, **options)
        return True

    def _norm(self, node: NodeProto) -> bool:
        image = self._turned(node.input[0])
        if image is None:
            return False
        result = self._new(node.output[0], image.height, image.width, image.channels)
        options = {name: attribute(node, name) for name in ("activation", "epsilon", "groups")}
        self._add(
            "GroupNorm",
            [image.name, *node.input[1:]],
            result.name,
            domain=MICROSOFT,
            channels_last=1,
            **options,
        )
        return True

    def _elementwise(self, node: NodeProto) -> bool:
        known = [self._last[name] for name in node.input if name in self._last]
        if not known:
            return False
        inputs = []
        for name in node.input:
            is_number = math.prod(size or 0 for size in self._graph.shapes.get(name, (None,))) == 1
            if name not in self._last and is_number:
                inputs.append(name)
                continue
            twin = self._turned(name)
            if twin is None or twin.channels != known[0].channels:
                return False
            if twin.shape != known[0].shape:
                if twin.height * twin.width != known[0].height * known[0].width:
                    return False
                inputs.append(self._shaped(twin, known[0].height, known[0].width).name)
            else:
                inputs.append(twin.name)
        result = self._new(node.output[0], known[0].height, known[0].width, known[0].channels)
        self._add(node.op_type, inputs, result.name)
        return True

    def _shaped(self, twin: _ChannelsLast, height: int, width: int) -> _ChannelsLast:
        """The twin with its pixels in other rows."""
        shaped = _ChannelsLast(self._graph.new_name(twin.name), height, width, twin.channels)
        self._graph.types[shaped.name], self._graph.shapes[shaped.name] = (
            self._graph.types[twin.name],
            shaped.shape,
        )
        self._add("Reshape", [twin.name, self._integers(-1, height, width, twin.channels)], shaped.name)
        return shaped

    def _concat(self, node: NodeProto) -> bool:
        if attribute(node, "axis") != 1 or not any(name in self._last for name in node.input):
            return False
        twins = [self._turned(name) for name in node.input]
        parts = [twin for twin in twins if twin is not None]
        if len(parts) != len(twins) or len({part.shape[:3] for part in parts}) != 1:
            return False
        result = self._new(
            node.output[0], parts[0].height, parts[0].width, sum(part.channels for part in parts)
        )
        self._add("Concat", [part.name for part in parts], result.name, axis=3)
        return True

    def _split(self, node: NodeProto) -> bool:
        if attribute(node, "axis", 0) != 1 or node.input[0] not in self._last:
            return False
        shapes = [self._graph.shapes.get(name, ()) for name in node.output]
        channels = [shape[1] if len(shape) > 1 else None for shape in shapes]
        if None in channels:
            return False
        image = self._last[node.input[0]]
        parts = [
            self._new(name, image.height, image.width, count or 0)
            for name, count in zip(node.output, channels, strict=True)
        ]
        sizes = self._integers(*(part.channels for part in parts))
        self._nodes.append(
            helper.make_node("Split", [image.name, sizes], [part.name for part in parts], axis=3)
        )
        self._there.update(part.name for part in parts)
        return True

    def _resize(self, node: NodeProto) -> bool:
        """Enlarges by whole factors, which do not depend on the batch as the exporter's sizes may."""
        shape = self._graph.shapes.get(node.output[0], ())
        ways: dict[str, Any] = {
            "mode": b"nearest",
            "coordinate_transformation_mode": b"asymmetric",
            "nearest_mode": b"floor",
        }
        if (
            any(attribute(node, name) != way for name, way in ways.items())
            or len(shape) != 4
            or None in shape[1:]
        ):
            return False
        image = self._turned(node.input[0])
        if image is None or shape[1] != image.channels:
            return False
        height, width = shape[2] or 0, shape[3] or 0
        if height % image.height or width % image.width:
            return False
        factors = np.array([1, height // image.height, width // image.width, 1], np.float32)
        result = self._new(node.output[0], height, width, image.channels)
        self._add(
            "Resize", [image.name, "", self._graph.add_constant("factors", factors)], result.name, **ways
        )
        return True

    def _reshape(self, node: NodeProto) -> bool:
        """Joining H and W, or parting them again, leaves the twin as it is."""
        before, after = (self._graph.shapes.get(name, ()) for name in (node.input[0], node.output[0]))
        twin = self._last.get(node.input[0])
        if (
            twin is None
            or len(before) not in (3, 4)
            or len(after) not in (3, 4)
            or None in (*before[1:], *after[1:])
        ):
            return False
        if (
            after[1] != twin.channels
            or math.prod(size or 0 for size in after[2:]) != twin.height * twin.width
        ):
            return False
        if len(after) == 4 and after[2:] != (twin.height, twin.width):
            twin = self._shaped(twin, after[2] or 0, after[3] or 0)
        self._last[node.output[0]] = twin
        return True

    def _einsum(self, node: NodeProto) -> bool:
        """Attention's two products: ``bct,bcs->bts`` of queries and keys, ``bts,bcs->bct`` of weights and values."""
        equation = attribute(node, "equation", b"").decode().replace(" ", "")
        twins = [self._last.get(name) for name in node.input]
        if len(twins) != 2 or twins[1] is None:
            return False
        right = self._joined(twins[1])
        if twins[0] is not None and re.fullmatch(r"(\w)(\w)(\w),\1\2(\w)->\1\3\4", equation):
            turned = self._graph.new_name(right)
            self._graph.types[turned] = self._graph.types[right]
            self._add("Transpose", [right], turned, perm=[0, 2, 1])
            self._add("MatMul", [self._joined(twins[0]), turned], node.output[0])
            return True
        if twins[0] is None and re.fullmatch(r"(\w)(\w)(\w),\1(\w)\3->\1\4\2", equation):
            joined = self._graph.new_name(node.output[0])
            self._graph.types[joined] = self._graph.types[node.output[0]]
            if self._graph.shapes[node.output[0]][2] != twins[1].height * twins[1].width:
                return False
            result = self._new(node.output[0], twins[1].height, twins[1].width, twins[1].channels)
            self._as_it_was(node.input[0])
            self._add("MatMul", [node.input[0], right], joined)
            self._add(
                "Reshape",
                [joined, self._integers(-1, result.height, result.width, result.channels)],
                result.name,
            )
            return True
        return False


def _is_known(node: NodeProto, rank: int) -> bool:
    """Whether a convolution over pixels is one that is rewritten: of one group, and plain where pixels are joined."""
    if attribute(node, "group", 1) != 1 or attribute(node, "auto_pad", b"NOTSET") != b"NOTSET":
        return False
    plain = {"kernel_shape": [1], "strides": [1], "dilations": [1], "pads": [0, 0]}
    return rank == 4 or (rank == 3 and all(attribute(node, name, way) == way for name, way in plain.items()))
