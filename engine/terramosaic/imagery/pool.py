"""Open scenes, shared by the blocks of a process.

Neighbouring blocks overlap, and a file's tiles lie across their borders. GDAL remembers decoded tiles per open file,
so a file that stays open from block to block is decoded once where it would be decoded two or three times.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar, cast

from terramosaic.catalog.assets import Source
from terramosaic.catalog.scene import Scene
from terramosaic.imagery.item_reader import ItemReader
from terramosaic.imagery.reader import SceneReader
from terramosaic.planning.folder import RunFolder

#: Items of a kind that stay open while nobody reads them (a scene of Sentinel-2 has 13 files).
_KEEP_IDLE = 8

_Key = tuple[Hashable, ...]
_Source = TypeVar("_Source", bound=Source)
_Reader = TypeVar("_Reader", bound=ItemReader[Any])


class ReaderPool:
    """Lends readers; the same item of a run is the same reader, whoever asks."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._lent: dict[_Key, tuple[ItemReader[Any], int]] = {}
        self._idle: OrderedDict[_Key, ItemReader[Any]] = OrderedDict()

    def borrow(
        self, scene: Scene, epsg: int, run: RunFolder | None = None
    ) -> AbstractContextManager[SceneReader]:
        """A reader of ``scene`` on zone ``epsg``'s grid for a run, for as long as the context lasts."""
        return self.lend(SceneReader, scene, epsg, run)

    @contextmanager
    def lend(
        self,
        kind: Callable[[_Source, int, RunFolder | None], _Reader],
        source: _Source,
        epsg: int,
        run: RunFolder | None = None,
    ) -> Iterator[_Reader]:
        """As `borrow`, of items of any kind: ``kind`` is the class of their readers."""
        # Its files too: a run's scenes may by now lie elsewhere, or have another decision about their offset.
        key = (run, kind, epsg, source.key, *source.assets.values())
        with self._guard:
            if key not in self._lent:
                self._lent[key] = (
                    self._idle.pop(key) if key in self._idle else kind(source, epsg, run),
                    0,
                )
            reader, users = self._lent[key]
            self._lent[key] = reader, users + 1
        try:
            yield cast(_Reader, reader)
        finally:
            self._give_back(key)

    @contextmanager
    def closing_idle(self) -> Iterator[None]:
        """Closes the files that nobody reads when the context ends, however it ends."""
        try:
            yield
        finally:
            self.close_idle()

    def close_idle(self) -> None:
        """Closes the files that nobody reads."""
        with self._guard:
            idle, self._idle = list(self._idle.values()), OrderedDict()
        for reader in idle:
            reader.close()

    def _give_back(self, key: _Key) -> None:
        surplus: list[ItemReader[Any]] = []
        with self._guard:
            reader, users = self._lent.pop(key)
            if users > 1:
                self._lent[key] = reader, users - 1
            elif reader.has_dead_files:  # by the time that it is asked for again they may have come
                surplus.append(reader)
            else:
                self._idle[key] = reader
                alike = [key for key, idle in self._idle.items() if type(idle) is type(reader)]
                surplus += [self._idle.pop(key) for key in alike[:-_KEEP_IDLE]]
        for reader in surplus:
            reader.close()


#: The pool of this process.
READERS = ReaderPool()
