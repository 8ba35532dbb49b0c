"""One tile on its way into the file: samples interleaved, differenced by a predictor, compressed."""

from __future__ import annotations

import threading
from enum import IntEnum

import numpy as np
import zstandard


class Predictor(IntEnum):
    """TIFF's tag 317."""

    NONE = 1
    HORIZONTAL = 2
    FLOATING_POINT = 3


#: The sample types that the writer knows, and what makes each compress best.
PREDICTORS = {
    "uint8": Predictor.NONE,  # classes: runs compress better than their differences
    "int16": Predictor.HORIZONTAL,
    "uint16": Predictor.HORIZONTAL,
    "float16": Predictor.FLOATING_POINT,
    "float32": Predictor.FLOATING_POINT,
}

_per_thread = threading.local()


def compress_tile(pixels: np.ndarray, *, level: int) -> bytes:
    """Compresses a tile as GDAL would: pixel-interleaved, with its dtype's predictor, as one ZSTD frame.

    Args:
        pixels: ``(count, height, width)``, little-endian, of a dtype of ``PREDICTORS``; may be a view.
        level: ZSTD level. On noisy measurements 3 takes 5 times as long as 1 and saves 0.1 %, 9 takes 15
            times as long and saves 3 %.
    """
    data = _PREPARE[PREDICTORS[pixels.dtype.name]](pixels)
    return _compressor(level).compress(data.data)


def interleave(pixels: np.ndarray) -> np.ndarray:
    """``(count, height, width)`` to contiguous ``(height, width, count)``."""
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


def difference_horizontally(pixels: np.ndarray) -> np.ndarray:
    """Predictor 2: each sample less its left neighbour, modulo 2^16; interleaved as by ``interleave``."""
    count, height, width = pixels.shape
    out = np.empty((height, width, count), pixels.dtype)
    planes = out.transpose(2, 0, 1)  # differencing into this view interleaves on the way
    planes[:, :, 0] = pixels[:, :, 0]
    np.subtract(pixels[:, :, 1:], pixels[:, :, :-1], out=planes[:, :, 1:])
    return out


def difference_float_bytes(pixels: np.ndarray) -> np.ndarray:
    """Predictor 3 (Adobe Photoshop TIFF technical note 3): bytes ``(height, bytes of a sample * width * count)``.

    A row's samples are split into planes of bytes, the most significant first, so that signs and exponents
    stand together; then each byte less the byte ``count`` places before it, across the planes, modulo 2^8.
    """
    count, height, width = pixels.shape
    samples = interleave(pixels).view(np.uint8).reshape(height, width * count, pixels.itemsize)
    planes = np.ascontiguousarray(samples[:, :, ::-1].transpose(0, 2, 1)).reshape(height, -1)
    out = np.empty_like(planes)
    out[:, :count] = planes[:, :count]
    np.subtract(planes[:, count:], planes[:, :-count], out=out[:, count:])
    return out


_PREPARE = {
    Predictor.NONE: interleave,
    Predictor.HORIZONTAL: difference_horizontally,
    Predictor.FLOATING_POINT: difference_float_bytes,
}


def _compressor(level: int) -> zstandard.ZstdCompressor:
    """The thread's own compressor: one must not be shared, and a new one costs as much as a small tile."""
    compressors = _per_thread.__dict__.setdefault("compressors", {})
    if level not in compressors:
        compressors[level] = zstandard.ZstdCompressor(level=level)
    compressor: zstandard.ZstdCompressor = compressors[level]
    return compressor
