"""TerraMesh's layout: ``SPLIT/MODALITY/SHARD.tar``, in a folder or behind a URL.

Samples come from two collections, in shards of their own: ``majortom`` has S1RTC and ``ssl4eos12`` has S1GRD, all else
both have. A place has the same key in the shards of the same name of all its modalities (Blumenstiel et al. 2025,
arXiv 2504.11172, and the data set's ``terramesh.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from terramosaic.errors import RequestError, printable
from terramosaic.evaluation.shards import Shard
from terramosaic.storage.location import is_url
from terramosaic.storage.ranges import FileRanges, HttpRanges
from terramosaic.url_secrets import bare

#: Numbers of the shards of each collection as published: a server is not asked for its list, for none has one alike.
_PUBLISHED = {
    "val": {"majortom": range(1, 9), "ssl4eos12": range(9, 10)},
    "train": {"majortom": range(1, 794), "ssl4eos12": range(794, 890)},
}

#: Modalities that one collection lacks.
_ONLY = {"S1RTC": "majortom", "S1GRD": "ssl4eos12"}


@dataclass(frozen=True)
class TerraMesh:
    """A copy of TerraMesh, or a part of it.

    Attributes:
        root: the folder, or the ``http(s)`` URL, that holds the splits.
        split: ``val`` or ``train``.
    """

    root: str
    split: str = "val"

    def __post_init__(self) -> None:
        if is_url(self.root) and not self.root.startswith(("http://", "https://")):
            raise RequestError(
                f"terramesh: {printable(bare(self.root))} is neither a folder nor an http or https URL"
            )
        if not is_url(self.root) and not self._folder.is_dir():
            raise RequestError(f"terramesh: there is no folder {self._folder}; it has one for each modality")
        if is_url(self.root) and self.split not in _PUBLISHED:
            raise RequestError(
                f"split: {printable(self.split)!r} is none of TerraMesh; take {' or '.join(_PUBLISHED)}"
            )

    def shards_of(self, modality: str) -> list[str]:
        """Names of the modality's shards: those in its folder, or, behind a URL, those that are published."""
        if not is_url(self.root):
            return sorted(path.name for path in (self._folder / modality).glob("*.tar"))
        return [
            f"{collection}_shard_{number:06}.tar"
            for collection, numbers in _PUBLISHED[self.split].items()
            if _ONLY.get(modality, collection) == collection
            for number in numbers
        ]

    def shard(self, modality: str, name: str) -> Shard:
        """A shard, to be read.

        Raises:
            CatalogError: it cannot be read.
        """
        if is_url(self.root):
            return Shard(HttpRanges(f"{self.root.rstrip('/')}/{self.split}/{modality}/{name}"))
        return Shard(FileRanges(self._folder / modality / name))

    def pairs(self, source: str, targets: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """By each shard of the input the targets that have one of that name; shards of which none has are left out."""
        having = {target: set(self.shards_of(target)) for target in targets}
        found = {
            name: tuple(target for target in targets if name in having[target])
            for name in self.shards_of(source)
        }
        return {name: some for name, some in found.items() if some}

    @property
    def shown(self) -> str:
        """How messages call it."""
        return bare(f"{self.root.rstrip('/')}/{self.split}")

    @property
    def _folder(self) -> Path:
        return Path(self.root).expanduser() / self.split
