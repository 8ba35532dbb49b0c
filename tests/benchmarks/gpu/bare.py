"""A bare GPU machine, and how to run as if on one: little is installed, the engine is not, and there is no network.

``python -m tests.benchmarks.gpu.bare`` prints what `carry.sh` must bring along.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.gpu.machine import CARRIED, ROOT

#: What is on the machine, of all that TerraMind, PyTorch and ONNX import.
THERE = (
    *("torch", "triton", "numpy", "scipy", "onnx", "onnx-ir", "onnxscript", "ml-dtypes", "protobuf", "sympy"),
    *("mpmath", "networkx", "jinja2", "markupsafe", "fsspec", "filelock", "typing-extensions", "setuptools"),
    *("packaging", "einops", "timm", "torchvision", "pillow", "huggingface-hub", "safetensors", "requests"),
    *("urllib3", "idna", "certifi", "charset-normalizer", "regex", "tqdm", "pyyaml", "httpx", "httpcore"),
    *("anyio", "h11", "hf-xet", "click", "flatbuffers", "psutil", "attrs", "tokenizers", "transformers"),
)

#: What the engine needs beside it, and what terratorch's TerraMind does.
BROUGHT = (
    *(
        "pydantic",
        "pydantic-core",
        "annotated-types",
        "typing-inspection",
        "platformdirs",
        "odc-geo",
        "shapely",
    ),
    *("pyproj", "affine", "cachetools", "diffusers", "importlib-metadata", "zipp"),
)

_RUNTIME = ("onnxruntime-gpu", "onnxruntime")


def run_as_bare(arguments: list[str]) -> int:
    """Runs the benchmark in another process that finds nothing but what the machine has and what is brought along.

    The repository's files are copied, so that nothing is read that git does not know, but for ``.gpu``. Packages are
    those of this environment, without its ``site``: what is not in the lists cannot be imported. Without a network,
    where this system lets that be taken away.

    Args:
        arguments: of the benchmark.

    Returns:
        Its exit code.
    """
    out = Path(os.environ.get("OUT") or ROOT / "out" / "gpu").absolute()
    with tempfile.TemporaryDirectory() as scratch:
        site, repository, home = (Path(scratch, name) for name in ("site", "repository", "home"))
        home.mkdir()
        copy_repository(repository)
        for name in (*THERE, *BROUGHT, *_RUNTIME):
            link_package(name, site)
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "LANG") if name in os.environ}
        environment = {
            **kept,
            "HOME": str(home),
            "TMPDIR": scratch,
            "OUT": str(out),
            "PYTHONPATH": str(site),
            "HF_HUB_OFFLINE": "1",
        }
        command = [*_without_network(), sys.executable, "-S", "-m", "tests.benchmarks.gpu", *arguments]
        return subprocess.run(command, cwd=repository, env=environment, check=False).returncode


def copy_repository(target: Path) -> None:
    """Copies what git knows or would add of the repository, and links ``.gpu``."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    if CARRIED.exists():
        (target / CARRIED.name).symlink_to(CARRIED)


def link_package(name: str, site: Path) -> None:
    """Links an installed distribution's packages and its metadata; nothing where it is not installed."""
    try:
        files = importlib.metadata.distribution(name).files or []
    except importlib.metadata.PackageNotFoundError:
        return
    for file in files:
        parts = file.parts
        if parts[0] in ("..", "__pycache__") or file.suffix == ".pth":
            continue
        source = Path(str(file.locate()))
        # Of a namespace that several distributions share, such as `odc`, only this one's part.
        depth = 1
        while depth < len(parts) and _is_namespace(source.parents[len(parts) - 1 - depth]):
            depth += 1
        link = site.joinpath(*parts[:depth])
        if not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source if depth == len(parts) else source.parents[len(parts) - 1 - depth])


def _is_namespace(folder: Path) -> bool:
    return folder.suffix != ".dist-info" and folder.name in ("google", "odc", "nvidia")


def _without_network() -> list[str]:
    command = ["unshare", "--map-root-user", "--net"]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        print("The network could not be taken away here: unshare is not allowed.", file=sys.stderr)
        return []
    return command


if __name__ == "__main__":
    print(" ".join(BROUGHT))
