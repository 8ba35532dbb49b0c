"""Imagery that users have, made a catalog like any other: files are named by items, and converted where they must be.

names                   pure: which band and day a file's name or a band's description tells
scene                   what a scene is, wherever it was found
finding                 files, folders, stacks and SAFE folders as scenes with bands
items                   STAC items of any collection as scenes with bands
writing                 bands on the grid of 10 m as the engine reads them, where they are not so already
gathering               the folder OUT/imagery/HASH with its items.json
arrays                  an array in memory as a file
"""

from terramosaic.own.arrays import write_imagery
from terramosaic.own.gathering import Gathered, gather, require_imagery

__all__ = ["Gathered", "gather", "require_imagery", "write_imagery"]
