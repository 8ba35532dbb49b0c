"""Each layer of a folder of runs as one raster, over all zones and dates; the newest imagery with data is on top.

    OUT/layers/NDVI.gti.gpkg             for GDAL from 3.9 on: a tile index, see `tile_index`; dates may be chosen
    OUT/layers/NDVI.vrt                  the same for all versions: a virtual raster
    OUT/layers/NDVI.qml, NDVI.gti.qml    how QGIS shows both: as the newest run's
    OUT/layers/S1GRD_composite.vrt       the report's false colour
    OUT/layers/zones/NDVI_32633.vrt      where there are several zones: one of them, pixel by pixel, and ..
    OUT/layers/zones/NDVI_32632_warped.vrt  .. as it lies in the whole

Paths are relative: a folder that is moved stays right. The whole is in the CRS of the zone with the most pixels, whose
own lie in it unchanged, or in longitude and latitude where zones lie far apart. Others' are each the nearest one: no
number is made that no run has. Runs whose numbers are of another kind than the newest's are left out, which is told.
"""

from __future__ import annotations

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from terramosaic.ground.grid import RESOLUTION
from terramosaic.mosaic.virtual import Source, virtual_mosaic, virtual_raster, warped_raster
from terramosaic.planning.layers import Category, Layer, acquired_days
from terramosaic.publishing.quicklook import Swatch
from terramosaic.publishing.rasters import Raster, epsg_of, rasters_of
from terramosaic.publishing.styles import palette, palette_in
from terramosaic.publishing.tile_index import Tile, tile_index

logger = logging.getLogger(__name__)

FOLDER = "layers"
_ZONES = "zones"

#: In each file that is made here, so that those of others are told from them.
MARK = "made by terramosaic"

#: The name of the report's false colour, see `styles`.
_DIFFERENCE = "VV − VH"

#: UTM zones to each side of the middle one that are still mapped in its CRS: 18 degrees off, a metre is 1.05 there.
_ZONES_BESIDE = 3

_WGS84 = 4326
#: Degrees that are as long as the grid's pixels at the equator, and around the poles.
_DEGREES = RESOLUTION / 111_319.49079327358

#: Factors of a zone's coarser levels.
_OVERVIEWS = (2, 4, 8, 16, 32, 64)

#: Pixels around what is warped, for a rectangle's sides are bent.
_SLACK = 2

ReadStyles = Callable[[Sequence[str]], list[str | None]]


def views_of(items: Mapping[str, Mapping[str, Any]], read: ReadStyles) -> dict[str, bytes]:
    """The files of all layers' views.

    Args:
        items: of the runs, by their folders from the output folder on.
        read: reads texts of files, named from the output folder on; None of those that are not there.

    Returns:
        Contents by names from the output folder on; those that others lie in come after these.
    """
    rasters = rasters_of(items)
    if not rasters:
        return {}
    grid = _Grid.over(rasters)
    by_layer = defaultdict[str, list[Raster]](list)
    for raster in rasters:
        by_layer[raster.layer.name].append(raster)
    found = dict[str, bytes]()
    for name, all_of in sorted(by_layer.items()):
        for file, content in _view(grid, _alike(all_of), read).items():
            found[f"{FOLDER}/{file}"] = content if isinstance(content, bytes) else content.encode()
        logger.debug("%s: a view of %d mosaics", name, len(all_of))
    return found


def _alike(rasters: Sequence[Raster]) -> list[Raster]:
    """Those whose numbers are of the newest's kind; a line of the log tells the others."""
    kind = _kind(rasters[-1].layer)
    alike = [raster for raster in rasters if _kind(raster.layer) == kind]
    others = sorted({raster.run_id for raster in rasters} - {raster.run_id for raster in alike})
    if others:
        logger.warning(
            "%s/%s: without %s, whose numbers are of another kind than the newest run's",
            FOLDER,
            rasters[-1].layer.name,
            ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else ""),
        )
    return alike


def _kind(layer: Layer) -> Layer:
    """What must be alike where numbers are seen as one layer: not which days or flags there are."""
    return layer if layer.kind == "class" else replace(layer, classes=(), flags=())


@dataclass(frozen=True)
class _Grid:
    """The pixels of the whole, without an end.

    Attributes:
        epsg: code of its CRS.
        step: side of a pixel, in the units of that.
    """

    epsg: int
    step: float

    @classmethod
    def over(cls, rasters: Iterable[Raster]) -> _Grid:
        """That of the zone with the most pixels, or of longitude and latitude."""
        pixels = Counter[int]()
        for raster in rasters:
            pixels[raster.epsg] += math.prod(raster.geobox.shape)
        most = max(sorted(pixels), key=lambda epsg: pixels[epsg])
        offs = [abs(epsg % 100 - most % 100) for epsg in pixels]
        apart = max(min(off, 60 - off) for off in offs)
        return cls(most, RESOLUTION) if apart <= _ZONES_BESIDE else cls(_WGS84, _DEGREES)

    def around(self, rasters: Sequence[GeoBox]) -> GeoBox:
        """The pixels that rasters lie in."""
        boxes = [self.bounds(raster) for raster in rasters]
        west, south = (min(box[side] for box in boxes) for side in (0, 1))
        east, north = (max(box[side] for box in boxes) for side in (2, 3))
        left, right = math.floor(round(west / self.step, 6)), math.ceil(round(east / self.step, 6))
        bottom, top = math.floor(round(south / self.step, 6)), math.ceil(round(north / self.step, 6))
        return GeoBox(
            (top - bottom, right - left),
            Affine(self.step, 0, left * self.step, 0, -self.step, top * self.step),
            f"EPSG:{self.epsg}",
        )

    def bounds(self, geobox: GeoBox) -> tuple[float, float, float, float]:
        """Left, bottom, right and top of a raster in its CRS."""
        box, epsg = geobox.boundingbox, epsg_of(geobox)
        if epsg == self.epsg:
            return box.left, box.bottom, box.right, box.top
        transformer = Transformer.from_crs(epsg, self.epsg, always_xy=True)
        left, bottom, right, top = transformer.transform_bounds(
            box.left, box.bottom, box.right, box.top, densify_pts=51
        )
        if left > right:  # across the antimeridian
            left, right = -180.0, 180.0
        slack = _SLACK * self.step
        return left - slack, bottom - slack, right + slack, top + slack


def _view(grid: _Grid, rasters: Sequence[Raster], read: ReadStyles) -> dict[str, str | bytes]:
    """The files of one layer's view, by names from the folder of views on."""
    newest = rasters[-1]
    layer, name = _joined(rasters), newest.layer.name
    geobox = grid.around([raster.geobox for raster in rasters])
    files: dict[str, str | bytes] = {}
    by_zone = defaultdict[int, list[Raster]](list)
    for raster in rasters:
        by_zone[raster.epsg].append(raster)
    if by_zone.keys() == {grid.epsg}:
        files[f"{name}.vrt"] = virtual_mosaic(_sources(rasters, ".."), layer, geobox, overviews=_OVERVIEWS)
    else:
        parts = []
        # The zone with the newest imagery is on top.
        for epsg, own in sorted(by_zone.items(), key=lambda each: each[1][-1].order):
            source, more = _zone(grid, epsg, own, layer)
            parts.append(source)
            files |= more
        files[f"{name}.vrt"] = virtual_mosaic(parts, layer, geobox)
    tiles = [
        Tile(
            f"../{raster.folder}/{raster.file}",
            grid.bounds(raster.geobox),
            raster.run_id,
            f"../{raster.folder}/item.json",
            _milliseconds(raster.start),
            _milliseconds(raster.end),
            raster.model,
        )
        for raster in rasters
    ]
    what = f"{name} of all runs, the newest imagery on top: {MARK}"
    files[f"{name}.gti.gpkg"] = tile_index(tiles, layer, geobox, title=name, description=what)
    style = _style(rasters, layer, read)
    if style:
        files |= {f"{name}.qml": style, f"{name}.gti.qml": style}
    if newest.composite:
        (false_colour,) = read([f"{newest.folder}/{newest.file.removesuffix('.tif')}_composite.qml"])
        files[f"{name}_composite.vrt"] = virtual_raster(f"{name}.vrt", layer, geobox, difference=_DIFFERENCE)
        if false_colour:
            files[f"{name}_composite.qml"] = false_colour
    return {file: _marked(content) for file, content in files.items()}


def _zone(
    grid: _Grid, epsg: int, rasters: Sequence[Raster], layer: Layer
) -> tuple[Source, dict[str, str | bytes]]:
    """A zone's part of a view, and the files that it needs."""
    name = f"{layer.name}_{epsg}"
    own = _Grid(epsg, RESOLUTION).around([raster.geobox for raster in rasters])
    file = f"{_ZONES}/{name}.vrt"
    files: dict[str, str | bytes] = {
        file: virtual_mosaic(_sources(rasters, "../.."), layer, own, overviews=_OVERVIEWS)
    }
    if epsg == grid.epsg:
        return Source(file, own), files
    geobox, warped = grid.around([own]), f"{_ZONES}/{name}_warped.vrt"
    files[warped] = warped_raster(Source(f"{name}.vrt", own), layer, geobox)
    return Source(warped, geobox), files


def _sources(rasters: Iterable[Raster], up: str) -> list[Source]:
    return [Source(f"{up}/{raster.folder}/{raster.file}", raster.geobox) for raster in rasters]


def _joined(rasters: Sequence[Raster]) -> Layer:
    """What the numbers of all rasters mean: all days, and all flags."""
    layer = rasters[-1].layer
    if layer.kind == "days":
        values = {one.value for raster in rasters for one in raster.layer.classes}
        return replace(
            layer, classes=acquired_days(date(1970, 1, 1) + timedelta(days=each) for each in values)
        )
    if layer.kind == "flags":
        return replace(
            layer, flags=tuple(sorted({flag for raster in rasters for flag in raster.layer.flags}))
        )
    return layer


def _style(rasters: Sequence[Raster], layer: Layer, read: ReadStyles) -> str | None:
    """The newest run's style; of days and flags one with those of all runs."""
    if layer.kind == "days":
        return palette([Swatch(one.value, one.name, _hex(one)) for one in layer.classes])
    styled = [raster for raster in reversed(rasters) if raster.style]
    if layer.kind == "flags":
        legend = dict[int, Swatch]()
        for text in read([f"{raster.folder}/{raster.style}" for raster in styled]):
            for swatch in palette_in(text or ""):
                legend.setdefault(swatch.value, swatch)
        return palette([legend[value] for value in sorted(legend)]) if legend else None
    found = read([f"{raster.folder}/{raster.style}" for raster in styled[:1]])
    return found[0] if found else None


def _hex(category: Category) -> str:
    return f"#{bytes(category.colour).hex()}"


def _marked(content: str | bytes) -> str | bytes:
    """A text of XML with the mark."""
    return content if isinstance(content, bytes) else f"{content.rstrip()}\n<!-- {MARK} -->\n"


def _milliseconds(moment: str) -> str:
    """A time as GeoPackages want it."""
    return f"{moment[:19]}.000Z" if len(moment) >= 19 else moment
