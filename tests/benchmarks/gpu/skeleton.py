"""A bundle's graphs without its weights, small enough to carry, and weights drawn where the bundle is to be measured.

    python -m tests.benchmarks.gpu.skeleton BUNDLE OUT

`take` keeps of each weight its place, its form and the size of its numbers; `draw` writes others of that size, from a
seed. So a graph computes as many numbers of the same order as with its own weights, and its maps are noise.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

#: What `take` writes beside graphs and manifest: by file of weights, what is in it.
WEIGHTS = "weights.json"

#: Parts of a matrix along its longer side whose numbers may differ in size: queries, keys and values lie in one.
_PARTS = 6

_TYPES = {"FLOAT": np.float32, "FLOAT16": np.float16}


@dataclass(frozen=True)
class Weight:
    """A tensor in a file of weights.

    Attributes:
        offset: of its first byte.
        shape: of the tensor.
        dtype: NumPy's name of it.
        axis: along which its parts lie.
        mean: of its numbers, by part.
        deviation: standard deviation of its numbers, by part.
        exact: all its bytes in hexadecimal, where its numbers cannot be drawn.
    """

    offset: int
    shape: tuple[int, ...]
    dtype: str
    axis: int = 0
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    exact: str = ""


def take(bundle: Path, out: Path) -> Path:
    """Writes a bundle's graphs, its manifest without self-test and hashes, and what its weights are like.

    Args:
        bundle: folder of a bundle whose weights lie beside its graphs, as an export writes it.
        out: the folder to make; one that is there is replaced.
    """
    import onnx

    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    manifest = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    if selftest := manifest.pop("selftest", None):
        del manifest["files"][selftest]
    weights: dict[str, list[dict[str, Any]]] = {}
    for name in manifest["files"]:
        if name.endswith(".onnx"):
            shutil.copy(bundle / name, out / name)
            for tensor in onnx.load(bundle / name, load_external_data=False).graph.initializer:
                if tensor.data_location == onnx.TensorProto.EXTERNAL:
                    place = {entry.key: entry.value for entry in tensor.external_data}
                    found = _described(bundle / place["location"], int(place.get("offset", 0)), tensor)
                    weights.setdefault(place["location"], []).append(asdict(found))
    for name in manifest["files"]:
        if not name.endswith(".onnx") and name not in weights:
            shutil.copy(bundle / name, out / name)
    (out / "bundle.json").write_text(json.dumps(manifest), encoding="utf-8")
    (out / WEIGHTS).write_text(json.dumps(weights), encoding="utf-8")
    return out


def draw(skeleton: Path, out: Path, seed: int) -> Path:
    """Makes a bundle of what `take` wrote, its weights drawn from ``seed``; it loads like any other.

    Args:
        skeleton: folder that `take` made.
        out: the folder to make; one that is there is replaced.
        seed: of the weights, equal ones for an equal seed.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    manifest = json.loads((skeleton / "bundle.json").read_text(encoding="utf-8"))
    weights = json.loads((skeleton / WEIGHTS).read_text(encoding="utf-8"))
    for name in manifest["files"].keys() - weights:
        shutil.copy(skeleton / name, out / name)
    names = sorted(weights)
    with ThreadPoolExecutor() as pool:  # numbers are drawn, hashed and written without Python's lock
        jobs = [
            pool.submit(_write, out / name, weights[name], np.random.SFC64([seed, number]))
            for number, name in enumerate(names)
        ]
        for name, job in zip(names, jobs, strict=True):
            manifest["files"][name] |= job.result()
    manifest["random_weights"] = seed
    (out / "bundle.json").write_text(json.dumps(manifest), encoding="utf-8")
    return out


def _write(path: Path, weights: list[dict[str, Any]], bits: np.random.SFC64) -> dict[str, Any]:
    """Draws a file of weights; its hash and size."""
    rng = np.random.Generator(bits)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for weight in sorted((Weight(**each) for each in weights), key=lambda each: each.offset):
            for piece in (bytes(weight.offset - file.tell()), *_pieces(weight, rng)):
                file.write(piece)
                digest.update(piece)
        return {"sha256": digest.hexdigest(), "size": file.tell()}


def _described(file: Path, offset: int, tensor: Any) -> Weight:
    import onnx

    kind, shape = onnx.TensorProto.DataType.Name(tensor.data_type), tuple(tensor.dims)
    dtype = np.dtype(_TYPES.get(kind) or onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    values = np.fromfile(file, dtype, math.prod(shape), offset=offset).reshape(shape)
    if kind not in _TYPES or (values.ndim == 1 and _is_a_table(values)):
        return Weight(offset, shape, dtype.str, exact=values.tobytes().hex())
    axis = int(np.argmax(shape))
    parts = _PARTS if len(shape) == 2 and shape[axis] % _PARTS == 0 else 1
    split = np.split(np.float64(values), parts, axis)
    return Weight(
        offset,
        shape,
        dtype.str,
        axis,
        tuple(float(f"{part.mean():.6g}") for part in split),
        tuple(float(f"{part.std():.6g}") for part in split),
    )


def _is_a_table(values: np.ndarray) -> bool:
    """Whether numbers rise or fall all along, as frequencies and positions do: drawn ones would be something else."""
    steps = np.diff(np.float64(values))
    return bool((steps > 0).all() or (steps < 0).all())


def _pieces(weight: Weight, rng: np.random.Generator) -> Iterator[bytes | memoryview]:
    if weight.exact:
        yield bytes.fromhex(weight.exact)
        return
    values = rng.standard_normal(tuple(weight.shape), np.float32)
    parts = np.split(values, len(weight.mean), weight.axis)  # views: what is done to them is done to all
    for number, (mean, deviation) in enumerate(zip(weight.mean, weight.deviation, strict=True)):
        parts[number] *= np.float32(deviation)
        parts[number] += np.float32(mean)
    yield np.ascontiguousarray(values.astype(weight.dtype, copy=False)).data.cast("B")


if __name__ == "__main__":
    take(Path(sys.argv[1]), Path(sys.argv[2]))
