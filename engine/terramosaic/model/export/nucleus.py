"""Drawing tokens from the nucleus without sorting them: 15 360 logits for each of 196 tokens of each window.

The nucleus of mass p holds the tokens that have less than p before them when sorted by probability: all above some
logit. Where it is cut is found by bisection; a token is then drawn from what is left by the inverse of its cumulative
distribution, in the codebook's order, first among groups and then within one.

Source: Holtzman et al., The Curious Case of Neural Text Degeneration (https://arxiv.org/abs/1904.09751); terratorch's
``GenerationSampler.top_k_top_p_filtering`` is the reference for which tokens are kept.
"""

from __future__ import annotations

import torch
from torch.nn import functional

#: Logits so far below the largest are never kept: all of them together have a mass below 1e-8.
_RANGE = 30.0

#: Halvings of the range: 30 / 2^25 is below float32's own spacing of the logits that matter.
_HALVINGS = 25

#: Tokens of a group. Cumulative sums over 128 are short, and so exact and fast on any device.
_GROUP = 128


def draw(logits: torch.Tensor, uniform: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """Draws a token from each row of logits, at temperature 1.

    Args:
        logits: float32 (N, tokens, codes).
        uniform: float32 (N, tokens), in [0, 1): where in the cumulative distribution.
        top_p: float32 (1,), mass of the nucleus; 0 takes the most probable token.

    Returns:
        int64 (N, tokens); -1 where the logits are not numbers.
    """
    below = logits - logits.amax(dim=-1, keepdim=True)
    weight = below.exp()
    # A token stays if what is above it has no more than this.
    total = weight.sum(dim=-1, keepdim=True)
    most = top_p * total
    high = torch.zeros_like(most)
    low = high - _RANGE
    for _ in range(_HALVINGS):
        middle = (low + high) * 0.5
        above = torch.where(below > middle, weight, 0.0).sum(dim=-1, keepdim=True)
        is_kept = above <= most
        high, low = torch.where(is_kept, middle, high), torch.where(is_kept, low, middle)
    kept = torch.where(below > low, weight, 0.0)
    drawn = _inverse(kept, uniform)
    ids = torch.where(top_p > 0, drawn, logits.argmax(dim=-1))
    # Neither greater nor smaller than 0 is what is no number; a token made of it would look like any other.
    return torch.where(total.squeeze(-1) > 0, ids, -1)


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
