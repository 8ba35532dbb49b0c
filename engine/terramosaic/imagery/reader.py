"""Reading pixels of scenes onto a zone's grid: nearest neighbour, bit-equal where grids agree, retried, never a gap."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
from affine import Affine
from rasterio.io import DatasetReader

from terramosaic.catalog.assets import AssetRef
from terramosaic.catalog.scene import Scene
from terramosaic.errors import UnusableFileError
from terramosaic.ground.grid import Rect
from terramosaic.imagery.band_file import BandFile, Frame
from terramosaic.imagery.file_checks import FileFacts, FileVerdict, check_file
from terramosaic.imagery.item_reader import ItemReader
from terramosaic.planning.folder import RunFolder
from terramosaic.storage.documents import shown

#: Longest side, in pixels, of the overview by which an offset is checked; and how many overviews are read at once.
_OVERVIEW, _OVERVIEWS = 512, 4


class SceneReader(ItemReader[BandFile]):
    """Reads one scene's bands onto the grid of zone ``epsg``.

    Args:
        scene: the scene.
        epsg: the zone.
        run: the run that it is read for. A file that failed in it for good is not asked for again.

    Attributes:
        scene: the scene.
        verdicts: what the files that were opened by now say of themselves, by band.
    """

    def __init__(self, scene: Scene, epsg: int, run: RunFolder | None = None) -> None:
        super().__init__(scene, run)
        self.scene, self._epsg = scene, epsg
        self.verdicts: dict[str, FileVerdict] = {}
        self._frames: dict[str, Frame] = {}
        self._transforms: dict[str, Affine] = {}
        self._checking = threading.Lock()

    def read(self, band: str, rect: Rect, out: np.ndarray | None = None) -> np.ndarray:
        """Raw values of a band under a rectangle of the grid: (height, width), 0 outside the file.

        Each grid pixel takes the file's pixel under its centre, so a 20 m band comes as exact 2 x 2 duplicates and a
        10 m band of the zone as the file's own numbers.

        Args:
            band: name of the band.
            rect: the rectangle.
            out: array to read into; by default a new one of the file's dtype.

        Raises:
            MissingBandError: the scene has no such band.
            UnusableFileError: the file is gone for good, or is no band of Sentinel-2's; names the asset.
            CatalogError: it could not be read, after as many tries as may help, but another time it may.
        """
        self.scene.require([band])
        return self._use(band, lambda file: file.read(rect, out))

    def declared_holes(self, band: str, rect: Rect) -> np.ndarray | None:
        """Where a band's file has no data other than by 0: by a mask, by another number, or because it ends before.

        Returns:
            Bool (height, width); None if nowhere.
        """
        known = self._frames.get(band)
        if known is not None and not self.verdicts[band].declares_holes:
            return known.outside(rect)  # as nearly always, without asking the file
        self.scene.require([band])
        return self._use(band, lambda file: file.declared_holes(rect))

    def overview(self, band: str, longest: int = _OVERVIEW) -> np.ndarray:
        """Raw values of the whole band at a coarse scale: at most so many pixels a side, from the file's overviews."""
        self.scene.require([band])
        return self._use(band, lambda file: file.overview(longest))

    def is_small_at_a_glance(self, band: str) -> bool:
        """Whether an overview of the band costs little: its file has overviews, or is not much larger than one."""
        asset = self.scene.require([band])[band]

        def has_overviews(file: BandFile) -> bool:
            return bool(file.dataset.overviews(1)) or max(file.dataset.shape) <= 4 * _OVERVIEW

        # Of JPEG 2000 a coarse picture is decoded from all of the file.
        return not asset.name.lower().endswith((".jp2", ".j2k")) and self._use(band, has_overviews)

    def overviews(self, bands: Iterable[str], longest: int) -> dict[str, np.ndarray]:
        """Overviews of several bands, read at the same time; see `overview`."""
        names = sorted(bands)
        with ThreadPoolExecutor(_OVERVIEWS, thread_name_prefix="overview") as pool:
            return dict(zip(names, pool.map(lambda name: self.overview(name, longest), names), strict=True))

    def _seen(self, asset: AssetRef, dataset: DatasetReader, closing: ExitStack) -> BandFile:
        facts = FileFacts.of(dataset)
        with self._checking:
            others = {band: other for band, other in self._transforms.items() if band != asset.band}
            verdict = check_file(facts, band=asset.band, epsg=self.scene.epsg, others=others)
            if not verdict.problem:
                self._transforms[asset.band] = facts.transform
        if verdict.problem:
            raise UnusableFileError(
                f"asset {asset.band} of {self.scene.key} {verdict.problem} ({shown(asset.href)})",
                scene=self.scene.key,
            )
        elsewhere = None if self.scene.epsg == self._epsg else self._epsg
        file = BandFile.of(dataset, verdict, elsewhere, closing)
        self.verdicts[asset.band], self._frames[asset.band] = verdict, file.frame
        return file
