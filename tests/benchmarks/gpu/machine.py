"""The machine that a benchmark runs on: what may be missing there, and how fast it could be at best."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import platform
import sys
import types
from pathlib import Path

#: Where `carry.sh` puts what a lent machine lacks.
CARRIED = Path(__file__).parents[3] / ".gpu"

#: Dense 16-bit products of an H100 or H200, TFLOP/s as measured through PyTorch (8192³ on random data).
PEAK_TFLOPS = 790.0


def prepare_imports() -> None:
    """Makes engine and terratorch importable where neither is installed, as on a lent machine.

    Importing ``terratorch`` brings in all its models and data sets, which are not there and cannot be fetched: then its
    packages are opened without running their ``__init__``.
    """
    if not importlib.util.find_spec("terramosaic"):
        sys.path.insert(0, str(Path(__file__).parents[3] / "engine"))
    if not importlib.util.find_spec("terratorch") and (CARRIED / "terratorch").is_dir():
        for name in ("terratorch", "terratorch.models", "terratorch.models.backbones"):
            _open_package(name, CARRIED / name.replace(".", "/"))
        registry = types.ModuleType("terratorch.registry")
        for name in ("TERRATORCH_BACKBONE_REGISTRY", "TERRATORCH_FULL_MODEL_REGISTRY"):
            setattr(registry, name, types.SimpleNamespace(register=lambda thing: thing))
        sys.modules["terratorch.registry"] = registry


def describe(device: str) -> str:
    """The card, driver and versions, in a line."""
    import onnxruntime
    import torch

    versions = f"ONNX Runtime {onnxruntime.__version__}, torch {torch.__version__}"
    if device == "cpu":
        return f"{platform.processor() or platform.machine()} (CPU); {versions}"
    return f"{torch.cuda.get_device_name()}; CUDA {torch.version.cuda}; {versions}"


def _open_package(name: str, folder: Path) -> None:
    package = types.ModuleType(name)
    package.__path__ = [str(folder)]
    package.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    sys.modules[name] = package
