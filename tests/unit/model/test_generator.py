"""The demo bundle run through the engine's own interface."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

import terramosaic.model.cuda.sessions
import terramosaic.model.single_graph
from terramosaic.errors import ModelError, RequestError
from terramosaic.model.bundle import DEMO_FOLDER, Bundle, load_bundle
from terramosaic.model.devices import Device
from terramosaic.model.generator import Needs, WindowRandomness
from terramosaic.model.gpus import cuda_device_count
from terramosaic.model.opening import open_generator
from tools.make_demo_bundle import make_bundle

TARGETS = ("S1GRD", "S1RTC", "NDVI", "LULC")


@cache
def a_batch(count: int, bands: int = 12) -> tuple[np.ndarray, dict[str, WindowRandomness]]:
    """Windows of whole DN from 1 to about 8 000, and noise for both radar targets."""
    rng = np.random.default_rng(7)
    windows = np.floor(800 * rng.standard_gamma(2.0, (count, bands, 224, 224), np.float32) + 1)
    noise = rng.standard_normal((2, count, 2, 224, 224), np.float32)
    return windows, {"S1GRD": WindowRandomness(noise[0]), "S1RTC": WindowRandomness(noise[1])}


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle("demo")


def test_targets_come_in_the_order_asked_for_with_their_planes(bundle: Bundle) -> None:
    generator = open_generator(bundle, ["LULC", "S1GRD"])
    windows, randomness = a_batch(1)
    out = generator.generate({"S2L2A": windows}, randomness)
    assert {name: (array.shape, array.dtype) for name, array in out.items()} == {
        "LULC": ((1, 10, 224, 224), np.float32),
        "S1GRD": ((1, 2, 224, 224), np.float32),
    }
    assert generator.targets == tuple(out) == ("LULC", "S1GRD")


def test_needs_say_which_randomness_to_draw(bundle: Bundle) -> None:
    needs = open_generator(bundle, TARGETS).needs
    assert needs == {
        "S1GRD": Needs(2, False),
        "S1RTC": Needs(2, False),
        "NDVI": Needs(0, False),
        "LULC": Needs(0, False),
    }


def test_results_do_not_depend_on_batch_or_threads(bundle: Bundle) -> None:
    """Rule 1: the ground decides. Bit for bit, also for a last batch that is not full."""
    windows, randomness = a_batch(3)
    alone = open_generator(bundle, TARGETS, batch_size=1, threads=1).generate({"S2L2A": windows}, randomness)
    for batch_size, threads in ((2, 1), (2, 2), (8, 2), (1, 2)):
        generator = open_generator(bundle, TARGETS, batch_size=batch_size, threads=threads)
        for target, array in generator.generate({"S2L2A": windows}, randomness).items():
            np.testing.assert_array_equal(array, alone[target], err_msg=f"{target} {batch_size} {threads}")


def test_threads_share_a_generator(bundle: Bundle) -> None:
    windows, randomness = a_batch(4)
    generator = open_generator(bundle, TARGETS, threads=1)

    def window(n: int) -> dict[str, np.ndarray]:
        its_own = {target: WindowRandomness(r.noise[n : n + 1]) for target, r in randomness.items()}  # type: ignore[index]
        return generator.generate({"S2L2A": windows[n : n + 1]}, its_own)

    expected = generator.generate({"S2L2A": windows}, randomness)
    with ThreadPoolExecutor(4) as pool:
        for n, out in zip([*range(4)] * 3, pool.map(window, [*range(4)] * 3), strict=True):
            for target in TARGETS:
                np.testing.assert_array_equal(out[target][0], expected[target][n])


class CountedLock:
    """A lock that tells when four threads have asked for it."""

    def __init__(self) -> None:
        self._lock, self._asked, self.all_asked = threading.Lock(), itertools.count(1), threading.Event()

    def __enter__(self) -> None:
        if next(self._asked) == 4:
            self.all_asked.set()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_sessions_are_made_once_per_process(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    opening = CountedLock()

    def count(path: Path, device: Device, threads: int, level: Any) -> onnxruntime.InferenceSession:
        opened.append(path.stem)
        # None of the others may find a session that is there already.
        assert opening.all_asked.wait(60)
        return open_session(path, device, threads, level)

    open_session = terramosaic.model.single_graph._open
    monkeypatch.setattr(terramosaic.model.single_graph, "_open", count)
    monkeypatch.setattr(terramosaic.model.single_graph, "_sessions", {})
    monkeypatch.setattr(terramosaic.model.single_graph, "_opening", opening)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda size: open_generator(bundle, TARGETS, batch_size=size, threads=1), (1, 2, 4, 8)))
    assert sorted(opened) == sorted(TARGETS)


def test_some_targets_alone(bundle: Bundle) -> None:
    windows, randomness = a_batch(2)
    given = {"S2L2A": windows}
    generator = open_generator(bundle, TARGETS)
    every, some = generator.generate(given, randomness), generator.generate(given, {}, ("NDVI",))
    assert some.keys() == {"NDVI"} < every.keys()
    np.testing.assert_array_equal(some["NDVI"], every["NDVI"])


def test_windows_need_not_be_contiguous(bundle: Bundle) -> None:
    windows, _ = a_batch(4)
    generator = open_generator(bundle, ["NDVI"])
    np.testing.assert_array_equal(
        generator.generate({"S2L2A": windows[::2]}, {})["NDVI"],
        generator.generate({"S2L2A": windows}, {})["NDVI"][::2],
    )


@pytest.mark.parametrize(
    ("windows", "found"),
    [
        (np.ones((1, 11, 224, 224), np.float32), r"float32 \(1, 11, 224, 224\)"),
        (np.ones((1, 12, 256, 256), np.float32), r"float32 \(1, 12, 256, 256\)"),
        (np.ones((1, 12, 224, 224), np.uint16), r"uint16 \(1, 12, 224, 224\)"),
    ],
)
def test_windows_of_another_form_are_refused(bundle: Bundle, windows: np.ndarray, found: str) -> None:
    with pytest.raises(
        ModelError, match=rf"windows of S2L2A must be float32 \(1, 12, 224, 224\), and is {found}"
    ):
        open_generator(bundle, ["NDVI"]).generate({"S2L2A": windows}, {})


def test_missing_noise_is_refused(bundle: Bundle) -> None:
    with pytest.raises(ModelError, match=r"S1GRD: noise must be float32 \(1, 2, 224, 224\), and is absent"):
        open_generator(bundle, ["S1GRD"]).generate({"S2L2A": a_batch(1)[0]}, {})


def test_numbers_that_are_not_finite_never_leave(bundle: Bundle) -> None:
    windows, _ = a_batch(2)
    windows[1, 7, 100, 100] = np.nan
    with pytest.raises(ModelError, match="NDVI: the model returned numbers that are not finite"):
        open_generator(bundle, ["NDVI"]).generate({"S2L2A": windows}, {})


def test_a_target_that_the_bundle_lacks_is_a_wrong_request(bundle: Bundle) -> None:
    with pytest.raises(RequestError, match="no DEM"):
        open_generator(bundle, ["DEM"])


def test_a_kind_that_this_engine_cannot_run_is_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DEMO_FOLDER, tmp_path / "bundle"))
    content = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    content["targets"]["NDVI"]["graphs"] = {"decode": "NDVI.onnx"}
    (folder / "bundle.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match=r"targets\.NDVI is of kind 'direct' with graphs decode"):
        open_generator(load_bundle(folder), ["NDVI"])


@pytest.mark.skipif(cuda_device_count() > 0, reason="this machine has an NVIDIA driver")
def test_cuda_without_a_driver_is_an_error_that_says_so_once(
    bundle: Bundle, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        ModelError, match=r"device: cuda was asked for and cannot be used: .+; or ask for cpu"
    ):
        open_generator(bundle, ["NDVI"], "cuda")
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(cuda_device_count() > 0, reason="this machine has an NVIDIA driver")
def test_cuda_never_falls_back_quietly(
    bundle: Bundle, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where there is a driver that ONNX Runtime cannot use: left alone, it would open a CPU session."""
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has no CUDA provider")
    monkeypatch.setattr(terramosaic.model.cuda.sessions, "load_cuda_libraries", lambda index: "")
    with pytest.raises(ModelError, match=r"cuda was asked for and cannot be used: .*CPU"):
        open_generator(bundle, ["NDVI"], "cuda")
    assert capfd.readouterr() == ("", "")


def test_a_graph_that_fails_while_it_runs_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A graph that takes the largest DN for the number of a band."""
    folder = make_bundle(tmp_path / "bundle", targets=["NDVI"])
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMax", ["windows"], ["largest"], keepdims=0),
            helper.make_node("Cast", ["largest"], ["index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["windows", "index"], ["plane"], axis=1),
            helper.make_node("Unsqueeze", ["plane", "axis"], ["NDVI"]),
        ],
        "broken",
        [helper.make_tensor_value_info("windows", TensorProto.FLOAT, ["batch", 12, 224, 224])],
        [helper.make_tensor_value_info("NDVI", TensorProto.FLOAT, ["batch", 1, 224, 224])],
        [helper.make_tensor("axis", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    content = model.SerializeToString()
    (folder / "NDVI.onnx").write_bytes(content)
    manifest = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    manifest["files"]["NDVI.onnx"].update(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    (folder / "bundle.json").write_text(json.dumps(manifest), encoding="utf-8")

    with pytest.raises(ModelError, match=r"^NDVI: ONNX Runtime failed: [^\n]*out of[^\n]*$"):
        open_generator(load_bundle(folder), ["NDVI"]).generate({"S2L2A": a_batch(1)[0]}, {})
    assert capfd.readouterr() == ("", "")
