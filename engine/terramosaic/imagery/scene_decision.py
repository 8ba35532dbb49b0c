"""What is decided about a scene for a whole run: used or left out, and what its numbers mean. One frozen value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Literal, Protocol, Self, cast

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from terramosaic.catalog.assets import Source
from terramosaic.catalog.scene import Scene
from terramosaic.errors import UnusableFileError
from terramosaic.imagery.asset_facts import AssetFacts
from terramosaic.imagery.offset import OffsetEvidence
from terramosaic.request.request import RegionRequest

#: Why a scene is left out: a file of it is gone for good, or is not what its item says, or its pixels are no picture
#: of the ground, or its item names what it may not.
Cause = Literal["dead asset", "contradiction", "implausible", "refused href"]


class SceneDecision(BaseModel):
    """The decision, with its evidence.

    Attributes:
        scene: the scene's key.
        cause: why it is left out; None if it is used.
        reason: the same in a line; of a scene that is used, what looks wrong with it though the request trusts it.
        notes: of a scene that is used, in what its files are otherwise than was said.
        figures: evidence by name, of what was looked at.
        offset_rule: what decided the offset, in a line.
        offsets: what is subtracted from the numbers of each band, 0 or 1000.
        evidence: what an overview of B04 says to that; None where it was not asked.
        files: what was told of the scene's files when it was looked at, by band, as far as they told anything.
        changed: how often they had become others while the run was under way. What was made of them before is outdated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scene: str
    cause: Cause | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()
    figures: Mapping[str, float] = Field(default_factory=dict)
    offset_rule: str = ""
    offsets: Mapping[str, int] = Field(default_factory=dict)
    evidence: OffsetEvidence | None = None
    files: Mapping[str, AssetFacts] = Field(default_factory=dict)
    changed: NonNegativeInt = 0

    @classmethod
    def planned(cls, scene: Scene, request: RegionRequest) -> Self:
        """What metadata alone decides: what holds of a scene while nothing else is on record."""
        offsets = {
            band: 0 if request.offset == "keep" else asset.offset for band, asset in scene.assets.items()
        }
        return cls(scene=scene.key, offset_rule=scene.offset_rule, offsets=offsets)

    @classmethod
    def without(cls, error: UnusableFileError) -> Self:
        """Leaves a scene out because of one of its files."""
        return cls(scene=error.scene, cause=cast(Cause, error.cause), reason=error.text)

    @property
    def is_used(self) -> bool:
        """Whether the run reads the scene's pixels."""
        return self.cause is None

    @property
    def is_quarantined(self) -> bool:
        """Whether it is left out for what it is, and so until its item changes; a dead file may come yet."""
        return self.cause in ("contradiction", "implausible")

    @property
    def can_be_trusted(self) -> bool:
        """Whether it is left out by its looks alone, so that a request may overrule that."""
        return self.cause == "implausible"

    @property
    def fingerprint(self) -> str:
        """A hash of all in it that decides pixels: of the outcome, not of what led to it."""
        used: dict[str, object] = {"offsets": dict(self.offsets)}
        if self.changed:
            used["changed"] = self.changed
        outcome = used if self.is_used else "left out"
        return hashlib.sha256(json.dumps(outcome, sort_keys=True).encode()).hexdigest()[:16]


class Inspectable(Protocol):
    """A reader of an item that is no scene of Sentinel-2, and decides about it by itself."""

    @property
    def source(self) -> Source:
        """The item."""

    def inspect(self) -> SceneDecision:
        """Looks at the item's files.

        Raises:
            CatalogError: one could not be read, which another time it may.
        """

    def close(self) -> None:
        """Closes them; who reads on opens them again."""


class SourceDecisions(Protocol):
    """Who tells what is decided about items other than scenes of Sentinel-2; see `terramosaic.imagery.inspection`."""

    def leaves_out(self, scene: Source) -> bool:
        """Whether it is known by now that the item is left out; asked before any file of it."""

    def decision(self, reader: Inspectable) -> SceneDecision:
        """What is decided about an item; asked before its first pixel is used."""

    def uses(self, scene: Source) -> None:
        """The item had pixels that were asked for."""
