"""TerraMind's encode, decode, tokens and classes graphs in half precision, where it does not show.

Half precision begins with the first matrix product and ends before the last one:

    windows → standardise ┊ embed → blocks of attention and MLP ┊ logits → softmax, top-p, argmax
    single                ┊ half                                ┊ single

Standardising takes a band's mean from numbers near 10 000, of which half precision keeps four digits at most; a logit
that is rounded to half precision moves a token's odds by up to a hundredth. Both cost next to nothing in single
precision: the last product runs on tensor cores nevertheless, in TF32.
"""

from __future__ import annotations

from pathlib import Path

from onnx import NodeProto

from terramosaic.model.cuda.graph import Graph, load_graph
from terramosaic.model.cuda.half import between, to_half
from terramosaic.model.cuda.likeliest import take_likeliest

#: Where the arithmetic is.
_PRODUCTS = frozenset(("Attention", "Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul"))

#: What decides on tokens or classes, or makes odds of logits. Attention has a Softmax too, but inside the operator.
_DECISIONS = frozenset(("ArgMax", "ArgMin", "CumSum", "Exp", "LogSoftmax", "Softmax", "TopK"))


def prepare_transformer(source: Path, target: Path, *, in_half: bool = True, greedy: bool = False) -> None:
    """Rewrites a graph of the transformers for CUDA.

    Args:
        source: the graph as exported, with ONNX's ``Attention`` (opset 23 or later); written otherwise, attention's
            Softmax counts as a decision, and all that follows stays in single precision: right, but slow.
        target: the graph to write; its weights are written beside it.
        in_half: whether any of it is put in half precision; without it, numbers keep the range of single.
        greedy: whether tokens are the most probable ones, and nothing is done to draw others.

    Raises:
        ModelError: a weight is too large for half precision, or the graph holds loops or branches.
    """
    graph = load_graph(source)
    if greedy:
        take_likeliest(graph)
    to_half(graph, half_part_of_transformer(graph) if in_half else ())
    graph.save(target)


def half_part_of_transformer(graph: Graph) -> set[int]:
    """Ids of the nodes from the first product of numbers that nothing was decided on to the last."""
    return between(graph, _undecided_products(graph))


def _undecided_products(graph: Graph) -> list[NodeProto]:
    """Products of numbers that no decision has been made on."""
    decisions = [node for node in graph.nodes if node.op_type in _DECISIONS]
    decided = graph.descendants(name for node in decisions for name in node.output)
    return [node for node in graph.nodes if node.op_type in _PRODUCTS and id(node) not in decided]
