"""A made-up Sentinel-2 world and what `terramosaic demo` does with it."""
