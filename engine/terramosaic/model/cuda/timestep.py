"""The time embedding's way into the residual blocks, shortened: 32 small products become one, 32 sums over pixels none.

All windows of a run are at the same time step, so that the embedding is one row, and a block's share of it one number
per channel, which the convolution before can add with its bias:

    time → Gemm → Unsqueeze ─┐                                 time → Gemm (of all blocks) → Split → Squeeze ─┐
    h → Conv(bias) ────────→ Add → GroupNorm         becomes   h ─────────────────────→ Conv(its share) → GroupNorm

A block's bias joins the product's own. Without this, each block would read and write its activations once more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, helper

from terramosaic.model.cuda.graph import FLOAT, Constant, Graph, attribute


@dataclass(frozen=True)
class _Share:
    """A block's nodes: the product of the time embedding, its change of shape, the sum, and the convolution before."""

    product: NodeProto
    widened: NodeProto
    sum: NodeProto
    convolution: NodeProto

    def channels(self, graph: Graph) -> int:
        return graph.constants[self.product.input[1]].shape[0]


def merge_time_products(graph: Graph) -> int:
    """Merges the time embedding's products and has the convolutions add them; returns how many were merged."""
    shares = _find(graph)
    by_input: dict[str, list[_Share]] = {}
    for share in shares:
        by_input.setdefault(share.product.input[0], []).append(share)
    dropped: set[int] = set()
    for time, together in by_input.items():
        graph.nodes += _merged(graph, time, together)
        for share in together:
            share.convolution.output[0] = share.sum.output[0]
            dropped |= {id(share.product), id(share.widened), id(share.sum)}
    graph.nodes = [node for node in graph.nodes if id(node) not in dropped]
    graph.sort()
    return len(shares)


def _find(graph: Graph) -> list[_Share]:
    producers, consumers = graph.producers(), graph.consumers()
    shares = []
    for node in graph.nodes:
        if node.op_type != "Add":
            continue
        parents = [producers.get(name) for name in node.input]
        for convolution, widened in (parents, parents[::-1]):
            product = producers.get(widened.input[0]) if widened is not None else None
            if convolution is None or widened is None or product is None:
                continue
            share = _Share(product, widened, node, convolution)
            if _fits(graph, share) and all(
                len(consumers[name]) == 1 and name not in graph.outputs
                for name in (product.output[0], widened.output[0], convolution.output[0])
            ):
                shares.append(share)
                break
    return shares


def _fits(graph: Graph, share: _Share) -> bool:
    product, widened, convolution = share.product, share.widened, share.convolution
    kinds = (product.op_type, widened.op_type in ("Unsqueeze", "Reshape"), convolution.op_type)
    if kinds != ("Gemm", True, "Conv") or len(product.input) != 3 or len(convolution.input) != 3:
        return False
    if attribute(product, "transB", 0) != 1 or any(
        attribute(product, name, default) != default
        for name, default in (("transA", 0), ("alpha", 1), ("beta", 1))
    ):
        return False
    if any(name not in graph.constants for name in (*product.input[1:], *convolution.input[1:])):
        return False
    channels = share.channels(graph)
    return (
        graph.shapes.get(widened.output[0]) == (1, channels, 1, 1)
        and graph.constants[convolution.input[2]].shape == (channels,)
        and graph.constants[product.input[2]].shape == (channels,)
    )


def _merged(graph: Graph, time: str, shares: list[_Share]) -> list[NodeProto]:
    channels = [share.channels(graph) for share in shares]
    depth = graph.constants[shares[0].product.input[1]].shape[1]
    # Bound now: the convolutions' biases are replaced below, before the arrays are made.
    weights = [graph.constants[share.product.input[1]] for share in shares]
    biases = [
        (graph.constants[share.product.input[2]], graph.constants[share.convolution.input[2]])
        for share in shares
    ]
    weight = Constant(
        FLOAT, (sum(channels), depth), lambda: np.concatenate([np.float32(part.read()) for part in weights])
    )
    bias = Constant(
        FLOAT,
        (sum(channels),),
        lambda: np.concatenate([np.float32(own.read()) + np.float32(other.read()) for own, other in biases]),
    )
    row, vector = graph.new_name("time"), graph.new_name("time")
    parts = [graph.new_name("time") for _ in shares]
    graph.types |= dict.fromkeys((row, vector, *parts), FLOAT)
    graph.shapes |= {row: (1, sum(channels)), vector: (sum(channels),)}
    graph.shapes |= {name: (count,) for name, count in zip(parts, channels, strict=True)}
    for share, part in zip(shares, parts, strict=True):
        share.convolution.input[2] = part
    return [
        helper.make_node(
            "Gemm",
            [time, graph.add_constant("time.weight", weight), graph.add_constant("time.bias", bias)],
            [row],
            transB=1,
        ),
        helper.make_node("Reshape", [row, graph.add_constant("time.shape", np.array([-1]))], [vector]),
        helper.make_node(
            "Split", [vector, graph.add_constant("time.split", np.array(channels))], parts, axis=0
        ),
    ]
