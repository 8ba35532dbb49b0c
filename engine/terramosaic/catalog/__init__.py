"""Catalogs: search, scenes of Sentinel-2 with their offsets and acquisitions, and beside them radar. Reads no pixels.

In the order of use: `open_catalog` and search, `scene_from_item`, `drop_superseded`, `group_by_pass`, `rank`;
`hint_for_nothing` if there is nothing. Of L1C: `open_level_1c`, and `paired` beside L2A.

Of Sentinel-1 RTC in the same order: `open_backscatter`, `find_backscatter`, `of_one_direction`, `rank_passes`;
`hint_for_no_backscatter` if there is nothing. Of the Copernicus DEM: `open_elevation`, `find_elevation`.
"""

from terramosaic.catalog.acquisitions import Acquisition, drop_superseded, group_by_pass, rank
from terramosaic.catalog.assets import AssetRef, Source, require_files
from terramosaic.catalog.backscatter import BackscatterScene, backscatter_from_item
from terramosaic.catalog.backscatter_passes import BackscatterPass, of_one_direction, rank_passes
from terramosaic.catalog.backscatter_search import (
    FoundBackscatter,
    find_backscatter,
    hint_for_no_backscatter,
    open_backscatter,
)
from terramosaic.catalog.elevation import (
    Elevation,
    ElevationTile,
    FoundElevation,
    find_elevation,
    open_elevation,
)
from terramosaic.catalog.levels import WITHOUT_L1C, open_level_1c, paired
from terramosaic.catalog.passes import PASS_GAP, Pass, labels_of
from terramosaic.catalog.profiles import PROFILES, Profile, sign
from terramosaic.catalog.scene import Scene, scene_from_item, tell_apart
from terramosaic.catalog.search import (
    Catalog,
    above_the_limit,
    clouds_above,
    hint_for_nothing,
    of_level,
    open_catalog,
    scenes_there,
)
from terramosaic.catalog.unusable import Unusable, UnusableItem

__all__ = [
    "PASS_GAP",
    "PROFILES",
    "WITHOUT_L1C",
    "Acquisition",
    "AssetRef",
    "BackscatterPass",
    "BackscatterScene",
    "Catalog",
    "Elevation",
    "ElevationTile",
    "FoundBackscatter",
    "FoundElevation",
    "Pass",
    "Profile",
    "Scene",
    "Source",
    "Unusable",
    "UnusableItem",
    "above_the_limit",
    "backscatter_from_item",
    "clouds_above",
    "drop_superseded",
    "find_backscatter",
    "find_elevation",
    "group_by_pass",
    "hint_for_no_backscatter",
    "hint_for_nothing",
    "labels_of",
    "of_level",
    "of_one_direction",
    "open_backscatter",
    "open_catalog",
    "open_elevation",
    "open_level_1c",
    "paired",
    "rank",
    "rank_passes",
    "require_files",
    "scene_from_item",
    "scenes_there",
    "sign",
    "tell_apart",
]
