"""What is new over a region: acquisitions of a rolling period that are not mapped yet, or were processed again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from terramosaic.catalog import Pass, labels_of
from terramosaic.errors import CatalogError, NothingLeftError, RequestError
from terramosaic.ground.zones import ZoneArea, as_geojson, zone_areas
from terramosaic.model.bundle import load_bundle
from terramosaic.planning.folder import ACQUISITIONS, RunFolder, as_begun, is_complete
from terramosaic.planning.identity import gives_same_pixels
from terramosaic.planning.plan import Plan
from terramosaic.planning.planning import plan_acquisitions
from terramosaic.planning.reference_days import first_day_of_dates
from terramosaic.publishing.left_out import told_left_out
from terramosaic.request.interval import format_interval
from terramosaic.request.request import RegionRequest
from terramosaic.run.attempt import is_quarantined
from terramosaic.storage.files import remove_folder
from terramosaic.storage.location import location
from terramosaic.watch.collection import MapCollection
from terramosaic.watch.indexing import update_index
from terramosaic.watch.newest import update_newest


@dataclass(frozen=True)
class Watch:
    """What a look at the catalog found.

    Attributes:
        collection: what is mapped.
        areas: the region's part in each UTM zone.
        since: the first day that was searched, in words for messages.
        found: acquisitions in the period that can be mapped.
        new: plans of those to map, by pass, the oldest first.
        again: those of them that were mapped from an earlier processing.
        unusable: why the others cannot be mapped.
        quarantined: acquisitions whose scenes were found of no use; they are not tried again before their items change.
        told: a line for each scene that acquisitions were mapped without.
    """

    collection: MapCollection
    areas: Sequence[ZoneArea]
    since: date
    found: int
    new: dict[Pass, Plan]
    again: frozenset[Pass]
    unusable: Sequence[CatalogError] = ()
    quarantined: list[Pass] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    _recorded: set[str] = field(default_factory=set)

    def record(self, of_pass: Pass) -> None:
        """Adds an acquisition to the collection, once its run is published; its block rasters go."""
        made = self.new[of_pass]
        self.collection.put(made)
        self._recorded.add(made.run_id)
        self.told.extend(told_left_out(made))
        remove_folder(RunFolder.of(made).blocks)

    def leave_out(self, of_pass: Pass, error: NothingLeftError) -> None:
        """Passes over an acquisition of which nothing is left; its run's records say why.

        Raises:
            NothingLeftError: its files were dead, and may come yet.
        """
        if not is_quarantined(self.new[of_pass]):
            raise error
        del self.new[of_pass]
        self.quarantined.append(of_pass)

    @property
    def labels(self) -> dict[Pass, str]:
        """What to call each of those to map."""
        return dict(zip(self.new, labels_of(list(self.new)), strict=True))

    def keep_newest(self) -> None:
        """Brings what there is of all acquisitions, first the newest mosaics, up to date with the collection.

        Raises:
            OutputError: a file could not be read or written.
            LeaseLostError: another process writes the collection by now.
        """
        update_newest(self.collection, self.areas, self._recorded)
        update_index(self.collection)

    def require_usable(self) -> None:
        """Says what could not be looked at, once the rest is mapped.

        Raises:
            CatalogError: items of the period cannot be used; a line for each.
        """
        if not self.unusable:
            return
        first, *more = self.unusable
        items = f"{len(self.unusable)} items" if more else "1 item"
        raise first.among(f"{items} cannot be used; the other acquisitions are mapped", more)

    def __str__(self) -> str:
        left_out = f"; {len(self.quarantined)} quarantined" if self.quarantined else ""
        if not self.new:
            others = "all others" if left_out else "all"
            return f"nothing new: {self.found} acquisitions since {self.since}, {others} mapped{left_out}"
        labels = (f"{label} again" if each in self.again else label for each, label in self.labels.items())
        return (
            f"{len(self.new)} of {self.found} acquisitions since {self.since}: {', '.join(labels)}{left_out}"
            f"{''.join(f'; {line}' for line in self.told)}"
        )


def look(
    request: RegionRequest,
    look_back_days: int,
    now: datetime | None = None,
    require_lease: Callable[[], None] = lambda: None,
) -> Watch:
    """Searches the rolling period and compares it with the collection in the request's output folder.

    An acquisition is mapped when the run that the collection holds of its pass has the pixels that are asked for, under
    whatever name. Else it was processed again, or the request, the device or this package's pixels have changed. One
    that was tried and found of no use is not new before its item changes, and what is mapped of its pass stays.

    Of a model of several dates each acquisition of the period is a reference day, which is mapped once its set of dates
    is whole; these may lie before the period. Where the request names the reference day, there is that one alone.

    Args:
        request: what to map; its period bounds the rolling one, and its composite plays no part.
        look_back_days: length of the rolling period.
        now: its end; by default this moment.
        require_lease: raises an error if this process may not write the collection any more; see `Lease.check`.

    Raises:
        TerramosaicError: as `plan_acquisitions`, or the collection could not be read.
    """
    start, end = _period(request, look_back_days, now or datetime.now(UTC))
    collection = MapCollection(location(request.out), require_lease)
    area = request.area()
    collection.require_region(request.region, as_geojson(area.outline))
    plans: list[Plan] = []
    unusable: list[CatalogError] = []
    if start <= end:
        changes = {
            # Two passes of one solar day may lie on both sides of a midnight in UTC.
            "datetime": format_interval(_searched_from(request, start) - timedelta(days=1), end),
            "out": f"{request.out.rstrip('/')}/{ACQUISITIONS}",
        }
        found, unusable = plan_acquisitions(request.model_copy(update=changes), collection.held, start.date())
        # Of several dates the reference day lies in the period, not each of them.
        plans = [as_begun(made) for made in found if made.dates or made.passes[0].solar_day >= start.date()]
    new, again, quarantined = {}, set(), []
    for made in plans:
        of_pass = made.passes[0]
        known = collection.find(of_pass)
        held = None if known is None else collection.plan_of(known, made)
        is_same = held is not None and gives_same_pixels(held, made)
        if not is_same and is_quarantined(made):
            quarantined.append(of_pass)
            continue
        if held is None or not is_same or not is_complete(held):
            new[of_pass] = made
        if known is not None and not is_same:
            again.add(of_pass)
    areas = zone_areas(area)
    return Watch(collection, areas, start.date(), len(plans), new, frozenset(again), unusable, quarantined)


def _searched_from(request: RegionRequest, start: datetime) -> datetime:
    """From when on acquisitions are searched: a model of several dates sees older ones, too.

    Raises:
        RequestError: nothing bounds how far back they are looked for.
    """
    if load_bundle(request.model).manifest.dates == 1:
        return start
    first = first_day_of_dates(request, start.date())
    if first is None:
        raise RequestError(
            "dates: how far back they are looked for is open; say window_days, such as window_days=60, or a first day "
            "in datetime"
        )
    return min(start, datetime.combine(first, time(), UTC))


def _period(request: RegionRequest, look_back_days: int, now: datetime) -> tuple[datetime, datetime]:
    first, last = request.interval
    start = (now - timedelta(days=look_back_days)).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(start, first) if first else start, min(now, last) if last else now
