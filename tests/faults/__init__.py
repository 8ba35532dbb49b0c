"""Runs that are shot at: what is redone, and whether the map is the same."""
