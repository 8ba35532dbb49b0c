"""Drawing tokens from the nucleus without sorting them: 15 360 logits for each of 196 tokens of each window.

The nucleus of mass p holds the tokens that have less than p before them when sorted by probability: all from some
weight on. That weight is looked for in three steps, each of which reads less than the one before:

1. A few halvings of the range that it must lie in, each of which sums what is above the middle.
2. Of what is still undecided the largest are sorted, and their weights added to what is above them until the sum passes
   p of the whole.
3. Rows that are still undecided then, of more weights that lie close together or are equal, are halved on, alone.

Of 15 360 codes a window takes 110 ms of a processor (0.26 s by halvings alone, as until 0.2), and a batch of 32 on a
GPU reads and writes 20 GB (48 GB), counted.

A token is then drawn from what is left by the inverse of its cumulative distribution, in the codebook's order, first
among groups and then within one.

Source: Holtzman et al., The Curious Case of Neural Text Degeneration (https://arxiv.org/abs/1904.09751); terratorch's
``GenerationSampler.top_k_top_p_filtering`` is the reference for which tokens are kept.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

#: Weights so far below the largest are never kept: all of them together have a mass below 1e-8.
_LEAST = math.exp(-30)

#: Halvings of all rows. Of normal logits of any spread they leave 400 of 15 360 weights undecided at most, of most
#: others 1100.
_HALVINGS = 7

#: Weights that are sorted then; ONNX Runtime sorts 4096 at most in one launch.
_SORTED = 1024

#: Halvings of what is left: a range of e^30 is then below float32's own spacing of weights.
_MORE_HALVINGS = 23

#: Tokens of a group. Cumulative sums over 128 are short, and so exact and fast on any device.
_GROUP = 128

#: Sorted weights of a group.
_GROUP_OF_SORTED = 32


def draw(logits: torch.Tensor, uniform: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """Draws a token from each row of logits, at temperature 1.

    Args:
        logits: float32 (..., codes).
        uniform: float32 (...), in [0, 1): where in the cumulative distribution.
        top_p: float32 (1,), mass of the nucleus; 0 takes the most probable token.

    Returns:
        int64 (...); -1 where the logits are not numbers.
    """
    weight = (logits - logits.amax(dim=-1, keepdim=True)).exp()
    total = weight.sum(dim=-1, keepdim=True)
    least = _least_kept(weight.flatten(0, -2), total.flatten(0, -2), top_p).unflatten(0, logits.shape[:-1])
    drawn = _inverse(torch.where(weight >= least, weight, 0.0), uniform)
    ids = torch.where(top_p > 0, drawn, logits.argmax(dim=-1))
    # Neither greater nor smaller than 0 is what is no number; a token made of it would look like any other.
    return torch.where(total.squeeze(-1) > 0, ids, -1)


def _least_kept(weight: torch.Tensor, total: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """The smallest weight in the nucleus, (rows, 1), of weights (rows, codes) up to 1 and their total (rows, 1)."""
    codes = weight.shape[-1]
    # A token stays if what is above it has no more than this; all do in a nucleus of everything.
    most = torch.where(top_p < 1, top_p * total, math.inf)
    # All weights below the mean share of what is left out have less than that together, so the least is not below.
    low = torch.maximum(weight.amin(dim=-1, keepdim=True), (1 - top_p) * total / codes)
    low = (low * (1 - 2**-20)).clamp(min=_LEAST)  # below it even where rounding made it larger
    low, high, above = _halved(weight, most, low, torch.ones_like(low), torch.zeros_like(low), _HALVINGS)
    undecided = torch.where((weight > low) & (weight <= high), weight, 0.0)
    ranked = undecided.topk(torch.sym_min(_SORTED, codes), dim=-1).values
    sums = above + _running_sums(ranked)
    # The first is kept, and each one after it as long as what is before it is no more than that.
    last = (sums <= most).sum(dim=-1, keepdim=True).clamp(max=ranked.shape[-1] - 1)
    least = torch.maximum(ranked.gather(-1, last), low)
    # Found where the sum has passed, or where there is nothing more to sort.
    is_open = (sums[:, -1:] <= most) & (ranked[:, -1:] > 0)
    rows = is_open.squeeze(-1).nonzero().squeeze(-1)
    # Mostly there are none, which not all of ONNX Runtime's operators take: the first row is looked at for nobody.
    looked_at = torch.cat([rows, torch.zeros(1, dtype=torch.long, device=weight.device)])
    some, most, low, high, above = (each[looked_at] for each in (weight, most, low, high, above))
    low, _, _ = _halved(some, most, low, high, above, _MORE_HALVINGS)
    found = torch.where(some > low, some, 1.0).amin(dim=-1, keepdim=True)
    nobody = torch.full((1,), weight.shape[0], dtype=torch.long, device=weight.device)
    return torch.cat([least, found[-1:]]).index_put((torch.cat([rows, nobody]),), found)[:-1]


def _halved(
    weight: torch.Tensor,
    most: torch.Tensor,
    low: torch.Tensor,
    high: torch.Tensor,
    above: torch.Tensor,
    times: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The range of the smallest weight that is kept, low < it <= high, halved in the logarithm; and the sum above."""
    for _ in range(times):
        middle = (low * high).sqrt()
        of_middle = torch.where(weight > middle, weight, 0.0).sum(dim=-1, keepdim=True)
        is_kept = of_middle <= most
        low, high = torch.where(is_kept, low, middle), torch.where(is_kept, middle, high)
        above = torch.where(is_kept, of_middle, above)
    return low, high, above


def _running_sums(ranked: torch.Tensor) -> torch.Tensor:
    """Cumulative sums (rows, n) of weights, in groups: ONNX Runtime's on CUDA takes time that grows with n²."""
    count = ranked.shape[-1]
    groups = functional.pad(ranked, (0, -count % _GROUP_OF_SORTED)).unflatten(-1, (-1, _GROUP_OF_SORTED))
    inside = groups.cumsum(dim=-1)
    ends = inside[..., -1].cumsum(dim=-1)
    before = functional.pad(ends, (1, -1))
    return (inside + before[..., None]).flatten(-2)[:, :count]


def _inverse(weight: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The first index at which the cumulative weight passes the share ``uniform`` of its total."""
    groups = functional.pad(weight, (0, -weight.shape[-1] % _GROUP)).unflatten(-1, (-1, _GROUP))
    of_groups = groups.sum(dim=-1).cumsum(dim=-1)
    wanted = _inside(uniform[..., None] * of_groups[..., -1:], of_groups)
    group = _count_passed(of_groups, wanted)
    before = torch.where(group > 0, of_groups.gather(-1, (group - 1).clamp(min=0)), 0.0)
    inside = groups.gather(-2, group[..., None].expand(*group.shape, _GROUP)).squeeze(-2)
    sums = inside.cumsum(dim=-1)
    return (group * _GROUP + _count_passed(sums, _inside(wanted - before, sums))).squeeze(-1)


def _inside(wanted: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    """What is looked for, from 0 to less than the last sum: rounding may push it out, to what has no weight."""
    return torch.minimum(wanted.clamp(min=0), sums[..., -1:] * (1 - 2**-23))


def _count_passed(sums: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """How many of the rising sums do not pass what is wanted: the index of the first that does, (..., 1)."""
    return (sums <= wanted).sum(dim=-1, keepdim=True).clamp(max=sums.shape[-1] - 1)
