"""What the places that a model names for a run's windows come to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from terramosaic.block.place_table import read_places
from terramosaic.errors import OutputError
from terramosaic.planning.folder import tables_of
from terramosaic.planning.plan import Plan
from terramosaic.publishing.numbers import number, percent

#: Kilometres within which a place is called near: about twice as far as the nearest that a model can name.
NEAR = 50.0


@dataclass(frozen=True)
class PlaceFigures:
    """How far off places are.

    Attributes:
        windows: that were asked.
        without: windows that have none, for what was drawn is no place.
        median: kilometres from the windows' own, of those that have one; None where none has.
        percentile_90: the same.
        near: windows that are put within `NEAR` kilometres of where they lie.
    """

    windows: int
    without: int
    median: float | None
    percentile_90: float | None
    near: int

    @property
    def share_without(self) -> float:
        """Share of the windows that have no place."""
        return self.without / max(1, self.windows)

    @property
    def in_words(self) -> dict[str, str]:
        """For a table, by what it is."""
        return dict(self._lines())

    def _lines(self) -> Iterator[tuple[str, str]]:
        yield "Windows asked", number(self.windows)
        yield "Without a place", f"{number(self.without)} ({percent(self.share_without)})"
        if self.median is not None and self.percentile_90 is not None:
            yield "Median distance", f"{number(self.median)} km"
            yield "Nine of ten within", f"{number(self.percentile_90)} km"
            yield f"Within {NEAR:g} km", f"{number(self.near)} ({percent(self.near / self.windows)})"


def figures_of_places(plan: Plan) -> PlaceFigures | None:
    """Of a run's table of coordinates; None of a run that has none.

    Raises:
        OutputError: the table is missing or cannot be read.
    """
    for path in tables_of(plan).values():
        found = read_places(path)
        if found is None:
            raise OutputError(f"{path} is missing or cannot be read; assemble the run before publishing it")
        distances = np.array([distance for _, _, distance in found.values()])
        placed = distances[~np.isnan(distances)]
        median, most = (
            (float(each) for each in np.percentile(placed, (50, 90))) if len(placed) else (None, None)
        )
        return PlaceFigures(
            windows=len(distances),
            without=len(distances) - len(placed),
            median=median,
            percentile_90=most,
            near=int((placed <= NEAR).sum()),
        )
    return None
