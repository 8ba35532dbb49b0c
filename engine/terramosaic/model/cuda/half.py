"""Half precision for a chosen part of a graph; every other number stays in single, with casts where the two meet."""

from __future__ import annotations

from collections.abc import Collection

from onnx import NodeProto, helper

from terramosaic.model.cuda.graph import FLOAT, HALF, Graph, cast_constant

#: Inputs, by position, that an operator wants in single precision even when it computes in half.
_ALWAYS_SINGLE = {
    "GroupNorm": (1, 2),  # ONNX Runtime's kernel takes scale and shift in single only
    "SkipGroupNorm": (1, 2),
    "Resize": (1, 2),  # the region and the factors, not pixels
}


def between(graph: Graph, products: Collection[NodeProto]) -> set[int]:
    """Ids of the nodes from a first product on and strictly before a last one: where half precision pays."""
    after = {id(node) for node in products} | graph.descendants(
        name for node in products for name in node.output
    )
    return after & graph.ancestors(name for node in products for name in node.input)


def to_half(graph: Graph, half: Collection[int]) -> None:
    """Computes some nodes in half precision. Inputs and outputs of the graph keep their types.

    Args:
        graph: is changed.
        half: ids of the nodes.
    """
    cast: dict[tuple[str, int], str] = {}
    nodes: list[NodeProto] = []

    def as_type(name: str, wanted: int) -> str:
        """The tensor in another precision: a constant is converted, anything else goes through one Cast."""
        if (name, wanted) not in cast:
            if name in graph.constants:
                cast[name, wanted] = graph.add_constant(
                    name, cast_constant(graph.constants[name], wanted, name)
                )
            else:
                cast[name, wanted] = graph.new_name(name)
                nodes.append(helper.make_node("Cast", [name], [cast[name, wanted]], to=wanted))
        return cast[name, wanted]

    def is_real(name: str) -> bool:
        return bool(name) and graph.types.get(name) in (FLOAT, HALF)

    for node in graph.nodes:
        reads_reals = any(is_real(name) for name in node.input)
        makes_reals = any(is_real(name) or name not in graph.types for name in node.output if name)
        # Without a real number to read, a node's own attributes say what it makes: single.
        precision = HALF if id(node) in half and (reads_reals or node.op_type == "Cast") else FLOAT
        if node.op_type == "Cast":
            _set_result(node, precision)
        else:
            single = _ALWAYS_SINGLE.get(node.op_type, ())
            for position, name in enumerate(node.input):
                wanted = FLOAT if position in single else precision
                if is_real(name) and graph.types[name] != wanted:
                    node.input[position] = as_type(name, wanted)
        if makes_reals and (reads_reals or node.op_type == "Cast"):
            graph.types |= {
                name: precision for name in node.output if is_real(name) or (name and name not in graph.types)
            }
        nodes.append(node)
    _restore_outputs(graph, nodes)
    graph.nodes = nodes


def _set_result(cast: NodeProto, precision: int) -> None:
    """Has a Cast that makes real numbers make them in this precision."""
    for found in cast.attribute:
        if found.name == "to" and found.i in (FLOAT, HALF):
            found.i = precision


def _restore_outputs(graph: Graph, nodes: list[NodeProto]) -> None:
    for name in graph.outputs:
        if graph.types[name] == HALF:
            inner = graph.new_name(name)
            for node in nodes:
                for names in (node.input, node.output):
                    for position, found in enumerate(names):
                        if found == name:
                            names[position] = inner
            nodes.append(helper.make_node("Cast", [inner], [name], to=FLOAT))
