"""From scenes to the stack that the model sees: reading, harmonising, compositing.

item_reader         the files of an item: opened, tried again, given up
reader              pixels of a scene on a zone's grid, bit-equal where grids agree
failures            what GDAL says when a file cannot be read, and what that means
tries               how often and how long a file is tried
failed_assets       files that a run gave up on, marked for all its workers
pool                open scenes, shared by the blocks of a process
offset              the +1000: checked on pixels, and taken off
plausibility        whether a scene can be a picture of the ground
scene_decision      what is decided about a scene: used or left out, and what its numbers mean
scene_records       the same on record, once for the whole run
inspection          who decides, when a scene is first needed
swath               where a radar saw the ground: gaps by their numbers, and edges
resampling          numbers of a file under pixels of another grid, bilinear and without reaching over gaps
backscatter_file    a file of Sentinel-1 RTC, held against its item
backscatter         VV and VH in dB from the slices of one pass
elevation           heights from tiles that are read as one mosaic
zeros               a band that is 0: a hole, or put right
composite           whose reflectance a pixel gets
stack               all of it, strip by strip, read ahead
"""
