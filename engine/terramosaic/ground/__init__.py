"""Pure mathematics of the ground. No files, no models.

grid        10 m pixels of a UTM zone in absolute integers, and rectangles of them
lattice     windows of a grid
zones       a region cut into one area per zone
noise       randomness that depends on the pixel alone
blend       overlapping windows averaged, a band of rows at a time
fill        what a window shows the model where there is no imagery
"""
