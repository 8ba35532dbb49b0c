"""A sample of TerraMesh: a zipped zarr (version 2) with an array ``bands``.

Zarr reads it by itself, without torch: its few small files are unzipped into memory. Every file's CRC is compared on
the way.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import Any

import numpy as np

from terramosaic.errors import RequestError, one_line

#: The array with the pixels: (time, band, y, x).
_BANDS = "bands"

#: Bytes that a sample may have unzipped; those of TerraMesh have less than 2 MB.
_LARGEST = 64 * 2**20


class DamagedSampleError(Exception):
    """A sample cannot be used; for who reads many, leaves it out, and tells of all."""


def require_zarr() -> None:
    """Raises:
    RequestError: zarr is not installed.
    """
    try:
        import zarr  # noqa: F401
    except ImportError as error:
        raise RequestError(
            f"reading TerraMesh needs zarr ({error.name} is missing): pip install 'terramosaic[terramesh]'"
        ) from error


def pixels_of(content: bytes) -> np.ndarray:
    """Unpacks a sample.

    Args:
        content: the zip.

    Returns:
        (bands, height, width) of its first moment, in its own type.

    Raises:
        DamagedSampleError: it is no whole sample; says why in a line.
    """
    import zarr  # an extra, and half a second of start-up
    from zarr.buffer.cpu import Buffer
    from zarr.storage import MemoryStore

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = [entry for entry in archive.infolist() if entry.filename.startswith(f"{_BANDS}/")]
            if sum(entry.file_size for entry in parts) > _LARGEST:
                raise DamagedSampleError(f"it has more than {_LARGEST / 1e6:.0f} MB")
            files: dict[str, Any] = {
                entry.filename: Buffer.from_bytes(archive.read(entry)) for entry in parts
            }
        array = zarr.open_array(MemoryStore(files), path=_BANDS, mode="r", zarr_format=2)
        if array.ndim != 4 or array.nbytes > _LARGEST:
            raise DamagedSampleError(f"bands has shape {array.shape}, and should have (time, band, y, x)")
        # Zarr makes up what is missing.
        if sum(not name.rpartition("/")[2].startswith(".") for name in files) != array.nchunks:
            raise DamagedSampleError(f"bands has not all of its {array.nchunks} chunks")
        pixels: np.ndarray = np.asarray(array[0])
    except DamagedSampleError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DamagedSampleError(f"it is no zipped zarr with bands: {one_line(error)}") from error
    return pixels


def centre_of(pixels: np.ndarray, side: int) -> np.ndarray:
    """The window in the middle, of ``side`` pixels: TerraMesh has 264.

    Raises:
        DamagedSampleError: there are fewer.
    """
    height, width = pixels.shape[-2:]
    if min(height, width) < side:
        raise DamagedSampleError(f"it has {height} x {width} pixels, and should have {side} at least")
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[..., top : top + side, left : left + side]
