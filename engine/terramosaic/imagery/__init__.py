"""From scenes to the stack that the model sees: reading, harmonising, compositing.

reader              pixels of a scene on a zone's grid, bit-equal where grids agree
failed_assets       files that a run gave up on, marked for all its workers
pool                open scenes, shared by the blocks of a process
offset              the +1000: checked on pixels, and taken off
offset_decisions    the same once per run, and on record
composite           whose reflectance a pixel gets
stack               all of it, strip by strip, read ahead
"""
