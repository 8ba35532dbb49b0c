"""Catalogs of Sentinel-2 L2A: search, scenes, their offsets and acquisitions. Nothing here reads pixels.

In the order of use: `open_catalog` and search, `scene_from_item`, `drop_superseded`, `group_by_solar_day`,
`rank`; `hint_for_nothing` if there is nothing.
"""

from terramosaic.catalog.acquisitions import PASS_GAP, Acquisition, drop_superseded, group_by_solar_day, rank
from terramosaic.catalog.profiles import PROFILES, Profile, sign
from terramosaic.catalog.scene import AssetRef, Scene, datetime_of, scene_from_item, tell_apart
from terramosaic.catalog.search import Catalog, hint_for_nothing, open_catalog

__all__ = [
    "PASS_GAP",
    "PROFILES",
    "Acquisition",
    "AssetRef",
    "Catalog",
    "Profile",
    "Scene",
    "datetime_of",
    "drop_superseded",
    "group_by_solar_day",
    "hint_for_nothing",
    "open_catalog",
    "rank",
    "scene_from_item",
    "sign",
    "tell_apart",
]
