"""What is new over a region: acquisitions of a rolling period that are not mapped yet, or were processed again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from engine.collection import ACQUISITIONS, MapCollection
from engine.interval import format_interval
from engine.location import location
from engine.newest import describe_newest, encoding_of, holds, update_newest
from engine.plan import Plan
from engine.planning import plan_acquisitions
from engine.region import as_geojson
from engine.request import RegionRequest
from engine.run import RunFolder, is_complete, read_plan


@dataclass(frozen=True)
class Watch:
    """What a look at the catalog found.

    Attributes:
        collection: what is mapped.
        since: the first day that was searched, in words for messages.
        found: acquisitions in the period.
        new: plans of those to map, by solar day, the newest first.
        again: days of those that were mapped from an earlier processing.
    """

    collection: MapCollection
    since: date
    found: int
    new: dict[date, Plan]
    again: frozenset[date]

    def record(self, day: date) -> None:
        """Adds an acquisition to the collection, once its run is published."""
        self.collection.put(self.new[day])

    def __str__(self) -> str:
        if not self.new:
            return f"nothing new: {self.found} acquisitions since {self.since}, all mapped"
        days = (f"{day} again" if day in self.again else f"{day}" for day in sorted(self.new))
        return f"{len(self.new)} of {self.found} acquisitions since {self.since}: {', '.join(days)}"


def look(request: RegionRequest, look_back_days: int, now: datetime | None = None) -> Watch:
    """Searches the rolling period and compares it with the collection in the request's output folder.

    An acquisition's run is named by its content, so one that the collection holds under the same name is done, and one
    under another name was processed again, or the request, the device or the version of this package has changed.

    Args:
        request: what to map; its period bounds the rolling one, and its composite plays no part.
        look_back_days: length of the rolling period.
        now: its end; by default this moment.

    Raises:
        TerramosaicError: as `plan_acquisitions`, or the collection could not be read.
    """
    start, end = _period(request, look_back_days, now or datetime.now(UTC))
    collection = MapCollection(location(request.out))
    collection.require_region(as_geojson(request.area().outline))
    plans: list[Plan] = []
    if start <= end:
        changes = {
            # Two passes of one solar day may lie on both sides of a midnight in UTC.
            "datetime": format_interval(start - timedelta(days=1), end),
            "out": f"{request.out.rstrip('/')}/{ACQUISITIONS}",
        }
        found = plan_acquisitions(request.model_copy(update=changes))
        plans = [made for made in found if _day_of(made) >= start.date()]
    held = collection.held
    new, again = {}, set()
    for made in plans:
        day = _day_of(made)
        known = held.get(day)
        if known is None or known.run_id != made.run_id or not is_complete(made):
            new[day] = made
        if known is not None and known.run_id != made.run_id:
            again.add(day)
    return Watch(collection, start.date(), len(plans), new, frozenset(again))


def keep_newest(collection: MapCollection, look_back_days: int) -> list[date]:
    """Brings the mosaics of the newest pixels up to date with the collection.

    Args:
        collection: what is mapped.
        look_back_days: acquisitions that are older than the newest by more are left out when all is made anew.

    Returns:
        The days of the acquisitions that are in them.

    Raises:
        OutputError: a file could not be read or written.
    """
    held = collection.held
    recent = {
        day: item.run_id for day, item in held.items() if day >= max(held) - timedelta(days=look_back_days)
    }
    if not recent or holds(collection.folder, recent):
        return sorted(recent)
    runs = {
        day: read_plan(RunFolder(collection.folder / ACQUISITIONS / run_id).path)
        for day, run_id in recent.items()
    }
    newest = runs[max(runs)]
    # Of an earlier request there may be other layers, or other numbers in them.
    runs = {day: made for day, made in runs.items() if encoding_of(made) == encoding_of(newest)}
    update_newest(collection.folder, runs, left_out=recent.keys() - runs.keys())
    collection.put_assets(newest, describe_newest(collection.folder, newest))
    return sorted(runs)


def _day_of(made: Plan) -> date:
    return date.fromisoformat(made.acquisitions[0].solar_day)


def _period(request: RegionRequest, look_back_days: int, now: datetime) -> tuple[datetime, datetime]:
    first, last = request.interval
    start = (now - timedelta(days=look_back_days)).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(start, first) if first else start, min(now, last) if last else now
