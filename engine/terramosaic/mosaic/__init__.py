"""From blocks to mosaics.

assemble    the blocks of a zone, joined
places      the table of where windows are taken to lie
cog         files that are read by parts
result      a finished run in the hand of a script
cube        runs over time, by odc-stac
cube_driver how it reads them
series      which runs those are
meanings    what stored numbers stand for
"""
