"""Virtual rasters (VRT): lines of XML that GDAL, rasterio and QGIS open as a raster whose pixels lie elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

from odc.geo.geobox import GeoBox
from rasterio.io import MemoryFile

from terramosaic.mosaic.assemble import profile_of
from terramosaic.mosaic.class_table import class_table
from terramosaic.mosaic.cog.tiff import describe
from terramosaic.planning.layers import Layer
from terramosaic.storage.gdal import local_files

#: GDAL's names of types of numbers.
TYPES = {"uint8": "Byte", "int16": "Int16", "uint16": "UInt16", "float32": "Float32"}

#: Pixels to a side of a mosaic's tiles, which GDAL is told so that it needs not open them first.
_TILE = "512"


@dataclass(frozen=True)
class Source:
    """A raster that pixels are taken from.

    Attributes:
        file: named from where the virtual raster lies.
        geobox: its pixels.
    """

    file: str
    geobox: GeoBox


def virtual_raster(file: str, layer: Layer, geobox: GeoBox, *, difference: str = "") -> str:
    """A virtual raster that is a layer's mosaic.

    Args:
        file: the mosaic, named from where the text lies.
        layer: what its numbers mean.
        geobox: its pixels.
        difference: what a further band is called, the first less the second; by default there is none.
    """
    document = _described(layer, geobox)
    bands = list(document.iter("VRTRasterBand"))
    for number, band in enumerate(bands, start=1):
        _add_source(band, file, number)
    if difference:
        document.append(_difference(bands[0], file, difference))
    return tostring(document, encoding="unicode")


def virtual_mosaic(
    sources: Sequence[Source], layer: Layer, geobox: GeoBox, *, overviews: Sequence[int] = ()
) -> str:
    """A virtual raster of several that lie on one grid: where they overlap, the last one with data is seen.

    Args:
        sources: rasters on the grid of ``geobox``, and within.
        layer: what their numbers mean.
        geobox: the pixels of the whole.
        overviews: factors of coarser levels, which are read from the sources' own.
    """
    document = _described(layer, geobox)
    for number, band in enumerate(document.iter("VRTRasterBand"), start=1):
        _shade(band)
        for source in sources:
            _add_part(band, source, number, layer, geobox)
    if overviews:
        levels = SubElement(document, "OverviewList", resampling="nearest")
        levels.text = " ".join(map(str, overviews))
    return tostring(document, encoding="unicode")


def warped_raster(source: Source, layer: Layer, geobox: GeoBox) -> str:
    """A virtual raster on another grid: each pixel is its nearest one of the source; numbers stay as they are."""
    document = _described(layer, geobox)
    document.set("subClass", "VRTWarpedDataset")
    bands = list(document.iter("VRTRasterBand"))
    for band in bands:
        band.set("subClass", "VRTWarpedRasterBand")
    options = SubElement(document, "GDALWarpOptions")
    SubElement(options, "WarpMemoryLimit").text = "6.71089e+07"
    SubElement(options, "ResampleAlg").text = "NearestNeighbour"
    SubElement(options, "WorkingDataType").text = TYPES[layer.dtype]
    SubElement(options, "Option", name="INIT_DEST").text = "NO_DATA"
    # A pixel of several bands is none only where all of them are.
    SubElement(options, "Option", name="UNIFIED_SRC_NODATA").text = "YES"
    SubElement(options, "SourceDataset", relativeToVRT="1").text = source.file
    base = _nested(options, "Transformer", "ApproxTransformer")
    SubElement(base, "MaxError").text = "0.125"
    between = _nested(base, "BaseTransformer", "GenImgProjTransformer")
    for name, own in (("Src", source.geobox), ("Dst", geobox)):
        SubElement(between, f"{name}GeoTransform").text = _numbers(own.transform.to_gdal())
        SubElement(between, f"{name}InvGeoTransform").text = _numbers((~own.transform).to_gdal())
    projecting = _nested(between, "ReprojectTransformer", "ReprojectionTransformer")
    for name, own in (("Source", source.geobox), ("Target", geobox)):
        SubElement(projecting, f"{name}SRS").text = str(own.crs)
    listed = SubElement(options, "BandList")
    for number in range(1, len(bands) + 1):
        mapping = SubElement(listed, "BandMapping", src=str(number), dst=str(number))
        for side in ("Src", "Dst"):
            SubElement(mapping, f"{side}NoDataReal").text = str(layer.nodata)
            SubElement(mapping, f"{side}NoDataImag").text = "0"
    return tostring(document, encoding="unicode")


def band_elements(layer: Layer, geobox: GeoBox) -> list[Element]:
    """What a virtual raster says of each band of a layer."""
    bands = list(_described(layer, geobox).iter("VRTRasterBand"))
    for band in bands:
        _shade(band)
    return bands


def _shade(band: Element) -> None:
    """Says of a first band without colours that it is shown in grey, as GeoTIFFs say it."""
    if band.attrib["band"] == "1" and band.find("ColorInterp") is None:
        SubElement(band, "ColorInterp").text = "Gray"


def _described(layer: Layer, geobox: GeoBox) -> Element:
    """A virtual raster without a source."""
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
        document = fromstring(bytes(memory.getbuffer()))
    if layer.kind == "class":
        for band in document.iter("VRTRasterBand"):
            band.extend(fromstring(class_table(layer))[0])
    return document


def _difference(first: Element, file: str, name: str) -> Element:
    """The first band less the second. Where they hold no data it is 0: it is to be seen beside them only."""
    band = Element("VRTRasterBand", first.attrib | {"band": "3", "subClass": "VRTDerivedRasterBand"})
    SubElement(band, "Description").text = name
    SubElement(band, "PixelFunctionType").text = "diff"
    band.extend(child for child in first if child.tag in ("UnitType", "Scale", "Offset"))
    for number in (1, 2):
        _add_source(band, file, number)
    return band


def _add_source(band: Element, file: str, number: int) -> None:
    source = SubElement(band, "SimpleSource")
    SubElement(source, "SourceFilename", relativeToVRT="1").text = file
    SubElement(source, "SourceBand").text = str(number)


def _add_part(band: Element, source: Source, number: int, layer: Layer, geobox: GeoBox) -> None:
    """A source of a band, at its place; its pixels without data let others through."""
    own = source.geobox
    left, top = ~geobox.transform @ (own.transform.c, own.transform.f)
    height, width = own.shape
    part = SubElement(band, "ComplexSource")
    SubElement(part, "SourceFilename", relativeToVRT="1").text = source.file
    SubElement(part, "SourceBand").text = str(number)
    size = {"RasterXSize": str(width), "RasterYSize": str(height)}
    tile = {"BlockXSize": _TILE, "BlockYSize": _TILE}
    SubElement(part, "SourceProperties", size | {"DataType": TYPES[layer.dtype]} | tile)
    for name, x, y in (("SrcRect", 0, 0), ("DstRect", round(left), round(top))):
        rect = {"xOff": str(x), "yOff": str(y), "xSize": str(width), "ySize": str(height)}
        SubElement(part, name, rect)
    SubElement(part, "NODATA").text = str(layer.nodata)


def _nested(parent: Element, *names: str) -> Element:
    for name in names:
        parent = SubElement(parent, name)
    return parent


def _numbers(values: Sequence[float]) -> str:
    return ",".join(f"{value:.17g}" for value in values)
