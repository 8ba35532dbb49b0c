"""What each input of a run had of its ground, from the receipts of its blocks; told alike by report and item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from terramosaic.block.receipt import BlockReceipt
from terramosaic.imagery.marks import Mark, added, seen_of
from terramosaic.planning.gaps import NO_HEIGHTS, NO_RADAR
from terramosaic.planning.heights import DEM, Heights
from terramosaic.planning.plan import Plan
from terramosaic.planning.radar import RADAR, RankedPass
from terramosaic.publishing.numbers import number, percent

#: Causes of gaps that other inputs than the one that leads make.
_CAUSES = {RADAR: NO_RADAR, DEM: NO_HEIGHTS}

#: What marks are called where people read.
_WORDS = {
    Mark.SEEN: "seen",
    Mark.COARSE: "seen, of GLO-90",
    Mark.SEA: "seen, sea",
    Mark.EDGE: "edge of a swath",
    Mark.UNMARKED: "0, not called a gap",
    Mark.NO_DATA: "no data",
    Mark.MISSING: "nothing there",
    Mark.NOT_READ: "not asked for",
}


@dataclass(frozen=True)
class InputPixels:
    """What inputs had of the pixels to map.

    Attributes:
        lead: the input whose acquisitions the run is of.
        counts: by input, in the request's order, and by `Mark.label`; of all but the one that leads as far as that has
            seen the ground. Empty where a receipt of an earlier version lacks them.
        passes: of Sentinel-1, how many pixels with data are of each, by its label; empty alike.
    """

    lead: str
    counts: Mapping[str, Mapping[str, int]]
    passes: Mapping[str, int]

    @classmethod
    def of(cls, plan: Plan, receipts: Collection[BlockReceipt]) -> InputPixels:
        """Adds up what the blocks had."""
        counts: dict[str, dict[str, int]] = {}
        passes: Counter[str] = Counter()
        for receipt in receipts:
            if receipt.inputs is None or receipt.passes is None:
                return cls(plan.lead, {}, {})
            passes.update(receipt.passes)
            for name, each in receipt.inputs.items():
                counts[name] = added(counts.get(name, {}), each)
        return cls(
            plan.lead, {name: counts[name] for name in plan.request.inputs if name in counts}, dict(passes)
        )

    @property
    def total(self) -> int:
        """All pixels to map that lie in blocks."""
        return sum(self.counts.get(self.lead, {}).values())

    def lost_beside(self, mapped: int) -> dict[str, int]:
        """How many pixels lack data for want of another input than the one that leads, by cause.

        Args:
            mapped: pixels that have data.
        """
        seen = seen_of(self.counts.get(self.lead, {}))
        lost, found = seen - mapped, {}
        for name, cause in _CAUSES.items():
            if name in self.counts and name != self.lead:
                found[cause] = min(lost, seen - seen_of(self.counts[name]))
                lost -= found[cause]
        return found

    @property
    def head(self) -> list[str]:
        """Of the table of inputs."""
        return ["input", *(_WORDS[mark] for mark in self._marks)]

    @property
    def rows(self) -> list[list[str]]:
        """What each input had, as shares of the pixels to map."""
        return [
            [name, *(self._share(counts.get(mark.label, 0)) for mark in self._marks)]
            for name, counts in self.counts.items()
        ]

    def _share(self, pixels: int) -> str:
        return percent(pixels / self.total) if pixels else "–"

    @property
    def _marks(self) -> list[Mark]:
        """Those that some pixel of an input has, beginning with what was seen."""
        return [mark for mark in _WORDS if any(mark.label in counts for counts in self.counts.values())]

    def rows_of_passes(self, passes: Sequence[RankedPass], mapped: int) -> list[list[str]]:
        """Passes of Sentinel-1, the best first, with what of the map's pixels is of each; of dates, at any of them."""
        return [
            [
                f"{one.start:%Y-%m-%d %H:%M}",
                one.platform,
                one.direction or "?",
                f"{one.relative_orbit}" if one.relative_orbit else "?",
                percent(one.coverage),
                number(one.days, 1),
                *self._used(self.passes.get(one.label, 0), mapped),
            ]
            for one in passes
        ]

    def rows_of_heights(self, heights: Heights, left_out: Collection[str]) -> list[list[str]]:
        """Where heights are from, and how much of what the leading input has seen."""
        counts, elevation = self.counts.get(DEM, {}), heights.elevation
        seen = sum(counts.values()) - counts.get(Mark.NOT_READ.label, 0)

        def row(source: str, tiles: int | None, *marks: Mark) -> list[str]:
            pixels = sum(counts.get(mark.label, 0) for mark in marks)
            return [source, "" if tiles is None else number(tiles), *self._used(pixels, seen)]

        fine, coarse = (
            sum(tile.key not in left_out for tile in tiles) for tiles in (elevation.tiles, elevation.coarse)
        )
        return [
            row("GLO-30", fine, Mark.SEEN),
            *([row("GLO-90, where GLO-30 has none", coarse, Mark.COARSE)] if coarse else []),
            *([row("sea, 0 m: no tile", len(elevation.sea), Mark.SEA)] if elevation.sea else []),
            row("gaps", None, Mark.NO_DATA, Mark.MISSING),
        ]

    def _used(self, pixels: int, of: int) -> tuple[str, str]:
        return (number(pixels), percent(pixels / max(1, of))) if self.counts else ("?", "?")
