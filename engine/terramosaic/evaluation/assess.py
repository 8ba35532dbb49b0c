"""A finished run compared with reference data, on parts of it that are drawn at random. Writes nothing.

Memory does not grow with the run: a few parts are held at a time, and of those that were compared the sums alone.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import numpy as np

from terramosaic.errors import CatalogError, RequestError
from terramosaic.evaluation.ahead import ahead
from terramosaic.evaluation.assessment import Assessment, Comparison
from terramosaic.evaluation.comparing import Sums, physical
from terramosaic.evaluation.parts import Part, Parts
from terramosaic.evaluation.points import read_points
from terramosaic.evaluation.reference import Reference
from terramosaic.evaluation.reference_items import Found, ReferenceItem, by_time, choose, find
from terramosaic.evaluation.reference_pixels import converted, frame_of, read, require_odc_stac
from terramosaic.ground.grid import Rect
from terramosaic.planning.finished import checksums_in
from terramosaic.planning.folder import RunFolder, mosaics_of
from terramosaic.planning.layers import Layer
from terramosaic.planning.plan import Plan
from terramosaic.storage.files import exists, read_json
from terramosaic.trust.recomputing import PublishedMosaics
from terramosaic.trust.versions import versions

#: Parts whose reference is read at the same time: over a network each waits for its answers.
_READERS = 4

_ACQUIRED = "acquired"


@dataclass
class _Reading:
    """What a thread reads of a part's reference.

    Attributes:
        values: float32 (bands, height, width), NaN for gaps; None where there is nothing.
        missing: why.
        items: that were read.
        away: days or years from the imagery.
        shifts: by item, metres that its pixels lie off the grid; None of another grid.
    """

    values: np.ndarray | None = None
    missing: str = ""
    items: list[ReferenceItem] = field(default_factory=list)
    away: int = 0
    shifts: dict[str, tuple[float, float] | None] = field(default_factory=dict)


def assessed(
    plan: Plan,
    references: Sequence[Reference],
    *,
    samples: int = 100,
    seed: int | None = None,
    on_part: Callable[[int, int], None] = lambda done, all: None,
) -> Assessment:
    """Compares a finished run with reference data.

    Args:
        plan: the run's.
        references: each of a map that the run has.
        samples: parts of 256 pixels that are drawn; all, where the run has no more.
        seed: of the drawing; by default another one each time.
        on_part: told how many comparisons of parts are done, of how many.

    Raises:
        RequestError: the run is not finished, odc-stac is missing, or a reference is no such thing.
        OutputError: the store that the run lies in failed.
    """
    started, created = time.perf_counter(), datetime.now(UTC)
    folder = RunFolder.of(plan)
    if not exists(folder.item_file):
        raise RequestError(f"run: {folder.path} is not finished; run the same request again to go on with it")
    require_reader(references)
    seed = secrets.randbits(32) if seed is None else seed
    parts = Parts(plan)
    drawn = parts.draw(samples, seed)
    with PublishedMosaics(plan) as mosaics:
        comparisons = []
        for before, reference in enumerate(references):

            def on_each(part: int, done: int = before * len(drawn)) -> None:
                on_part(done + part, len(drawn) * len(references))

            compare = _Comparing(plan, mosaics, reference)
            comparisons.append(compare.points() if reference.is_of_points else compare.parts(drawn, on_each))
    return Assessment(
        run_id=plan.run_id,
        created=created,
        versions=versions(),
        seed=seed,
        samples=samples,
        parts=len(parts),
        comparisons=tuple(comparisons),
        mosaics=checksums_of_mosaics(plan),
        seconds=round(time.perf_counter() - started, 3),
    )


def require_reader(references: Sequence[Reference]) -> None:
    """Raises:
    RequestError: some are rasters, and odc-stac, which reads them, is missing.
    """
    if not all(one.is_of_points for one in references):
        require_odc_stac()


class _Comparing:
    """A run's map and one reference."""

    def __init__(self, plan: Plan, mosaics: PublishedMosaics, reference: Reference) -> None:
        self._plan, self._mosaics, self._reference = plan, mosaics, reference
        self._layer = plan.layer(reference.target)
        self._sums = Sums(self._layer)
        self._missing: Counter[str] = Counter()
        self._notes: list[str] = []
        self._items: dict[str, ReferenceItem] = {}
        self._away: set[int] = set()
        self._shifts: dict[str, tuple[float, float] | None] = {}

    def parts(self, drawn: Sequence[Part], on_part: Callable[[int], None]) -> Comparison:
        """Compares rasters, part by part."""
        reference = self._reference
        assets = reference.assets_for(self._layer)
        try:
            found = find(reference, self._plan, assets)
        except CatalogError as error:
            found = Found(missing=error.text)
        self._notes += found.notes
        if not found.items:
            self._missing[found.missing] += len(drawn)
            return self._outcome(len(drawn))

        def reading(key: tuple[Part, date]) -> _Reading:
            return self._read(found, assets, *key)

        with ThreadPoolExecutor(_READERS, thread_name_prefix="reference") as pool:
            try:
                keys = ((part, self._day_of(part)) for part in drawn)
                for done, ((part, _), waiting) in enumerate(ahead(pool, reading, keys, _READERS), start=1):
                    self._compare(part, waiting.result())
                    on_part(done)
            finally:
                pool.shutdown(cancel_futures=True)
        return self._outcome(len(drawn))

    def points(self) -> Comparison:
        """Compares points, each with the pixel that it lies in."""
        points = read_points(self._reference, self._layer)
        numbers = converted(points.numbers, self._reference)
        found = np.full(numbers.shape, np.nan, np.float32)
        for zone in self._plan.zones:
            rows, cols = points.pixels(zone)
            rect = zone.rect
            inside = (rows >= rect.row) & (rows < rect.row_end) & (cols >= rect.col) & (cols < rect.col_end)
            for place in np.flatnonzero(inside & np.isnan(found[0])).tolist():
                pixel = Rect(int(rows[place]), int(cols[place]), 1, 1)
                stored = self._mosaics.read(zone, self._layer, pixel)
                if stored is not None:
                    found[:, place] = physical(stored, self._layer)[:, 0, 0]
        # One by one, so that each counts as a sample.
        for place in range(numbers.shape[1]):
            self._sums.add(found[:, None, place, None], numbers[:, None, place, None], in_place=False)
        if outside := int(np.isnan(found[0]).sum()):
            self._missing["the map has no pixel there"] = outside
        if self._sums.is_of_classes:
            self._notes.append("areas take it that points were drawn at random within each class of the map")
        return self._outcome(0)

    def _day_of(self, part: Part) -> date:
        """The middle day of a part's imagery."""
        layer = next((layer for layer in self._plan.layers if layer.name == _ACQUIRED), None)
        if layer is not None:
            stored = self._mosaics.read(self._plan.zone_of(part.block), layer, part.rect)
            if stored is not None and stored[0].any():
                return date(1970, 1, 1) + timedelta(int(np.median(stored[0][stored[0] > 0])))
        days = sorted(
            self._plan.leading[scene].solar_day for ranked in part.block.acquisitions for scene in ranked
        )
        return days[len(days) // 2]

    def _read(self, found: Found, assets: Sequence[str], part: Part, day: date) -> _Reading:
        outline = part.outline
        items, away = choose(self._reference, found.items, outline, day)
        if not items:
            return _Reading(missing=self._nothing(found.items, day))
        geobox = part.rect.geobox(part.block.epsg)
        try:
            shifts = {
                one.id: frame_of(one, assets[0], signed_by=found.signed_by).shift(geobox) for one in items
            }
            values = read(self._reference, items, assets, geobox, outline, signed_by=found.signed_by)
        except CatalogError as error:
            return _Reading(missing=error.text)
        return _Reading(values, "", items, away, shifts)

    def _nothing(self, items: Sequence[ReferenceItem], day: date) -> str:
        match self._reference.when:
            case "days":
                return f"nothing there within {self._reference.days:g} days of the imagery of {day}"
            case "year":
                return f"nothing there of {day.year}"
            case _:
                return "nothing there"

    def _compare(self, part: Part, one: _Reading) -> None:
        stored = self._mosaics.read(self._plan.zone_of(part.block), self._layer, part.rect)
        if stored is None:
            self._missing["the mosaic cannot be read"] += 1
            return
        mapped = physical(stored, self._layer)
        if not np.isfinite(mapped[0]).any():
            self._missing["the map has no data there"] += 1
            return
        before = self._sums.parts
        values = np.full(mapped.shape, np.nan, np.float32) if one.values is None else one.values
        self._sums.add(mapped, values)
        if self._sums.parts == before:
            self._missing[one.missing or "the reference has no data there"] += 1
            return
        self._items |= {item.id: item for item in one.items}
        self._shifts |= one.shifts
        self._away.add(one.away)

    def _outcome(self, drawn: int) -> Comparison:
        reference, sums = self._reference, self._sums
        table, untold = (
            sums.table(_mapped_pixels(self._plan, self._layer)) if sums.is_of_classes else (None, "")
        )
        notes = [
            *self._notes,
            *self._grids(),
            *self._distances(),
            *self._displacement(),
        ]
        if sums.mapped and sums.compared < sums.mapped and sums.compared:
            share = 1 - sums.compared / sums.mapped
            notes.append(f"of {share:.1%} of the pixels the reference has nothing to compare with")
        if table is not None and drawn:
            notes.append(
                "intervals of areas count each part as one sample, for pixels of a part are alike; they are 0 where "
                "none of a class disagrees"
            )
        return Comparison(
            reference=reference.name,
            definition=reference.fingerprint,
            title=reference.title or reference.name,
            map=self._layer.name,
            when="" if reference.path else by_time(self._items.values()),
            parts=drawn,
            parts_compared=sums.parts if drawn else 0,
            mapped=sums.mapped,
            compared=sums.compared,
            missing=dict(self._missing),
            bands=sums.bands,
            classes=table,
            notes=tuple(filter(None, [*notes, untold])),
            caveat=reference.caveat,
        )

    def _grids(self) -> list[str]:
        """Which files do not lie on the map's grid."""
        shifts, how = self._shifts, f"({self._reference.resampling})"
        other = [name for name, shift in shifts.items() if shift is None]
        off = {name: shift for name, shift in shifts.items() if shift and any(shift)}
        found = []
        if other:
            found.append(f"{len(other)} of {len(shifts)} files have another grid and were resampled {how}")
        if off:
            name, (east, north) = next(iter(off.items()))
            found.append(
                f"misaligned: {len(off)} of {len(shifts)} files lie between the map's pixels, {name} by {east:g} m "
                f"east and {north:g} m north; they were resampled {how}"
            )
        return found

    def _distances(self) -> list[str]:
        """How far from the imagery's time the reference is."""
        if not any(self._away):
            return []
        farthest = max(self._away)
        if self._reference.when == "days":
            return [f"up to {farthest} days lie between the imagery and the reference"]
        years = ", ".join(map(str, sorted({item.moment.year for item in self._items.values()})))
        return [f"another year: the reference is of {years}, up to {farthest} from the imagery's"]

    def _displacement(self) -> list[str]:
        """Whether the reference agrees better from beside where its file says that it lies."""
        better = self._sums.shifts.better
        if better is None:
            return []
        down, right, there, here = better
        what = "share of equal classes" if self._sums.is_of_classes else "correlation"
        return [
            f"misaligned: the reference seems to lie {10 * right:+d} m east and {-10 * down:+d} m north of the map: "
            f"moved back, the {what} is {there:.3f} instead of {here:.3f}"
        ]


def checksums_of_mosaics(plan: Plan) -> dict[str, str]:
    """By name what the run's item tells of each mosaic; an assessment is of these."""
    told = checksums_in(RunFolder.of(plan).item_file)
    return {name: told.get(path.name) or "" for name, path in mosaics_of(plan).items()}


def _mapped_pixels(plan: Plan, layer: Layer) -> dict[int, float]:
    """How many pixels of each class a map has, by the run's item, which tells exact shares."""
    folder = RunFolder.of(plan)
    assets = (read_json(folder.item_file) or {}).get("assets", {})
    found: dict[int, float] = {}
    for zone in plan.zones:
        asset = assets.get(folder.mosaic(plan, zone, layer.name).stem, {})
        valid = asset.get("bands", [{}])[0].get("statistics", {}).get("valid_percent", 0.0) / 100
        for told in asset.get("classification:classes", []):
            share = told.get("percentage") or 0.0
            pixels = zone.height * zone.width * valid * share / 100
            found[told["value"]] = found.get(told["value"], 0.0) + pixels
    return found
