"""What people and catalogs see of a run: pictures, report, STAC item, notebook.

publish     all of it, the item last
facts       what is told of a plan; the command line and Prefect tell it too
record      what is told of a run: what it left on disk, gathered once
words       titles, the attribution, versions
numbers     numbers as people read them
item        the STAC item
collections the documents of an output folder's catalog
index       the table of its items
rasters     mosaics, as items tell of them
views       each layer of all runs as one raster
tile_index  the same, for GDAL's driver GTI
catalog     all of these kept up to date
report      the page
notebook    what a notebook shows
markup      HTML from templates/, which escape what is put into them
repeat      the command that makes a run again
locator     maps of where the run is
reduced     mosaics at a fraction of their resolution, and figures of them
quicklook   pictures of them
pictures    pictures inside pages
"""
