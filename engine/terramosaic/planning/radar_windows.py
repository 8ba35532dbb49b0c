"""What of Sentinel-1 the windows of a run may be cut from, which is in its plan, and how much of it they will read."""

from __future__ import annotations

from collections.abc import Sequence

from terramosaic.planning.blocks import reaching_blocks, windows_of
from terramosaic.planning.inputs import is_led_by_radar
from terramosaic.planning.lattices import TargetLattice, cover_of, margin_of
from terramosaic.planning.pass_choice import Candidate, WindowPasses
from terramosaic.planning.plan import Block, Zone
from terramosaic.planning.radar import Radar
from terramosaic.request.request import RegionRequest


def scenes_for_windows(
    radar: Radar, request: RegionRequest, zones: Sequence[Zone], lattices: Sequence[TargetLattice]
) -> set[str]:
    """Keys of the slices that windows may be cut from.

    Of a period these are all that windows reach, for where one pass saw nothing the next is taken. Of a single
    acquisition of Sentinel-2 they are those that its windows need by their footprints.
    """
    margin = margin_of(lattices)
    if request.composite != "single" or is_led_by_radar(request):
        return {scene.key for scene in reaching_blocks(list(radar.scenes.values()), zones, margin)}
    needed: set[str] = set()
    for zone in zones:
        choice = radar.window_passes(zone.epsg, zone.rect.pad(margin), request.composite)
        for block in zone.blocks:
            for ranked in _candidates(choice, zone, block, lattices):
                needed.update(scene.key for one in ranked for scene in one.slices)
    return needed


def passes_read(
    radar: Radar, request: RegionRequest, zones: Sequence[Zone], lattices: Sequence[TargetLattice]
) -> dict[str, float]:
    """Estimate, by block: of how many passes a window is read, as a mean.

    The best is read of each, and further ones where what is better saw nothing; the less it covers, the likelier.
    """
    margin, found = margin_of(lattices), {}
    for zone in zones:
        choice = radar.window_passes(zone.epsg, zone.rect.pad(margin), request.composite)
        for block in zone.blocks:
            reads = [_expected(ranked) for ranked in _candidates(choice, zone, block, lattices)]
            found[block.id] = sum(reads) / max(1, len(reads))
    return found


def _expected(ranked: Sequence[Candidate]) -> float:
    reads, left = 0.0, 1.0
    for one in ranked:
        reads += left
        left *= 1 - one.coverage
    return reads


def _candidates(
    choice: WindowPasses, zone: Zone, block: Block, lattices: Sequence[TargetLattice]
) -> list[list[Candidate]]:
    """What each window of a block may be cut from; one for all, where one pass is the best for all and covers them."""
    first = choice.one_for_all(cover_of(lattices, block.rect))
    if first is not None:
        return [[first]]
    return [choice.of(window) for window in windows_of(lattices, zone, block)]
