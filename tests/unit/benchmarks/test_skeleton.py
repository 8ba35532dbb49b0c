"""Graphs without weights: small, and with weights drawn for them they are a bundle that computes like the first."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from terramosaic.model.bundle import load_bundle
from terramosaic.storage.hashes import sha256_of
from tests.benchmarks.gpu.skeleton import WEIGHTS, draw, take

RNG = np.random.default_rng(3)
#: Queries are larger than keys and values.
QKV = np.concatenate([RNG.normal(0, size, (96, 96)) for size in (2.0, 0.5, 1.0)], axis=1).astype(np.float32)
FREQUENCIES = np.exp(-np.linspace(0, 9, 320)).astype(np.float32)
SCALE, NUMBERS = np.ones(320, np.float32), RNG.integers(0, 9, 200)
BIAS = RNG.normal(3, 0.1, (1, 320, 1, 1)).astype(np.float16)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle of one direct target, whose graph has all kinds of weights beside it."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    weights = {"qkv": QKV, "frequencies": FREQUENCIES, "scale": SCALE, "numbers": NUMBERS, "bias": BIAS}
    window = [1, 1, 32, 32]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["windows"], ["height"])],
        "identity",
        [helper.make_tensor_value_info("windows", TensorProto.FLOAT, ["batch", *window[1:]])],
        [helper.make_tensor_value_info("height", TensorProto.FLOAT, ["batch", *window[1:]])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(
        model, folder / "height.onnx", save_as_external_data=True, location="height.data", size_threshold=300
    )
    (folder / "test.npz").write_bytes(b"what was made of the first weights")
    files = {
        name: {"sha256": sha256_of(folder / name), "size": (folder / name).stat().st_size}
        for name in ("height.onnx", "height.data", "test.npz")
    }
    manifest = {
        "format": "terramosaic-bundle",
        "version": 2,
        "name": "height",
        "title": "height",
        "family": "toy",
        "source": "tests",
        "licence": "Apache-2.0",
        "inputs": {"S2L2A": {"bands": ["B02"], "convention": "DN"}},
        "window": 32,
        "conditioning": "independent",
        "targets": {
            "height": {
                "kind": "direct",
                "output": "values",
                "channels": ["height"],
                "graphs": {"generate": "height.onnx"},
            }
        },
        "files": files,
        "selftest": "test.npz",
    }
    (folder / "bundle.json").write_text(json.dumps(manifest))
    load_bundle(folder)
    return folder


def _weights(folder: Path) -> dict[str, np.ndarray]:
    model = onnx.load(folder / "height.onnx")
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_takes_everything_but_the_weights(bundle: Path, tmp_path: Path) -> None:
    skeleton = take(bundle, tmp_path / "skeleton")

    assert {path.name for path in skeleton.iterdir()} == {"height.onnx", "bundle.json", WEIGHTS}
    size = sum(path.stat().st_size for path in skeleton.iterdir())
    assert size < (bundle / "height.data").stat().st_size / 10


def test_draws_a_bundle_that_loads_and_has_no_selftest(bundle: Path, tmp_path: Path) -> None:
    drawn = load_bundle(draw(take(bundle, tmp_path / "skeleton"), tmp_path / "drawn", 7))

    assert drawn.manifest.random_weights == 7
    assert drawn.manifest.selftest is None
    assert set(drawn.manifest.files) == {"height.onnx", "height.data"}


def test_drawn_numbers_are_as_large_as_the_first_ones_part_by_part(bundle: Path, tmp_path: Path) -> None:
    weights = _weights(draw(take(bundle, tmp_path / "skeleton"), tmp_path / "drawn", 7))

    assert not np.isclose(weights["qkv"], QKV).mean() > 0.01
    for part, size in zip(np.split(weights["qkv"], 3, axis=1), (2.0, 0.5, 1.0), strict=True):
        assert part.std() == pytest.approx(size, rel=0.05)
        assert abs(part.mean()) < 0.1 * size
    assert weights["bias"].dtype == np.float16
    assert weights["bias"].shape == BIAS.shape
    assert weights["bias"].mean() == pytest.approx(3, rel=0.02)


def test_what_cannot_be_drawn_is_kept_bit_for_bit(bundle: Path, tmp_path: Path) -> None:
    weights = _weights(draw(take(bundle, tmp_path / "skeleton"), tmp_path / "drawn", 7))

    np.testing.assert_array_equal(weights["numbers"], NUMBERS)
    np.testing.assert_array_equal(weights["frequencies"], FREQUENCIES)
    np.testing.assert_array_equal(weights["scale"], SCALE)


def test_a_seed_makes_the_same_weights_wherever_it_is_used(bundle: Path, tmp_path: Path) -> None:
    skeleton = take(bundle, tmp_path / "skeleton")
    first, again, other = (
        sha256_of(draw(skeleton, tmp_path / name, seed) / "height.data")
        for name, seed in (("first", 7), ("again", 7), ("other", 8))
    )

    assert first == again
    assert first != other
