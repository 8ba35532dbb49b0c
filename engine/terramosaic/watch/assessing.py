"""The maps of a watched region compared with what is known there: one assessment each, and the series of them all.

An acquisition that has an assessment of the same references keeps it. Of those that have none, or one in which a
reference was missing, a few are compared at a time: first those that never were, the newest before the others. So each
call ends, and calling again goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from terramosaic.catalog import labels_of
from terramosaic.errors import RequestError, TerramosaicError
from terramosaic.evaluation.assess import assessed, checksums_of_mosaics, require_reader
from terramosaic.evaluation.assessment import Assessment, assessment_of
from terramosaic.evaluation.reference import Reference, references_of
from terramosaic.evaluation.series import AssessmentSeries, NotAssessed, SeriesRow, rows_of
from terramosaic.planning.folder import ACQUISITIONS, RunFolder, read_plan
from terramosaic.planning.plan import Plan
from terramosaic.run.keeping import keep
from terramosaic.storage.files import exists, write_json
from terramosaic.storage.location import Location, location
from terramosaic.watch.collection import COLLECTION, MapCollection, Mapped

#: Beside the collection.
_FILE = "assessments.json"


def watched_folder(path: str | Location) -> Location | None:
    """The folder of a watched region, by its path or URL or by that of its collection; None of anything else."""
    place = location(path)
    folder = place.parent if place.name == COLLECTION else place
    return folder if exists(folder / COLLECTION) else None


def assess_watched(
    folder: Location,
    references: Sequence[str] = (),
    *,
    catalog: str | None = None,
    samples: int = 100,
    seed: int | None = None,
    limit: int = 20,
    write: bool = True,
    on_map: Callable[[int, int], None] = lambda done, all: None,
) -> AssessmentSeries:
    """Compares the maps of a watched region with what is known there.

    Args:
        folder: which holds the collection.
        references: see `terramosaic.assess`.
        catalog: likewise.
        samples: likewise, of each map.
        seed: likewise.
        limit: maps that are compared at most; the others wait for the next call.
        write: whether each assessment is kept in its run, and the series as ``assessments.json`` beside the collection.
        on_map: told how many maps are compared, of how many.

    Raises:
        RequestError: nothing is mapped yet, no map has what is asked for, or odc-stac is missing.
        OutputError: the collection cannot be read, or the series not written.
    """
    created = datetime.now(UTC)
    mapped = MapCollection(folder).mapped
    if not mapped:
        raise RequestError(f"run: {folder} has no map yet")
    labels = labels_of([held.of_pass for held in mapped])
    maps = [
        _surveyed(folder, held, label, references, catalog, samples)
        for held, label in zip(mapped, labels, strict=True)
    ]
    failures = [one.failure for one in maps if one.failure is not None]
    if len(failures) == len(maps):
        raise failures[0]
    pending = sorted((one for one in maps if one.is_pending), key=_Map.order)
    require_reader([reference for one in pending for reference in one.asked])
    for done, one in enumerate(pending[:limit], start=1):
        one.assess(samples=samples, seed=seed, write=write)
        on_map(done, len(pending[:limit]))
    series = AssessmentSeries(
        created=created,
        acquisitions=len(maps),
        assessed=sum(one.is_new for one in maps),
        waiting=len(pending[limit:]),
        rows=tuple(row for one in maps for row in one.rows),
        missing=tuple(line for one in maps for line in one.missing),
    )
    if write:
        write_json(folder / _FILE, series.model_dump(mode="json"))
    return series


@dataclass
class _Map:
    """The map of an acquisition, without its plan, which may be large.

    Attributes:
        asked: what it is to be compared with.
        found: its assessment, if it has one of these.
        failure: why nothing can be compared, or could not be.
        is_new: whether it was compared just now.
    """

    held: Mapped
    label: str
    folder: RunFolder
    asked: tuple[Reference, ...] = ()
    found: Assessment | None = None
    failure: TerramosaicError | None = None
    is_new: bool = False

    @property
    def is_pending(self) -> bool:
        """Whether something is to be compared yet, or again, for a reference may have come since."""
        if self.failure is not None:
            return False
        return self.found is None or not all(one.compared for one in self.found.comparisons)

    def order(self) -> tuple[float, float]:
        """Smaller where it is more urgent."""
        tried = self.found.created.timestamp() if self.found else 0.0
        return tried, -self.held.of_pass.start.timestamp()

    def assess(self, *, samples: int, seed: int | None, write: bool) -> None:
        """Compares it; what fails is noted."""
        try:
            plan = read_plan(self.folder.path)
            self.found = assessed(plan, self.asked, samples=samples, seed=seed)
            self.is_new = True
            if write:
                file = self.folder.assessment_file
                keep(plan, file, self.found, what="an assessment", are_blocks_wanted=False)
        except TerramosaicError as error:
            self.failure = error

    @property
    def rows(self) -> list[SeriesRow]:
        """Its figures."""
        if self.found is None:
            return []
        of_pass = self.held.of_pass
        return list(rows_of(self.found, day=of_pass.solar_day, moment=of_pass.start, acquisition=self.label))

    @property
    def missing(self) -> list[NotAssessed]:
        """What could not be compared."""
        lines = [] if self.failure is None else [("", str(self.failure))]
        if self.found is not None:
            lines += [
                (one.reference, "; ".join(one.missing) or "nothing was drawn")
                for one in self.found.comparisons
                if not one.compared
            ]
        return [
            NotAssessed(acquisition=self.label, run_id=self.held.run_id, reference=reference, reason=reason)
            for reference, reason in lines
        ]


def _surveyed(
    folder: Location, held: Mapped, label: str, references: Sequence[str], catalog: str | None, samples: int
) -> _Map:
    """What there is of a map, and what is to be done."""
    one = _Map(held, label, RunFolder(folder / ACQUISITIONS / held.run_id))
    try:
        plan = read_plan(one.folder.path)
        one.asked = tuple(references_of(references, plan.request.targets, catalog))
    except RequestError as error:  # somebody has removed it, or it has no such map
        one.failure = error
        return one
    kept = assessment_of(one.folder)
    if kept is not None and _is_of(kept, plan, one.asked, samples):
        one.found = kept
    return one


def _is_of(kept: Assessment, plan: Plan, asked: Sequence[Reference], samples: int) -> bool:
    """Whether an assessment is of these mosaics and references, and of as many parts."""
    return (
        kept.mosaics == checksums_of_mosaics(plan)
        and {one.definition for one in kept.comparisons} == {one.fingerprint for one in asked}
        and min(kept.samples, kept.parts) >= min(samples, kept.parts)
    )
