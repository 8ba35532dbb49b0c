"""What came of comparing a run with reference data: a value that is kept as ``assessment.json``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from terramosaic.errors import CatalogError
from terramosaic.planning.folder import RunFolder
from terramosaic.storage.files import read_json

#: What the land cover that water's figures are told of is called, in lower case.
_WATER = "water"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BandFigures(_Value):
    """How a band of values compares, in its unit; None stands for a figure of none.

    Attributes:
        pixels: that were compared.
        bias: mean of map minus reference.
        mae: mean absolute error.
        rmse: root of the mean squared error.
        correlation: Pearson's.
        ssim: structural similarity, for values that span ``data_range``.
    """

    band: str
    unit: str
    pixels: int
    bias: float | None
    mae: float | None
    rmse: float | None
    correlation: float | None
    ssim: float | None
    data_range: float | None


class ClassFigures(_Value):
    """How a class compares; None stands for a figure of none.

    Attributes:
        mapped: pixels compared that the map calls so.
        referred: those that the reference does.
        users: user's accuracy: of what the map calls so, the share that is.
        producers: producer's accuracy: of what is so, the share that the map calls so.
        f1: harmonic mean of both.
        iou: intersection over union.
        mapped_km2: area that the whole map gives it.
        area_km2: its area by the reference, estimated for the whole map (Olofsson et al. 2014).
        area_margin_km2: half the width of that estimate's 95 % confidence interval.
    """

    value: int
    name: str
    mapped: int
    referred: int
    users: float | None
    producers: float | None
    f1: float | None
    iou: float | None
    mapped_km2: float
    area_km2: float | None = None
    area_margin_km2: float | None = None


class ClassTable(_Value):
    """How classes compare.

    Attributes:
        pixels: that were compared.
        overall: share of them of the same class.
        classes: that either of both has.
        counts: the confusion matrix of these: rows are the map, columns the reference.
    """

    pixels: int
    overall: float | None
    classes: tuple[ClassFigures, ...]
    counts: tuple[tuple[int, ...], ...]

    @property
    def water(self) -> ClassFigures | None:
        """The figures of water."""
        return next((one for one in self.classes if one.name.lower() == _WATER), None)


class Comparison(_Value):
    """A map compared with a reference.

    Attributes:
        reference: its name.
        definition: tells apart references of one name; empty of assessments before there were such.
        title: its name for people.
        map: that was compared.
        when: days or years of the reference.
        parts: squares that were drawn; 0 of points.
        parts_compared: those with a pixel to compare.
        mapped: pixels, or points, of the map that could be compared.
        compared: those for which there was a reference.
        missing: why there was none, and for how many parts or points.
        bands: figures of values.
        classes: figures of classes.
        notes: what else is to be known of it, in a line each.
        caveat: what it does not show.
    """

    reference: str
    definition: str = ""
    title: str
    map: str
    when: str = ""
    parts: int = 0
    parts_compared: int = 0
    mapped: int = 0
    compared: int = 0
    missing: dict[str, int] = Field(default_factory=dict)
    bands: tuple[BandFigures, ...] = ()
    classes: ClassTable | None = None
    notes: tuple[str, ...] = ()
    caveat: str

    @property
    def heading(self) -> str:
        """What was compared with what, and how that came out where no table of figures says it."""
        return f"{self.map} against {self.title}" if self.bands else self.summary

    @property
    def summary(self) -> str:
        """The main figures, in a line."""
        if not self.compared:
            return f"{self.map} was not compared with {self.title}: {'; '.join(self.missing) or 'nothing was drawn'}"
        if self.classes is None:
            told = "; ".join(
                f"{one.band} bias {_number(one.bias)}, MAE {_number(one.mae)}, RMSE {_number(one.rmse)}"
                f"{'' if one.unit in ('', '1') else f' {one.unit}'}, correlation {_number(one.correlation)}"
                for one in self.bands
            )
        else:
            told = f"overall accuracy {_percent(self.classes.overall)}"
            if self.classes.water is not None and self.classes.water.iou is not None:
                told += f", IoU of water {_percent(self.classes.water.iou)}"
        return f"{self.map} against {self.title}: {told}"


class Assessment(_Value):
    """What a run was compared with, and what came of it.

    Attributes:
        created: when it began, UTC.
        versions: of the software that compared.
        seed: of the drawing; the same one draws the same parts.
        samples: parts that were asked for.
        parts: parts that the run has.
        mosaics: checksum of each mosaic that all this is about.
        seconds: what it took.
    """

    format: Literal["terramosaic-assessment-1"] = "terramosaic-assessment-1"
    run_id: str
    created: datetime
    versions: dict[str, str]
    seed: int
    samples: int
    parts: int
    comparisons: tuple[Comparison, ...]
    mosaics: dict[str, str]
    seconds: float

    @property
    def is_all(self) -> bool:
        """Whether the run has no more parts than were asked for, so that no seed decided which."""
        return self.samples >= self.parts

    @property
    def failure(self) -> CatalogError | None:
        """What is to be raised where nothing could be compared; None else."""
        if any(one.compared for one in self.comparisons):
            return None
        return CatalogError(
            f"run {self.run_id} could not be compared: {'; '.join(one.summary for one in self.comparisons)}",
            hint="take another reference or catalog",
        )

    @property
    def summary(self) -> str:
        """The main figures of all comparisons."""
        return "; ".join(one.summary for one in self.comparisons if one.compared)


def assessment_of(folder: RunFolder) -> Assessment | None:
    """The last assessment of a run that was kept; None where there is none that can be read."""
    content = read_json(folder.assessment_file, always_sealed=True)
    try:
        return None if content is None else Assessment.model_validate(content)
    except ValidationError:
        return None


def details_of(comparisons: Sequence[Comparison]) -> list[str]:
    """What was missing and what else is to be known, a line each."""
    return [
        f"{one.reference}: {line}"
        for one in comparisons
        for line in (
            *(f"not compared: {count}: {reason}" for reason, count in one.missing.items() if one.compared),
            *one.notes,
        )
    ]


def _number(figure: float | None) -> str:
    return "none" if figure is None else f"{figure:.3g}"


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.1f} %"
