"""How the maps of a watched region compare, over time: a value that is kept as ``assessments.json``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from terramosaic.errors import CatalogError
from terramosaic.evaluation.assessment import Assessment


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SeriesRow(_Value):
    """How one band of a map compares, or its classes; None stands for a figure of none.

    Attributes:
        day: solar day of the acquisition.
        moment: when it began, UTC.
        acquisition: what it is called: its day, and where a day has several its platform and orbit.
        run_id: the run's.
        map: that was compared.
        reference: with which.
        title: the reference's name for people.
        when: days or years of the reference.
        band: of the map; empty of classes.
        unit: of bias, MAE and RMSE.
        compared: pixels, or points.
        overall: share of them of the same class.
        water_iou: intersection over union of water.
    """

    day: date
    moment: datetime
    acquisition: str
    run_id: str
    map: str
    reference: str
    title: str
    when: str
    band: str = ""
    unit: str = ""
    compared: int
    bias: float | None = None
    mae: float | None = None
    rmse: float | None = None
    correlation: float | None = None
    ssim: float | None = None
    overall: float | None = None
    water_iou: float | None = None


class NotAssessed(_Value):
    """An acquisition of which there is nothing to tell, in all or of one reference.

    Attributes:
        reference: which; empty stands for all.
        reason: why.
    """

    acquisition: str
    run_id: str
    reference: str = ""
    reason: str


class AssessmentSeries(_Value):
    """What the maps of a watched region were compared with, and what came of it.

    Attributes:
        created: when it was put together, UTC.
        acquisitions: maps that there are.
        assessed: those that were compared just now; what is told of the others was kept.
        waiting: those that wait for the next time.
        rows: figures, in order of time.
        missing: what could not be compared, and why.
    """

    format: Literal["terramosaic-assessments-1"] = "terramosaic-assessments-1"
    created: datetime
    acquisitions: int
    assessed: int
    waiting: int
    rows: tuple[SeriesRow, ...]
    missing: tuple[NotAssessed, ...]

    @property
    def failure(self) -> CatalogError | None:
        """What is to be raised where nothing could be compared; None else."""
        if self.rows or not self.missing:
            return None
        reasons = dict.fromkeys(one.reason for one in self.missing)
        return CatalogError(
            f"no acquisition could be compared: {'; '.join(reasons)}",
            hint="take another reference or catalog",
        )

    @property
    def summary(self) -> str:
        """How many acquisitions it tells of, in a line."""
        told = len({row.run_id for row in self.rows})
        later = f"; {self.waiting} left for the next time" if self.waiting else ""
        return f"{told} of {self.acquisitions} acquisitions compared, {self.assessed} of them now{later}"


def rows_of(found: Assessment, *, day: date, moment: datetime, acquisition: str) -> Iterator[SeriesRow]:
    """The figures of an acquisition's map; those arguments are of the acquisition."""
    for one in found.comparisons:
        row = SeriesRow(
            day=day,
            moment=moment,
            acquisition=acquisition,
            run_id=found.run_id,
            map=one.map,
            reference=one.reference,
            title=one.title,
            when=one.when,
            compared=one.compared,
        )
        if not one.compared:
            continue
        if one.classes is not None:
            water = one.classes.water
            figures = {"overall": one.classes.overall, "water_iou": water and water.iou}
            yield row.model_copy(update=figures)
        for band in one.bands:
            figures = band.model_dump(include={"band", "unit", "bias", "mae", "rmse", "correlation", "ssim"})
            yield row.model_copy(update=figures | {"compared": band.pixels})
