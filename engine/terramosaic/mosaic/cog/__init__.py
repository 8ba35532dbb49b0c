"""Cloud-optimized GeoTIFF, written in one pass.

GDAL's ``COG`` driver wants a finished raster and reads it again, for the overviews and for the copy. Here
rows come in from the top, overviews grow while they pass, and tiles are compressed in threads, so a mosaic
costs little more than its bytes on disk, and its memory is a few rows of tiles, however tall it is. GDAL
still decides how the georeference and the metadata look in the file: its tags are taken from a tiny template
that it writes.

    overviews   the pixels of the next coarser level
    tiles       one tile: predictor and compression
    tiff        what a raster is; tags of the template; header and directories of the file
    pyramid     every level at once, from rows that come from the top
    writer      ``write_cog``: temporary files, the file put together and in place
"""

from terramosaic.mosaic.cog.overviews import halve_average, halve_mode
from terramosaic.mosaic.cog.tiff import RasterProfile
from terramosaic.mosaic.cog.writer import write_cog

__all__ = ["RasterProfile", "halve_average", "halve_mode", "write_cog"]
