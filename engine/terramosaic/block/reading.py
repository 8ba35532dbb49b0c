"""Block rasters read again, from the top, and compared on the way with what their receipt says of them."""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import Self

import numpy as np
import rasterio
from rasterio.windows import Window

from terramosaic.block.pixel_hash import PixelHash
from terramosaic.block.places import PlaceSheet, place_sheet
from terramosaic.block.preview import PREVIEW, PREVIEW_BANDS
from terramosaic.block.receipt import BlockReceipt
from terramosaic.block.tokens import TokenSheet, token_sheets
from terramosaic.errors import DamagedBlocksError
from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import Lattice
from terramosaic.imagery.failures import RASTER_FAILURES
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.layers import Layer
from terramosaic.planning.plan import Block, Plan
from terramosaic.storage.files import remove
from terramosaic.storage.gdal import local_files
from terramosaic.storage.scratch import LocalCopy

logger = logging.getLogger(__name__)


class DamagedRasterError(Exception):
    """A raster is not as it was written; for who reads several, and tells of all."""


class RasterReader:
    """A raster of a block, read once from top to bottom.

    Args:
        path: the file, or its copy in scratch.
        rect: the raster's pixels on its grid.
        count: its bands.
        dtype: their type.
        nodata: what stands for no data.
        sha256: its `PixelHash`; None if the receipt is of a version that took none.
    """

    def __init__(
        self, path: Path, rect: Rect, count: int, dtype: str, nodata: float, sha256: str | None
    ) -> None:
        self._path, self._rect, self._count, self._dtype = path, rect, count, dtype
        self._sha256 = sha256
        self._hash = PixelHash(rect, count, dtype, nodata)
        self._dataset: rasterio.DatasetReader | None = None

    @classmethod
    def of(cls, path: Path, block: Block, layer: Layer, receipt: BlockReceipt) -> Self:
        """Reads a layer of a block."""
        rect = layer.rect(block.rect)
        return cls(path, rect, len(layer.bands), layer.dtype, layer.nodata, receipt.hash_of(layer.name))

    @classmethod
    def of_preview(cls, path: Path, rect: Rect, receipt: BlockReceipt) -> Self:
        """Reads the preview of a block, whose pixels are ``rect`` on the preview's grid."""
        return cls(path, rect, len(PREVIEW_BANDS), "uint16", 0, receipt.hash_of(PREVIEW))

    @classmethod
    def of_sheet(cls, path: Path, sheet: TokenSheet | PlaceSheet, receipt: BlockReceipt) -> Self:
        """Reads what was drawn for the windows of a block, which is to fill a sheet."""
        sha256 = receipt.hash_of(sheet.name)
        return cls(path, sheet.rect, len(sheet.numbers), sheet.dtype, sheet.nodata, sha256)

    def read(self, rows: Rect) -> np.ndarray:
        """The next rows, in all of the raster's width: (bands, rows, columns).

        Raises:
            DamagedRasterError: the file cannot be read, is another raster, or these are its last rows and its hash
                is another.
        """
        window = Window(0, rows.row - self._rect.row, rows.width, rows.height)
        try:
            if self._dataset is None:
                self._dataset = rasterio.open(self._path)
            # Before anything is read: a damaged header may tell of any number of bands.
            if not is_as_expected(self._dataset, self._rect, self._count, self._dtype):
                raise DamagedRasterError("it is another raster")
            pixels: np.ndarray = self._dataset.read(window=window)
        except RASTER_FAILURES as error:
            raise DamagedRasterError(str(error)) from error
        if self._sha256 is not None:
            self._hash.feed(rows.row, pixels)
            if rows.row_end == self._rect.row_end and self._hash.hexdigest() != self._sha256:
                raise DamagedRasterError("its hash is another")
        return pixels

    def close(self) -> None:
        """Closes the file."""
        if self._dataset is not None:
            self._dataset.close()


def is_as_expected(dataset: rasterio.DatasetReader, rect: Rect, count: int, dtype: str) -> bool:
    """Whether a raster has these pixels, bands and numbers, as its header says."""
    # From version 3.11 on GDAL tells half precision as such.
    types = {dtype, "float16"} if dtype == "float32" else {dtype}
    return bool(dataset.shape == rect.shape and dataset.count == count and types.issuperset(dataset.dtypes))


def tokens_of(plan: Plan, block: Block, receipt: BlockReceipt) -> dict[Lattice, TokenSheet] | None:
    """The tokens that a block was made of; None where they were not kept, or are not as they were written.

    Raises:
        OutputError: the store that they lie in failed.
    """
    sheets = token_sheets(plan, block.rect)
    if not {sheet.name for sheet in sheets.values()} <= receipt.files.keys():
        return None
    for sheet in sheets.values():
        try:
            _fill(sheet, plan, block, receipt)
        except DamagedRasterError as error:
            logger.warning("block %s: its tokens are damaged: %s", block.id, error)
            return None
    return sheets


def places_of(plan: Plan, block: Block, receipt: BlockReceipt) -> PlaceSheet:
    """Where the windows of a block are taken to lie, of a run that asks them.

    Raises:
        DamagedRasterError: the raster is missing, or not as it was written.
        OutputError: the store that it lies in failed.
    """
    sheet = place_sheet(plan, block.rect)
    if sheet is None or sheet.name not in receipt.files:
        raise DamagedRasterError("its windows were not asked where they lie")
    _fill(sheet, plan, block, receipt)
    return sheet


def _fill(sheet: TokenSheet | PlaceSheet, plan: Plan, block: Block, receipt: BlockReceipt) -> None:
    with (
        LocalCopy(RunFolder.of(plan).block_raster(block, sheet.name)) as path,
        local_files(),
        closing(RasterReader.of_sheet(path, sheet, receipt)) as reader,
    ):
        sheet.numbers[:] = reader.read(sheet.rect)


def forget_damaged(plan: Plan, blocks: Collection[str]) -> DamagedBlocksError:
    """Takes the receipts from blocks that are damaged, so that they are computed again; returns what to raise."""
    named = [block for block in plan.blocks if block.id in blocks]
    for block in named:
        remove(RunFolder.of(plan).receipt_file(block))
    return DamagedBlocksError(block.id for block in named)
