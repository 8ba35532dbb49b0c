"""Receipts: what a block leaves when it is done, and how others see that it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    ValidationError,
    field_validator,
)

from terramosaic.block.ndvi import NdviAgreement
from terramosaic.block.preview import PREVIEW
from terramosaic.block.tokens import TOKENS
from terramosaic.errors import OutputError
from terramosaic.imagery.scene_records import Decided, SceneRecords
from terramosaic.model.surroundings import Surroundings
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.plan import Block, Plan
from terramosaic.storage.files import facts_of, list_facts, read_json, read_jsons
from terramosaic.storage.location import Location

logger = logging.getLogger(__name__)


class BlockReceipt(BaseModel):
    """Says that a block is done, and what it took.

    Attributes:
        valid_pixels: of the region, that have data; of them `cloudy_pixels` are generated under cloud.
        skipped_pixels: that were seen under cloud alone, and have none: the request skips such windows.
        scenes: keys of all scenes that touch it.
        decisions: what it was told of scenes that its pixels follow from, see `SceneDecision.fingerprint`; None in what
            was written before there were any, and then all were used as planned.
        ndvi: the NDVI that the imagery shows, and the one that was generated; None in what was written before.
        inputs: by input, how many pixels of the region have each mark, see `terramosaic.imagery.marks`; of all but
            the one that leads as far as that has seen the ground. None in what was written before.
        passes: of Sentinel-1, how many pixels with data are of each, by its label. None in what was written before.
        tokens: how many different tokens the model has drawn for each target that has tokens.
        files: size in bytes of each raster.
        hashes: of each, see `PixelHash`; None in what earlier versions wrote.
        seconds: total, and the share spent waiting for data, in the model, and on the rest.
        processor_seconds: of all processors together; None in what was written before. Blocks that ran side by side in
            a process share what that took, see `terramosaic.storage.meter`.
        read_bytes: of imagery, decoded, before coarser pixels were spread over the grid's; likewise.
        device: the device that computed it.
        surroundings: what else the last bits of its numbers may hang on; None in what was written before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    block: str
    windows: NonNegativeInt
    valid_pixels: NonNegativeInt
    cloudy_pixels: NonNegativeInt
    skipped_pixels: NonNegativeInt = 0
    scenes: tuple[str, ...]
    decisions: dict[str, str] | None = None
    ndvi: NdviAgreement | None = None
    inputs: dict[str, dict[str, NonNegativeInt]] | None = None
    passes: dict[str, NonNegativeInt] | None = None
    tokens: dict[str, NonNegativeInt] = Field(default_factory=dict)
    files: dict[str, int]
    hashes: dict[str, str] | None = None
    seconds: dict[str, float]
    processor_seconds: NonNegativeFloat | None = None
    read_bytes: NonNegativeInt | None = None
    device: str = Field(validation_alias=AliasChoices("device", "provider"))  # what 0.1 wrote
    surroundings: Surroundings | None = None

    @field_validator("seconds")
    @classmethod
    def _has_total(cls, seconds: dict[str, float]) -> dict[str, float]:
        if "total" not in seconds:
            raise ValueError("total is missing")
        return seconds

    def hash_of(self, raster: str) -> str | None:
        """The hash of a raster; None if it was not taken."""
        return None if self.hashes is None else self.hashes.get(raster, "")


def finished_block(plan: Plan, block: Block) -> BlockReceipt | None:
    """The receipt of a block that is done with all its rasters, from scenes that the run still uses so; else None."""
    folder = RunFolder.of(plan)
    receipt = _receipt_in(read_json(folder.receipt_file(block)), plan, block)
    if receipt is None:
        return None
    facts = {name: facts_of(folder.block_raster(block, name)) for name in receipt.files}
    if receipt.files != {name: found.size for name, found in facts.items() if found}:
        return None
    decided = Decided(plan, SceneRecords(folder).read_some(_told(receipt)))
    return receipt if _follows(receipt, decided) else None


def is_passing(raster: str) -> bool:
    """Whether a block's raster has served once mosaics are made; its preview, and tokens, still tell of the run."""
    return raster != PREVIEW and not raster.startswith(TOKENS)


def told_blocks(plan: Plan) -> dict[str, BlockReceipt]:
    """As `finished_blocks`, also of blocks whose rasters are gone where these have served: what a finished run tells.

    Nothing can be assembled of them; report, item and verification can do without.
    """
    decided = Decided(plan, SceneRecords(RunFolder.of(plan)).read_all(plan))
    told = _whole_blocks(plan, wanted=lambda raster: not is_passing(raster))
    return {id_: receipt for id_, receipt in told.items() if _follows(receipt, decided)}


def finished_blocks(plan: Plan) -> dict[str, BlockReceipt]:
    """The receipts of all blocks that are done, as `finished_block` has it, by the blocks' ids, in the plan's order."""
    return _finished_and_outdated(plan)[0]


def outdated_blocks(plan: Plan) -> list[Block]:
    """Blocks that were done, and are no more: a scene of theirs was left out since, or has other files by now."""
    decisions = SceneRecords(RunFolder.of(plan)).read_all(plan)
    if all(decision.is_used and not decision.changed for decision in decisions.values()):
        return []  # without a look at all receipts
    return _finished_and_outdated(plan)[1]


def _finished_and_outdated(plan: Plan) -> tuple[dict[str, BlockReceipt], list[Block]]:
    """The receipts of blocks that are done, and blocks that were made from scenes as they are not used any more."""
    decided = Decided(plan, SceneRecords(RunFolder.of(plan)).read_all(plan))
    whole = _whole_blocks(plan)
    finished = {id_: receipt for id_, receipt in whole.items() if _follows(receipt, decided)}
    return finished, [plan.block(id_) for id_ in whole if id_ not in finished]


def _whole_blocks(plan: Plan, wanted: Callable[[str], bool] = lambda raster: True) -> dict[str, BlockReceipt]:
    """The receipts of all blocks that have all their rasters, or all that are wanted.

    The folder is listed once, whatever the number of blocks: in a store that is a request for a thousand files, and one
    for each receipt, several at a time.
    """
    folder = RunFolder.of(plan)
    held = list_facts(folder.blocks)
    noted = [block for block in plan.blocks if _name(folder.receipt_file(block)) in held]
    contents = read_jsons([folder.receipt_file(block) for block in noted])
    receipts = {}
    for block, content in zip(noted, contents, strict=True):
        receipt = _receipt_in(content, plan, block)
        if receipt is None:
            continue
        sizes = {name: size for name, size in receipt.files.items() if wanted(name)}
        names = {name: _name(folder.block_raster(block, name)) for name in sizes}
        if sizes == {name: held[path].size for name, path in names.items() if path in held}:
            receipts[block.id] = receipt
    return receipts


def receipts_of_all(plan: Plan, *, with_rasters: bool = True) -> dict[str, BlockReceipt]:
    """The receipts of all blocks, by id, where none is missing.

    Args:
        plan: of the run.
        with_rasters: whether mosaics are to be made of them; else see `told_blocks`.

    Raises:
        OutputError: some blocks are not done.
    """
    done = finished_blocks(plan) if with_rasters else told_blocks(plan)
    missing = [block.id for block in plan.blocks if block.id not in done]
    if missing:
        raise OutputError(
            f"{len(missing)} of {len(plan.blocks)} blocks are not done ({', '.join(missing[:5])}"
            f"{', ...' if len(missing) > 5 else ''}); run the same request again to compute them"
        )
    return done


def finishing_times(plan: Plan) -> dict[str, float]:
    """When each block that has a receipt was done, in seconds since 1970, by its id."""
    folder = RunFolder.of(plan)
    held = list_facts(folder.blocks)
    names = {block.id: _name(folder.receipt_file(block)) for block in plan.blocks}
    return {id_: held[name].modified for id_, name in names.items() if name in held}


def _told(receipt: BlockReceipt) -> Iterable[str]:
    return receipt.scenes if receipt.decisions is None else receipt.decisions


def _follows(receipt: BlockReceipt, decided: Decided) -> bool:
    """Whether a block was made from its scenes as they are used by now."""
    told = receipt.decisions
    return decided.holds({key: decided.planned(key) for key in receipt.scenes} if told is None else told)


def _receipt_in(content: Mapping[str, Any] | None, plan: Plan, block: Block) -> BlockReceipt | None:
    """What a record says, if it is the receipt of this block and names all that the plan wants of it."""
    if content is None:
        return None
    try:
        receipt = BlockReceipt.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        logger.warning(
            "block %s is done again: its receipt is damaged (%s: %s)", block.id, field, first["msg"]
        )
        return None
    is_own = receipt.run_id == plan.run_id and receipt.block == block.id
    return receipt if is_own and {layer.name for layer in plan.layers} <= receipt.files.keys() else None


def _name(path: Location) -> str:
    """A block's file as `list_facts` names it."""
    return f"{path.parent.name}/{path.name}"
