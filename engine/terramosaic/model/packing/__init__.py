"""Any ONNX model as a bundle: ``pack_model`` wraps its graph, runs it over made-up windows, and writes the folder."""

from terramosaic.model.packing.pack import Packed, pack_model
from terramosaic.model.packing.spec import PackSpec, read_spec, read_yaml

__all__ = ["PackSpec", "Packed", "pack_model", "read_spec", "read_yaml"]
