"""The imagery that a run kept, in place of its sources: what its windows saw, as it lies beside the maps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np

from terramosaic.block.opening import OpenInputs
from terramosaic.block.optical import optical_inputs
from terramosaic.block.windows import HeldRows, pixels_under
from terramosaic.errors import NotVerifiableError
from terramosaic.ground.grid import Rect
from terramosaic.imagery.marks import marked
from terramosaic.imagery.stack import STRIP, Strip
from terramosaic.model.manifest import COORDINATES
from terramosaic.planning.layers import (
    QUALITY_CLOUD,
    QUALITY_NODATA,
    QUALITY_OTHER_ZONE,
    QUALITY_REPAIRED,
    Layer,
)
from terramosaic.planning.plan import Plan, Zone
from terramosaic.trust.recomputing import PublishedMosaics


class KeptImagery:
    """Cuts windows from a run's own mosaic of imagery.

    What its scenes alone tell, it cannot: which day a pixel is of, and whether it was cloudy, repaired or of another
    zone. Of the former nothing is made again; the latter is taken from the run's quality as it stands.

    Args:
        plan: the run's.
        mosaics: of the run.
    """

    def __init__(self, plan: Plan, mosaics: PublishedMosaics) -> None:
        self._plan, self._mosaics = plan, mosaics

    @property
    def reaches(self) -> bool:
        """Whether it was kept as far as windows see beyond the map's edge, and is all that they see.

        Of several dates windows are cut from the scenes; and so they are where some under cloud were skipped, for
        beyond the map's edge nothing tells of clouds.
        """
        optical = self._plan.optical
        is_all = (
            optical is not None
            and not self._plan.dates
            and self._plan.request.under_cloud == "generate"
            and not optical.beside
            and set(optical.inputs) == set(self._plan.request.inputs) - {COORDINATES}
        )
        return is_all and any(layer.kind == "imagery" and layer.margin for layer in self._plan.layers)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The run's layers that can be made from it."""
        return tuple(layer for layer in self._plan.layers if layer.kind not in ("imagery", "days"))

    def under(self, zone: Zone) -> OpenInputs:
        """Has windows of a zone cut from it."""
        optical = self._plan.optical
        assert optical is not None  # only its imagery is kept
        return lambda rows, part: nullcontext(
            optical_inputs(
                HeldRows(self._strips(zone, pixels_under(rows, part)[0]), optical.bands), optical, {}
            )
        )

    def _strips(self, zone: Zone, rect: Rect) -> Iterator[Strip]:
        """The stack of a rectangle, from the top; read by who asks, for what a thread opens it must close."""
        for row in range(rect.row, rect.row_end, STRIP):
            yield self._strip(zone, Rect(row, rect.col, min(STRIP, rect.row_end - row), rect.width))

    def _strip(self, zone: Zone, rect: Rect) -> Strip:
        """Some rows of a stack.

        Raises:
            NotVerifiableError: a mosaic cannot be read.
        """
        quality, inside = np.zeros(rect.shape, np.uint8), rect.intersection(zone.rect)
        if not inside.is_empty:
            held = self._read(zone, self._plan.layer("quality"), inside)[0]
            quality[inside.slices(rect)] = np.where(held == QUALITY_NODATA, 0, held)
        dn = self._read(zone, self._plan.layer("imagery"), rect)
        cloudy, other_zone, repaired = (
            (quality & bit) > 0 for bit in (QUALITY_CLOUD, QUALITY_OTHER_ZONE, QUALITY_REPAIRED)
        )
        # A pixel that was seen has a number above 0 in all bands, and one that was not in none.
        seen, none = dn[0] > 0, np.zeros(rect.shape, np.uint16)
        return Strip(rect, dn, seen, cloudy, other_zone, repaired, none, marked(seen))

    def _read(self, zone: Zone, layer: Layer, rect: Rect) -> np.ndarray:
        pixels = self._mosaics.read(zone, layer, rect)
        if pixels is None:
            raise NotVerifiableError(f"{layer.name}, from which windows are to be cut, cannot be read")
        return pixels
