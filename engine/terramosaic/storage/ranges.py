"""Large files of others that are read by ranges of bytes: on disk, or by HTTP."""

from __future__ import annotations

import io
from functools import cached_property
from pathlib import Path
from typing import Protocol

from urllib3 import PoolManager

from terramosaic.storage.http import ask, content_of, pool_for
from terramosaic.url_secrets import bare


class ByteRanges(Protocol):
    """A file that can be read from anywhere in it."""

    @property
    def name(self) -> str:
        """How messages call it."""

    @property
    def version(self) -> str:
        """Changes with its content; empty where that is not known without reading it."""

    def read(self, start: int, size: int) -> bytes:
        """Bytes from ``start``, fewer than ``size`` where the file ends.

        Raises:
            OSError: they cannot be read; the text says why in one line, without the name.
        """


class FileRanges:
    """A file on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """Its path."""
        return str(self._path)

    @property
    def version(self) -> str:
        """Of its size and time."""
        stat = self._path.stat()
        return f"{stat.st_size}-{stat.st_mtime_ns}"

    def read(self, start: int, size: int) -> bytes:
        """See `ByteRanges`."""
        with self._path.open("rb") as file:
            file.seek(start)
            return file.read(size)


class HttpRanges:
    """A file behind a URL, of a server that knows ranges."""

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def name(self) -> str:
        """Its URL, without secrets."""
        return bare(self._url)

    @property
    def version(self) -> str:
        """Not known."""
        return ""

    def read(self, start: int, size: int) -> bytes:
        """See `ByteRanges`."""
        wanted = {"Range": f"bytes={start}-{start + size - 1}"}
        answer = ask(self._url, size, read=bytes, headers=wanted, pool=self._connections)
        if answer.status == 416:  # all of it lies before
            return b""
        content = content_of(answer)
        if answer.status != 206:
            raise OSError("the server knows no ranges of bytes; download the file and name the folder")
        return content

    @cached_property
    def _connections(self) -> PoolManager:
        """Kept open: a file is asked for many ranges."""
        return pool_for(self._url)


class RangeStream(io.RawIOBase):
    """What reads files from a stream reads ranges through this; behind a `io.BufferedReader`, few of them."""

    def __init__(self, file: ByteRanges) -> None:
        self._file, self._place = file, 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Goes to a place, from the start or from here."""
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("the end is not known")
        self._place = offset + (self._place if whence == io.SEEK_CUR else 0)
        return self._place

    def tell(self) -> int:
        """The place."""
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Reads on."""
        content = self._file.read(self._place, len(buffer))
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)
