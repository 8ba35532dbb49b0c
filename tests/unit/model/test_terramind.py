"""TerraMind's run time on graphs in miniature: chain, sampling, denoising, batches, memory, threads."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import terramosaic.model.terramind
from terramosaic.errors import ModelError, RequestError
from terramosaic.model.bundle import Bundle, load_bundle
from terramosaic.model.denoiser import Denoiser
from terramosaic.model.devices import Device, Precision, parse_device
from terramosaic.model.generator import (
    GenerationOptions,
    GeneratorOfLogits,
    Needs,
    WindowRandomness,
    drawn_for,
)
from terramosaic.model.ground_sums import GroundSums
from terramosaic.model.opening import open_generator, threads_for
from terramosaic.model.pipeline import BatchBuffers, Pipeline
from terramosaic.model.terramind import TerraMindGenerator
from tests.unit.model.toy_terramind import expected, make_toy, tokenised

TARGETS = ("S1GRD", "NDVI", "LULC")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(make_toy(tmp_path_factory.mktemp("toy") / "bundle"))


#: Tests of batches, threads and memory need no more.
FEW_STEPS = GenerationOptions(steps=2)


def a_batch(count: int) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Windows, noise and uniforms."""
    windows, noise, uniform = _seven()
    cut = ({target: array[:count].copy() for target, array in each.items()} for each in (noise, uniform))
    return windows[:count].copy(), *cut


@cache
def _seven() -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    windows = 800 * rng.standard_gamma(2.0, (7, 12, 224, 224), np.float32)
    noise = {
        "S1GRD": rng.standard_normal((7, 2, 224, 224), np.float32),
        "NDVI": rng.standard_normal((7, 1, 224, 224), np.float32),
    }
    uniform = {target: rng.random((7, 14, 14), np.float32) for target in TARGETS}
    return windows, noise, uniform


def all_inputs(windows: np.ndarray) -> dict[str, np.ndarray]:
    """Windows of the other inputs beside those of Sentinel-2."""
    rng = np.random.default_rng(4)
    radar = rng.normal(-15, 5, (len(windows), 2, 14, 14)).astype(np.float32).repeat(16, 2).repeat(16, 3)
    ndvi = rng.random((len(windows), 1, 14, 14), np.float32).repeat(16, 2).repeat(16, 3)
    heights = rng.normal(800, 300, (len(windows), 1, 14, 14)).astype(np.float32).repeat(16, 2).repeat(16, 3)
    return {"S2L2A": windows, "S1RTC": radar, "DEM": heights, "NDVI": ndvi}


def randomness(
    noise: dict[str, np.ndarray], uniform: dict[str, np.ndarray], part: slice = slice(None)
) -> dict[str, WindowRandomness]:
    return {
        target: WindowRandomness(noise[target][part] if target in noise else None, uniform[target][part])
        for target in uniform
    }


@pytest.mark.parametrize(
    ("targets", "options"),
    [
        (TARGETS, GenerationOptions(steps=4)),
        (("LULC", "NDVI", "S1GRD"), GenerationOptions(steps=1)),
        (("NDVI",), GenerationOptions(steps=10, sampling="greedy")),
        (TARGETS, GenerationOptions(steps=5, conditioning="independent", x0_clip=2.5)),
        (TARGETS, GenerationOptions(steps=5, x0_clip=1, x0_clips=(("NDVI", 2.5),))),
        (TARGETS, GenerationOptions(steps=1, inputs=("S1RTC",))),
        (TARGETS, GenerationOptions(steps=1, inputs=("S1RTC", "S2L2A"))),
        (TARGETS, GenerationOptions(steps=1, inputs=("DEM", "S1RTC"))),
        (("S1GRD", "LULC"), GenerationOptions(steps=1, inputs=("S2L2A", "NDVI", "S1RTC"))),
        (TARGETS, GenerationOptions(steps=1, inputs=("S2L2A", "NDVI"), conditioning="independent")),
        (("NDVI", "embedding", "LULC"), GenerationOptions(steps=1, inputs=("S2L2A", "S1RTC"))),
        (("embedding",), GenerationOptions(inputs=("S2L2A", "NDVI", "S1RTC"))),
    ],
)
def test_targets_are_what_the_graphs_make_of_them_in_their_order(
    toy: Bundle, targets: tuple[str, ...], options: GenerationOptions
) -> None:
    windows, noise, uniform = a_batch(2)
    seen = {name: array for name, array in all_inputs(windows).items() if name in options.inputs}
    generator = open_generator(toy, targets, options=options)
    values, tokens = generator.generate_with_tokens(seen, randomness(noise, uniform))
    wanted, wanted_tokens = expected(seen, targets, noise, uniform, options)
    assert tuple(values) == generator.targets == targets
    assert tokens.keys() == wanted_tokens.keys()
    for target in targets:
        np.testing.assert_array_equal(tokens.get(target), wanted_tokens.get(target))
        np.testing.assert_allclose(values[target], wanted[target], rtol=1e-4, atol=1e-4)


def test_a_reconstruction_is_made_of_the_inputs_own_tokens(toy: Bundle) -> None:
    """Whatever else is among the inputs; nothing is drawn, and none of the transformer's graphs is opened."""
    windows, noise, _ = a_batch(3)
    seen = {name: array for name, array in all_inputs(windows).items() if name in ("S2L2A", "NDVI")}
    options = GenerationOptions(steps=2, inputs=("S2L2A", "NDVI"), reconstruct=True)
    generator = open_generator(toy, ("NDVI",), options=options)
    assert generator.needs == {"NDVI": Needs(1, False)}
    assert isinstance(generator, terramosaic.model.terramind.TerraMindGenerator)
    values, tokens = generator.generate_with_tokens(seen, {"NDVI": WindowRandomness(noise["NDVI"])})
    np.testing.assert_array_equal(tokens["NDVI"], tokenised(seen["NDVI"]))
    zeros = {"NDVI": np.zeros((3, 14, 14), np.float32)}
    wanted = expected(seen, ("NDVI",), noise, zeros, options)[0]["NDVI"]
    np.testing.assert_allclose(values["NDVI"], wanted, rtol=1e-4, atol=1e-4)
    usual = open_generator(toy, ("NDVI",), options=replace(options, reconstruct=False))
    drawn = usual.generate(seen, {"NDVI": WindowRandomness(noise["NDVI"], zeros["NDVI"])})["NDVI"]
    assert (np.abs(drawn - values["NDVI"]) > 1e-3).mean() > 0.1
    # A chain takes the place of the input's tokens.
    other = (tokens["NDVI"] + 1) % 8
    changed, same = generator.generate_with_tokens(
        seen, {"NDVI": WindowRandomness(noise["NDVI"])}, {"NDVI": other}
    )
    np.testing.assert_array_equal(same["NDVI"], tokens["NDVI"])
    assert (changed["NDVI"] != values["NDVI"]).any()


@pytest.mark.parametrize(
    ("targets", "inputs", "message"),
    [
        (("LULC",), ("S2L2A", "NDVI"), "reconstruct: LULC is not among the inputs S2L2A, NDVI"),
        (("NDVI",), ("S2L2A",), "reconstruct: NDVI is not among the inputs S2L2A"),
    ],
)
def test_only_inputs_that_it_makes_tokens_of_are_reconstructed(
    toy: Bundle, targets: tuple[str, ...], inputs: tuple[str, ...], message: str
) -> None:
    options = GenerationOptions(inputs=inputs, reconstruct=True)
    with pytest.raises(RequestError, match=message):
        open_generator(toy, targets, options=options)


def test_the_toy_tells_chains_orders_and_sampling_apart(toy: Bundle) -> None:
    """Otherwise the comparison above would pass whatever the chain did."""
    windows, noise, uniform = a_batch(2)

    def lulc(targets: tuple[str, ...], **options) -> np.ndarray:
        return expected(all_inputs(windows), targets, noise, uniform, GenerationOptions(**options))[1]["LULC"]

    chained = lulc(TARGETS)
    assert len(np.unique(chained)) >= 4
    for other in (
        lulc(("NDVI", "S1GRD", "LULC")),
        lulc(("LULC",)),
        lulc(("NDVI", "LULC")),
        lulc(TARGETS, conditioning="independent"),
        lulc(TARGETS, sampling="greedy"),
        lulc(TARGETS, inputs=("S1RTC",)),
        lulc(TARGETS, inputs=("S2L2A", "S1RTC")),
        lulc(TARGETS, inputs=("S2L2A", "NDVI")),
    ):
        assert (other != chained).mean() > 0.2


def test_needs(toy: Bundle) -> None:
    assert open_generator(toy, TARGETS).needs == {
        "S1GRD": Needs(2, True),
        "NDVI": Needs(1, True),
        "LULC": Needs(0, True),
    }


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4])
def test_batches_that_are_not_full_are_padded_and_cut(toy: Bundle, batch_size: int) -> None:
    windows, noise, uniform = a_batch(3)
    alone = open_generator(toy, TARGETS, options=FEW_STEPS).generate(
        {"S2L2A": windows}, randomness(noise, uniform)
    )
    generator = open_generator(toy, TARGETS, batch_size=batch_size, options=FEW_STEPS)
    for target, array in generator.generate({"S2L2A": windows}, randomness(noise, uniform)).items():
        assert array.shape == (3, toy.targets[target].planes, 224, 224)
        np.testing.assert_array_equal(array, alone[target])


def test_threads_share_a_generator(toy: Bundle) -> None:
    windows, noise, uniform = a_batch(4)
    generator = open_generator(toy, TARGETS, options=FEW_STEPS)
    wanted = generator.generate({"S2L2A": windows}, randomness(noise, uniform))

    def window(n: int) -> dict[str, np.ndarray]:
        part = slice(n, n + 1)
        return generator.generate({"S2L2A": windows[part]}, randomness(noise, uniform, part))

    with ThreadPoolExecutor(4) as pool:
        for n, found in zip([*range(4)] * 3, pool.map(window, [*range(4)] * 3), strict=True):
            for target in TARGETS:
                np.testing.assert_array_equal(found[target][0], wanted[target][n])


def test_the_process_keeps_one_model(toy: Bundle) -> None:
    first = open_generator(toy, TARGETS)
    assert open_generator(toy, TARGETS) is first
    other = open_generator(toy, TARGETS, options=GenerationOptions(steps=5))
    assert other is not first
    assert open_generator(toy, TARGETS) is not first


@pytest.mark.parametrize(("processors", "blocks", "alone"), [(2, 2, 1), (16, 4, 4), (1, 4, 1)])
def test_batches_that_follow_each_other_have_all_processors(
    toy: Bundle, processors: int, blocks: int, alone: int
) -> None:
    several = {"processors": processors, "blocks": blocks}
    assert threads_for(toy, TARGETS, Device("cpu"), **several) == processors
    assert threads_for(load_bundle("demo"), TARGETS, Device("cpu"), **several) == alone
    assert threads_for(toy, TARGETS, Device("cuda"), **several) == alone


def test_missing_or_wrong_input_is_named(toy: Bundle) -> None:
    windows, noise, uniform = a_batch(1)
    generator = open_generator(toy, TARGETS)
    with pytest.raises(
        ModelError, match=r"windows of S2L2A must be float32 \(1, 12, 224, 224\), and is float32 \(1, 11,"
    ):
        generator.generate({"S2L2A": windows[:, :11]}, randomness(noise, uniform))
    with pytest.raises(ModelError, match=r"NDVI: noise must be float32 \(1, 1, 224, 224\), and is absent"):
        generator.generate({"S2L2A": windows}, randomness({"S1GRD": noise["S1GRD"]}, uniform))
    with pytest.raises(ModelError, match=r"LULC: uniform must be float32 \(1, 14, 14\), and is absent"):
        generator.generate(
            {"S2L2A": windows}, randomness(noise, {"NDVI": uniform["NDVI"], "S1GRD": uniform["S1GRD"]})
        )


def test_steps_that_do_not_divide_the_schedule_are_refused(toy: Bundle) -> None:
    with pytest.raises(ModelError, match="steps: 3 does not divide the model's 1000 training steps"):
        open_generator(toy, TARGETS, options=GenerationOptions(steps=3))


class Small(Pipeline):
    """A pipeline on a device with room for so many windows."""

    room = 2
    says = "Failed to allocate memory for requested buffer of size 123456"

    def __init__(self, *args: Any, batch: int, **options: Any) -> None:
        if batch > self.room:
            raise RuntimeError(self.says)
        super().__init__(*args, batch=batch, **options)


@pytest.mark.parametrize(
    "says",
    [
        Small.says,
        "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0",
        "CUDNN failure 4002: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "CUBLAS error: the resource allocation failed",
        "CUDA failure 2: out of memory",
    ],
)
def test_a_batch_is_halved_until_it_fits_when_the_model_is_opened(
    toy: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, says: str
) -> None:
    windows, noise, uniform = a_batch(3)
    wanted = open_generator(toy, TARGETS, options=FEW_STEPS).generate(
        {"S2L2A": windows}, randomness(noise, uniform)
    )
    monkeypatch.setattr(terramosaic.model.terramind, "Pipeline", Small)
    monkeypatch.setattr(Small, "says", says)
    with caplog.at_level(logging.WARNING, "terramosaic"):
        generator = TerraMindGenerator(toy, TARGETS, Device("cpu"), FEW_STEPS, batch_size=13, threads=1)
    assert [record.getMessage() for record in caplog.records] == [
        "cpu: no room for batches of 13 windows; trying 6",
        "cpu: no room for batches of 6 windows; trying 3",
        "cpu: no room for batches of 3 windows; trying 1",
    ]
    assert generator.batch_size == 1
    found = generator.generate({"S2L2A": windows}, randomness(noise, uniform))
    for target in TARGETS:
        np.testing.assert_array_equal(found[target], wanted[target])


def test_no_room_for_a_single_window_ends_with_what_to_do(
    toy: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terramosaic.model.terramind, "Pipeline", Small)
    monkeypatch.setattr(Small, "room", 0)
    with pytest.raises(ModelError, match="no room for a single window: free the device's memory") as caught:
        TerraMindGenerator(toy, TARGETS, Device("cpu"), FEW_STEPS, batch_size=4, threads=1)
    assert caught.value.exit_code == 5


def test_other_failures_to_open_are_not_taken_for_memory(
    toy: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terramosaic.model.terramind, "Pipeline", Small)
    monkeypatch.setattr(Small, "says", "CUDA failure 700: an illegal memory access was encountered")
    with pytest.raises(ModelError, match=r"^cpu: CUDA failure 700"):
        TerraMindGenerator(toy, TARGETS, Device("cpu"), FEW_STEPS, batch_size=4, threads=1)


def test_memory_that_others_take_later_ends_the_run(toy: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    windows, noise, uniform = a_batch(3)
    generator = open_generator(toy, TARGETS, batch_size=2, threads=1, options=FEW_STEPS)

    def fail(*_: Any) -> None:
        raise RuntimeError("Failed to allocate memory for requested buffer of size 123456")

    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, "compute", fail)
        with pytest.raises(ModelError, match="out of memory with batches of 2, for which there was room"):
            generator.generate({"S2L2A": windows}, randomness(noise, uniform))
    generator.generate({"S2L2A": windows}, randomness(noise, uniform))


def test_values_can_be_made_of_given_tokens(toy: Bundle) -> None:
    windows, noise, uniform = a_batch(3)
    generator = open_generator(toy, TARGETS, options=FEW_STEPS)
    assert isinstance(generator, terramosaic.model.terramind.TerraMindGenerator)
    values, tokens = generator.generate_with_tokens({"S2L2A": windows}, randomness(noise, uniform))
    same, drawn = generator.generate_with_tokens({"S2L2A": windows}, randomness(noise, uniform), tokens)
    other = {**tokens, "S1GRD": (tokens["S1GRD"] + 1) % 8}
    changed, drawn_after = generator.generate_with_tokens(
        {"S2L2A": windows}, randomness(noise, uniform), other
    )
    np.testing.assert_array_equal(drawn_after["S1GRD"], tokens["S1GRD"])
    assert (drawn_after["NDVI"] != tokens["NDVI"]).any()
    np.testing.assert_array_equal(changed["LULC"], values["LULC"])
    assert (changed["S1GRD"] != values["S1GRD"]).any()
    for target in TARGETS:
        np.testing.assert_array_equal(same[target], values[target])
        np.testing.assert_array_equal(drawn[target], tokens[target])


@pytest.mark.parametrize(
    ("wanted", "conditioning", "drawn"),
    [
        (("LULC",), "chained", TARGETS),
        (("LULC",), "independent", ("LULC",)),
        (("S1GRD",), "chained", ("S1GRD",)),
        (("LULC", "S1GRD"), "chained", TARGETS),
        (("LULC", "S1GRD"), "independent", ("S1GRD", "LULC")),
    ],
)
def test_some_targets_are_as_if_all_were_made_and_no_more_is_drawn_than_they_see(
    toy: Bundle, wanted: tuple[str, ...], conditioning: Any, drawn: tuple[str, ...]
) -> None:
    windows, noise, uniform = a_batch(3)
    generator = open_generator(toy, TARGETS, options=GenerationOptions(2, conditioning))
    assert isinstance(generator, terramosaic.model.terramind.TerraMindGenerator)
    all_values, all_tokens = generator.generate_with_tokens({"S2L2A": windows}, randomness(noise, uniform))
    its_noise = {target: array for target, array in noise.items() if target in wanted}
    values, tokens = generator.generate_with_tokens(
        {"S2L2A": windows}, randomness(its_noise, uniform), wanted=wanted
    )
    assert values.keys() == set(wanted) and tuple(tokens) == drawn == drawn_for(wanted, TARGETS, conditioning)
    for target in wanted:
        np.testing.assert_array_equal(values[target], all_values[target])
    for target in drawn:
        np.testing.assert_array_equal(tokens[target], all_tokens[target])


def test_of_targets_that_are_not_wanted_no_diffusion_is_run(
    toy: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows, _, uniform = a_batch(1)
    runs: list[Denoiser] = []
    monkeypatch.setattr(Denoiser, "denoise", lambda denoiser, first: runs.append(denoiser))
    generator = open_generator(toy, TARGETS, options=FEW_STEPS)
    assert (
        generator.generate({"S2L2A": windows}, randomness({}, uniform), ("LULC",)).keys() == {"LULC"}
        and not runs
    )
    with pytest.raises(ModelError, match=r"NDVI: noise must be .* and is absent"):
        generator.generate({"S2L2A": windows}, randomness({}, uniform), ("LULC", "NDVI"))


def test_other_failures_are_not_taken_for_memory(toy: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    windows, noise, uniform = a_batch(1)

    class Broken(Pipeline):
        def compute(
            self, buffers: BatchBuffers, chain: Any = None, made: Any = None
        ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
            raise RuntimeError("Non-zero status code returned\nwhile running Mul")

    monkeypatch.setattr(terramosaic.model.terramind, "Pipeline", Broken)
    generator = open_generator(toy, TARGETS, batch_size=2, threads=1, options=FEW_STEPS)
    with pytest.raises(
        ModelError, match="cpu: ONNX Runtime failed: Non-zero status code returned while running Mul"
    ):
        generator.generate({"S2L2A": windows}, randomness(noise, uniform))


def test_graphs_are_prepared_once(
    toy: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TERRAMOSAIC_CACHE", str(tmp_path / "cache"))
    with caplog.at_level(logging.INFO, "terramosaic"):
        open_generator(toy, ("LULC",), threads=1, options=FEW_STEPS)
        prepared = caplog.text.count("preparing")
        open_generator(toy, ("LULC", "NDVI"), threads=1, options=FEW_STEPS)
    assert prepared == 5  # embed, context, decode, tokens, classes
    assert caplog.text.count("preparing") == 7  # and NDVI's tokens and step
    folders = [path for path in (tmp_path / "cache" / "graphs").iterdir() if path.is_dir()]
    assert len(folders) == 7
    assert not [path for path in folders if path.suffix == ".partial"]


def test_a_cache_that_cannot_be_written_is_named(
    toy: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TERRAMOSAIC_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="TERRAMOSAIC_CACHE"):
        open_generator(toy, ("NDVI",), threads=1, options=FEW_STEPS)


def test_inputs_that_a_bundle_cannot_take_are_named(toy: Bundle) -> None:
    windows, noise, uniform = a_batch(1)
    for options, words in (
        (
            GenerationOptions(inputs=("S2L2A", "S1GRD")),
            "inputs: bundle 'toy' cannot take S1GRD; it takes S2L2A",
        ),
        (GenerationOptions(tokenised=("S2L2A",)), "tokenised: bundle 'toy' makes no tokens of S2L2A"),
        (GenerationOptions(tokenised=("NDVI",)), "tokenised: NDVI is not among the inputs S2L2A"),
    ):
        with pytest.raises(RequestError, match=words):
            open_generator(toy, TARGETS, options=options)
    both = open_generator(toy, ("LULC",), options=GenerationOptions(inputs=("S2L2A", "S1RTC")))
    with pytest.raises(
        ModelError, match=r"windows of S1RTC must be float32 \(1, 2, 224, 224\), and is absent"
    ):
        both.generate({"S2L2A": windows}, randomness(noise, uniform))


def test_a_target_that_no_later_one_can_see_is_the_last_of_a_chain(toy: Bundle) -> None:
    ndvi = toy.targets["NDVI"].model_copy(update={"fed_back": False})
    manifest = toy.manifest.model_copy(update={"targets": {**toy.targets, "NDVI": ndvi}})
    bundle = replace(toy, manifest=manifest, fingerprint="another")
    with pytest.raises(RequestError, match="no later target can see NDVI; name it last"):
        open_generator(bundle, TARGETS)
    open_generator(bundle, ("LULC", "NDVI"))
    open_generator(bundle, TARGETS, options=GenerationOptions(conditioning="independent"))


SHARED = replace(FEW_STEPS, consensus=True)


@pytest.mark.parametrize("conditioning", ["chained", "independent"])
@pytest.mark.parametrize("sampling", ["nucleus", "greedy"])
def test_tokens_drawn_from_a_windows_own_logits_are_its_own(toy: Bundle, conditioning, sampling) -> None:
    """Step by step what is made at once: logits, a draw, values; in batches that are not full, too."""
    windows, noise, uniform = a_batch(3)
    options = replace(SHARED, conditioning=conditioning, sampling=sampling, inputs=("S2L2A", "NDVI"))
    model = open_generator(toy, TARGETS, options=options, batch_size=2)
    assert isinstance(model, GeneratorOfLogits)
    given = {name: all_inputs(windows)[name] for name in options.inputs}
    values, tokens = model.generate_with_tokens(given, randomness(noise, uniform))
    seen: dict[str, np.ndarray] = {}
    for target in TARGETS:
        said = model.logits(given, target, seen)
        assert said.shape == (3, 196, 8) and said.dtype == np.float32
        drawn = model.draw(target, said.reshape(-1, 8), uniform[target].ravel()).reshape(3, 196)
        np.testing.assert_array_equal(drawn, tokens[target])
        seen |= {target: drawn} if conditioning == "chained" else {}
    wanted = {target: tokens[target] for target in ("LULC", "S1GRD")}
    made = model.values_of(wanted, randomness(noise, uniform))
    assert made.keys() == wanted.keys()
    for target, array in made.items():
        np.testing.assert_array_equal(array, values[target])


@pytest.mark.parametrize("batch_size", [1, 2])
def test_sums_where_the_model_computes_are_those_of_its_logits(toy: Bundle, batch_size: int) -> None:
    """Of three windows in a row at stride 192: the same bits as logits added up and drawn from here."""
    windows, _, uniform = a_batch(3)
    model = open_generator(toy, TARGETS, options=SHARED, batch_size=batch_size)
    assert isinstance(model, GeneratorOfLogits)
    seen = {"S1GRD": np.arange(3 * 196).reshape(3, 196) % 8}
    said = model.logits({"S2L2A": windows}, "NDVI", seen).reshape(3, 14, 14, 8)
    sums = model.sums("NDVI", 12)
    tiles = [[(0, j), (0, j + 1), (1, j), (1, j + 1)] for j in range(3)]
    sums.add({"S2L2A": windows[:2]}, {name: ids[:2] for name, ids in seen.items()}, tiles[:2])
    sums.add({"S2L2A": windows[2:]}, {name: ids[2:] for name, ids in seen.items()}, tiles[2:])
    wanted = np.zeros((12, 12, 8), np.float32)
    wanted[:, :2] += said[0][:12, 12:]
    wanted += said[1][:12, :12]
    counts = np.ones((12, 12), np.float32)
    counts[:, :2] = 2
    some = np.flatnonzero(np.random.default_rng(1).random(144) < 0.7)
    chance = uniform["NDVI"][0].ravel()[: len(some)]
    found = sums.draw((0, 1), some, counts.ravel()[some], chance)
    means = wanted.reshape(-1, 8)[some] / counts.ravel()[some, None]
    np.testing.assert_array_equal(found, model.draw("NDVI", means, chance))
    assert len(np.unique(found)) > 2
    # One of which no token is wanted is forgotten as well.
    assert (
        sums.draw((0, 0), np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32)).size == 0
    )
    with pytest.raises(ModelError):
        sums.draw((0, 1), some, counts.ravel()[some], chance)


def test_what_was_added_in_part_is_not_added_again(toy: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the device runs out of memory in the midst of sums, a smaller batch would count windows twice."""
    windows, _, _ = a_batch(2)
    model = open_generator(toy, TARGETS, options=SHARED, batch_size=2)
    assert isinstance(model, GeneratorOfLogits)
    sums, calls = model.sums("S1GRD", 14), []

    def add(self: GroundSums, *_: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("Failed to allocate memory")

    monkeypatch.setattr(GroundSums, "add", add)
    with pytest.raises(ModelError, match="sums of logits failed: Failed to allocate memory"):
        sums.add({"S2L2A": windows}, {}, [[(0, 0)], [(0, 1)]])
    assert len(calls) == 2


def test_means_that_are_no_numbers_are_no_token(toy: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pipeline, "draw_mean", lambda *_: np.array([3, -1]))
    model = open_generator(toy, TARGETS, options=SHARED)
    assert isinstance(model, GeneratorOfLogits)
    with pytest.raises(ModelError, match="NDVI: the model returned numbers that are not finite"):
        model.sums("NDVI", 12).draw((0, 0), np.arange(2), np.ones(2, np.float32), np.zeros(2, np.float32))


def test_logits_hang_on_the_tokens_that_are_seen(toy: Bundle) -> None:
    windows, _, _ = a_batch(1)
    model = open_generator(toy, TARGETS, options=SHARED)
    assert isinstance(model, GeneratorOfLogits)
    said = [
        model.logits({"S2L2A": windows}, "NDVI", {"S1GRD": np.full((1, 196), token)}) for token in (0, 0, 7)
    ]
    np.testing.assert_array_equal(said[0], said[1])
    assert (said[0][..., 0] != said[2][..., 0]).all()


def test_logits_that_are_no_numbers_are_no_token(toy: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pipeline, "draw", lambda *_: np.array([3, -1]))
    model = open_generator(toy, TARGETS, options=SHARED)
    assert isinstance(model, GeneratorOfLogits)
    with pytest.raises(ModelError, match="NDVI: the model returned numbers that are not finite"):
        model.draw("NDVI", np.zeros((2, 8), np.float32), np.zeros(2, np.float32))


@pytest.mark.parametrize(
    ("device", "precision", "says_how"),
    [("cpu", "auto", False), ("cuda", "auto", True), ("cuda", "fp16", True), ("cuda", "fp32", False)],
)
def test_what_overflows_in_half_precision_says_how_to_go_on(
    toy: Bundle, monkeypatch: pytest.MonkeyPatch, device: str, precision: Precision, says_how: bool
) -> None:
    model = open_generator(toy, TARGETS, options=replace(SHARED, precision=precision))
    assert isinstance(model, TerraMindGenerator)
    monkeypatch.setattr(model, "_device", parse_device(device))
    with pytest.raises(ModelError, match="NDVI: the model returned numbers that are not finite") as caught:
        model._require_finite({"S1GRD": np.zeros(2), "NDVI": np.array([0, np.inf])})
    assert caught.value.text.endswith("ask for precision fp32, which takes longer") == says_how


@pytest.mark.parametrize("without", ["draw", "logits"])
def test_bundles_from_before_are_refused_where_windows_share_tokens_alone(
    toy: Bundle, tmp_path: Path, without: str
) -> None:
    folder = make_toy(tmp_path / "old")
    content = json.loads((folder / "bundle.json").read_text())
    for owner in (content, *content["targets"].values()):
        owner["graphs"].pop(without, None)
    (folder / "bundle.json").write_text(json.dumps(content))
    old = load_bundle(folder)
    open_generator(old, ("NDVI",), options=FEW_STEPS)
    with pytest.raises(RequestError) as error:
        open_generator(old, ("NDVI",), options=SHARED)
    told = "consensus: bundle 'toy' does not tell what its tokens are drawn from; export the bundle anew"
    assert str(error.value) == told


@pytest.mark.parametrize(
    ("model", "targets", "options", "told"),
    [
        (
            "demo",
            ("NDVI", "LULC"),
            {},
            "bundle 'demo' draws no tokens of NDVI, LULC that",
        ),
        (
            "toy",
            ("NDVI", "embedding"),
            {},
            "bundle 'toy' draws no tokens of embedding that",
        ),
        (
            "toy",
            ("NDVI",),
            {"reconstruct": True, "inputs": ("NDVI",)},
            "of inputs that are reconstructed no tokens are drawn that",
        ),
    ],
)
def test_what_has_no_tokens_to_share_is_told(toy: Bundle, model: str, targets, options, told: str) -> None:
    bundle = toy if model == "toy" else load_bundle(model)
    with pytest.raises(RequestError) as error:
        open_generator(bundle, targets, options=replace(SHARED, **options))
    assert str(error.value) == f"consensus: {told} windows could share; take none"
