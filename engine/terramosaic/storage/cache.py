"""The user's cache folder: what can be made again, kept because making it takes long."""

from __future__ import annotations

from pathlib import Path

import platformdirs

from terramosaic.settings import CACHE


def cache_folder(name: str) -> Path:
    """A part of the cache: below ``TERRAMOSAIC_CACHE`` where that is set, else where the platform keeps caches."""
    own = CACHE.text
    return (Path(own).expanduser() if own else platformdirs.user_cache_path("terramosaic")) / name
