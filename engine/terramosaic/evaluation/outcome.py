"""What came of grading a bundle: sums by target, and their figures beside the paper's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from terramosaic.evaluation.classes import Confusion
from terramosaic.evaluation.paper import PaperRow, range_of, row_of
from terramosaic.evaluation.sampling import SOURCE
from terramosaic.evaluation.terramesh import TerraMesh
from terramosaic.evaluation.values import ValueScores
from terramosaic.model.bundle import Bundle
from terramosaic.model.manifest import LandCover, TargetSpec


@dataclass(frozen=True)
class MadeOf:
    """What targets were made of.

    Attributes:
        inputs: together.
        tokenised: whether the model saw them as tokens.
        reconstructed: whether each was made of its own tokens, and no model saw them.
    """

    inputs: tuple[str, ...] = (SOURCE,)
    tokenised: bool = False
    reconstructed: bool = False

    @property
    def table(self) -> int:
        """The paper's table of such figures: 3 of pixels, 14 of tokens, 10 of reconstructions."""
        if self.reconstructed:
            return 10
        return 14 if self.tokenised else 3

    def source_of(self, target: str) -> str:
        """The input of the paper's row of a target, in Table 10 itself; of several together it has none."""
        if self.reconstructed:
            return target
        return self.inputs[0] if len(self.inputs) == 1 else ""

    def row_of(self, target: str) -> PaperRow | None:
        """The paper's row of a target, if it has one."""
        return row_of(self.table, self.source_of(target), target)

    @property
    def told(self) -> str:
        """In words."""
        how = (
            "as tokens, made again of these" if self.reconstructed else "as tokens" if self.tokenised else ""
        )
        return f"{' and '.join(self.inputs)} {how}".rstrip()


@dataclass(frozen=True)
class TargetScores:
    """How well a target was made.

    Attributes:
        target: its name.
        unit: of bias, MAE, RMSE and range.
        data_range: what SSIM and PSNR are of; None for classes.
        bands: figures of values by band.
        classes: that are compared; the one that stands for no data is no candidate, and no reference.
        confusion: of classes, by their index in the model.
        samples: windows that were compared.
        made_of: what it was made of.
    """

    target: str
    unit: str
    data_range: float | None
    made_of: MadeOf = MadeOf()
    bands: Mapping[str, ValueScores] = field(default_factory=dict)
    classes: tuple[LandCover, ...] = ()
    confusion: Confusion | None = None
    samples: int = 0

    @classmethod
    def empty(cls, target: str, spec: TargetSpec, made_of: MadeOf = MadeOf()) -> TargetScores:
        """Those of no sample."""
        if spec.classes:
            known = spec.candidates
            confusion = Confusion.empty([item.index for item in known])
            return cls(target, "", None, made_of, classes=known, confusion=confusion)
        unit = "reflectance" if target == SOURCE else spec.unit or ""
        bands = dict.fromkeys(spec.channels, ValueScores())
        return cls(target, unit, range_of(made_of.source_of(target), target), made_of, bands=bands)

    @property
    def values(self) -> ValueScores:
        """Figures of all bands together, as the paper has them."""
        return ValueScores.sum(self.bands.values())

    def __add__(self, other: TargetScores) -> TargetScores:
        confusion = self.confusion
        if confusion is not None and other.confusion is not None:
            confusion += other.confusion
        bands = {band: values + other.bands[band] for band, values in self.bands.items()}
        return replace(self, bands=bands, confusion=confusion, samples=self.samples + other.samples)

    def of_window(self, generated: np.ndarray, reference: np.ndarray) -> TargetScores:
        """Those of a window of the same target.

        Args:
            generated: float32 (planes, side, side): values, or class probabilities.
            reference: (bands, side, side).
        """
        if self.confusion is not None:
            known = np.array(self.confusion.values)
            classes = known[generated[known].argmax(axis=0)]
            confusion = Confusion.of(classes, reference[0], self.confusion.values)
            return replace(self, confusion=confusion, samples=1)
        bands = {}
        for index, band in enumerate(self.bands):
            made, true = generated[index], reference[index]
            bands[band] = ValueScores.of(made, true, data_range=self.data_range or 1.0)
        return replace(self, bands=bands, samples=1)

    def as_dict(self) -> dict[str, Any]:
        """All figures, and the paper's, for other programs; None stands for a figure of none."""
        if self.confusion is not None:
            return {"samples": self.samples, **_of_classes(self.classes, self.confusion)}
        data_range = self.data_range or math.nan
        row = self.made_of.row_of(self.target)
        return {
            "samples": self.samples,
            "unit": self.unit,
            "data_range": data_range,
            **_of_values(self.values, data_range),
            "bands": {band: _of_values(values, data_range) for band, values in self.bands.items()},
            "paper": row
            and {
                "table": row.table,
                "rmse": row.rmse,
                "psnr": row.psnr,
                "data_range": row.data_range,
            },
        }


@dataclass
class Evaluation:
    """What came of it.

    Attributes:
        bundle: which was graded.
        data: where the samples came from.
        steps: of diffusion.
        seed: of the randomness.
        scores: by what was done about the offset, and by target.
        made_of: what targets were made of.
        precision: that the device computed in.
        offsets: how many samples carry the +1000, do not, do not tell, or hold nothing that could.
        left_out: samples that could not be used, and why.
    """

    bundle: Bundle
    data: TerraMesh
    steps: int
    seed: int
    scores: dict[str, dict[str, TargetScores]]
    made_of: MadeOf = MadeOf()
    precision: Literal["fp16", "fp32"] = "fp32"
    offsets: dict[str, int] = field(default_factory=lambda: {"present": 0, "removed": 0, "undecided": 0})
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """How many were compared."""
        return sum(self.offsets.values())

    def as_dict(self) -> dict[str, Any]:
        """All figures for other programs."""
        return {
            "bundle": self.bundle.name,
            "fingerprint": self.bundle.fingerprint,
            "random_weights": self.bundle.manifest.random_weights,
            "terramesh": self.data.shown,
            "inputs": list(self.made_of.inputs),
            "tokenised": self.made_of.tokenised,
            "reconstructed": self.made_of.reconstructed,
            "steps": self.steps,
            "seed": self.seed,
            "precision": self.precision,
            "samples": self.samples,
            "offsets": self.offsets,
            "left_out": self.left_out,
            "scores": {
                treatment: {name: each.as_dict() for name, each in scores.items() if each.samples}
                for treatment, scores in self.scores.items()
            },
        }


def _of_values(values: ValueScores, data_range: float) -> dict[str, float | None]:
    figures = {
        "bias": values.bias,
        "mae": values.mae,
        "rmse": values.rmse,
        "correlation": values.correlation,
        "ssim": values.ssim,
        "psnr": values.psnr(data_range),
        "reference_min": values.least,
        "reference_max": values.most,
    }
    return {name: _finite(figure) for name, figure in figures.items()}


def _of_classes(classes: tuple[LandCover, ...], confusion: Confusion) -> dict[str, Any]:
    by_class = {
        "users_accuracy": confusion.users,
        "producers_accuracy": confusion.producers,
        "f1": confusion.f1,
        "iou": confusion.iou,
    }
    return {
        "pixels": confusion.count,
        "overall_accuracy": _finite(confusion.overall),
        "classes": {
            item.name: {figure: _finite(numbers[place]) for figure, numbers in by_class.items()}
            for place, item in enumerate(classes)
        },
        "confusion": {"rows": "generated", "columns": "reference", "counts": confusion.counts.tolist()},
    }


def _finite(figure: float) -> float | None:
    return float(figure) if math.isfinite(figure) else None
