"""Pictures inside pages: as data URIs, small enough together."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace

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


def cropped(pictures: Mapping[str, Quicklook], margin: float = 0.02) -> dict[str, Quicklook]:
    """Pictures of one frame cut to where any of them has data, with a margin as a share of the longer side.

    They still lie over each other: all are cut alike.
    """
    boxes = [found for picture in pictures.values() if (found := _data_box(picture.image))]
    if not boxes:
        return dict(pictures)
    left, top, right, bottom = (
        pick(each) for pick, each in zip((min, min, max, max), zip(*boxes, strict=True), strict=True)
    )
    width, height = next(iter(pictures.values())).image.size
    more = round(margin * max(right - left, bottom - top))
    frame = (max(0, left - more), max(0, top - more), min(width, right + more), min(height, bottom + more))
    return {name: replace(picture, image=picture.image.crop(frame)) for name, picture in pictures.items()}


def _data_box(image: Image.Image) -> tuple[int, int, int, int] | None:
    if image.mode == "RGBA":
        return image.getchannel("A").getbbox()
    nodata = image.info.get("transparency")
    return image.point([index != nodata for index in range(256)], "L").getbbox()


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
