"""What a map tells of its model without any reference: numbers that a sound model does not give.

None of this proves a map right. What fails here is wrong in a way that needs no ground truth: weights that were not
the ones meant, an offset that was not removed, a model that does not look at its input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from terramosaic.block.ndvi import NdviAgreement
from terramosaic.planning.layers import Layer
from terramosaic.planning.plan import Plan

#: Standard deviation of the imagery's NDVI from which on there is something to be seen in it.
_VARIES = 0.05

#: And from which on it is of more than one class: real vegetation alone has 0.08, and 0.15 at most, over 5 km.
_VARIES_BEYOND_A_CLASS = 0.17

#: Pixels below which nothing is concluded.
_FEWEST_PIXELS = 1000

#: Share of pixels of one class, or with one number, and of those at the bound of samples, from which on it is told.
_ONE_VALUE, _AT_BOUND = 0.999, 0.5

#: Stored steps that nearly all of a band must be apart.
_STEPS = 3

#: What counts as at the bound: the last hundredth of the way there from the middle.
_NEAR_BOUND = 0.99

#: Different tokens over all patches of a run; fewer are told.
_FEWEST_TOKENS = 5

_WEIGHTS = "are these the weights you meant?"


@dataclass(frozen=True)
class NdviLimits:
    """Beyond what a generated NDVI is doubted, against the one that the imagery shows.

    Attributes:
        correlation: the least.
        bias: the largest, of either sign.
        error: the largest mean absolute error.
    """

    correlation: float = 0.5
    bias: float = 0.1
    error: float = 0.2

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """A run's: what the request says goes before what the bundle says, and both before these defaults."""
        return cls(**{**plan.bundle.ndvi_limits, **plan.request.ndvi_limits})


def shows_something(imagery: NdviAgreement) -> bool:
    """Whether the imagery varies, so that maps of it should, too."""
    return imagery.pixels >= _FEWEST_PIXELS and imagery.shown_std > _VARIES


def doubts_about_ndvi(agreement: NdviAgreement, limits: NdviLimits) -> list[str]:
    """What is wrong with a generated NDVI, by the imagery that it was generated from; in a line each."""
    if not agreement.is_compared or agreement.pixels < _FEWEST_PIXELS:
        return []
    found, correlation = [], agreement.correlation
    if shows_something(agreement) and (correlation is None or correlation < limits.correlation):
        how = "does not vary with" if correlation is None else f"has a correlation of {correlation:.2f} with"
        found.append(f"NDVI: what was generated {how} what the imagery shows; {_WEIGHTS}")
    # The bound of samples alone takes 0.15 from summer's forests; that is told by the share that lies there.
    bias, error = agreement.bias - agreement.least_bias, agreement.mean_absolute_error - agreement.least_error
    if abs(bias) > limits.bias or error > limits.error:
        found.append(
            f"NDVI: what was generated is off by {agreement.bias:+.2f} in the mean from what the imagery shows, and by "
            f"{agreement.mean_absolute_error:.2f} in size; was the offset removed, and {_WEIGHTS}"
        )
    return found


def doubts_about_tokens(tokens: Mapping[str, int], imagery: NdviAgreement) -> list[str]:
    """Targets of whose tokens the model has drawn too few different ones.

    Args:
        tokens: how many different ones at most in any block, by target.
        imagery: what they were drawn for.
    """
    if not shows_something(imagery):
        return []
    return [
        f"{target}: the model gives {'the same token' if count == 1 else f'one of {count} tokens'} everywhere; "
        f"{_WEIGHTS}"
        for target, count in tokens.items()
        if count < _FEWEST_TOKENS
    ]


def doubts_about_layer(layer: Layer, counts: np.ndarray, imagery: NdviAgreement) -> list[str]:
    """What is wrong with a map by its numbers alone, in a line each.

    Args:
        layer: an estimate.
        counts: how often each number of its type is there, from the smallest on, int64 (bands, numbers).
        imagery: what it was generated from.
    """
    found = []
    for index, (band, held) in enumerate(zip(layer.bands, _held(layer, counts), strict=True)):
        count = int(held.sum())
        if count < _FEWEST_PIXELS:
            continue
        most = int(held.argmax())
        is_told = shows_something(imagery)
        if layer.kind == "class":
            is_told = is_told and imagery.shown_std > _VARIES_BEYOND_A_CLASS
        if held[most] > _ONE_VALUE * count and is_told:
            found.append(
                f"{layer.name}: {_share(held[most] / count)} is {_named(layer, band, most)}; {_WEIGHTS}"
            )
        if layer.bounds and (at_bound := share_at_bound(layer, held, index)) > _AT_BOUND:
            low, high = layer.bounds[index]
            found.append(
                f"{layer.name}: {_share(at_bound)} of {band} lies at the bound of samples, {low:.4g} to {high:.4g}, "
                "which flattens extremes; a larger x0_clip (or x0_clips, for this target alone) lets them out"
            )
    return found


def doubts_about_range(layer: Layer, band: str, low: float, high: float, imagery: NdviAgreement) -> list[str]:
    """That a band hardly varies where the imagery does, in a line.

    Args:
        layer: an estimate.
        band: of it.
        low: what 2 % of its pixels are below, in its unit.
        high: what 2 % are above.
        imagery: what it was generated from.
    """
    if layer.kind != "value" or high - low > _STEPS * layer.step or not shows_something(imagery):
        return []
    return [f"{layer.name}: 96 % of {band} lie between {low:.4g} and {high:.4g}; {_WEIGHTS}"]


def shares_at_bound(layer: Layer, counts: np.ndarray) -> dict[str, float]:
    """Share of each band's pixels that lie at the bound of samples; of none, where samples have none."""
    return {
        band: share_at_bound(layer, held, index)
        for index, (band, held) in enumerate(zip(layer.bands, _held(layer, counts), strict=True))
        if layer.bounds and held.any()
    }


def share_at_bound(layer: Layer, held: np.ndarray, band: int) -> float:
    """Share of the pixels of a band, from how often each number is there, that lie at the bound of samples."""
    low, high = layer.bounds[band]
    values = layer.numbers * layer.scale
    near = np.abs(values - (low + high) / 2) >= _NEAR_BOUND * (high - low) / 2
    return float(held[near].sum() / held.sum())


def _held(layer: Layer, counts: np.ndarray) -> np.ndarray:
    """The counts without no data."""
    held: np.ndarray = np.where(layer.numbers == layer.nodata, 0, counts)
    return held


def _named(layer: Layer, band: str, index: int) -> str:
    number = int(layer.numbers[index])
    if layer.kind == "class":
        return next((item.name for item in layer.classes if item.value == number), f"class {number}")
    return f"{number * layer.scale:.4g} in {band}"


def _share(share: float) -> str:
    return f"{100 * share:.4g} %"
