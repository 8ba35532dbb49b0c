"""What came of verifying a run: a value that is kept as ``verification.json``, and says how sure it makes."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from terramosaic.errors import CheckFailedError, NotVerifiableError, TerramosaicError
from terramosaic.planning.folder import RunFolder
from terramosaic.storage.files import read_json

#: How sure the statement about windows is that were not looked at.
CONFIDENCE = 0.95

#: Windows, files and reasons that an error names.
_MOST_NAMED = 5


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileFlaw(_Value):
    """A file of the run that is not as the run's item says, and what is wrong with it."""

    file: str
    reason: str


class DifferingWindow(_Value):
    """A window whose pixels are not what its sources give.

    Attributes:
        block: the block that it was looked at in.
        stride: of its lattice, where that is of some targets' own.
        i: its row in the lattice.
        j: its column.
        mosaics: differing pixels in each mosaic that has any.
        compared: pixels that were compared.
        first: row and column, in its mosaic, of the first pixel that differs.
        beyond_tolerance: whether only what differs by more than the tolerance counts.
        tokens: how many are others, where too many are.
        tokens_drawn: of how many that were drawn again.
    """

    block: str
    stride: int | None = None
    i: int
    j: int
    mosaics: dict[str, int]
    compared: int
    first: tuple[int, int]
    beyond_tolerance: bool = False
    tokens: int = 0
    tokens_drawn: int = 0

    def __str__(self) -> str:
        own = f" of stride {self.stride}" if self.stride else ""
        where = f"block {self.block}, window ({self.i}, {self.j}){own}"
        told = []
        if self.mosaics:
            pixels = ", ".join(f"{count} in {name}" for name, count in self.mosaics.items())
            how = " beyond tolerance" if self.beyond_tolerance else ""
            told.append(
                f"of {self.compared} pixels differ{how} {pixels}, from row {self.first[0]}, column "
                f"{self.first[1]} on"
            )
        if self.tokens:
            told.append(f"of {self.tokens_drawn} tokens differ {self.tokens}")
        return f"{where}: {'; '.join(told)}"


class Verification(_Value):
    """What was checked of a run, and what came of it.

    Attributes:
        created: when it began, UTC.
        versions: of what decides pixels, here.
        device: where windows were computed again.
        processor: the kind of CPU, here.
        seed: of the drawing; the same one draws the same windows.
        whole: whether all of each window was compared, and not of those that have a core that alone.
        files: files that were compared with the item.
        flaws: those that are not as it says.
        model: how the model differs from the run's; empty if it does not.
        windows: windows that can be drawn: those with pixels of the region to compare, counted in each block.
        planned: windows that the run was planned to compute, which are more by those of which a block has the edges
            alone; 0 in what was written before.
        drawn: those that were drawn; fewer of them were looked at where the time was up.
        blocks: blocks that the run has.
        blocks_seen: those of which a window could be computed again.
        verified: windows that are what their sources give.
        close: those of them that are so within the tolerance, and not bit for bit.
        elsewhere: windows whose blocks were computed in other surroundings, by what is otherwise here.
        tolerance: what may differ there, in words.
        tokens_same: of the tokens that were drawn again for these windows those that are the same.
        tokens_drawn: of how many.
        pixels: pixels of ground in these.
        differing: windows that are not.
        not_verifiable: windows that cannot be computed again, by reason.
        from_imagery: of those that were looked at the ones that were cut from the imagery that the run kept, by what is
            wrong with their sources.
        changed: scenes with files that are not as they were when the run read them, and what has changed.
        mosaics: checksum of each mosaic that all this is about.
        seconds: what it took.
    """

    format: Literal["terramosaic-verification-1"] = "terramosaic-verification-1"
    run_id: str
    created: datetime
    versions: dict[str, str]
    device: str
    processor: str
    seed: int
    whole: bool
    files: int
    flaws: tuple[FileFlaw, ...] = ()
    model: str = ""
    windows: int
    planned: int = 0
    drawn: int
    blocks: int
    blocks_seen: int
    verified: int
    close: int = 0
    elsewhere: dict[str, int] = Field(default_factory=dict)
    tolerance: str = ""
    tokens_same: int = 0
    tokens_drawn: int = 0
    pixels: int
    differing: tuple[DifferingWindow, ...] = ()
    not_verifiable: dict[str, int] = Field(default_factory=dict)
    from_imagery: dict[str, int] = Field(default_factory=dict)
    changed: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    mosaics: dict[str, str]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether all that could be checked is as it should be, and something could."""
        return self.failure is None

    @property
    def looked_at(self) -> int:
        """Windows that could be compared."""
        return self.verified + len(self.differing)

    @property
    def is_all(self) -> bool:
        """Whether every window was looked at that can be drawn, so that no seed decided which."""
        return self.looked_at + sum(self.not_verifiable.values()) == self.windows

    @property
    def uncounted(self) -> str:
        """Why the run has more windows than can be drawn, in a sentence; empty where it has not."""
        others = self.planned - self.windows
        if others <= 0:
            return ""
        have = "has" if others == 1 else "have"
        return (
            f"The plan counts {self.planned} windows, each in every block that it reaches into; {others} of these "
            f"{have} no core in the region there, only edges that neighbours share."
        )

    @property
    def confidence(self) -> str:
        """How sure the windows that were looked at make of those that were not, in a sentence."""
        what = "windows" if self.whole else "windows (their cores)"
        lost = sum(self.not_verifiable.values())
        of_these = ", of those that can still be computed again" if lost else ""
        if not self.looked_at:
            return "No window was compared, so nothing is known of the pixels."
        if self.differing:
            return f"{len(self.differing)} of {self.looked_at} {what} differ from what {self._source}."
        if self.looked_at == self.windows:
            return f"All {self.windows} {what} are what {self._source}, {self._how}.{self._caveat}"
        return (
            f"{self.verified} {what} in {self.blocks_seen} of {self.blocks} blocks are what {self._source}, "
            f"{self._how}: with {CONFIDENCE:.0%} confidence fewer than {_percent(largest_share(self.verified))} of all "
            f"windows are wrong{of_these}.{self._caveat}"
        )

    @property
    def _source(self) -> str:
        """What windows were computed from, as the subject of a clause."""
        kept = sum(self.from_imagery.values())
        if not kept:
            return "their sources give"
        if kept == self.looked_at:
            return "the imagery that the run kept gives"
        return f"their sources give, or for {kept} of them the imagery that the run kept gives"

    @property
    def _caveat(self) -> str:
        return " What was kept does not prove what the sources held." if self.from_imagery else ""

    @property
    def _how(self) -> str:
        """How those windows were compared that are what they should be."""
        if not self.close:
            return "bit for bit"
        exact = f"{self.verified - self.close} bit for bit and " if self.close < self.verified else ""
        return f"{exact}{self.close} within the tolerance for what was computed elsewhere ({self.tolerance})"

    @property
    def details(self) -> list[str]:
        """What differs, what cannot be computed again, and what has changed, a line each."""
        return [
            *self._faults,
            *(f"not verifiable: {count} windows: {reason}" for reason, count in self.not_verifiable.items()),
            *(f"from kept imagery: {count} windows: {reason}" for reason, count in self.from_imagery.items()),
            *(f"bits may differ in {count} windows: {what}" for what, count in self.elsewhere.items()),
            *self._tokens,
            *(
                f"changed since the run: {scene}: {line}"
                for scene, lines in self.changed.items()
                for line in lines
            ),
        ]

    @property
    def _tokens(self) -> list[str]:
        if not self.tokens_drawn:
            return []
        others = self.tokens_drawn - self.tokens_same
        return [f"tokens drawn again for these: {self.tokens_drawn}, of which {others} are others"]

    @property
    def _faults(self) -> list[str]:
        return [
            *(f"{flaw.file}: {flaw.reason}" for flaw in self.flaws),
            *filter(None, [self.model]),
            *map(str, self.differing),
        ]

    @property
    def failure(self) -> TerramosaicError | None:
        """What is to be raised: something differs, or nothing could be computed again; None if all is well."""
        faults = self._faults
        if faults:
            return CheckFailedError(
                f"run {self.run_id} is not what it should be: {_some(faults)}",
                hint="map the same request into another folder to compare, or again with --check-files, which makes "
                "damaged files anew",
            )
        if not self.looked_at and self.not_verifiable:
            return NotVerifiableError(
                f"no window of run {self.run_id} can be computed again: {_some(list(self.not_verifiable))}"
            )
        return None


def largest_share(windows: int) -> float:
    """The largest share of faulty windows that so many, drawn at random and all good, leave possible.

    Were a share p wrong, n good ones would come up with (1 - p)^n; that is 5 % at p = 1 - 0.05^(1/n), close to 3/n, the
    rule of three (Hanley and Lippman-Hand 1983, JAMA 249, 1743).
    """
    return 1 - math.pow(1 - CONFIDENCE, 1 / windows)


def verification_of(folder: RunFolder) -> Verification | None:
    """The last verification of a run that was kept; None where there is none that can be read."""
    content = read_json(folder.verification_file, always_sealed=True)
    try:
        return None if content is None else Verification.model_validate(content)
    except ValidationError:
        return None


def _percent(share: float) -> str:
    """Rounded up to a tenth, since fewer is what it says."""
    return f"{math.ceil(share * 1000) / 10:g} %"


def _some(lines: list[str]) -> str:
    more = f"; {len(lines) - _MOST_NAMED} more" if len(lines) > _MOST_NAMED else ""
    return "; ".join(lines[:_MOST_NAMED]) + more
