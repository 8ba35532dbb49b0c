"""Pictures inside pages: as data URIs, small enough together."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

from PIL import Image, features

from terramosaic.publishing.quicklook import Quicklook

#: Bytes of all pictures together; base64 adds a third, so the page stays below 8 MB.
_BUDGET = 5_500_000
_SIDES = (1400, 1000, 700, 500, 350)
_WEBP_QUALITY = 86


def embedded(
    pictures: Mapping[str, Quicklook], budget: int = _BUDGET, sides: Sequence[int] = _SIDES
) -> dict[str, str]:
    """Pictures as data URIs, made smaller together until they fit: by default a page that can be sent by mail.

    Args:
        pictures: by name.
        budget: bytes of all together, before base64 adds a third.
        sides: pixels of the longest side, from the largest to try; the last is taken whatever it weighs.
    """
    encoded: dict[str, tuple[str, bytes]] = {}
    for side in sides:
        encoded = {name: _as_picture_file(picture.image, side) for name, picture in pictures.items()}
        if sum(len(content) for _, content in encoded.values()) <= budget:
            break
    return {
        name: f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
        for name, (kind, content) in encoded.items()
    }


def _as_picture_file(image: Image.Image, side: int) -> tuple[str, bytes]:
    """A picture's kind and bytes: classes exactly, as PNG; the rest as WebP, where Pillow knows it."""
    content = io.BytesIO()
    flat = image.mode == "P"
    if max(image.size) > side:
        image = image.copy()
        image.thumbnail(
            (side, side), Image.Resampling.NEAREST if flat else Image.Resampling.BOX, reducing_gap=None
        )
    if flat or not features.check("webp"):
        image.save(content, "PNG", optimize=True)
        return "png", content.getvalue()
    image.save(content, "WEBP", quality=_WEBP_QUALITY, method=4)
    return "webp", content.getvalue()
