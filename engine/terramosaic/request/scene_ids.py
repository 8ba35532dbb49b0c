"""Scenes that a request names: by their items' ids, or by files of these."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from terramosaic.errors import RequestError, printable
from terramosaic.storage.documents import read_document, shown
from terramosaic.url_secrets import keep_written

#: How the names of files of ids end; everything else is an id.
_FILES = (".txt", ".csv")

#: Bytes of such a file: some hundred thousand ids.
_LARGEST_FILE = 10_000_000


def split_ids(value: Any) -> Any:
    """Ids and files as a tuple without repeats, in an order that nothing hangs on; a text holds them between commas."""
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, list | tuple | set | frozenset) and all(isinstance(entry, str) for entry in value):
        return tuple(sorted({keep_written(entry.strip()) for entry in value} - {""}))
    return value


def is_id_file(entry: str) -> bool:
    """Whether an entry names a file of ids."""
    return entry.lower().endswith(_FILES)


def ids_in(entries: Iterable[str], field: str) -> frozenset[str]:
    """The ids that a field names, with those of its files.

    A file holds an id in each line, in front of the first comma; what begins with ``#`` is a remark.

    Raises:
        RequestError: a file cannot be read.
    """
    ids: set[str] = set()
    for entry in entries:
        ids |= _ids_of_file(entry, field) if is_id_file(entry) else {entry}
    return frozenset(ids)


def _ids_of_file(path: str, field: str) -> set[str]:
    try:
        text = read_document(path, _LARGEST_FILE).decode("utf-8-sig")
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        reason = "it is no text" if isinstance(error, UnicodeDecodeError) else error
        raise RequestError(
            f"{field}: cannot read {printable(shown(path))}: {reason}; give a text file with an item's id in each line"
        ) from error
    firsts = (line.partition(",")[0].strip().strip('"') for line in text.splitlines())
    return {first for first in firsts if first and not first.startswith("#")}
