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
    """What one scene shows of a rectangle, or several of one acquisition.

    Attributes:
        dn: uint16 (bands, height, width), harmonised; 0 in all bands where invalid.
        valid: bool (height, width), every band has data.
        clear: bool (height, width), valid and under none of SCL's unclear classes.
        repaired: bool (height, width), valid, but a band was 0 and was put right.
        inside: rows and columns of the rectangle that the arrays stand for; it shows nothing of the others.
        acquisition: a number above 0 that says which one it is of; 0 where that is nothing to keep.
        marks: uint8 (height, width), what is known of invalid pixels; see `Mark`. None: nothing.
    """

    dn: np.ndarray
    valid: np.ndarray
    clear: np.ndarray
    repaired: np.ndarray
    inside: tuple[slice, slice] = (slice(None), slice(None))
    acquisition: int = 0
    marks: np.ndarray | None = None


@dataclass
class Composite:
    """What was chosen over a rectangle.

    Attributes:
        dn: uint16 (bands, height, width), 0 where nothing was valid.
        valid: bool (height, width).
        cloudy: bool (height, width), valid but clear in no observation.
        repaired: bool (height, width), of a spectrum in which a band was 0 and was put right.
        acquisition: uint16 (height, width), the number of the acquisition that was chosen; 0 where there is none.
        marks: uint8 (height, width), the most that an observation knows of a pixel while none is valid; see `Mark`.
    """

    dn: np.ndarray
    valid: np.ndarray
    cloudy: np.ndarray
    repaired: np.ndarray
    acquisition: np.ndarray
    marks: np.ndarray

    @classmethod
    def empty(cls, bands: int, shape: tuple[int, int]) -> Composite:
        """A composite of nothing."""
        valid, cloudy, repaired = (np.zeros(shape, bool) for _ in range(3))
        dn, acquisition = np.zeros((bands, *shape), np.uint16), np.zeros(shape, np.uint16)
        return cls(dn, valid, cloudy, repaired, acquisition, np.zeros(shape, np.uint8))


#: Gives an observation, or None if there is none: observe(pixels that are open, those of them that have no value at all
#: yet). It may leave out pixels that would not help: not open, or neither clear nor without a value.
LazyObservation = Callable[[np.ndarray, np.ndarray], Observation | None]


def clear_mask(scl: np.ndarray) -> np.ndarray:
    """Bool, True where the scene classification sees the ground."""
    clear: np.ndarray = ~_IS_UNCLEAR[scl.astype(np.uint8, copy=False)]
    return clear


def best(composite: Composite, wanted: np.ndarray, candidates: Sequence[LazyObservation]) -> None:
    """Fills ``composite``: the best-ranked observation that is clear at a pixel, else the best valid one.

    A pixel's bands all come from one of them. They are looked at in rank order and only while pixels are still open, so
    a clear first one spares reading the others. The first one's array may be taken over and changed: an observation is
    used once.
    """
    unresolved = wanted & (composite.cloudy | ~composite.valid)
    for observe in candidates:
        if not unresolved.any():
            return
        seen = observe(unresolved, unresolved & ~composite.valid)
        if seen is None:
            continue
        # Views: what is written to them is written to the whole.
        open_, valid, cloudy = (mask[seen.inside] for mask in (unresolved, composite.valid, composite.cloudy))
        if seen.marks is not None:
            told = composite.marks[seen.inside]
            np.maximum(told, seen.marks, out=told, where=open_)
        take_clear = open_ & seen.clear
        _take(composite, seen, take_clear | (open_ & seen.valid & ~valid))
        cloudy[:] = valid & ~take_clear & (cloudy | open_)
        open_ &= ~take_clear


def fused(bands: int, shape: tuple[int, int], candidates: Sequence[LazyObservation]) -> LazyObservation:
    """Several scenes of one acquisition as one observation, by the rule of `best`."""

    def observe(open_: np.ndarray, _: np.ndarray) -> Observation | None:
        composite = Composite.empty(bands, shape)
        best(composite, open_, candidates)
        if not composite.valid.any() and not composite.marks.any():
            return None
        clear = composite.valid & ~composite.cloudy
        return Observation(composite.dn, composite.valid, clear, composite.repaired, marks=composite.marks)

    return observe


def median(composite: Composite, wanted: np.ndarray, candidates: Sequence[LazyObservation]) -> None:
    """Fills ``composite`` with each band's median over clear observations; where none is clear, as `best` does.

    An even number of observations gives the mean of the middle two, rounded half to even.

    Args:
        composite: what is filled.
        wanted: bool (height, width), pixels to fill.
        candidates: observations of the whole rectangle.
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
        for seen in observations:
            composite.repaired |= several & seen.clear & seen.repaired


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
    is_whole = seen.valid.shape == composite.valid.shape
    if is_whole and not composite.valid.any() and np.array_equal(where, seen.valid):
        # The first observation is mostly all there is: its array is taken over, 0 where invalid as it must be.
        composite.dn = seen.dn
    else:
        np.copyto(composite.dn[:, *seen.inside], seen.dn, where=where)
    composite.valid[seen.inside] |= where
    np.copyto(composite.acquisition[seen.inside], np.uint16(seen.acquisition), where=where)
    np.copyto(composite.repaired[seen.inside], seen.repaired, where=where)
