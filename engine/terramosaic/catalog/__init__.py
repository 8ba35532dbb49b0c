"""Catalogs of Sentinel-2 L2A: search, scenes, their offsets and acquisitions. Nothing here reads pixels.

In the order of use: `open_catalog` and search, `scene_from_item`, `drop_superseded`, `group_by_pass`, `rank`;
`hint_for_nothing` if there is nothing.
"""

from terramosaic.catalog.acquisitions import Acquisition, drop_superseded, group_by_pass, rank
from terramosaic.catalog.assets import AssetRef, Source, require_files
from terramosaic.catalog.passes import PASS_GAP, Pass, labels_of
from terramosaic.catalog.profiles import PROFILES, Profile, sign
from terramosaic.catalog.scene import Scene, scene_from_item, tell_apart
from terramosaic.catalog.search import (
    Catalog,
    above_the_limit,
    clouded,
    hint_for_nothing,
    open_catalog,
    scenes_there,
)
from terramosaic.catalog.unusable import Unusable, UnusableItem

__all__ = [
    "PASS_GAP",
    "PROFILES",
    "Acquisition",
    "AssetRef",
    "Catalog",
    "Pass",
    "Profile",
    "Scene",
    "Source",
    "Unusable",
    "UnusableItem",
    "above_the_limit",
    "clouded",
    "drop_superseded",
    "group_by_pass",
    "hint_for_nothing",
    "labels_of",
    "open_catalog",
    "rank",
    "require_files",
    "scene_from_item",
    "scenes_there",
    "sign",
    "tell_apart",
]
