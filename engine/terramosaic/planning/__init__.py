"""What a run will do, decided from metadata alone and written down.

planning    searches, decides, and gives the run its id
plan        the frozen value that every later stage works from
blocks      the region cut into blocks, and the scenes of each
layers      the rasters of a run, and how their numbers are stored
estimates   gigabytes, coverage and warnings
finished    a run's files, compared with what its item says of them
folder      the run folder: names of its files, and plans written and read
"""
