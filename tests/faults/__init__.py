"""Runs that are shot at, by killed processes, servers and disks: what is redone, and whether the map is the same."""
