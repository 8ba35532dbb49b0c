"""The +1000 offset in files: a decision held against their tags, checked on an overview, resolved, and taken off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from terramosaic.catalog.offset import FIRST_BASELINE, OFFSET
from terramosaic.errors import OffsetConflictError, UnusableFileError

#: Shares of valid B04 pixels below 1000 above which the offset is gone, and below which it is there.
_REMOVED_ABOVE, _PRESENT_BELOW = 0.05, 0.01

#: Fewer valid pixels than this tell nothing.
_FEWEST_PIXELS = 1000

#: Median of B04 under which a picture without dark pixels must carry the offset (see `check_offset`).
_DARK_MEDIAN = 1500

#: More than this share of B04 below this number is no noise around a reflectance of 0 (see `check_offset`).
_TOO_DARK, _TOO_DARK_SHARE = 800, 0.01
Verdict = Literal["present", "removed", "undecided", "not applicable"]


@dataclass(frozen=True)
class OffsetEvidence:
    """What an overview of B04 shows.

    Attributes:
        share_below_1000: share of the valid pixels, 0 to 1.
        valid_pixels: how many pixels are not 0.
        verdict: whether the offset is in the pixels, as far as they can tell.
        agrees: whether that is what was decided; None where the pixels do not tell.
    """

    share_below_1000: float
    valid_pixels: int
    verdict: Verdict
    agrees: bool | None


def check_offset(b04: np.ndarray, *, baseline: str | None, decided: int) -> OffsetEvidence:
    """Checks a decision on an overview of B04.

    With the offset in the pixels, a number below 1000 is a negative reflectance, which is rare: on five
    clouded scenes with baseline 05.09 at most 0.8 % of B04. Without it any vegetation, water or shadow lies
    there: 31 to 96 % of ten Earth Search scenes. So more than 5 % means removed and less than 1 % means
    present, for a baseline of 04.00 or later (earlier ones never had it), and for an unknown one, whose
    decision is a guess.

    Against metadata each needs a second sign, for there are grounds that look like the contrary:

    - Present, against "removed": the picture is dark, its median below 1500. A bright one has no dark pixels
      anyway: of a whole Sahara tile (29RKH, 2020-02-19, no offset) 0.00 % of B04 lie below 1000, and only
      0.96 % of B02, so a darker band would not tell either. A removed one with 99 % above 1000 and half below
      1500 would be evener than even the desert: from the first percentile to the median less than a third of
      the median, which is 0.38 there and 0.44 in a steppe.
    - Removed, against "present": more than 1 % lie below 800, a reflectance of -0.02. Over clear deep water
      noise alone takes many pixels slightly below 0, which is what the offset was introduced for. Removed
      scenes reach far lower: to 250 with their first percentile, all of those ten.

    Without it they stay undecided, and metadata stands.

    Args:
        b04: raw digital numbers of B04 at a coarse scale, any shape, 0 = no data.
        baseline: the scene's processing baseline, such as ``05.09``, or None.
        decided: what metadata says must be subtracted, 0 or 1000.
    """
    valid = b04[b04 != 0]
    share = float(np.mean(valid < OFFSET)) if valid.size else 0.0
    if baseline is not None and baseline < FIRST_BASELINE:
        return OffsetEvidence(share, valid.size, "not applicable", None)
    if valid.size >= _FEWEST_PIXELS:
        if share > _REMOVED_ABOVE and (decided == 0 or np.mean(valid < _TOO_DARK) > _TOO_DARK_SHARE):
            return OffsetEvidence(share, valid.size, "removed", decided == 0)
        if share < _PRESENT_BELOW and (decided == OFFSET or np.median(valid) < _DARK_MEDIAN):
            return OffsetEvidence(share, valid.size, "present", decided == OFFSET)
    return OffsetEvidence(share, valid.size, "undecided", None)


def resolve_offset(
    decided: int, evidence: OffsetEvidence, believe: Literal["stop", "metadata", "pixels"], scene_id: str
) -> int:
    """What to subtract, given the decision and its evidence.

    Args:
        decided: what metadata says, 0 or 1000.
        evidence: what the pixels show.
        believe: whom to believe if they disagree; ``stop`` for neither.
        scene_id: names the scene in the error.

    Raises:
        OffsetConflictError: they disagree and ``believe`` is ``stop``.
    """
    if evidence.agrees is not False or believe == "metadata":
        return decided
    if believe == "pixels":
        return OFFSET if evidence.verdict == "present" else 0
    said = "present" if decided else "removed"
    raise OffsetConflictError(
        f"scene {scene_id}: its metadata says that the offset of 1000 is {said}, but "
        f"{evidence.share_below_1000:.1%} of its B04 pixels lie below 1000, which says {evidence.verdict}; "
        "set offset_conflict to metadata or pixels"
    )


def told_by_tags(
    planned: Mapping[str, int],
    tags: Mapping[str, int],
    *,
    guessed: bool,
    believe: Literal["stop", "metadata", "pixels"],
    scene_id: str,
) -> Mapping[str, int]:
    """What to subtract from each band, given what its file says beside what its item says.

    Where the item says nothing the files' own tags decide. Files whose tags contradict the item, or one another, are
    not to be used, unless the request says whom to believe: tags come with the pixels.

    Args:
        planned: what metadata says, 0 or 1000, by band.
        tags: what the scale and offset of the bands' files say, of those that have any.
        guessed: whether nothing in the metadata says it, so that ``planned`` is a guess.
        believe: whom to believe if they disagree; ``stop`` for neither.
        scene_id: names the scene in the error.

    Raises:
        UnusableFileError: they disagree and ``believe`` is ``stop``.
    """
    if not tags:
        return planned
    if guessed:
        planned = of_all_bands(planned, min(tags.values()))
    wrong = [band for band, offset in tags.items() if offset != planned[band]]
    if not wrong or (believe == "metadata" and not guessed):
        return planned
    if believe == "pixels" and not guessed:
        return {**planned, **tags}
    band = wrong[0]
    line = f"asset {band} of {scene_id}: its file's scale and offset say that {tags[band]} is to be subtracted, and "
    line += f"the other files' {planned[band]}" if guessed else f"its item {planned[band]}"
    way_out = "" if guessed else "; set offset_conflict to metadata or pixels to use it all the same"
    raise UnusableFileError(line + way_out, scene=scene_id)


def of_all_bands(offsets: Mapping[str, int], offset: int) -> dict[str, int]:
    """One offset for all bands; classes carry none."""
    return {band: 0 if band == "SCL" else offset for band in offsets}


def harmonise(raw: np.ndarray, offset: int) -> np.ndarray:
    """Takes the offset off; valid pixels stay valid.

    Equal to ``where(raw != 0, maximum(int32(raw) - offset, 1), 0)`` for every uint16, without leaving uint16:
    ``maximum(raw, offset + valid) - offset`` cannot wrap around.

    Args:
        raw: uint16 digital numbers, 0 = no data.
        offset: what to subtract; with 0 the same array is returned.

    Returns:
        uint16 array of the same shape.
    """
    raw = np.asarray(raw, np.uint16)
    if offset == 0:
        return raw
    harmonised: np.ndarray = (raw != 0).astype(np.uint16)
    harmonised += np.uint16(offset)
    np.maximum(harmonised, raw, out=harmonised)
    harmonised -= np.uint16(offset)
    return harmonised
