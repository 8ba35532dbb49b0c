"""Files that are whole or not there, on this machine and in object stores.

location    a folder or a URL
files       all that a run reads and writes
records     JSON that carries a checksum
objects     object stores
scratch     half-written files, and local copies of objects
documents   small documents by path or URL
http        requests, and which are tried again
retries     all limits on trying again
hashes      SHA-256 of files
cache       the user's cache folder
lease       a lock with a name on it that ends by itself
locks       kernel locks, and how far they reach
meter       what pieces of work take of a process
gdal        GDAL's surroundings
"""
