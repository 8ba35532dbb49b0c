"""The +1000 of processing baseline 04.00: decided from metadata.
Checked on pixels, and taken off, it is in the room of imagery.

Since 04.00 ESA adds 1000 to L2A's digital numbers, also in reprocessings of older dates: the baseline
decides, never the sensing date. Providers differ in what they make of it, and one mislabels some items, hence
the check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from terramosaic.catalog.metadata import declared_offset, offset_applied
from terramosaic.catalog.profiles import Profile

#: What baseline 04.00 and later add to digital numbers.
OFFSET = 1000

#: The first processing baseline that does.
FIRST_BASELINE = "04.00"

#: How the rule begins by which nothing but a guess decides.
GUESSED = "guessed"


@dataclass(frozen=True)
class OffsetDecision:
    """What an asset's metadata says must be subtracted (0 or 1000), and the rule that decided, in a line."""

    offset: int
    rule: str


def decide_offset(
    item: Mapping[str, Any], key: str, *, band: str, baseline: str | None, profile: Profile
) -> OffsetDecision:
    """Decides from metadata what must be subtracted from one asset of one item.

    The first rule that applies, per provider as documented in the issues of Element84/earth-search (9, 23,
    66, 71), cirrus-geo/cirrus-earth-search (26, 33) and microsoft/PlanetaryComputer (134):

    - a baseline before 04.00 has no offset, whatever else is said;
    - Earth Search's ``boa_offset_applied: true`` means taken off its COGs, though not off their JPEG 2000
      twins;
    - Copernicus Data Space, Earth Search's ``sentinel-2-c1-l2a`` and unmarked items declare it honestly in
      the asset's raster metadata. Earth Search's ``sentinel-2-l2a`` declares -0.1 also where it is taken off,
      so is not asked;
    - otherwise a baseline of 04.00 or later has it: Planetary Computer, the twins, COGs not flagged.

    Where none applies the offset is unknown (`GUESSED`), as of products without a baseline or with 99.99: when the
    scene is first read, its files and pixels decide.

    Args:
        item: STAC item as a dict.
        key: the asset's name in the item.
        band: the band that the asset holds.
        baseline: the item's processing baseline, None if it is unknown.
        profile: the profile whose words the item speaks.
    """
    if band == "SCL":
        return OffsetDecision(0, "classes carry no offset")
    if baseline is not None and baseline < FIRST_BASELINE:
        return OffsetDecision(0, f"processing baseline {baseline} is before 04.00: no offset")
    is_twin = key.endswith("-jp2")
    applied = None if is_twin else offset_applied(item)
    if applied:
        return OffsetDecision(0, f"boa_offset_applied is true: taken off (baseline {baseline or 'unknown'})")
    if baseline is None or _declares_honestly(item, profile):
        declared = declared_offset(item, key)
        if declared is not None:
            return OffsetDecision(
                declared, f"the asset declares {declared} (baseline {baseline or 'unknown'})"
            )
    if baseline is None:
        return OffsetDecision(0, f"{GUESSED}: none, since neither a baseline nor an offset is given")
    flag = ", boa_offset_applied is false" if applied is False else ", JPEG 2000 original" if is_twin else ""
    return OffsetDecision(OFFSET, f"processing baseline {baseline} is 04.00 or later{flag}: offset of 1000")


def _declares_honestly(item: Mapping[str, Any], profile: Profile) -> bool:
    if profile.offset_rule == "flag":
        return item.get("collection") == "sentinel-2-c1-l2a"
    return profile.offset_rule == "declared"
