"""Shards of samples: tar files, and an index of where each sample lies, so that single ones are read by range.

A tar holds no table of its content: each header says only how far it is to the next. The index is made by going from
header to header, as far as samples are asked for, and kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import io
import logging
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass

from terramosaic.errors import CatalogError, OutputError, one_line, printable
from terramosaic.storage.cache import cache_folder
from terramosaic.storage.files import read_json, remove, write_json
from terramosaic.storage.ranges import ByteRanges, RangeStream

logger = logging.getLogger(__name__)

_HEADER = tarfile.BLOCKSIZE

#: A sample of TerraMesh has at most 2 MB: what claims more is none.
_LARGEST = 64 * 2**20

#: Headers between two writings of an index that grows.
_KEPT_EVERY = 500


@dataclass(frozen=True)
class Place:
    """Where a sample's file lies in its shard: its first byte and its size."""

    start: int
    size: int


class Shard:
    """A tar of samples, each one file; its key is the file's name up to the first dot, as webdataset has it.

    Args:
        file: the tar.

    Raises:
        CatalogError: it cannot be read.
    """

    def __init__(self, file: ByteRanges) -> None:
        self._file = file
        self._places: dict[str, Place] = {}
        #: Where the next header is; None behind the last one.
        self._next: int | None = 0
        kept_as = hashlib.sha256(file.name.encode()).hexdigest()[:24]
        self._record = cache_folder("shards") / f"{kept_as}.json"
        with self._readable():
            self._version = file.version
        kept = read_json(self._record, always_sealed=True)
        if kept and (kept["file"], kept["version"]) == (file.name, self._version):
            self._places = {key: Place(*place) for key, place in kept["places"].items()}
            self._next = kept["next"]

    @property
    def name(self) -> str:
        """How messages call it."""
        return self._file.name

    def first(self, count: int | None) -> list[str]:
        """Keys of the first samples, in the shard's order; of all where ``count`` is None."""
        self._extend(lambda: count is not None and len(self._places) >= count)
        return list(self._places)[:count]

    def holds(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that the shard has a sample of."""
        wanted = set(keys)
        self._extend(lambda: wanted <= self._places.keys())
        return wanted & self._places.keys()

    def read(self, key: str) -> bytes:
        """The file of a sample whose key the shard holds.

        Raises:
            CatalogError: the shard cannot be read, or is another one than its index was made of.
        """
        place = self._places[key]
        with self._readable():
            content = self._file.read(place.start - _HEADER, _HEADER + place.size)
        # With its header, for a server does not say whether the shard is still the one that was indexed.
        try:
            header = tarfile.TarInfo.frombuf(content[:_HEADER], "utf-8", "surrogateescape")
            is_same = header.size == place.size and len(content) == _HEADER + place.size
        except tarfile.TarError:
            is_same = False
        if not is_same:
            remove(self._record)
            raise CatalogError(
                f"{self.name}: sample {printable(key)} is not where it was: the shard has changed, or is not whole; "
                "run it again to look where samples are now"
            )
        return content[_HEADER:]

    def _extend(self, is_enough: Callable[[], bool]) -> None:
        """Goes on from header to header."""
        if self._next is None or is_enough():
            return
        # A buffer takes in the byte before a header, which `tarfile` looks at first, and the header: one request each.
        stream = io.BufferedReader(RangeStream(self._file), buffer_size=2 * _HEADER)
        try:
            with self._readable():
                stream.seek(self._next)
                with tarfile.open(fileobj=stream, mode="r:") as tar:
                    while self._next is not None and not is_enough():
                        self._take(tar)
                        if len(self._places) % _KEPT_EVERY == 0:
                            self._keep()
        finally:
            self._keep()

    def _take(self, tar: tarfile.TarFile) -> None:
        member = tar.next()
        if member is None:
            self._next = None
            return
        if member.isreg() and 0 < member.size <= _LARGEST:
            key = member.name.rpartition("/")[2].partition(".")[0]
            self._places[key] = Place(member.offset_data, member.size)
        self._next = tar.offset

    def _keep(self) -> None:
        places = {key: astuple(place) for key, place in self._places.items()}
        content = {"file": self.name, "version": self._version, "next": self._next, "places": places}
        try:
            self._record.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._record, content)
        except (OSError, OutputError) as error:
            logger.warning("where samples lie in %s will be found out again: %s", self.name, one_line(error))

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except tarfile.TarError as error:
            raise CatalogError(f"{self.name}: is no whole tar: {one_line(error)}") from error
        except OSError as error:
            raise CatalogError(f"{self.name}: cannot be read: {one_line(error.strerror or error)}") from error
