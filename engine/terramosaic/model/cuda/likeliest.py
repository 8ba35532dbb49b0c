"""Greedy graphs: those that draw tokens, without the nucleus that nobody draws from.

An exported graph chooses at its end, by the mass that it is given:

    logits → nucleus → drawn ──┐
    logits → ArgMax ───────────┴→ Where(top_p > 0) → ids

Which of the two it is has been decided before a run begins; of a greedy one the first is left out, and all that it
alone is made of. The ids are the same bits.
"""

from __future__ import annotations

from pathlib import Path

from onnx import NodeProto

from terramosaic.model.cuda.graph import Graph, load_graph

#: Input that tells the mass of the nucleus.
_MASS = "top_p"


def write_likeliest(source: Path, target: Path) -> None:
    """Rewrites a graph so that it takes the most probable tokens; its weights are written beside it.

    Raises:
        ModelError: it holds loops or branches.
    """
    graph = load_graph(source)
    take_likeliest(graph)
    graph.save(target)


def take_likeliest(graph: Graph) -> int:
    """Has a graph take the most probable tokens; returns how often it chose. It keeps its inputs."""
    producers = graph.producers()
    choices = [node for node in graph.nodes if node.op_type == "Where" and _is_asked(graph, node, producers)]
    for node in choices:
        node.op_type = "Identity"
        del node.input[:2]
    return len(choices)


def _is_asked(graph: Graph, choice: NodeProto, producers: dict[str, NodeProto]) -> bool:
    """Whether a choice is the one of a mass above nothing."""
    asked = producers.get(choice.input[0])
    if asked is None or asked.op_type != "Greater" or asked.input[0] != _MASS:
        return False
    bound = graph.value(asked.input[1])
    return bound is not None and not bound.any()
