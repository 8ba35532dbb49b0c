"""The GPU's benchmark begins and ends on a machine that has neither the engine nor terratorch, nor a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx.external_data_helper import convert_model_to_external_data

from terramosaic.storage.hashes import sha256_of
from tests.benchmarks.gpu.skeleton import take
from tests.unit.model.toy_terramind import make_toy

ROOT = Path(__file__).parents[3]
ORDER = (
    *("--device", "cpu", "--variant", "terramind_v1_tiny", "--targets", "S1GRD,LULC"),
    *("--steps", "2", "--batches", "2", "--repeats", "1"),
)


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What carry.sh makes, of the toy, with the standard deviations of its U-Net as weights beside the graph."""
    folder = tmp_path_factory.mktemp("carried")
    toy = make_toy(folder / "toy")
    graph = toy / "S1GRD.step.onnx"
    model = onnx.load(graph)
    for tensor in model.graph.initializer:
        if (
            tensor.name == "std"
        ):  # the others stay where they are: only what is raw bytes goes beside the graph
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name))
    convert_model_to_external_data(model, location="S1GRD.step.data", size_threshold=0)
    onnx.save(model, graph)
    manifest = json.loads((toy / "bundle.json").read_text())
    for name in (graph.name, "S1GRD.step.data"):
        manifest["files"][name] = {"sha256": sha256_of(toy / name), "size": (toy / name).stat().st_size}
    (toy / "bundle.json").write_text(json.dumps(manifest))
    take(toy, folder / "models" / "terramind_v1_tiny")
    return folder


def run(out: Path, *order: str) -> tuple[int, str]:
    """Runs the command; its exit code and its page of results."""
    command = [sys.executable, "-m", "tests.benchmarks.gpu", "--simulate-bare", *ORDER, *order]
    environment = {**os.environ, "OUT": str(out), "PYTHONPATH": ""}
    code = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True).returncode
    return code, (out / "results.md").read_text()


@pytest.mark.slow
def test_runs_bare_from_carried_graphs(carried: Path, tmp_path: Path) -> None:
    code, page = run(tmp_path, "--only", "correct,repeats,speed", "--carried", str(carried))

    assert code == 0, page
    assert "weights drawn from seed" in page
    for step in ("machine", "bundle", "denoising", "chain", "selftest", "repeats", "speed 2"):
        assert f"| {step} | done |" in page
    assert "## Ours, S1GRD, LULC, 2 steps" in page


@pytest.mark.slow
def test_choices_and_rivals_are_prepared_bare(carried: Path, tmp_path: Path) -> None:
    _, page = run(tmp_path, "--only", "choices,rivals", "--carried", str(carried))

    for step in ("choice: as it is", "rival: ours", "whole: ours"):
        assert f"| {step} | done |" in page
    # What torch and ONNX Runtime's tools make of it is for CUDA; that it is made shows in the number of nodes.
    row = next(
        line for line in page.splitlines() if line.startswith("| onnxruntime.transformers, unet, half |")
    )
    assert row.split(" | ")[1] == "not run: it needs CUDA"
    assert int(row.split(" | ")[6]) > 10
    assert "## Whole windows of S1GRD, 2 steps" in page


def test_a_step_that_fails_is_a_line_and_the_next_one_runs(carried: Path, tmp_path: Path) -> None:
    # A batch of 0 windows fails, and the one after it does not.
    code, page = run(tmp_path, "--only", "speed", "--batches", "0,1", "--carried", str(carried))

    assert code == 1
    assert "| speed 0 | failed (1):" in page
    assert "| speed 1 | done |" in page
    assert "**Not all is well**" in page
    assert "Traceback" in (tmp_path / "failures.log").read_text()


def test_without_graphs_and_terratorch_it_says_what_to_bring(tmp_path: Path) -> None:
    code, page = run(tmp_path, "--only", "speed", "--carried", str(tmp_path / "nothing"))

    assert code == 1
    assert "| bundle | failed (1): terramosaic.errors.ModelError:" in page
    assert "run carry.sh" in page
    assert "**Nothing could be measured**" in page


def test_what_would_begin_after_its_minutes_is_left_out(tmp_path: Path) -> None:
    code, page = run(tmp_path, "--only", "speed", "--minutes", "0")

    assert code == 1
    assert "| bundle | not begun: the time is over |" in page
