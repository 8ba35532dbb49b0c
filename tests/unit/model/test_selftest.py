"""A bundle's self-test, on graphs in miniature."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from terramosaic.cli.app import cli
from terramosaic.errors import ModelError, RequestError
from terramosaic.model.bundle import load_bundle
from terramosaic.model.selftest import check_bundle
from tests.unit.model.toy_terramind import make_toy


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy(tmp_path_factory.mktemp("made") / "toy")


@pytest.fixture
def toy(made: Path, tmp_path: Path) -> Path:
    """A bundle that a test may change."""
    return shutil.copytree(made, tmp_path / "toy")


def change_selftest(folder: Path, **changes: np.ndarray | None) -> Path:
    """Rewrites a self-test's arrays (None takes one out) and what the manifest says of the file."""
    path = folder / "selftest.npz"
    with np.load(path) as file:
        stored = {**file, **changes}
    np.savez(path, **{name: array for name, array in stored.items() if array is not None})
    manifest = json.loads((folder / "bundle.json").read_text())
    content = path.read_bytes()
    manifest["files"]["selftest.npz"].update(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return folder


def test_a_sound_bundle_agrees_with_its_reference(made: Path) -> None:
    check = check_bundle(load_bundle(made))
    assert [target.target for target in check.targets] == ["S1GRD", "NDVI", "LULC", "embedding"]
    assert check.failures == ()
    for target in check.targets:
        assert 0 < target.relative < 1e-5
        assert target.tokens == target.shared == (None if target.target == "embedding" else 1)
    assert [target.unit for target in check.targets] == ["dB", "", "", ""]
    assert check.targets[2].classes == 1
    assert check.device == "cpu"


def test_the_command_tells_how_it_came_out_and_how_fast_the_model_is(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERRAMOSAIC_CACHE", str(tmp_path / "cache"))
    told = json.loads(CliRunner().invoke(cli, ["model", "check", str(made), "--json"]).stdout)
    assert told["failures"] == [] and told["targets"][0]["target"] == "S1GRD"
    assert (told["steps"], told["batch_size"], told["speed"]["device"]) == (10, 1, "cpu")
    assert told["windows_per_second"] > 0 and told["speed"]["targets"].keys() == set(
        load_bundle(made).targets
    )
    said = CliRunner().invoke(cli, ["model", "check", str(made)]).output
    assert "windows a second of one processor with all targets, 10 steps, batches of 1" in said


def test_a_bundle_that_differs_fails_with_a_line_a_target(toy: Path) -> None:
    with np.load(toy / "selftest.npz") as file:
        values, ids, seen = file["S1GRD.values"], file["LULC.ids"], file["tokens.NDVI"]
    values[:, 0, :20] += 3
    ids[0, :8] += 1
    seen[1, :10] += 1
    changed = {"S1GRD.values": values, "LULC.ids": ids, "tokens.NDVI": seen}
    check = check_bundle(load_bundle(change_selftest(toy, **changed)))
    assert len(check.failures) == 4
    assert check.failures[0].startswith("S1GRD differs from the reference by ")
    assert "97.96% of its tokens agree (at least 99%)" in check.failures[1]
    assert check.failures[2].startswith(
        "LULC drawn of logits, as for a consensus: 97.96% of its tokens agree"
    )
    assert check.failures[3].startswith("NDVI as input: 97.45% of its tokens agree with the reference")


@pytest.mark.parametrize("file", ["NDVI.logits.onnx", "draw.onnx"])
def test_graphs_that_only_a_consensus_runs_are_checked(toy: Path, file: str) -> None:
    """The tokens' own graph is sound, so nothing else tells."""
    # Of the draw the number of codes: greedy, it does not see how wide it reaches.
    name, number = ("eight", np.int64(5)) if file == "draw.onnx" else ("hundred", np.float32(70))
    model = onnx.load(toy / file)
    (changed,) = (each for each in model.graph.initializer if each.name == name)
    changed.CopyFrom(numpy_helper.from_array(np.array(number), name))
    onnx.save(model, toy / file)
    content = (toy / file).read_bytes()
    manifest = json.loads((toy / "bundle.json").read_text())
    manifest["files"][file].update(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    (toy / "bundle.json").write_text(json.dumps(manifest))
    failures = check_bundle(load_bundle(toy)).failures
    assert failures and all("drawn of logits, as for a consensus" in line for line in failures)
    assert len(failures) == (3 if file == "draw.onnx" else 1)


def test_a_bundle_without_logits_is_checked_without(toy: Path) -> None:
    manifest = json.loads((toy / "bundle.json").read_text())
    del manifest["graphs"]["draw"]
    (toy / "bundle.json").write_text(json.dumps(manifest))
    check = check_bundle(load_bundle(toy))
    assert check.failures == ()
    assert all(target.shared is None for target in check.targets)


def test_a_bundle_meant_for_independent_targets_is_checked_in_a_chain(toy: Path) -> None:
    """The stored reference always chains."""
    manifest = json.loads((toy / "bundle.json").read_text())
    manifest["conditioning"] = "independent"
    (toy / "bundle.json").write_text(json.dumps(manifest))
    assert check_bundle(load_bundle(toy)).failures == ()


def test_a_selftest_that_lacks_something_is_named(toy: Path) -> None:
    folder = change_selftest(toy, **{"NDVI.noise": None})
    with pytest.raises(ModelError, match=r"selftest\.npz: is no self-test: it lacks NDVI\.noise"):
        check_bundle(load_bundle(folder))


def test_a_bundle_without_selftest_says_so() -> None:
    with pytest.raises(RequestError, match="bundle 'demo' holds no self-test"):
        check_bundle(load_bundle("demo"))
