"""What came of comparing, as tables of text: a terminal and the Prefect UI show the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from terramosaic.evaluation.assessment import Assessment, ClassTable, Comparison, details_of
from terramosaic.evaluation.series import AssessmentSeries, SeriesRow

#: Acquisitions that are named where several were not compared for one reason.
_NAMED = 3


@dataclass(frozen=True)
class FigureTable:
    """A table of figures, with what is to be known of it.

    Attributes:
        title: what it is of.
        columns: their heads.
        rows: of as many cells.
        lines: what was missing and what else is to be known.
        caveat: what it does not show.
    """

    title: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    lines: tuple[str, ...] = ()
    caveat: str = ""


def tables_of(found: Assessment) -> list[FigureTable]:
    """A table of each comparison of a run."""
    return list(map(_table_of, found.comparisons))


def tables_of_series(series: AssessmentSeries) -> list[FigureTable]:
    """A table of each map and reference, a row for each acquisition and band; the last one tells what is missing."""
    ordered = sorted(series.rows, key=lambda row: (row.map, row.reference))  # of equal ones the order is kept
    tables = [
        _table_over_time(f"{first.map} against {first.title}", [first, *more])
        for _, (first, *more) in groupby(ordered, key=lambda row: (row.map, row.reference))
    ]
    return [*tables, FigureTable(series.summary, lines=tuple(_missing_in(series)))]


def _table_of(one: Comparison) -> FigureTable:
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    if one.bands:
        columns = ("band", "unit", "pixels", "bias", "MAE", "RMSE", "correlation", "SSIM")
        rows = tuple(
            (
                band.band, band.unit, str(band.pixels),
                *map(_figure, (band.bias, band.mae, band.rmse, band.correlation, band.ssim)),
            )
            for band in one.bands
        )  # fmt: skip
    if one.classes is not None:
        columns = ("class", "user's accuracy", "producer's accuracy", "F1", "IoU", "map km²", "estimated km²")
        rows = tuple(_class_rows(one.classes))
    return FigureTable(
        one.heading, columns, rows, tuple(details_of([one])), one.caveat if one.compared else ""
    )


def _class_rows(classes: ClassTable) -> Iterable[tuple[str, ...]]:
    for row in classes.classes:
        area = "" if row.area_km2 is None else f"{row.area_km2:.4g} ± {row.area_margin_km2 or 0:.2g}"
        shares = map(_percent, (row.users, row.producers, row.f1, row.iou))
        yield (row.name, *shares, f"{row.mapped_km2:.4g}", area)


def _table_over_time(title: str, rows: list[SeriesRow]) -> FigureTable:
    if rows[0].band:
        columns: tuple[str, ...] = ("acquisition", "reference of", "band", "unit", "pixels", "bias", "MAE", "RMSE",
                                    "correlation", "SSIM")  # fmt: skip
        cells = [
            (
                row.acquisition, row.when, row.band, row.unit, str(row.compared),
                *map(_figure, (row.bias, row.mae, row.rmse, row.correlation, row.ssim)),
            )
            for row in rows
        ]  # fmt: skip
    else:
        columns = ("acquisition", "reference of", "pixels", "overall accuracy", "IoU of water")
        cells = [
            (row.acquisition, row.when, str(row.compared), *map(_percent, (row.overall, row.water_iou)))
            for row in rows
        ]
    return FigureTable(title, columns, tuple(cells))


def _missing_in(series: AssessmentSeries) -> Iterable[str]:
    """What could not be compared, a line for each reason."""
    by_reason: dict[str, list[str]] = {}
    for one in series.missing:
        reason = f"{one.reference}: {one.reason}" if one.reference else one.reason
        by_reason.setdefault(reason, []).append(one.acquisition)
    for reason, days in by_reason.items():
        more = f" and {len(days) - _NAMED} more" if len(days) > _NAMED else ""
        yield f"not compared: {', '.join(days[:_NAMED])}{more}: {reason}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
