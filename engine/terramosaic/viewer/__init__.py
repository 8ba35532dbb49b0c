"""Runs in a browser: a map over all that lie in an output folder or bucket, read-only, without a network."""
