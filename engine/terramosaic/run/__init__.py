"""The stages in order, on this machine: threads and worker processes."""
