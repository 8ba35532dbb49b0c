"""The lattices of a run: the request's or the model's, and those of targets that have a stride of their own.

Each target is made on one lattice. On each, a window draws tokens for the targets that are made on it and for the
earlier ones that they see, so that a target is on its lattice what it is in a run of that stride.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import Lattice
from terramosaic.model.generator import drawn_for
from terramosaic.request.request import RegionRequest


class WindowedModel(Protocol):
    """What a model says of its windows, as its bundle and a plan tell it."""

    @property
    def window(self) -> int:
        """Side of a window, in pixels."""

    @property
    def patch(self) -> int:
        """Side of a patch, in pixels."""

    @property
    def default_stride(self) -> int:
        """Pixels between windows where a request does not say."""


@dataclass(frozen=True)
class TargetLattice:
    """A lattice, and what is made on it.

    Attributes:
        targets: made on it, in the order of generation.
        drawn: whose tokens are drawn for that.
        rings: of windows around those that touch a rectangle, which tokens of these hang on; see
            `terramosaic.block.consensus`.
    """

    lattice: Lattice
    targets: tuple[str, ...]
    drawn: tuple[str, ...]
    rings: int = 0

    @property
    def margin(self) -> int:
        """Pixels around a rectangle that what is made in it can hang on: one less than these."""
        return self.lattice.side + self.rings * self.lattice.stride

    def cover(self, rect: Rect) -> Rect:
        """The pixels of all windows that ``rect`` hangs on: what must be read to compute it."""
        return self.lattice.cover(rect, self.rings)


def lattices_of(request: RegionRequest, model: WindowedModel) -> tuple[TargetLattice, ...]:
    """The lattices that a request's targets are made on, in the order of the first target of each."""
    made: dict[int, list[str]] = {}
    for target in request.targets:
        stride = request.strides.get(target) or request.stride or model.default_stride
        made.setdefault(stride, []).append(target)
    return tuple(
        _made_on(Lattice(stride, model.window, model.patch), each, request) for stride, each in made.items()
    )


def _made_on(lattice: Lattice, targets: Sequence[str], request: RegionRequest) -> TargetLattice:
    drawn = drawn_for(targets, request.targets, request.conditioning)
    # The last target's tokens hang on the windows that share a patch with those that are wanted. Where targets see
    # earlier ones, each of these was drawn for windows that again hang on their own neighbours.
    links = len(drawn) if request.conditioning == "chained" else 1
    rings = lattice.reach * links if request.consensus == "tokens" else 0
    return TargetLattice(lattice, tuple(targets), drawn, rings)


def cover_of(lattices: Iterable[TargetLattice], rect: Rect) -> Rect:
    """The pixels of all windows that a rectangle hangs on, on whatever lattice: what must be read to compute it."""
    return reduce(Rect.union, (each.cover(rect) for each in lattices))


def margin_of(lattices: Iterable[TargetLattice]) -> int:
    """Pixels around a rectangle within which lies all that is made in it hangs on."""
    return max(each.margin for each in lattices)
