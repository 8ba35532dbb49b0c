"""Models as STAC items of the Machine Learning Model extension (MLM): written of bundles, and read."""

from terramosaic.model.mlm.fetching import pack_item
from terramosaic.model.mlm.reading import ModelItem, read_item
from terramosaic.model.mlm.writing import item_of, write_item

__all__ = ["ModelItem", "item_of", "pack_item", "read_item", "write_item"]
