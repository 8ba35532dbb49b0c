"""What a run will do, decided from metadata alone and written down.

inputs      what a map can be made from
prepared    a request with what is known before a search
searching   what a search finds of the imagery that leads
radar       Sentinel-1, alone or beside it
pass_choice which pass a window is cut from
heights     the DEM beside either
planning    decides, and gives the run its id
plan        the frozen value that every later stage works from
lattices    on which lattice each target is made
blocks      the region cut into blocks, and the scenes of each
layers      the rasters of a run, and how their numbers are stored
estimates   gigabytes, coverage and warnings
prices      what a run's parts cost
quote       device time, network and disk of a run before it is begun
finished    a run's files, compared with what its item says of them
folder      the run folder: names of its files, and plans written and read
"""
