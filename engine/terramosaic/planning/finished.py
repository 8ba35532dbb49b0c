"""Whether a run is finished: all that it publishes is there, and is as its item says.

The item is written last and tells sizes and hashes of all the others. Sizes are compared each time that a run is
recognised, hashes where somebody asks for it. Block rasters may be gone by then.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, Field, NonNegativeInt, ValidationError

from terramosaic.storage.files import exists, facts_of, read_json
from terramosaic.storage.hashes import multihash_of
from terramosaic.storage.location import Location
from terramosaic.storage.scratch import LocalCopy

#: Properties of an item: the share of the pixels to map without data by cause, how many have data, the warnings, and
#: the seams of each mosaic.
GAPS: Final = "terramosaic:gaps"
VALID_PIXELS: Final = "terramosaic:valid_pixels"
WARNINGS: Final = "terramosaic:warnings"
SEAMS: Final = "terramosaic:seams"


class Flaw(NamedTuple):
    """A file of a finished run that is not as it should be, and what is wrong with it."""

    path: Location
    reason: str


class Told(BaseModel):
    """What an item tells of its run, besides the files; None where an earlier version did not tell it."""

    gaps: dict[str, float] | None = Field(None, alias=GAPS)
    valid_pixels: int | None = Field(None, alias=VALID_PIXELS)
    warnings: tuple[str, ...] | None = Field(None, alias=WARNINGS)
    seams: dict[str, Any] | None = Field(None, alias=SEAMS)


def _beside(href: str) -> str:
    """The name of a file of the run, as an href says it: what is damaged goes, and that must be nobody else's."""
    if href.startswith(("/", "\\")) or ":" in href or ".." in href.replace("\\", "/").split("/"):
        raise ValueError("it leads elsewhere")
    return href.removeprefix("./")


class _File(BaseModel):
    name: Annotated[str, AfterValidator(_beside)] = Field(alias="href")
    size: NonNegativeInt | None = Field(None, alias="file:size")
    checksum: str | None = Field(None, alias="file:checksum")


class _Item(BaseModel):
    type: Literal["Feature"]
    properties: Told
    links: list[dict[str, Any]]
    assets: dict[str, _File]


def told_in(item: Location) -> Told | None:
    """What the item of a run tells; None where there is none."""
    found = _item_in(read_json(item))
    return None if found is None else found.properties


def checksums_in(item: Location) -> dict[str, str | None]:
    """The checksum that an item tells of each of its files, by name; of none, where the item is damaged."""
    found = _item_in(read_json(item))
    return {} if found is None else {file.name: file.checksum for file in found.assets.values()}


def sizes_in(item: Location) -> dict[str, int | None] | None:
    """The size that an item tells of each of its files, by name; None where there is no item that can be read."""
    found = _item_in(read_json(item))
    return None if found is None else {file.name: file.size for file in found.assets.values()}


def flaws_in(
    folder: Location, item: Location, wanted: Collection[str], *, hashes: bool = False
) -> list[Flaw]:
    """What is missing or damaged of all that a run publishes.

    Args:
        folder: the run's.
        item: its item.
        wanted: names of the files that the item must name.
        hashes: whether files are read and their hashes compared, too.

    Raises:
        OutputError: the folder, or the store that it lies in, cannot be read.
    """
    content = read_json(item)
    if content is None and not exists(item):
        return [Flaw(item, "it is missing")]
    found = _item_in(content)
    files = {} if found is None else {file.name: file for file in found.assets.values()}
    if not files.keys() >= set(wanted):
        # What befell the item may have befallen the files, and nothing else tells how they were.
        others = [Flaw(folder / name, "its item is damaged, which told its size and hash") for name in wanted]
        return [Flaw(item, "it is damaged, or does not name all that the run publishes"), *others]
    flaws = ((folder / name, _flaw(folder / name, file, hashes)) for name, file in files.items())
    return [Flaw(path, reason) for path, reason in flaws if reason]


def _item_in(content: dict[str, Any] | None) -> _Item | None:
    try:
        return None if content is None else _Item.model_validate(content)
    except ValidationError:
        return None


def _flaw(path: Location, told: _File, hashes: bool) -> str:
    """What is wrong with a file, or nothing."""
    facts = facts_of(path)
    if facts is None:
        return "it is missing"
    if told.size is not None and facts.size != told.size:
        return f"it has {facts.size} bytes, and its item says {told.size}"
    if hashes and told.checksum is not None:
        with LocalCopy(path) as local:
            if multihash_of(local) != told.checksum:
                return "its hash is not the one that its item says"
    return ""
