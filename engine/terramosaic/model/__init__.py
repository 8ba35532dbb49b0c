"""Windows in, targets out: bundles, and what runs them on a CPU or a GPU."""
