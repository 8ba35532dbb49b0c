"""A run's sources as they are found again: used as the run has decided and put on record, and nothing decided anew."""

from __future__ import annotations

from terramosaic.catalog.assets import Source
from terramosaic.catalog.scene import Scene
from terramosaic.errors import CatalogError, NotVerifiableError
from terramosaic.ground.grid import Rect, rect_from_bounds
from terramosaic.imagery.asset_facts import changes_since
from terramosaic.imagery.reader import SceneReader
from terramosaic.imagery.scene_decision import Inspectable, SceneDecision
from terramosaic.imagery.scene_records import SceneRecords
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.plan import Plan


class RunSources:
    """Tells what a run decided about its scenes; see `terramosaic.block.opening.Decisions`.

    Args:
        plan: the run's.

    Attributes:
        changed: by scene, which of its files are not as they were when the run decided about it.
    """

    def __init__(self, plan: Plan) -> None:
        self.changed: dict[str, tuple[str, ...]] = {}
        self._asked_for: dict[str, Source] = {}
        self._looked_at: set[str] = set()
        self._decisions = SceneRecords(RunFolder.of(plan)).read_all(plan)
        self._failed: dict[str, CatalogError] = {}
        self._asked: Source | None = None
        self._epsg, self._rect = 0, Rect(0, 0, 0, 0)

    def begin(self, epsg: int, rect: Rect) -> None:
        """Begins another window: pixels of a zone whose imagery is wanted."""
        self._asked_for, self._asked = {}, None
        self._epsg, self._rect = epsg, rect

    def can_do_without(self, error: CatalogError) -> bool:
        """Notes that a scene cannot be read, so that nobody waits for its files again.

        It is the one that the error is of; where that is of none, what was asked for last: several are read at once.

        Returns:
            Whether the window can be computed all the same, for the scene has no pixel of it.
        """
        failed = self._asked_for.get(error.scene, self._asked)
        if failed is None or failed.key in self._failed:
            return False
        self._failed[failed.key] = error
        return self._lies_elsewhere(failed)

    def leaves_out(self, scene: Source) -> bool:
        """Whether the run has left the scene out.

        Raises:
            CatalogError: its files could not be read before.
        """
        self._asked = self._asked_for[scene.key] = scene
        if scene.key in self._failed:
            if self._lies_elsewhere(scene):
                return True
            raise self._failed[scene.key]
        decision = self._decisions.get(scene.key)
        return decision is not None and not decision.is_used

    def decision(self, reader: SceneReader | Inspectable) -> SceneDecision:
        """What the run has decided about a scene.

        Raises:
            NotVerifiableError: that is not on record any more.
        """
        key = reader.source.key
        if key not in self._decisions:
            raise NotVerifiableError(f"what was decided about scene {key} is not on record any more")
        return self._decisions[key]

    def uses(self, scene: Source) -> None:
        """Nothing: also a scene that has no pixel to give by now may have changed."""

    def changed_meanwhile(self) -> list[str]:
        """Scenes that were asked for since `begin` and have files that are not as they were."""
        for key, scene in self._asked_for.items():
            decision = self._decisions.get(key)
            if key in self._looked_at or decision is None or not decision.is_used:
                continue
            self._looked_at.add(key)
            if changes := changes_since(scene, decision.files):
                self.changed[key] = tuple(f"{band}: {change}" for band, change in changes.items())
        return [key for key in self._asked_for if key in self.changed]

    def _lies_elsewhere(self, scene: Source) -> bool:
        """Whether a scene's item says that none of its pixels is wanted; its files cannot be asked any more."""
        if not isinstance(scene, Scene) or scene.epsg != self._epsg or scene.grid_bounds is None:
            return False
        return rect_from_bounds(scene.grid_bounds).intersection(self._rect).is_empty
