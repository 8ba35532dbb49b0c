"""A block's small picture: its name, its bands, and where its pixels lie."""

from __future__ import annotations

from affine import Affine

from terramosaic.ground.grid import Rect

#: The small true-colour picture of a block, for the report: uint16 reflectance x 10 000, every n-th pixel.
PREVIEW = "S2"
PREVIEW_BANDS = ("B04", "B03", "B02")


def preview_rect(rect: Rect, factor: int) -> Rect:
    """The pixels of the preview's grid whose ground pixel (every ``factor``-th) lies in ``rect``."""
    row, col = -(-rect.row // factor), -(-rect.col // factor)
    return Rect(row, col, -(-rect.row_end // factor) - row, -(-rect.col_end // factor) - col)


def preview_transform(rect: Rect, factor: int) -> Affine:
    """Where a rectangle of the preview's grid lies, in the zone's metres."""
    origin = Rect(rect.row * factor, rect.col * factor, 1, 1).transform
    return origin @ Affine.scale(factor)
