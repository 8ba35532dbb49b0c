"""What came of checking or comparing a finished run, written down beside it and told in its report and item."""

from __future__ import annotations

import logging

from pydantic import BaseModel

from terramosaic.block.receipt import told_blocks
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.plan import Plan
from terramosaic.publishing.publish import publish_again
from terramosaic.storage.files import write_json
from terramosaic.storage.lease import lease
from terramosaic.storage.location import Location

logger = logging.getLogger(__name__)


def keep(
    plan: Plan,
    file: Location,
    found: BaseModel,
    *,
    what: str,
    is_damaged: bool = False,
    are_blocks_wanted: bool = True,
) -> None:
    """Writes a value into a run, under its lease, and tells it in report and item, which vouch for the mosaics.

    Args:
        plan: the run's.
        file: of the run, which is written.
        found: what came of it.
        what: it is, with its article.
        is_damaged: whether files of the run are, so that nobody may vouch for them.
        are_blocks_wanted: whether it is told that report and item stay as they are because blocks are gone. Those of
            a watched region's maps always are.

    Raises:
        OutputError: nothing can be written there.
        LeaseHeldError: another one is adding to the run's report and item.
    """
    with lease(RunFolder.of(plan).lease, owner=f"{what} of run {plan.run_id}"):
        write_json(file, found.model_dump(mode="json"))
        if is_damaged:
            logger.warning("report and item stay as they are: files of the run are damaged")
        elif len(told_blocks(plan)) < len(plan.blocks):
            if are_blocks_wanted:
                logger.warning(
                    "report and item stay as they are: the run's blocks, which they tell of, are gone"
                )
        else:
            publish_again(plan)
