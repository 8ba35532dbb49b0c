"""Averaging overlapping windows, a band of rows at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from terramosaic.ground.divergence import disagreement, entropy
from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import Lattice


def window_weights(blend: Literal["mean", "cosine"], lattice: Lattice) -> np.ndarray:
    """Weight of each pixel of a window: float32 (side, side), above 0 everywhere.

    ``mean`` weighs all alike. ``cosine`` falls over the overlap as sin², so that the weights of two neighbours add up
    to one (while they overlap by no more than half a window).
    """
    side = lattice.side
    if blend == "mean":
        return np.ones((side, side), np.float32)
    ramp = min(side - lattice.stride, side // 2)
    profile = np.ones(side)
    if ramp:
        # Half-pixel centres: the outermost weight stays above zero, so a pixel under one window alone is kept.
        profile[:ramp] = np.sin((np.arange(ramp) + 0.5) / ramp * np.pi / 2) ** 2
        profile[side - ramp :] = profile[:ramp][::-1]
    return np.outer(profile, profile).astype(np.float32)


class RowBandAccumulator:
    """Sums windows row by row and hands out rows that no later window touches.

    It holds one window's height of rows, as wide as ``rect``, whatever the height of ``rect``. Windows must come in
    row-major order of the lattice: float sums then have one order everywhere, so a pixel gets the same bits in any
    block that computes it.

    Args:
        rect: the pixels wanted; the rest of a window is ignored.
        lattice: the windows' lattice.
        channels: channels of each target.
        weights: float32 (side, side), from `window_weights`.
        std: targets of which the standard deviation over overlapping windows is wanted as well.
        disagreement: targets of class probabilities of which their divergence over overlapping windows is wanted.
        patches: channels of targets that have a number for each patch in place of each pixel. Patches of overlapping
            windows coincide, and their mean is a plain one.
    """

    def __init__(
        self,
        rect: Rect,
        lattice: Lattice,
        channels: Mapping[str, int],
        weights: np.ndarray,
        std: tuple[str, ...] = (),
        disagreement: tuple[str, ...] = (),
        patches: Mapping[str, int] | None = None,
    ) -> None:
        self._rect, self._lattice, self._weights = rect, lattice, weights
        self._side = side = lattice.side
        self._plain = bool((weights == 1).all())
        self._i = lattice.rows(rect)[0]
        self._weight = np.zeros((side, rect.width), np.float32)
        self._sums = {
            name: np.zeros((count, side, rect.width), np.float32) for name, count in channels.items()
        }
        # Squares cancel badly in float32: the variance of -15 dB would be good to 0.01 dB² only.
        self._squares = {name: np.zeros((channels[name], side, rect.width), np.float64) for name in std}
        self._entropies = {name: np.zeros((side, rect.width), np.float32) for name in disagreement}
        self._shared = _shared_parts(lattice)
        # Of equal weights it is 0.
        self._terms = weights * np.log(weights)
        self._weight_terms = np.zeros((side, rect.width), np.float32)
        self._flags = np.zeros((side, rect.width), np.uint8)
        self._windows = np.zeros((side, rect.width), np.uint8)
        self._seen = np.zeros((side, rect.width), bool)
        self._of_patches = tuple(patches or ())
        self._patches = _on_patches(rect, lattice, patches) if patches else None

    def add(
        self,
        i: int,
        j: int,
        values: Mapping[str, np.ndarray],
        flags: np.ndarray | None = None,
        seen: np.ndarray | None = None,
    ) -> None:
        """Adds a window.

        Args:
            i: its row of the lattice.
            j: its column.
            values: per target float32 (channels, side, side), of those of patches (channels, patches, patches).
            flags: uint8 bit flags (side, side), if any are set.
            seen: bool (side, side), pixels that do not stand on fill; by default all.
        """
        if i != self._i:
            raise ValueError(f"window row {i} came while row {self._i} was open; finish rows in order")
        window = self._lattice.window(i, j)
        shared = window.intersection(Rect(window.row, self._rect.col, self._side, self._rect.width))
        (_, src), (_, dst) = shared.slices(window), shared.slices(self._rect)
        if self._patches is not None and values:
            self._patches.add(i, j, {name: values[name] for name in self._of_patches})
        weights = self._weights[:, src]
        self._weight[:, dst] += weights
        self._windows[:, dst] += 1
        if self._entropies and not self._plain:
            self._weight_terms[:, dst] += self._terms[:, src]
        for name, value in values.items():
            if name not in self._sums:
                continue
            cut = value[:, :, src]
            self._sums[name][:, :, dst] += cut if self._plain else cut * weights
            if name in self._squares:
                self._squares[name][:, :, dst] += np.square(cut, dtype=np.float64) * weights
            if name in self._entropies:
                self._entropies[name][:, dst] += self._weighted_entropy(value)[:, src]
        if flags is not None:
            self._flags[:, dst] |= flags[:, src]
        self._seen[:, dst] |= True if seen is None else seen[:, src]

    def finish_row(self) -> RowBand:
        """Closes the open row of windows and hands out the rows that are now final, cropped to ``rect``."""
        start = self._i * self._lattice.stride
        is_last = self._i == self._lattice.rows(self._rect)[-1]
        height = self._side if is_last else self._lattice.stride
        top = max(0, self._rect.row - start)
        bottom = max(top, min(height, self._rect.row_end - start))
        rows = slice(top, bottom)
        # Where no window came the sum is 0 as well: dividing by 1 there keeps the arithmetic quiet.
        weight = np.where(self._weight[rows] > 0, self._weight[rows], np.float32(1))
        means = {name: sums[:, rows] / weight for name, sums in self._sums.items()}
        band = RowBand(
            rect=Rect(start + top, self._rect.col, bottom - top, self._rect.width),
            means=means,
            stds={name: self._std(name, rows, weight) for name in self._squares},
            disagreements={name: self._disagreement(name, rows, means[name]) for name in self._entropies},
            flags=self._flags[rows].copy(),
            windows=dict.fromkeys(self._sums, self._windows[rows].copy()),
            seen=dict.fromkeys((*self._sums, *self._of_patches), self._seen[rows].copy()),
            patches={} if self._patches is None else self._patches.finish_row().means,
            patch=self._lattice.patch,
        )
        rows_held: list[np.ndarray] = [
            self._weight,
            self._weight_terms,
            self._flags,
            self._windows,
            self._seen,
            *self._sums.values(),
            *self._squares.values(),
            *self._entropies.values(),
        ]
        for held in rows_held:
            held[..., : self._side - height, :] = held[..., height:, :].copy()
            held[..., self._side - height :, :] = 0
        self._i += 1
        return band

    def _weighted_entropy(self, probabilities: np.ndarray) -> np.ndarray:
        """Entropy of a window's classes, times its weight, where another window may see the pixel as well."""
        found = np.zeros((self._side, self._side), np.float32)
        for part in self._shared:
            found[part] = entropy(probabilities[:, *part])
        return found if self._plain else found * self._weights

    def _disagreement(self, name: str, rows: slice, mean: np.ndarray) -> np.ndarray:
        shares = np.zeros(mean.shape[1:], np.float32)
        several = self._windows[rows] > 1
        weight = self._weight[rows][several]
        shares[several] = disagreement(
            mean[:, several],
            self._entropies[name][rows][several] / weight,
            weight,
            self._weight_terms[rows][several],
        )
        return shares

    def _std(self, name: str, rows: slice, weight: np.ndarray) -> np.ndarray:
        mean = self._sums[name][:, rows].astype(np.float64) / weight
        variance = self._squares[name][:, rows] / weight - np.square(mean)
        # What float32 sums cannot resolve is no deviation: a pixel under one window has none.
        floor = np.square(mean) * 1e-7
        std: np.ndarray = np.sqrt(np.where(variance > floor, variance, 0)).astype(np.float32)
        return std


@dataclass(frozen=True)
class RowBand:
    """Finished rows: per target the weighted mean (and standard deviation), and the flags of its windows.

    Attributes:
        rect: where the rows lie on the grid.
        means: per target float32 (channels, height, width).
        stds: the same shapes, for targets whose standard deviation was asked for.
        disagreements: float32 (height, width) from 0 to 1, likewise; see `terramosaic.ground.divergence`.
        flags: uint8 (height, width).
        windows: per target uint8 (height, width), how many made a pixel; under a single one there is neither deviation
            nor disagreement.
        seen: per target bool (height, width): one of its windows at least has seen the pixel, and not filled it.
        patches: per target of patches the mean of each that has a pixel in the rows, float32 (channels, patches down,
            patches across); a band begins and ends between patches, or with the block.
        patch: side of a patch, in pixels.
    """

    rect: Rect
    means: dict[str, np.ndarray]
    stds: dict[str, np.ndarray]
    disagreements: dict[str, np.ndarray]
    flags: np.ndarray
    windows: dict[str, np.ndarray]
    seen: dict[str, np.ndarray]
    patches: dict[str, np.ndarray] = field(default_factory=dict)
    patch: int = 1

    def rows(self, start: int, end: int) -> RowBand:
        """Its rows from ``start`` up to ``end`` of the grid, as views."""
        if (start, end) == (self.rect.row, self.rect.row_end):
            return self
        part = slice(start - self.rect.row, end - self.rect.row)

        def cut(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: array[..., part, :] for name, array in arrays.items()}

        rect = Rect(start, self.rect.col, end - start, self.rect.width)
        own_patches = rect.cells(self.patch).slices(self.rect.cells(self.patch))
        return RowBand(
            rect=rect,
            means=cut(self.means),
            stds=cut(self.stds),
            disagreements=cut(self.disagreements),
            flags=self.flags[part],
            windows=cut(self.windows),
            seen=cut(self.seen),
            patches={name: array[:, *own_patches] for name, array in self.patches.items()},
            patch=self.patch,
        )


def _on_patches(rect: Rect, lattice: Lattice, channels: Mapping[str, int]) -> RowBandAccumulator:
    """The same for targets of patches: on the grid of these, whose windows are the same."""
    patch, side = lattice.patch, lattice.patches
    on_patches = Lattice(lattice.stride // patch, side, 1)
    return RowBandAccumulator(rect.cells(patch), on_patches, channels, np.ones((side, side), np.float32))


def _shared_parts(lattice: Lattice) -> list[tuple[slice, slice]]:
    """The parts of a window that others may overlap: its rim, or with small strides all of it.

    Of one dimension, of windows of 224 with a stride of 192: 0 to 32 and 192 to 224; what lies between no other sees.
    """
    side, stride = lattice.side, lattice.stride
    rim, core, whole = slice(0, side - stride), slice(side - stride, stride), slice(0, side)
    if rim.stop >= stride:
        return [(whole, whole)]
    far = slice(stride, side)
    return [(rim, whole), (far, whole), (core, rim), (core, far)]
