"""The machine that a benchmark runs on: what may be missing there, and how fast it could be at best."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import platform
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]

#: Where `carry.sh` puts what a lent machine lacks.
CARRIED = ROOT / ".gpu"


@dataclass(frozen=True)
class Card:
    """What a GPU can do at best: dense 16-bit products in TFLOP/s, and its memory in TB/s."""

    tflops: float
    memory: float
    source: str


_MEASURED = "measured through PyTorch, 8192³ on random data; 989 by the data sheet"

#: By a part of the name that the driver gives, the first that is in it counts. H100 and H200 in SXM form are one
#: processor with different memory. Data sheets' figures where nothing else is said.
CARDS = {
    "H200": Card(790, 4.8, _MEASURED),
    "H100 PCIe": Card(756, 2.0, "data sheet"),
    "H100 NVL": Card(835, 3.9, "data sheet"),
    "H100": Card(790, 3.35, _MEASURED),
    "A100": Card(312, 2.0, "data sheet"),
    "L40S": Card(362, 0.86, "data sheet"),
    "L4": Card(121, 0.3, "data sheet"),
    "T4": Card(65, 0.32, "data sheet"),
}


def prepare_imports() -> None:
    """Makes engine and terratorch importable where neither is installed, as on a lent machine.

    Importing ``terratorch`` brings in all its models and data sets, which are not there and cannot be fetched: then its
    packages are opened without running their ``__init__``.
    """
    if not importlib.util.find_spec("terramosaic"):
        sys.path.insert(0, str(ROOT / "engine"))
    if not importlib.util.find_spec("terratorch") and (CARRIED / "terratorch").is_dir():
        for name in ("terratorch", "terratorch.models", "terratorch.models.backbones"):
            _open_package(name, CARRIED / name.replace(".", "/"))
        registry = types.ModuleType("terratorch.registry")
        for name in ("TERRATORCH_BACKBONE_REGISTRY", "TERRATORCH_FULL_MODEL_REGISTRY"):
            setattr(registry, name, types.SimpleNamespace(register=lambda thing: thing))
        sys.modules["terratorch.registry"] = registry


def name_and_driver(device: str) -> tuple[str, str]:
    """What the driver calls the card (the system the processor), and the driver's version."""
    if device == "cpu":
        return platform.processor() or platform.machine(), "none"
    index = device.partition(":")[2] or "0"
    command = ["nvidia-smi", f"--id={index}", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return "a card that nvidia-smi does not name", "unknown"
    name, _, driver = told.strip().partition(", ")
    return name, driver


def card(device: str) -> Card | None:
    """What the device can do at best, of a card that `CARDS` knows."""
    name, _ = name_and_driver(device)
    return next((card for known, card in CARDS.items() if known in name), None)


def share_of(device: str) -> str:
    """Head of a column of shares."""
    best = card(device)
    return f"of {best.tflops:g} TFLOP/s" if best else "of the card's best (unknown)"


def share(tflops: float, device: str) -> str:
    """What TFLOP/s are of the card's best; nothing where that is not known."""
    best = card(device)
    return f"{tflops / best.tflops:.1%}" if best else ""


def versions() -> dict[str, str]:
    """Versions of what computes, by name; of what is not there, that."""
    found = {"python": platform.python_version()}
    for name in ("onnxruntime", "onnx", "numpy", "torch"):
        try:
            found[name] = str(importlib.import_module(name).__version__)
        except Exception as error:  # what cannot be imported is told, whatever it raises
            found[name] = f"none ({type(error).__name__})"
    return found


def ceilings(device: str) -> tuple[float, float]:
    """The card's two ceilings, through PyTorch: TFLOP/s of half-precision products (8192³), and TB/s of a copy.

    A copy's bytes count twice, as they are read and written.
    """
    import torch

    def seconds(run: object, repeats: int) -> float:
        assert callable(run)
        for _ in range(3):
            run()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(repeats):
            run()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1000 / repeats

    a, b = (torch.randn(8192, 8192, device=device, dtype=torch.float16) for _ in range(2))
    product = torch.empty_like(a)
    source = torch.empty(1 << 31, device=device, dtype=torch.uint8).random_()
    target = torch.empty_like(source)
    products = 2 * 8192**3 / seconds(lambda: torch.mm(a, b, out=product), 20) / 1e12
    return products, 2 * source.numel() / seconds(lambda: target.copy_(source), 20) / 1e12


def _open_package(name: str, folder: Path) -> None:
    package = types.ModuleType(name)
    package.__path__ = [str(folder)]
    package.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    sys.modules[name] = package
