"""Pure mathematics of the ground: grid, lattice of windows, noise, blending. No files, no models."""
