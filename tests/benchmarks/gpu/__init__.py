"""TerraMind on a GPU, measured: correct first, then how fast, beside torch. See RESULTS.md for how to run it."""
