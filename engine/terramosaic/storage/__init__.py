"""Files that are whole or not there, on this machine and in object stores; locks, caches, hashes."""
