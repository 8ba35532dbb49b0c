"""Receipts: what a block leaves when it is done, and how others see that it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from terramosaic.planning.folder import RunFolder
from terramosaic.planning.plan import Block, Plan
from terramosaic.storage.files import facts_of, list_facts, read_json, read_jsons
from terramosaic.storage.location import Location


class BlockReceipt(BaseModel):
    """Says that a block is done, and what it took.

    Attributes:
        files: size in bytes of each raster.
        seconds: total, and the share spent waiting for data, in the model, and on the rest.
        device: the device that computed it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    block: str
    windows: int
    valid_pixels: int
    cloudy_pixels: int
    scenes: tuple[str, ...]
    files: dict[str, int]
    seconds: dict[str, float]
    device: str = Field(validation_alias=AliasChoices("device", "provider"))  # what 0.1 wrote


def finished_block(plan: Plan, block: Block) -> BlockReceipt | None:
    """The receipt of a block that is done with all its rasters, else None."""
    folder = RunFolder.of(plan)
    content = read_json(folder.receipt_file(block))
    if content is None or content.get("run_id") != plan.run_id:
        return None
    sizes = {}
    for name in content["files"]:
        facts = facts_of(folder.block_raster(block, name))
        if facts is not None:
            sizes[name] = facts.size
    return _with_all_rasters(content, sizes)


def finished_blocks(plan: Plan) -> dict[str, BlockReceipt]:
    """The receipts of all blocks that are done with all their rasters, by the blocks' ids, in the plan's order.

    The folder is listed once, whatever the number of blocks: in a store that is a request for a thousand files, and one
    for each receipt, several at a time.
    """
    folder = RunFolder.of(plan)
    held = list_facts(folder.blocks)
    noted = [block for block in plan.blocks if _name(folder.receipt_file(block)) in held]
    contents = read_jsons([folder.receipt_file(block) for block in noted])
    receipts = {}
    for block, content in zip(noted, contents, strict=True):
        if content is None or content.get("run_id") != plan.run_id:
            continue
        names = {name: _name(folder.block_raster(block, name)) for name in content["files"]}
        sizes = {name: held[path].size for name, path in names.items() if path in held}
        receipt = _with_all_rasters(content, sizes)
        if receipt is not None:
            receipts[block.id] = receipt
    return receipts


def finishing_times(plan: Plan) -> dict[str, float]:
    """When each block that has a receipt was done, in seconds since 1970, by its id."""
    folder = RunFolder.of(plan)
    held = list_facts(folder.blocks)
    names = {block.id: _name(folder.receipt_file(block)) for block in plan.blocks}
    return {id_: held[name].modified for id_, name in names.items() if name in held}


def _with_all_rasters(content: Mapping[str, Any], sizes: Mapping[str, int]) -> BlockReceipt | None:
    receipt = BlockReceipt.model_validate(content)
    return receipt if receipt.files == dict(sizes) else None


def _name(path: Location) -> str:
    """A block's file as `list_facts` names it."""
    return f"{path.parent.name}/{path.name}"
