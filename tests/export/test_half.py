"""What CUDA's half precision does to tokens and outputs, computed on the CPU with the same rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from terramosaic.model.bundle import Bundle, load_bundle
from terramosaic.model.cuda import prepare_step, prepare_transformer
from terramosaic.model.cuda.graph import load_graph
from terramosaic.model.cuda.step import Fusions, fuse_step
from terramosaic.model.diffusion import ddim_steps
from terramosaic.model.export.bundle import write_bundle
from terramosaic.model.export.reference import Reference
from terramosaic.model.generator import GenerationOptions
from terramosaic.model.manifest import CLASSES, STEP
from terramosaic.model.opening import open_generator
from terramosaic.model.selftest import check_bundle
from terramosaic.model.terramind import TerraMindGenerator
from tests.export.inputs import forced_tokens, noise_for, randomness, relative
from tests.support.cuda_emulation import emulated

TARGETS = ("S1GRD", "NDVI", "LULC")


@pytest.fixture(scope="module")
def prepared(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All graphs of the bundle as CUDA gets them."""
    folder = tmp_path_factory.mktemp("half")
    for name in bundle.manifest.files:
        if name.endswith(".onnx"):
            prepare = prepare_step if name.endswith(f".{STEP}.onnx") else prepare_transformer
            prepare(bundle.folder / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def chain(bundle: Bundle, windows: np.ndarray) -> dict[str, np.ndarray]:
    """Greedy tokens of the whole chain in single precision."""
    generator = open_generator(bundle, TARGETS, options=GenerationOptions(steps=1, sampling="greedy"))
    assert isinstance(generator, TerraMindGenerator)
    given = randomness(TARGETS, noise_for(bundle, TARGETS, len(windows)), None, len(windows))
    return generator.generate_with_tokens({"S2L2A": windows}, given)[1]


def test_the_export_tells_what_half_precision_has_to_hold(bundle: Bundle) -> None:
    """Of graphs that become half in part; random weights keep numbers small."""
    found = {name: spec.largest for name, spec in bundle.manifest.files.items() if spec.largest is not None}
    print("largest numbers in half precision:", found)
    steps = {bundle.targets[target].graphs[STEP] for target in ("S1GRD", "NDVI")}
    assert found.keys() >= {"context.onnx", "decode.onnx", *steps}
    assert all(0.1 < largest < 65504 / 4 for largest in found.values())
    assert not bundle.manifest.unsafe_in_half


def test_all_of_a_u_net_is_fused(bundle: Bundle) -> None:
    """What this version of PyTorch's exporter writes is what the rewriting knows."""
    for target in ("S1GRD", "NDVI"):
        found = fuse_step(load_graph(bundle.folder / bundle.targets[target].graphs[STEP]))
        assert found == Fusions(norms=76, skips=26, blocks=30, left=())


def test_tokens_agree(
    bundle: Bundle, prepared: Path, windows: np.ndarray, chain: dict[str, np.ndarray]
) -> None:
    """Each target's tokens, those before it given: at least 99 of 100 are those of single precision."""
    found, _ = forced_tokens(bundle, lambda file: emulated(prepared / file), {"S2L2A": windows}, chain)
    agree = {target: float((found[target] == chain[target]).mean()) for target in TARGETS}
    print("tokens that agree:", {target: f"{share:.2%}" for target, share in agree.items()})
    assert min(agree.values()) >= 0.99


def test_embeddings_agree(bundle: Bundle, prepared: Path, windows: np.ndarray) -> None:
    """Within a hundredth of single precision."""
    exact, half = (
        embedded(open_graph, folder, windows)
        for open_graph, folder in ((onnxruntime.InferenceSession, bundle.folder), (emulated, prepared))
    )
    off = relative(half, exact)
    print(f"embedding: relative L2 {off:.1e} in half precision")
    assert 1e-5 < off <= 1e-2


def embedded(open_graph: Any, folder: Path, windows: np.ndarray) -> np.ndarray:
    """The embedding of Sentinel-2's windows, by the graphs in a folder."""
    patches = open_graph(folder / "S2L2A.embed.onnx").run(["patches"], {"windows": windows})[0]
    feeds = {"patches": patches[None], "image": np.zeros(1, np.int64), "modality": np.zeros(0, np.int64)}
    feeds["ids"] = np.zeros((len(windows), 0), np.int64)
    found: np.ndarray = open_graph(folder / "context.onnx").run(["embedding"], feeds)[0]
    return found


def test_weights_stored_in_half(
    narrow: Reference, bundle: Bundle, windows: np.ndarray, chain: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """Half the size; tokens and outputs as near as computing in half precision."""
    half = load_bundle(write_bundle(narrow, tmp_path / "half", precision="fp16"))
    size, whole = (
        sum(file.size for file in found.manifest.files.values() if file.precision) for found in (half, bundle)
    )
    assert 0.49 < size / whole < 0.52
    assert check_bundle(half).failures == ()
    found, _ = forced_tokens(
        half, lambda file: onnxruntime.InferenceSession(str(half.folder / file)), {"S2L2A": windows}, chain
    )
    for target in TARGETS:
        agree = float((found[target] == chain[target]).mean())
        print(f"{target}: {agree:.2%} of tokens agree")
        assert agree >= 0.99


def test_outputs_of_the_same_tokens_agree(bundle: Bundle, prepared: Path, narrow: Reference) -> None:
    """Ten denoising steps, and classes: within a hundredth."""
    rng = np.random.default_rng(2)
    for target in TARGETS:
        spec = bundle.targets[target]
        levels = np.array(spec.codebook_levels)[:, None, None]
        code = (rng.integers(0, levels, (1, len(levels), 14, 14)) / (levels - 1)).astype(np.float32)
        noise = rng.standard_normal((1, spec.noise_channels, 224, 224), np.float32)
        outputs = []
        for folder, open_graph in ((bundle.folder, onnxruntime.InferenceSession), (prepared, emulated)):
            session = open_graph(folder / spec.graphs[STEP if spec.schedule else CLASSES])
            if spec.schedule is None:
                outputs.append(session.run(["probabilities"], {"code": code})[0])
                continue
            x = noise
            for step in ddim_steps(spec.schedule, 10):
                feeds = {"x": x, "code": code, "t": np.array([step.t], np.float32)}
                feeds["coefficients"] = np.array([step.a, step.b, step.c, 1], np.float32)
                x = session.run(["next"], feeds)[0]
            outputs.append(x)
        off = relative(outputs[1], outputs[0])
        print(f"{target}: relative L2 {off:.1e} in half precision")
        assert 1e-5 < off <= 1e-2
