"""The report of the newest mosaics: what is seen, of which days, and where the report of each acquisition is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from terramosaic.catalog import Pass, labels_of
from terramosaic.planning.layers import ACQUIRED, day_number
from terramosaic.planning.plan import Plan
from terramosaic.publishing.markup import render
from terramosaic.publishing.numbers import counted, hectares, percent, size, square_km
from terramosaic.publishing.pictures import cropped, embedded
from terramosaic.publishing.quicklook import Quicklook
from terramosaic.publishing.record import LayerRecord
from terramosaic.publishing.run_files import companions_of, mosaic_file
from terramosaic.publishing.words import attribution
from terramosaic.watch.generation import Generation

REPORT = "report.html"


@dataclass(frozen=True)
class _Acquisition:
    """A row of the table.

    Attributes:
        label: what to call it.
        run: its run.
        share: of the pixels with data that are of its day; None where that is not known.
    """

    label: str
    run: str
    share: float | None


def newest_report(
    title: str,
    records: Sequence[LayerRecord],
    generation: Generation,
    plan: Plan,
    passes: Mapping[str, Pass],
) -> str:
    """The page as HTML text, its pictures and styles in it.

    Args:
        title: what to call the mosaics.
        records: these, counted and drawn.
        generation: what they are made from.
        plan: of one of its runs.
        passes: of each run in it.
    """
    pictures = _cropped(records)
    held = sorted(passes.items(), key=lambda each: each[1].order, reverse=True)
    labels = labels_of([of_pass for _, of_pass in held])
    pixels = pixels_by_day(records)
    total = sum(pixels.values())
    rows = [
        _Acquisition(label, run, pixels.get(day_number(one.solar_day), 0) / total if total else None)
        for (run, one), label in zip(held, labels, strict=True)
    ]
    return render(
        "newest.html",
        title=title,
        records=records,
        zones=generation.mosaics.zones,
        bundle=plan.bundle,
        pictures=embedded(pictures),
        sizes={name: picture.image.size for name, picture in pictures.items()},
        mosaic_file=mosaic_file,
        companions_of=companions_of,
        cards=_cards(records, rows, held[0][1]),
        acquisitions=rows,
        left_out=sorted(day.isoformat() for day in generation.left_out.values()),
        first_day=held[-1][1].solar_day,
        last_day=held[0][1].solar_day,
        attribution=attribution(plan),
        made=f"{datetime.now(UTC):%Y-%m-%d}",
    )


def _cards(
    records: Sequence[LayerRecord], rows: Sequence[_Acquisition], newest: Pass
) -> list[tuple[str, str, str]]:
    days = [record for record in records if record.layer.key == ACQUIRED.key]
    area = sum(record.valid_km2 for record in days)
    seen = [row for row in rows if row.share]
    of_newest = rows[0].share
    return [
        ("Mapped", square_km(area), hectares(area)),
        ("Acquisitions", str(len(rows)), f"{len(seen)} of them are seen"),
        (
            "Newest",
            newest.solar_day.isoformat(),
            "" if of_newest is None else f"{percent(of_newest)} of the pixels",
        ),
        ("Mosaics", size(sum(record.size for record in records)), counted(len(records), "file")),
    ]


def pixels_by_day(records: Sequence[LayerRecord]) -> dict[int, int]:
    """How many pixels are of each day, over all zones."""
    found = dict[int, int]()
    for record in records:
        if record.layer.key == ACQUIRED.key and record.census.counts is not None:
            counts = record.census.counts[0]
            for one in record.layer.classes:
                found[one.value] = found.get(one.value, 0) + int(counts[one.value])
    return found


def _cropped(records: Sequence[LayerRecord]) -> dict[str, Quicklook]:
    """The pictures, those of a zone cut to its data."""
    found = dict[str, Quicklook]()
    for epsg in {record.zone.epsg: None for record in records}:
        found |= cropped({one.name: one.quicklook for one in records if one.zone.epsg == epsg})
    return found
