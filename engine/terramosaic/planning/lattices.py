"""The lattices of a run: the request's or the model's, and those of targets that have a stride of their own.

Each target is made on one lattice. On each, a window draws tokens for the targets that are made on it and for the
earlier ones that they see, so that a target is on its lattice what it is in a run of that stride.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    """

    lattice: Lattice
    targets: tuple[str, ...]
    drawn: tuple[str, ...]


def lattices_of(request: RegionRequest, model: WindowedModel) -> tuple[TargetLattice, ...]:
    """The lattices that a request's targets are made on, in the order of the first target of each."""
    made: dict[int, list[str]] = {}
    for target in request.targets:
        stride = request.strides.get(target) or request.stride or model.default_stride
        made.setdefault(stride, []).append(target)
    return tuple(
        TargetLattice(
            Lattice(stride, model.window, model.patch),
            tuple(targets),
            drawn_for(targets, request.targets, request.conditioning),
        )
        for stride, targets in made.items()
    )


def cover_of(lattices: Iterable[TargetLattice], rect: Rect) -> Rect:
    """The pixels of all windows that touch a rectangle, on whatever lattice: what must be read to compute it."""
    return reduce(Rect.union, (each.lattice.cover(rect) for each in lattices))
