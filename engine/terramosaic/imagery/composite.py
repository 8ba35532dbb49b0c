"""Choosing, per pixel, whose reflectance to use. Pure: observations come in as arrays or are asked for lazily."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from terramosaic.bands import SCL_UNCLEAR

_IS_UNCLEAR = np.zeros(256, bool)
_IS_UNCLEAR[list(SCL_UNCLEAR)] = True


@dataclass(frozen=True)
class Observation:
    """One acquisition over a rectangle.

    Attributes:
        dn: uint16 (bands, height, width), harmonised; 0 in all bands where invalid.
        valid: bool (height, width), every band has data.
        clear: bool (height, width), valid and under none of SCL's unclear classes.
    """

    dn: np.ndarray
    valid: np.ndarray
    clear: np.ndarray

    @classmethod
    def empty(cls, bands: int, shape: tuple[int, int]) -> Observation:
        """An observation of nothing yet."""
        return cls(np.zeros((bands, *shape), np.uint16), np.zeros(shape, bool), np.zeros(shape, bool))


@dataclass
class Composite:
    """What was chosen over a rectangle.

    Attributes:
        dn: uint16 (bands, height, width), 0 where nothing was valid.
        valid: bool (height, width).
        cloudy: bool (height, width), valid but clear in no acquisition.
    """

    dn: np.ndarray
    valid: np.ndarray
    cloudy: np.ndarray

    @classmethod
    def empty(cls, bands: int, shape: tuple[int, int]) -> Composite:
        """A composite of nothing."""
        return cls(np.zeros((bands, *shape), np.uint16), np.zeros(shape, bool), np.zeros(shape, bool))


#: Gives an acquisition's observation, or None if it has none: observe(pixels that are open, those of them that have no
#: value at all yet). It may leave out pixels that would not help: not open, or neither clear nor without a value.
LazyObservation = Callable[[np.ndarray, np.ndarray], Observation | None]


def clear_mask(scl: np.ndarray) -> np.ndarray:
    """Bool, True where the scene classification sees the ground."""
    clear: np.ndarray = ~_IS_UNCLEAR[scl.astype(np.uint8, copy=False)]
    return clear


def best(composite: Composite, wanted: np.ndarray, candidates: Sequence[LazyObservation]) -> None:
    """Fills ``composite``: the best-ranked acquisition that is clear at a pixel, else the best valid one.

    A pixel's bands all come from one acquisition. Acquisitions are looked at in rank order and only while pixels are
    still open, so a clear first one spares reading the others. The first observation's array may be taken over and
    changed: an observation is used once.
    """
    unresolved = wanted & (composite.cloudy | ~composite.valid)
    for observe in candidates:
        if not unresolved.any():
            return
        seen = observe(unresolved, unresolved & ~composite.valid)
        if seen is None:
            continue
        take_clear = unresolved & seen.clear
        _take(composite, seen, take_clear | (unresolved & seen.valid & ~composite.valid))
        composite.cloudy = composite.valid & ~take_clear & (composite.cloudy | unresolved)
        unresolved &= ~take_clear


def median(composite: Composite, wanted: np.ndarray, candidates: Sequence[LazyObservation]) -> None:
    """Fills ``composite`` with each band's median over clear observations; where none is clear, as `best` does.

    An even number of observations gives the mean of the middle two, rounded half to even.
    """
    pending = wanted & ~composite.valid
    observations = [seen for observe in candidates if (seen := observe(pending, pending)) is not None]
    if not observations:
        return
    clear = np.stack([seen.clear for seen in observations])
    count = clear.sum(axis=0)
    several = pending & (count > 1)
    # Before `best`, which may keep and change an observation's array.
    middles = _middles(observations, clear, count) if several.any() else None
    best(composite, pending, [lambda *_, seen=seen: seen for seen in observations])
    if middles is not None:
        np.copyto(composite.dn, middles, where=several)


def _middles(observations: Sequence[Observation], clear: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Median of each band over the clear observations, where there are any: uint16 (bands, height, width)."""
    # Unclear values sort to the end, where the middle of `count` values never reaches.
    last = np.uint16(np.iinfo(np.uint16).max)
    lower, upper = ((count - 1) // 2)[None].clip(0), (count // 2)[None].clip(0, len(observations) - 1)
    middles = np.empty_like(observations[0].dn)
    for band in range(len(middles)):
        values = np.sort(np.where(clear, np.stack([seen.dn[band] for seen in observations]), last), axis=0)
        middle = np.take_along_axis(values, lower, 0)[0].astype(np.float32)
        middles[band] = np.rint((middle + np.take_along_axis(values, upper, 0)[0]) / 2)
    return middles


def _take(composite: Composite, seen: Observation, where: np.ndarray) -> None:
    if not composite.valid.any() and np.array_equal(where, seen.valid):
        # The first observation is mostly all there is: its array is taken over, 0 where invalid as it must be.
        composite.dn = seen.dn
    else:
        np.copyto(composite.dn, seen.dn, where=where)
    composite.valid |= where
