"""Files that a run gave up on: marked in the run folder, so that no block and no worker asks for them again."""

from __future__ import annotations

from dataclasses import dataclass

from terramosaic.catalog.assets import AssetRef, Source
from terramosaic.errors import CatalogError, error_of
from terramosaic.planning.folder import RunFolder
from terramosaic.storage.files import read_json, write_json


@dataclass(frozen=True)
class FailedAssets:
    """The marks of one run; of none, nothing is marked. `RunFolder.begin` removes them."""

    run: RunFolder | None

    def check(self, scene: Source, asset: AssetRef) -> None:
        """Passes unless the file has failed.

        Raises:
            CatalogError: it has, with this.
        """
        if self.run is None:
            return
        try:
            mark = read_json(self.run.failed_asset_file(scene.key, asset.band))
            failure = error_of(mark["error"]) if mark else None
        except (ValueError, TypeError, KeyError, AttributeError):
            failure = None  # A damaged mark is none.
        if failure is not None:
            raise failure

    def record(self, scene: Source, asset: AssetRef, error: CatalogError) -> None:
        """Marks a file that failed for good."""
        if self.run is not None:
            mark = {"scene": scene.key, "band": asset.band, "error": error.message()}
            write_json(self.run.failed_asset_file(scene.key, asset.band), mark)
