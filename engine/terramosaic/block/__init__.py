"""One block, from scenes to rasters."""
