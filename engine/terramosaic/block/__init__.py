"""One block, from scenes to rasters.

block       reading ahead, windows, model, blending and writing, at the same time
opening     the inputs under a block, opened
inputs      what windows are cut from, input by input
read_rows   rows of radar and heights, read as they are wanted
strips      what is held of the ground, row by row
radar_rows  radar under a block, a pass a window
windows     from the strips of a stack to the windows of a block
batches     windows put together to what the model is called with
consensus   tokens that overlapping windows share
tokens      what was drawn for windows, kept
places      where windows are taken to lie, kept
place_table that of a run, read again
rasters     finished rows written as they come
pixel_hash  what tells a raster from a damaged one
reading     rasters read again, and compared
encoding    values and classes as stored numbers
preview     the small true-colour picture
fence       what an abandoned block cannot write past
receipt     how others see that a block is done
"""
