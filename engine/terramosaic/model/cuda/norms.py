"""Group normalisation found again: PyTorch's exporter spells it in seven operators, ONNX Runtime has it as one.

    x → Reshape → InstanceNormalization → Reshape → Mul → Add (→ Sigmoid → Mul)      becomes      x → GroupNorm
    a, b → Add → GroupNorm                                                           becomes      a, b → SkipGroupNorm

ONNX Runtime's own kernels read half precision, sum in single precision, and read and write each number once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, helper

from terramosaic.model.cuda.graph import MICROSOFT, Graph, attribute


@dataclass(frozen=True)
class _Found:
    """A group normalisation's nodes and what they say."""

    nodes: list[NodeProto]
    gamma: str
    beta: str
    groups: int
    with_silu: bool


def fuse_group_norms(graph: Graph) -> int:
    """Replaces each group normalisation, and a SiLU after it, by one GroupNorm node; returns how many.

    The node is put down with its channels first, as its neighbours have them; `terramosaic.model.cuda.layout` turns it.
    """
    producers, consumers = graph.producers(), graph.consumers()
    replaced: dict[int, NodeProto | None] = {}
    for node in graph.nodes:
        if node.op_type != "InstanceNormalization":
            continue
        found = _match(graph, node, producers, consumers)
        if found is None:
            continue
        new = helper.make_node(
            "GroupNorm",
            [found.nodes[0].input[0], found.gamma, found.beta],
            [found.nodes[-1].output[0]],
            domain=MICROSOFT,
            activation=int(found.with_silu),
            channels_last=0,
            epsilon=attribute(node, "epsilon", 1e-5),
            groups=found.groups,
        )
        replaced |= {id(old): None for old in found.nodes} | {id(found.nodes[-1]): new}
    kept = (replaced.get(id(node), node) for node in graph.nodes)
    graph.nodes = [node for node in kept if node is not None]
    return sum(node is not None for node in replaced.values())


def _match(
    graph: Graph, norm: NodeProto, producers: dict[str, NodeProto], consumers: dict[str, list[NodeProto]]
) -> _Found | None:
    def only_reader(node: NodeProto, kind: str) -> NodeProto | None:
        readers = consumers.get(node.output[0], [])
        alone = len(readers) == 1 and node.output[0] not in graph.outputs
        return readers[0] if alone and readers[0].op_type == kind else None

    before = producers.get(norm.input[0])
    back = only_reader(norm, "Reshape")
    scale = back and only_reader(back, "Mul")
    shift = scale and only_reader(scale, "Add")
    if before is None or before.op_type != "Reshape" or back is None or scale is None or shift is None:
        return None
    # The exporter leaves the instance normalisation's own scale and shift at one and zero.
    one, zero = graph.value(norm.input[1]), graph.value(norm.input[2])
    gamma, beta = _per_channel(graph, scale), _per_channel(graph, shift)
    shape = graph.shapes.get(before.input[0], ())
    if one is None or zero is None or not (one == 1).all() or zero.any() or gamma is None or beta is None:
        return None
    if (
        len(shape) not in (3, 4)
        or None in shape[1:]
        or gamma.shape != (shape[1],)
        or beta.shape != gamma.shape
    ):
        return None
    nodes = [before, norm, back, scale, shift]
    silu = _silu(shift, consumers) if shift.output[0] not in graph.outputs else []
    return _Found(
        nodes + silu,
        graph.add_constant("gamma", gamma),
        graph.add_constant("beta", beta),
        len(one),
        bool(silu),
    )


def _per_channel(graph: Graph, node: NodeProto) -> np.ndarray | None:
    """The factors or terms of a product or sum whose other operand is a constant (C, 1, …), as a float32 vector."""
    for name in node.input:
        if (array := graph.value(name)) is not None and array.ndim > 1 and array.size == max(array.shape):
            return np.array(array, np.float32).reshape(-1)
    return None


def _silu(node: NodeProto, consumers: dict[str, list[NodeProto]]) -> list[NodeProto]:
    """The two nodes of ``y * sigmoid(y)``, where nothing else reads y."""
    name = node.output[0]
    readers = consumers.get(name, [])
    sigmoids = [reader for reader in readers if reader.op_type == "Sigmoid"]
    products = [reader for reader in readers if reader.op_type == "Mul"]
    if len(readers) != 2 or len(sigmoids) != 1 or len(products) != 1:
        return []
    if set(products[0].input) != {name, sigmoids[0].output[0]} or len(consumers[sigmoids[0].output[0]]) != 1:
        return []
    return [sigmoids[0], products[0]]


def fuse_skips(graph: Graph) -> int:
    """Lets a GroupNorm with channels last make the sum that it reads, which others may go on reading; how many did."""
    consumers = graph.consumers()
    replaced: dict[int, NodeProto | None] = {}
    for node in graph.nodes:
        shapes = [graph.shapes.get(name) for name in node.input]
        if node.op_type != "Add" or len(shapes[0] or ()) != 4 or shapes[0] != shapes[1]:
            continue
        norms = [
            reader
            for reader in consumers.get(node.output[0], [])
            if reader.op_type == "GroupNorm" and reader.input[0] == node.output[0]
        ]
        if len(norms) != 1 or any(name in graph.constants for name in node.input):
            continue
        (norm,) = norms
        first, second = node.input
        new = helper.make_node(
            "SkipGroupNorm", [first, norm.input[1], norm.input[2], second], [norm.output[0], node.output[0]]
        )
        new.domain = MICROSOFT
        new.attribute.extend(norm.attribute)
        replaced |= {id(node): new, id(norm): None}
    kept = (replaced.get(id(node), node) for node in graph.nodes)
    graph.nodes = [node for node in kept if node is not None]
    return len(replaced) // 2
