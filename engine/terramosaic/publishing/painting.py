"""Pixels in the colours of a layer's picture: any part of a mosaic, at any resolution, looks as it does in the report.

`draw` decides colours and stretch from a whole mosaic seen from afar; here they are put on pixels that come later, such
as those of a map's tiles. Elevation has its tints without the shade, as in its ``.qml``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from PIL import Image, ImageColor

from terramosaic.planning.layers import Layer
from terramosaic.publishing.quicklook import Channel, Quicklook, Scale, ramp_table, worst_flag

#: Bands that a picture of an embedding is made of.
_DIMENSIONS = 3


@dataclass(frozen=True)
class Paint:
    """How numbers of a layer become colours.

    Attributes:
        layer: what the numbers mean.
        picture: the picture that decided it.
    """

    layer: Layer
    picture: Quicklook

    @classmethod
    def of(cls, layer: Layer, picture: Quicklook) -> Paint:
        """That of a picture, without its pixels."""
        return cls(layer, replace(picture, image=Image.new("L", (1, 1))))

    @cached_property
    def bands(self) -> tuple[int, ...]:
        """Which bands `paint` wants, counted from 0, in this order."""
        layer, channels = self.layer, self.picture.channels
        if channels and all(channel.band in layer.bands for channel in channels):
            return tuple(layer.bands.index(channel.band) for channel in channels)
        if layer.kind == "days":
            return (0,)
        return tuple(range(min(_DIMENSIONS, len(layer.bands)) if channels else len(layer.bands)))

    def paint(self, stored: np.ndarray) -> np.ndarray:
        """Colours of pixels.

        Args:
            stored: numbers as the mosaic holds them, (bands, height, width), of `bands`.

        Returns:
            Red, green, blue and opacity, uint8 (height, width, 4); transparent where there is no data.
        """
        valid = stored[0] != self.layer.nodata
        rgb = self._rgb(stored)
        if rgb is None:
            return np.zeros((*valid.shape, 4), np.uint8)
        rgba: np.ndarray = np.dstack([rgb, np.full(valid.shape, 255, np.uint8)]) * valid[..., None]
        return rgba

    def _rgb(self, stored: np.ndarray) -> np.ndarray | None:
        layer, picture = self.layer, self.picture
        if picture.swatches:
            numbers = worst_flag(stored[0]) if layer.kind == "flags" else stored[0]
            rgb: np.ndarray = self._table[numbers]
            return rgb
        values = stored * np.float32(layer.scale)
        if picture.channels:
            return np.stack([self._brightness(channel, values) for channel in picture.channels], axis=-1)
        if layer.measure == "probabilities":
            colours = np.array([item.colour for item in layer.classes], np.float32)
            mixed = np.einsum("chw,cb->hwb", values / 100, colours)
            rgb = np.clip(mixed, 0, 255).astype(np.uint8)
            return rgb
        if picture.scales:
            return _ramp(picture.scales[0], values.mean(axis=0) if layer.measure == "std" else values[0])
        return None

    @cached_property
    def _table(self) -> np.ndarray:
        """Colours of stored values, of those without a swatch black."""
        table = np.zeros((np.iinfo(self.layer.dtype).max + 1, 3), np.uint8)
        for swatch in self.picture.swatches:
            table[swatch.value] = ImageColor.getrgb(swatch.colour)
        return table

    def _brightness(self, channel: Channel, values: np.ndarray) -> np.ndarray:
        """Of a band; what the layer has no band of is the first less the second, as in Sentinel-1's false colour."""
        bands = [self.layer.bands[index] for index in self.bands]
        band = values[bands.index(channel.band)] if channel.band in bands else values[0] - values[1]
        share = np.clip((band - channel.low) / (channel.high - channel.low), 0, 1)
        brightness: np.ndarray = np.rint(share ** (1 / self.picture.gamma) * 255).astype(np.uint8)
        return brightness


def _ramp(scale: Scale, values: np.ndarray) -> np.ndarray:
    index = np.clip((values - scale.low) / (scale.high - scale.low) * 255, 0, 255)
    colours: np.ndarray = ramp_table(scale.colours)[np.rint(index).astype(np.uint8)]
    return colours
