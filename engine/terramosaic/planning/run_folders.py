"""Where runs lie below an output folder: in it, in the folders of several regions, in that of a watched one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from terramosaic.errors import OutputError
from terramosaic.storage.files import exists, sub_folders
from terramosaic.storage.location import Location

#: Folders below an output folder that are looked into: of several regions each has one, of a watched one two.
DEPTH = 3


def folders_below(folder: Location, before: str = "", depth: int = DEPTH) -> Iterator[tuple[str, Location]]:
    """Folders of runs, finished or not, with their names from an output folder on, in order; links are not followed.

    Args:
        folder: the output folder, or one below.
        before: what names begin with.
        depth: folders that are looked into.

    Raises:
        OutputError: the output folder cannot be read, or the store does not answer.
    """
    for name in sub_folders(folder):
        if name.startswith("."):
            continue
        # A folder below that nobody may read here is somebody else's.
        with suppress(OutputError):
            if exists(folder / name / "plan.json"):
                yield f"{before}{name}", folder / name
            elif depth > 1:
                yield from folders_below(folder / name, f"{before}{name}/", depth - 1)
