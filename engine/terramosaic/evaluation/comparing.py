"""A map and its reference held against each other, part by part: sums in, figures out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from terramosaic.evaluation.areas import StratifiedSample
from terramosaic.evaluation.assessment import BandFigures, ClassFigures, ClassTable
from terramosaic.evaluation.classes import Confusion
from terramosaic.evaluation.paper import range_of
from terramosaic.evaluation.sampling import SOURCE
from terramosaic.evaluation.shift import ShiftScores
from terramosaic.evaluation.values import ValueScores
from terramosaic.ground.grid import RESOLUTION
from terramosaic.planning.layers import Layer

_PIXEL_KM2 = RESOLUTION**2 / 1e6


def physical(stored: np.ndarray, layer: Layer) -> np.ndarray:
    """Stored numbers of a map as float32 in its unit, NaN where it has no data; of classes their numbers."""
    values = stored.astype(np.float32) * np.float32(layer.scale)
    values[stored == layer.nodata] = np.nan
    return values


@dataclass
class Sums:
    """What is kept of all parts that were compared.

    Attributes:
        layer: the map.
        mapped: pixels that it has data for.
        compared: those for which the reference has some too.
        parts: that had any of these.
    """

    layer: Layer
    mapped: int = 0
    compared: int = 0
    parts: int = 0
    shifts: ShiftScores = field(init=False)
    _values: list[ValueScores] = field(init=False)
    _confusion: Confusion = field(init=False)
    _squares: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.shifts = ShiftScores(self.is_of_classes)
        self._values = [ValueScores()] * len(self.layer.bands)
        self._confusion = Confusion.empty([item.value for item in self.layer.classes])
        self._squares = np.zeros(len(self.layer.classes))

    @property
    def is_of_classes(self) -> bool:
        """Whether the map's numbers are names."""
        return self.layer.kind == "class"

    def add(self, mapped: np.ndarray, reference: np.ndarray, *, in_place: bool = True) -> None:
        """Compares a part.

        Args:
            mapped: float32 (bands, height, width) in the map's unit, NaN where it has no data.
            reference: the same of the reference.
            in_place: whether neighbours in the arrays are neighbours on the ground.
        """
        known = np.isfinite(mapped[0]) & np.isfinite(reference).all(axis=0)
        self.mapped += int(np.isfinite(mapped[0]).sum())
        if not known.any():
            return
        self.parts += 1
        if self.is_of_classes:
            ours, theirs = (np.nan_to_num(numbers[0]).astype(np.int64) for numbers in (mapped, reference))
            confusion = Confusion.of(ours, theirs, self._confusion.values, known)
            self._confusion += confusion
            self._squares += confusion.counts.sum(axis=1).astype(float) ** 2
            self.compared += confusion.count
        else:
            self.compared += int(known.sum())
            for band in range(len(self.layer.bands)):
                self._values[band] += ValueScores.of(
                    mapped[band], reference[band], known, data_range=self._range or 1.0
                )
        if in_place:
            self.shifts += ShiftScores.of(mapped[0], reference[0], are_classes=self.is_of_classes)

    @property
    def bands(self) -> tuple[BandFigures, ...]:
        """Figures of each band; none of classes."""
        if self.is_of_classes or not self.compared:
            return ()
        return tuple(
            BandFigures(
                band=band,
                unit=self.layer.unit,
                pixels=scores.count,
                bias=_finite(scores.bias),
                mae=_finite(scores.mae),
                rmse=_finite(scores.rmse),
                correlation=_finite(scores.correlation),
                ssim=_finite(scores.ssim) if self._range else None,
                data_range=self._range,
            )
            for band, scores in zip(self.layer.bands, self._values, strict=True)
        )

    def table(self, mapped_pixels: dict[int, float]) -> tuple[ClassTable | None, str]:
        """Figures of classes, and what stands in the way of their areas; None of values.

        Args:
            mapped_pixels: how many pixels of each class the whole map has.
        """
        if not self.is_of_classes or not self.compared:
            return None, ""
        found, counts = self._confusion, self._confusion.counts
        whole = np.array([mapped_pixels.get(value, 0.0) for value in found.values])
        sample, unseen = areas_from(counts, self._squares, whole * _PIXEL_KM2)
        areas = None if sample is None else sample.areas
        rows = [
            ClassFigures(
                value=item.value,
                name=item.name,
                mapped=int(counts[place].sum()),
                referred=int(counts[:, place].sum()),
                users=_finite(found.users[place]),
                producers=_finite(found.producers[place]),
                f1=_finite(found.f1[place]),
                iou=_finite(found.iou[place]),
                mapped_km2=float(whole[place] * _PIXEL_KM2),
                area_km2=None if areas is None else _finite(areas.value[place]),
                area_margin_km2=None if areas is None else _finite(areas.margin[place]),
            )
            for place, item in enumerate(self.layer.classes)
        ]
        there = [place for place, row in enumerate(rows) if row.mapped or row.referred]
        table = ClassTable(
            pixels=found.count,
            overall=_finite(found.overall),
            classes=tuple(rows[place] for place in there),
            counts=tuple(tuple(int(counts[row, col]) for col in there) for row in there),
        )
        names = [self.layer.classes[place].name for place in unseen]
        told = (
            f"areas are without what the map calls {', '.join(names)}: too few parts show it" if names else ""
        )
        return table, told

    @property
    def _range(self) -> float | None:
        """What SSIM is of: the range of the paper's figures."""
        return range_of(SOURCE, self.layer.target)


def areas_from(
    counts: np.ndarray, squares: np.ndarray, mapped: np.ndarray
) -> tuple[StratifiedSample | None, list[int]]:
    """A stratified sample of a map, from parts of it that were compared pixel by pixel.

    Pixels of a part are alike, so to count each of them as a sample would make intervals a hundred times too narrow.
    The proportions are those of all pixels; the size of a class's sample is the number of parts that show it, after
    Kish (1965) of unequal parts ``(sum of m)^2 / sum of m^2`` of the m pixels of it that each has: as if all pixels of
    a part told the same, which is on the safe side.

    Args:
        counts: (classes, classes), pixels by class of the map (rows) and of the reference (columns).
        squares: of each class of the map the sum over parts of its squared number of pixels.
        mapped: what the whole map gives each class, in any unit of area.

    Returns:
        The sample, or None if it is of nothing; and the classes of the map of which fewer than two parts tell, which
        are left out.
    """
    pixels = counts.sum(axis=1).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        sizes = np.where(squares > 0, pixels**2 / squares, 0.0)
    told = sizes >= 2
    unseen = [int(place) for place in np.flatnonzero(~told & (mapped > 0))]
    if not (told & (mapped > 0)).any():
        return None, unseen
    weights = np.where(told, sizes / np.maximum(pixels, 1), 0.0)
    return StratifiedSample(counts * weights[:, None], np.where(told, mapped, 0.0)), unseen


def _finite(figure: float) -> float | None:
    return float(figure) if math.isfinite(figure) else None
