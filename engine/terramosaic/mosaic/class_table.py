"""What GIS programs ask of a raster of classes beside their colours: names, and a table of values and colours."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, tostring

from terramosaic.planning.layers import Layer
from terramosaic.storage.location import Location

#: Columns of a raster attribute table: name, and GDAL's codes of type (GDALRATFieldType: integer, string) and of what
#: it is used for (GDALRATFieldUsage: name, value, red, green, blue, alpha).
_COLUMNS = (("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8), ("Alpha", 0, 9))


def beside(mosaic: Location) -> Location:
    """Where GDAL looks for what a GeoTIFF cannot say of itself."""
    return mosaic.with_name(f"{mosaic.name}.aux.xml")


def class_table(layer: Layer) -> str:
    """Names of a layer's classes by value, and its raster attribute table, as GDAL reads them from beside a GeoTIFF."""
    dataset = Element("PAMDataset")
    band = SubElement(dataset, "PAMRasterBand", band="1")
    rows = [(layer.nodata, "no data", (0, 0, 0, 0))]
    rows += [(item.value, item.name, (*item.colour, 255)) for item in layer.classes]
    names, categories = {value: name for value, name, _ in rows}, SubElement(band, "CategoryNames")
    for value in range(max(names) + 1):
        SubElement(categories, "Category").text = names.get(value, "")
    table = SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    for index, (title, kind, usage) in enumerate(_COLUMNS):
        column = SubElement(table, "FieldDefn", index=str(index))
        for name, content in (("Name", title), ("Type", str(kind)), ("Usage", str(usage))):
            SubElement(column, name).text = content
    for index, (value, name, colour) in enumerate(rows):
        row = SubElement(table, "Row", index=str(index))
        for cell in (value, name, *colour):
            SubElement(row, "F").text = str(cell)
    return tostring(dataset, encoding="unicode") + "\n"
