"""The user's cache folder: what can be made again, kept because making it takes long."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_folder(name: str) -> Path:
    """A part of the cache: below ``TERRAMOSAIC_CACHE`` where that is set, else where the platform keeps caches."""
    own = os.environ.get("TERRAMOSAIC_CACHE")
    return (Path(own).expanduser() if own else platformdirs.user_cache_path("terramosaic")) / name
