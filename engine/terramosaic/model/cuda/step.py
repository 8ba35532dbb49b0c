"""A diffusion decoder's step graph for CUDA: fused, channels last, its convolutions in half precision.

What is exported is PyTorch's graph, operator by operator, in single precision. It becomes, in this order:

1. group normalisation and SiLU one operator (`terramosaic.model.cuda.norms`);
2. the time embedding's products one, added by the convolutions (`terramosaic.model.cuda.timestep`);
3. channels last, with ONNX Runtime's ``NhwcConv`` and ``GroupNorm`` (`terramosaic.model.cuda.layout`);
4. sums that a normalisation reads made by it (``SkipGroupNorm``);
5. half precision from the first convolution to the last one (`terramosaic.model.cuda.half`). In single precision
   stay the noisy sample, the time embedding, the statistics of normalisations, the denoising update and the values
   in their unit.

The first four change the arithmetic's order, not what is computed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from terramosaic.errors import ModelError
from terramosaic.model.cuda.graph import Graph, load_graph
from terramosaic.model.cuda.half import between, to_half
from terramosaic.model.cuda.layout import channels_last
from terramosaic.model.cuda.norms import fuse_group_norms, fuse_skips
from terramosaic.model.cuda.timestep import merge_time_products

logger = logging.getLogger(__name__)

_PRODUCTS = frozenset(("Conv", "Einsum", "MatMul", "NhwcConv"))


def prepare_step(source: Path, target: Path, *, in_half: bool = True) -> None:
    """Rewrites a step graph for CUDA; see the module. Only CUDA can run the result.

    Args:
        source: the graph as exported (opset 20: later ones spell group normalisation in an operator that ONNX Runtime
            has no CUDA kernel for); its weights in single precision, or in half and cast.
        target: the graph to write; its weights are written beside it, as ``<stem>.data``.
        in_half: whether the last of these is done; without it, numbers keep the range of single precision.

    Raises:
        ModelError: a weight is too large for half precision, the graph holds loops or branches, or none of its group
            normalisations is spelled as they are known.
    """
    graph = load_graph(source)
    _require_fused(fuse_step(graph), source)
    # Weights that are stored in half become what the graph computes in.
    to_half(graph, half_part_of_step(graph) if in_half else ())
    graph.save(target)


@dataclass(frozen=True)
class Fusions:
    """What was found in a step graph, and made one operator of several.

    Attributes:
        norms: group normalisations that were fused.
        skips: of these, those that make the sum that they read.
        blocks: that are told the time by one product.
        left: names of the normalisations that are spelled otherwise, and were left as they are.
    """

    norms: int
    skips: int
    blocks: int
    left: tuple[str, ...]


def fuse_step(graph: Graph) -> Fusions:
    """The rewriting that leaves all numbers in single precision; tells what it found."""
    norms = fuse_group_norms(graph)
    left = tuple(node.output[0] for node in graph.nodes if node.op_type == "InstanceNormalization")
    blocks = merge_time_products(graph)
    channels_last(graph)
    skips = fuse_skips(graph)
    return Fusions(norms, skips, blocks, left)


def _require_fused(found: Fusions, source: Path) -> None:
    """Refuses a U-Net that would run as it was exported, at a fraction of the speed; tells of one that does in part.

    Another version of PyTorch's exporter may spell what `terramosaic.model.cuda.norms` looks for in another way.
    """
    logger.debug("%s: %s", source, found)
    if found.left and not found.norms:
        raise ModelError(
            f"{source}: none of its {len(found.left)} group normalisations is spelled as this version of terramosaic "
            "knows it, so nothing can be fused for CUDA; export the bundle again with the torch and onnxscript of an "
            "earlier export, or ask for cpu"
        )
    if found.left:
        logger.warning(
            "%s: %d of %d group normalisations are not fused and take longer on CUDA: %s",
            source,
            len(found.left),
            len(found.left) + found.norms,
            ", ".join(found.left),
        )
    if found.norms and not (found.skips and found.blocks):
        logger.warning(
            "%s: %d sums are fused with a normalisation and %d blocks told the time by one product; where there are "
            "none, it takes longer on CUDA",
            source,
            found.skips,
            found.blocks,
        )


def half_part_of_step(graph: Graph) -> set[int]:
    """Ids of the nodes between the first and the last product of pixels, and of the one that deals out the time."""
    of_pixels = graph.descendants(name for name in graph.inputs if name in ("x", "code"))
    products = [node for node in graph.nodes if node.op_type in _PRODUCTS and id(node) in of_pixels]
    half = (between(graph, products) | {id(node) for node in products}) & of_pixels
    biases = {node.input[2] for node in products if len(node.input) > 2}
    # Cast before it is dealt out: one cast instead of one for each block.
    return half | {id(node) for node in graph.nodes if node.op_type == "Split" and biases & set(node.output)}
