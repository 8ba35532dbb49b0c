"""Where the blocks of a run were computed, as their receipts say, against where they are computed again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from terramosaic.block.reading import tokens_of
from terramosaic.block.receipt import told_blocks
from terramosaic.block.tokens import TokenSheet
from terramosaic.ground.lattice import Lattice
from terramosaic.model.devices import Device, available_cpus
from terramosaic.model.generator import BATCH_SIZES
from terramosaic.model.surroundings import Surroundings
from terramosaic.planning.plan import Block, Plan


class Origins:
    """Tells of each block what is otherwise here than where it was computed, and the tokens that were drawn for it.

    Args:
        plan: the run's.
        device: where windows are computed again.

    Attributes:
        here: where this runs, with threads and windows at once as most of the blocks had them.
    """

    def __init__(self, plan: Plan, device: Device) -> None:
        self._plan = plan
        self._receipts = told_blocks(plan)
        told = (receipt.surroundings for receipt in self._receipts.values())
        how = Counter((one.threads, one.batch) for one in told if one is not None).most_common(1)
        threads, batch = how[0][0] if how else (available_cpus(), BATCH_SIZES[device.kind].call)
        self.here = Surroundings.of(device, threads=threads, batch=batch)
        self._last: tuple[str, Mapping[Lattice, TokenSheet] | None] = ("", None)

    def unlike(self, block: Block) -> str:
        """Why bits may differ from those of a block, in words; nothing where they may not."""
        receipt = self._receipts.get(block.id)
        there = None if receipt is None else receipt.surroundings
        if there is None:
            return "the run does not say where they were computed"
        return there.unlike(self.here) or ("" if there.repeats else "a GPU adds in another order each time")

    def tokens(self, block: Block) -> Mapping[Lattice, TokenSheet] | None:
        """The tokens that a block's values were made of, where its bits may differ here and they were kept."""
        if self._last[0] != block.id:
            receipt = self._receipts.get(block.id)
            held = tokens_of(self._plan, block, receipt) if receipt and self.unlike(block) else None
            self._last = block.id, held
        return self._last[1]
