"""Virtual rasters (VRT): lines of XML that GDAL, rasterio and QGIS open as a raster whose pixels lie elsewhere."""

from __future__ import annotations

from xml.etree import ElementTree

from odc.geo.geobox import GeoBox
from rasterio.io import MemoryFile

from terramosaic.mosaic.assemble import profile_of
from terramosaic.mosaic.class_table import class_table
from terramosaic.mosaic.cog.tiff import describe
from terramosaic.planning.layers import Layer
from terramosaic.storage.gdal import local_files


def virtual_raster(file: str, layer: Layer, geobox: GeoBox, *, difference: str = "") -> str:
    """A virtual raster that is a layer's mosaic.

    Args:
        file: the mosaic, named from where the text lies.
        layer: what its numbers mean.
        geobox: its pixels.
        difference: what a further band is called, the first less the second; by default there is none.
    """
    profile = profile_of(layer, geobox, {})
    with local_files(), MemoryFile(ext=".vrt") as memory:
        with memory.open(
            driver="VRT",
            height=geobox.height,
            width=geobox.width,
            count=profile.count,
            dtype=layer.dtype,
            crs=geobox.crs,
            transform=geobox.transform,
            nodata=layer.nodata,
        ) as dataset:
            describe(dataset, profile)
        document = ElementTree.fromstring(bytes(memory.getbuffer()))
    bands = list(document.iter("VRTRasterBand"))
    for number, band in enumerate(bands, start=1):
        if layer.kind == "class":
            band.extend(ElementTree.fromstring(class_table(layer))[0])
        _add_source(band, file, number)
    if difference:
        document.append(_difference(bands[0], file, difference))
    return ElementTree.tostring(document, encoding="unicode")


def _difference(first: ElementTree.Element, file: str, name: str) -> ElementTree.Element:
    """The first band less the second. Where they hold no data it is 0: it is to be seen beside them only."""
    band = ElementTree.Element(
        "VRTRasterBand", first.attrib | {"band": "3", "subClass": "VRTDerivedRasterBand"}
    )
    ElementTree.SubElement(band, "Description").text = name
    ElementTree.SubElement(band, "PixelFunctionType").text = "diff"
    band.extend(child for child in first if child.tag in ("UnitType", "Scale", "Offset"))
    for number in (1, 2):
        _add_source(band, file, number)
    return band


def _add_source(band: ElementTree.Element, file: str, number: int) -> None:
    source = ElementTree.SubElement(band, "SimpleSource")
    ElementTree.SubElement(source, "SourceFilename", relativeToVRT="1").text = file
    ElementTree.SubElement(source, "SourceBand").text = str(number)
