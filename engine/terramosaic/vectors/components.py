"""Connected pixels of classes, found strip by strip: what ends in a strip is handed on, what reaches beyond waits.

    strip 0   a a . b        a and b reach the seam, and wait
    strip 1   a . c c        a goes on; b and c are one: pieces are kept until no pixel of it is on the seam
    strip 2   . . . .        a and b, c are whole, and handed on

So at any time there is a strip in memory, and the pieces of what lies across its lower seam: the outline of the largest
polygons, and nothing of all others. Pixels are connected by their sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from affine import Affine
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from shapely.geometry.base import BaseGeometry

from terramosaic.vectors.outlines import joined, outlines_of


@dataclass(frozen=True)
class Component:
    """Connected pixels of a class.

    Attributes:
        value: of the class.
        outline: in the CRS's metres.
        pixels: how many.
        weight: sum of the weights of those that have one.
        weighed: how many have one.
    """

    value: int
    outline: BaseGeometry
    pixels: int
    weight: float
    weighed: int


@dataclass
class _Open:
    """What reaches beyond the strips so far."""

    pieces: list[BaseGeometry]
    sums: np.ndarray


class Components:
    """Takes strips from north to south, and gives components as they end.

    Args:
        values: the classes.
        least: pixels below which a component is nobody's concern.
    """

    def __init__(self, values: tuple[int, ...], least: int = 1) -> None:
        self._values = values
        self._least = least
        #: By class, what reaches the seam, and of each pixel of the seam which of them it is of, from 1 on.
        self._open: dict[int, list[_Open]] = {value: [] for value in values}
        self._seam: dict[int, np.ndarray | None] = dict.fromkeys(values)

    def feed(
        self, strip: np.ndarray, transform: Affine, weights: np.ndarray | None = None
    ) -> Iterator[Component]:
        """What ends above a strip, or in it.

        Args:
            strip: classes, uint8 (height, width).
            transform: from its pixels to metres.
            weights: float32 (height, width), NaN where there is none.
        """
        for value in self._values:
            yield from self._feed(value, strip == value, transform, weights)

    def end(self) -> Iterator[Component]:
        """What ends with the last strip."""
        for value in self._values:
            yield from self._closed(value, self._open[value])
            self._open[value], self._seam[value] = [], None

    def _feed(
        self, value: int, is_of_class: np.ndarray, transform: Affine, weights: np.ndarray | None
    ) -> Iterator[Component]:
        labels, count = ndimage.label(is_of_class)
        sums = _sums(labels, count, weights)
        reaches_down = np.zeros(count + 1, bool)
        reaches_down[labels[-1]] = True
        waiting, groups = self._open[value], self._groups(value, labels[0], count)
        is_joined = np.zeros(count + 1, bool)
        is_joined[[label for _, own in groups for label in own]] = True
        wanted = is_joined | reaches_down | (sums[0] >= self._least)
        wanted[0] = False
        outlines = outlines_of(labels, wanted, transform)
        alone = np.flatnonzero(wanted & ~is_joined & ~reaches_down).tolist()
        yield from self._closed(value, (_Open([outlines[label]], sums[:, label]) for label in alone))
        kept: list[_Open] = []
        place = np.zeros(count + 1, np.int32)
        for before, own in groups:
            one = _merged([waiting[index] for index in before])
            one.pieces += [outlines[label] for label in own]
            one.sums = one.sums + sums[:, own].sum(axis=1)
            if reaches_down[own].any():
                kept.append(one)
                place[own] = len(kept)
            else:
                yield from self._closed(value, [one])
        for label in np.flatnonzero(wanted & ~is_joined & reaches_down).tolist():
            kept.append(_Open([outlines[label]], sums[:, label]))
            place[label] = len(kept)
        self._open[value] = kept
        self._seam[value] = place[labels[-1]]

    def _groups(self, value: int, row: np.ndarray, count: int) -> list[tuple[list[int], list[int]]]:
        """Of what waited, and of the labels in the first row below the seam, those that are one."""
        above, waiting = self._seam[value], len(self._open[value])
        if above is None or waiting == 0:
            return []
        pairs = np.unique(np.stack([above, row])[:, (above > 0) & (row > 0)], axis=1)
        size = waiting + count
        links = coo_array((np.ones(pairs.shape[1]), (pairs[0] - 1, pairs[1] - 1 + waiting)), (size, size))
        _, of = connected_components(links, directed=False)
        nodes = np.unique(np.concatenate([np.arange(waiting), pairs[1] - 1 + waiting]))
        groups: dict[int, tuple[list[int], list[int]]] = {}
        for node in nodes.tolist():
            before, own = groups.setdefault(int(of[node]), ([], []))
            if node < waiting:
                before.append(node)
            else:
                own.append(node - waiting + 1)
        return list(groups.values())

    def _closed(self, value: int, found: Iterable[_Open]) -> Iterator[Component]:
        for one in found:
            pixels, weight, weighed = one.sums
            if pixels >= self._least:
                yield Component(value, joined(one.pieces), int(pixels), float(weight), int(weighed))


def _merged(found: list[_Open]) -> _Open:
    """Several as one; the largest takes the others in, so that a large one is not copied with each strip."""
    largest = max(found, key=lambda one: len(one.pieces))
    for other in found:
        if other is not largest:
            largest.pieces += other.pieces
            largest.sums = largest.sums + other.sums
    return largest


def _sums(labels: np.ndarray, count: int, weights: np.ndarray | None) -> np.ndarray:
    """Of each label its pixels, the sum of their weights, and how many have one: float64 (3, labels)."""
    flat = labels.ravel()
    pixels = np.bincount(flat, minlength=count + 1)
    if weights is None:
        return np.stack([pixels, np.zeros(count + 1), np.zeros(count + 1)]).astype(np.float64)
    known = ~np.isnan(weights.ravel())
    weight = np.bincount(flat, np.where(known, weights.ravel(), 0), minlength=count + 1)
    weighed = np.bincount(flat, known, minlength=count + 1)
    return np.stack([pixels, weight, weighed]).astype(np.float64)
