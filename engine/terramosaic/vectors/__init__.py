"""Finished maps as vectors.

components  connected pixels of a class, strip by strip
outlines    geometry of their pieces, joined
features    a run's classes as features
files       files that features are written to as they come
polygons    all of it, for a script
zones       polygons of a file
zonal       what a run says within each of these
"""
