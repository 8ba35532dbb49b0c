"""Versions of what decides pixels, as they are installed where this runs."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import rasterio


def versions() -> dict[str, str]:
    """By package, this one first."""
    return {
        "terramosaic": _version_of("terramosaic"),
        "onnxruntime": _version_of("onnxruntime", "onnxruntime-gpu"),
        "numpy": _version_of("numpy"),
        "rasterio": rasterio.__version__,
        "gdal": rasterio.__gdal_version__,
        "python": platform.python_version(),
    }


def _version_of(*names: str) -> str:
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown"
