"""A run's sources as they are found again: used as the run has decided and put on record, and nothing decided anew."""

from __future__ import annotations

from terramosaic.catalog.scene import Scene
from terramosaic.errors import CatalogError, NotVerifiableError
from terramosaic.ground.grid import Rect, rect_from_bounds
from terramosaic.imagery.reader import SceneReader
from terramosaic.imagery.scene_decision import SceneDecision
from terramosaic.imagery.scene_records import SceneRecords
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.plan import Plan


class RunSources:
    """Tells what a run decided about its scenes; see `terramosaic.imagery.stack.Decisions`.

    Args:
        plan: the run's.

    Attributes:
        used: keys of the scenes that gave pixels since `begin`.
    """

    def __init__(self, plan: Plan) -> None:
        self.used: set[str] = set()
        self._decisions = SceneRecords(RunFolder.of(plan)).read_all(plan)
        self._failed: dict[str, CatalogError] = {}
        self._asked: Scene | None = None
        self._epsg, self._rect = 0, Rect(0, 0, 0, 0)

    def begin(self, epsg: int, rect: Rect) -> None:
        """Begins another window: pixels of a zone whose imagery is wanted."""
        self.used, self._asked = set(), None
        self._epsg, self._rect = epsg, rect

    def can_do_without(self, error: CatalogError) -> bool:
        """Notes that the scene that was asked for last cannot be read, so that nobody waits for its files again.

        Returns:
            Whether the window can be computed all the same, for the scene has no pixel of it.
        """
        if self._asked is None or self._asked.key in self._failed:
            return False
        self._failed[self._asked.key] = error
        return self._lies_elsewhere(self._asked)

    def leaves_out(self, scene: Scene) -> bool:
        """Whether the run has left the scene out.

        Raises:
            CatalogError: its files could not be read before.
        """
        self._asked = scene
        if scene.key in self._failed:
            if self._lies_elsewhere(scene):
                return True
            raise self._failed[scene.key]
        decision = self._decisions.get(scene.key)
        return decision is not None and not decision.is_used

    def decision(self, reader: SceneReader) -> SceneDecision:
        """What the run has decided about a scene.

        Raises:
            NotVerifiableError: that is not on record any more.
        """
        key = reader.scene.key
        if key not in self._decisions:
            raise NotVerifiableError(f"what was decided about scene {key} is not on record any more")
        return self._decisions[key]

    def uses(self, scene: Scene) -> None:
        """Notes a scene that has given pixels."""
        self.used.add(scene.key)

    def _lies_elsewhere(self, scene: Scene) -> bool:
        """Whether a scene's item says that none of its pixels is wanted; its files cannot be asked any more."""
        if scene.epsg != self._epsg or scene.grid_bounds is None:
            return False
        return rect_from_bounds(scene.grid_bounds).intersection(self._rect).is_empty
