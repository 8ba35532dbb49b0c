"""Models as STAC items of the Machine Learning Model extension (MLM): written of bundles, and read."""
