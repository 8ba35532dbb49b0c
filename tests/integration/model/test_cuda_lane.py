"""ONNX Runtime's CUDA path, from driver to captured graphs, on stand-ins that the tests build: what it does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.cuda_stub import build_cuda
from tests.unit.model.cuda.small_unet import write_small_unet
from tests.unit.model.toy_terramind import make_toy

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def cuda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_cuda(tmp_path_factory.mktemp("cuda"))


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "toy"
    make_toy(folder)
    return folder


def run(cuda: Path, cache: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs Python where CUDA's libraries are the stand-ins."""
    environment = os.environ | {"LD_LIBRARY_PATH": str(cuda), "TERRAMOSAIC_CACHE": str(cache)} | settings
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def lane(cuda: Path, toy: Path, cache: Path, **settings: str) -> dict[str, Any]:
    done = run(cuda, cache, "-m", "tests.support.cuda_stub.lane", str(toy), "4", **settings)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_a_lane_captures_once_and_copies_while_it_computes(cuda: Path, toy: Path, tmp_path: Path) -> None:
    told = lane(cuda, toy, tmp_path, STUB_LAUNCH_US="2000")
    opened, after = told["opened"], told["after"]
    assert told["batch"] == 4
    # Of two step graphs a trial each, and to and fro and from either buffer's noise.
    assert opened["captures"] == after["captures"] == 2 * (1 + 2 + 2)
    # Eight calls, four steps, two targets.
    assert after["replays"] - opened["replays"] == 8 * 4 * 2
    assert after["forbidden"] == 0
    assert after["overlapping_in"] > opened["overlapping_in"]
    assert after["overlapping_out"] > opened["overlapping_out"]
    assert after["pageable"] == opened["pageable"]
    assert after["peak"] == opened["peak"]
    assert all(told["each_got_its_own"]) and len(told["each_got_its_own"]) == 8
    assert "Resize" in told["kinds"]
    assert not {kind for kind in told["kinds"] if kind.startswith("Memcpy")}


def test_a_batch_is_halved_until_a_device_has_room_for_it(cuda: Path, toy: Path, tmp_path: Path) -> None:
    needed = lane(cuda, toy, tmp_path)["opened"]["peak"]
    told = lane(cuda, toy, tmp_path, STUB_MEMORY_MB=str(round(0.45 * needed / 2**20)))
    assert told["batch"] in (1, 2)
    assert all(told["each_got_its_own"])


_U_NET = """
import sys
from pathlib import Path
from terramosaic.model.cuda import open_on_cuda, prepare_step
source, target = map(Path, sys.argv[1:])
for in_half in (True, False):
    prepare_step(source, target, in_half=in_half)
    session = open_on_cuda(target, device_index=0, batch=2, threads=1, capture=True)
    assert session.get_providers()[0] == "CUDAExecutionProvider"
    print(sorted({node.op_type for part in session.get_provider_graph_assignment_info()
                  if part.ep_name == "CUDAExecutionProvider" for node in part.get_nodes()}))
"""


def test_a_u_net_is_captured_in_either_precision(cuda: Path, tmp_path: Path) -> None:
    source = write_small_unet(tmp_path / "step.onnx")
    done = run(cuda, tmp_path, "-c", _U_NET, str(source), str(tmp_path / "graph.onnx"))
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    for line in done.stdout.splitlines():
        assert {"'NhwcConv'", "'GroupNorm'", "'SkipGroupNorm'"} <= set(line.strip("[]").split(", "))
    assert len(done.stdout.splitlines()) == 2


@pytest.mark.parametrize("missing", ["libcudnn.so.9", "libnvrtc.so.13", "libcublas.so.13"])
def test_a_library_that_is_missing_is_named_before_anything_is_planned(
    cuda: Path, toy: Path, tmp_path: Path, missing: str
) -> None:
    folder = Path(shutil.copytree(cuda, tmp_path / "cuda"))
    (folder / missing).unlink()
    out = tmp_path / "out"
    command = ["-m", "terramosaic", "map", "--bbox", "15", "46", "15.1", "46.1", "--datetime", "2023-08"]
    options = ["--catalog", "http://127.0.0.1:9/nobody-is-asked", "--model", str(toy), "--device", "cuda"]
    done = run(folder, tmp_path, *command, *options, "--out", str(out))
    assert done.returncode == 5
    assert f"cuda was asked for and cannot be used: {missing} cannot be loaded; install" in done.stderr
    assert not out.exists()
