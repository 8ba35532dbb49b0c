"""A block's small picture: its name, its bands, and where its pixels lie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from affine import Affine

from terramosaic.ground.grid import Rect

#: The small true-colour picture of a block, for the report: uint16 reflectance x 10 000, every n-th pixel.
PREVIEW = "S2"
PREVIEW_BANDS = ("B04", "B03", "B02")


def shown_bands(bands: Sequence[str]) -> tuple[str, ...]:
    """Which of a model's bands are shown as red, green and blue: its first in place of those that it does not take."""
    return tuple(band if band in bands else bands[0] for band in PREVIEW_BANDS)


def shown_in_words(bands: Sequence[str]) -> str:
    """What a picture of these bands shows."""
    shown = shown_bands(bands)
    return (
        "Sentinel-2 true colour"
        if shown == PREVIEW_BANDS
        else f"Sentinel-2 {', '.join(dict.fromkeys(shown))}"
    )


#: dB below which there is nothing, and steps of a dB, where the picture is of radar: VV and VH in its first two bands.
_DARKEST, _STEPS = -60.0, 100.0


def stored_backscatter(db: np.ndarray) -> np.ndarray:
    """Backscatter in dB as a preview holds it, uint16 of the same shape; 0 where it is NaN."""
    steps = np.clip((np.nan_to_num(db, nan=_DARKEST) - _DARKEST) * _STEPS, 1, 65535)
    return np.where(np.isnan(db), 0, np.rint(steps)).astype(np.uint16)


def backscatter_in(preview: np.ndarray) -> np.ndarray:
    """VV and VH in dB, float32 (2, height, width), from a preview; NaN where it holds nothing."""
    db: np.ndarray = (preview[:2] / _STEPS + _DARKEST).astype(np.float32)
    db[:, (preview[:2] == 0).any(axis=0)] = np.nan
    return db


def preview_rect(rect: Rect, factor: int) -> Rect:
    """The pixels of the preview's grid whose ground pixel (every ``factor``-th) lies in ``rect``."""
    row, col = -(-rect.row // factor), -(-rect.col // factor)
    return Rect(row, col, -(-rect.row_end // factor) - row, -(-rect.col_end // factor) - col)


def preview_transform(rect: Rect, factor: int) -> Affine:
    """Where a rectangle of the preview's grid lies, in the zone's metres."""
    origin = Rect(rect.row * factor, rect.col * factor, 1, 1).transform
    return origin @ Affine.scale(factor)
