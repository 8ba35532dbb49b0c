"""Any to any: every input as pixels or as tokens, alone and together, against terratorch on real patches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnxruntime
import pytest
import torch
from shapely.geometry import box
from terratorch.models.backbones.terramind.model import terramind_register

from terramosaic import RegionRequest, map_region, verify
from terramosaic.bands import INPUT_BANDS, RGB_WHITE
from terramosaic.ground.zones import as_geojson, lonlat_of
from terramosaic.model.bundle import Bundle, load_bundle
from terramosaic.model.export.bundle import write_bundle
from terramosaic.model.export.reference import Reference, pixels_key, tokens_key
from terramosaic.model.export.variants import FACTORS
from terramosaic.model.generator import GenerationOptions, WindowRandomness
from terramosaic.model.opening import open_generator
from terramosaic.model.selftest import check_bundle
from terramosaic.model.terramind import TerraMindGenerator
from tests.export.conftest import PATCHES, narrow_reference, read_patches
from tests.export.inputs import forced_tokens, noise_for, randomness, relative
from tests.export.test_parity import compare, margins_kept
from tests.support.pixels import read
from tests.support.real_radar import add_heights, add_radar

TARGETS = ("S2L2A", "NDVI", "LULC")
TOKENISED = ("S2L2A", "S1RTC", "NDVI", "DEM", "LULC")

COMBINATIONS = [
    ("S1GRD",),
    ("S1RTC",),
    ("S2L1C",),
    ("S2RGB",),
    ("DEM",),
    ("S2L2A", "S1GRD", "DEM"),
    ("S1RTC", "DEM"),
    ("S2L2A", "S2L1C", "S2RGB", "S1GRD", "S1RTC", "DEM"),
]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return narrow_reference(TARGETS, tokenised=TOKENISED)


@pytest.fixture(scope="module")
def bundle(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_bundle(reference, tmp_path_factory.mktemp("any") / "bundle"))


@pytest.fixture(scope="module")
def seen(shared_data: Path, reference: Reference) -> dict[str, np.ndarray]:
    """Each input's windows, by TerraMesh's example patches.

    It has no S1GRD and no RGB there: S1GRD is S1RTC moved to GRD's mean and deviation, and RGB is B04, B03 and B02 of
    S2L2A from 0 to 255, as maps have it.
    """
    found = {
        name: read_patches(shared_data, name) for name in ("S2L2A", "S2L1C", "S1RTC", "DEM", "NDVI", "LULC")
    }
    model = reference.model
    (rtc, rtc_std), (grd, grd_std) = (
        (model.pretraining_mean[key].numpy(), model.pretraining_std[key].numpy())
        for key in (pixels_key("S1RTC"), pixels_key("S1GRD"))
    )
    found["S1GRD"] = (found["S1RTC"] - rtc) / rtc_std * grd_std + grd
    bands = [INPUT_BANDS["S2L2A"].index(band) for band in INPUT_BANDS["S2RGB"]]
    found["S2RGB"] = np.rint(np.clip(found["S2L2A"][:, bands] * (255 / RGB_WHITE), 0, 255))
    found["LULC"] = np.moveaxis(np.eye(10, dtype=np.float32)[found["LULC"][:, 0].astype(int)], -1, 1)
    return {name: np.ascontiguousarray(array[:2], np.float32) for name, array in found.items()}


@contextmanager
def hidden_kept(reference: Reference) -> Iterator[list[np.ndarray]]:
    """The decoder's last hidden states, float32 (N, 196, width) for each target, tokens in reading order."""
    kept: list[np.ndarray] = []

    def keep(_: Any, __: Any, output: torch.Tensor) -> None:
        kept.append(output[:, -196:].detach().numpy().copy())

    hook = reference.model.sampler.model.decoder_norm.register_forward_hook(keep)
    try:
        yield kept
    finally:
        hook.remove()


def generate(
    bundle: Bundle, windows: dict[str, np.ndarray], noise: dict[str, np.ndarray], **options: Any
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    settings = GenerationOptions(steps=2, sampling="greedy", inputs=tuple(windows), **options)
    generator = open_generator(bundle, TARGETS, options=settings)
    assert isinstance(generator, TerraMindGenerator)
    return generator.generate_with_tokens(windows, randomness(TARGETS, noise, None, 2))


@pytest.fixture(scope="module")
def drawn() -> dict[tuple[str, ...], dict[str, np.ndarray]]:
    """Tokens that each combination of inputs led to."""
    return {}


@pytest.mark.parametrize("inputs", COMBINATIONS, ids="+".join)
def test_tokens_and_values_of_any_inputs_are_the_references(
    bundle: Bundle,
    reference: Reference,
    seen: dict[str, np.ndarray],
    drawn: dict[tuple[str, ...], dict[str, np.ndarray]],
    inputs: tuple[str, ...],
) -> None:
    """All tokens but those of a tie, hidden states to 1e-5, and values, S2L2A's among them."""
    windows, noise = {name: seen[name] for name in inputs}, noise_for(bundle, TARGETS, 2)
    with margins_kept() as margins, hidden_kept(reference) as hidden:
        values, tokens = reference.generate(windows, noise, 2)
    sessions = {name: onnxruntime.InferenceSession(str(bundle.folder / name)) for name in _graphs(bundle)}
    found, states = forced_tokens(bundle, sessions.__getitem__, windows, tokens)
    for target, state, margin in zip(TARGETS, hidden, margins, strict=True):
        equal = found[target] == tokens[target]
        off = relative(states[target], state)
        print(f"{'+'.join(inputs)} -> {target}: {equal.mean():.2%} of tokens, hidden {off:.1e}, "
              f"{len(np.unique(found[target]))} distinct")  # fmt: skip
        assert (equal | (margin < 1e-4)).all()
        assert off <= 1e-5
        assert len(np.unique(found[target])) >= 2
    made, same = generate(bundle, windows, noise)
    if all((same[target] == tokens[target]).all() for target in TARGETS):
        compare(bundle, made, values)
    for others, theirs in drawn.items():
        assert any((theirs[name] != tokens[name]).mean() > 0.2 for name in TARGETS), f"{inputs} as {others}"
    drawn[inputs] = tokens


@pytest.mark.parametrize("inputs", [("S2L2A",), *COMBINATIONS], ids="+".join)
def test_embeddings_are_the_backbones(
    bundle: Bundle, reference: Reference, seen: dict[str, np.ndarray], inputs: tuple[str, ...]
) -> None:
    """terratorch's own backbone, its last layer, merged by the mean: hidden states of each patch to 1e-5."""
    windows = {name: seen[name] for name in inputs}
    wanted = reference.embed(windows)
    options = GenerationOptions(inputs=inputs)
    found = open_generator(bundle, ("embedding",), options=options).generate(windows, {})["embedding"]
    off = relative(found, wanted)
    print(f"{'+'.join(inputs)} -> embedding: relative L2 {off:.1e}")
    assert off <= 1e-5
    # It tells windows apart, and patches; of heights alone, which change little within a window, the least.
    assert relative(wanted[0], wanted[1]) > 0.3
    assert np.median(wanted.std(axis=(2, 3))) > 0.05


def test_an_embedding_is_that_of_the_inputs_whatever_is_generated(
    bundle: Bundle, seen: dict[str, np.ndarray]
) -> None:
    others = ("NDVI", "LULC")
    windows = {"S2L2A": seen["S2L2A"]}
    given = randomness(others, noise_for(bundle, others, 2), None, 2)
    options = GenerationOptions(steps=1, sampling="greedy")
    alone, beside = (
        open_generator(bundle, targets, options=options).generate(windows, given)
        for targets in (("embedding",), ("NDVI", "embedding", "LULC"))
    )
    np.testing.assert_array_equal(alone["embedding"], beside["embedding"])
    without = open_generator(bundle, others, options=options).generate(windows, given)
    for target in without:
        np.testing.assert_array_equal(without[target], beside[target])


def test_an_input_seen_as_tokens_is_embedded_as_the_backbone_does(
    bundle: Bundle, reference: Reference, seen: dict[str, np.ndarray]
) -> None:
    """Tokens go through the same encoder, and count in the mean as pixels do."""
    windows = {"S2L2A": seen["S2L2A"], "NDVI": seen["NDVI"]}
    key, shared = tokens_key("NDVI"), reference.model.tokenizer
    tokenizers = {name: lambda name=name, **_: shared[name] for name in shared}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(terramind_register.tokenizer_dict, "v1", tokenizers)
        backbone = terramind_register.terramind_v1_tiny(modalities=[pixels_key("S2L2A"), key]).eval()
    weights = reference.model.sampler.model.state_dict()
    own = {name: weights[name] for name in backbone.state_dict() if not name.startswith("tokenizer.")}
    backbone.load_state_dict(own, strict=False)
    given = {}
    for name, array in windows.items():
        mean, std = (numbers[:, None, None] for numbers in reference.statistics(name, array.shape[1]))
        standard = torch.from_numpy(((array - mean) / std).astype(np.float32))
        given[key if name == "NDVI" else pixels_key(name)] = standard
    with torch.inference_mode():
        wanted = backbone(given)[-1].mT.unflatten(2, (14, 14)).numpy()
    options = GenerationOptions(inputs=("S2L2A", "NDVI"))
    found = open_generator(bundle, ("embedding",), options=options).generate(windows, {})["embedding"]
    off = relative(found, wanted)
    print(f"S2L2A+NDVI as tokens -> embedding: relative L2 {off:.1e}")
    assert off <= 1e-5


def _graphs(bundle: Bundle) -> list[str]:
    """All graphs but those that make pixels and those that make an input's tokens."""
    return [
        name
        for name in bundle.manifest.files
        if name.endswith(".onnx") and not name.endswith((".step.onnx", ".classes.onnx", ".tokenise.onnx"))
    ]


def test_the_order_of_inputs_decides_nothing(bundle: Bundle, seen: dict[str, np.ndarray]) -> None:
    noise = noise_for(bundle, TARGETS, 2)
    one = generate(bundle, {name: seen[name] for name in ("S1RTC", "DEM")}, noise)[0]
    other = generate(bundle, {name: seen[name] for name in ("DEM", "S1RTC")}, noise)[0]
    for target in TARGETS:
        np.testing.assert_array_equal(one[target], other[target])


@pytest.mark.parametrize("name", TOKENISED)
def test_tokens_of_an_input_are_the_references(
    bundle: Bundle, reference: Reference, seen: dict[str, np.ndarray], name: str
) -> None:
    session = onnxruntime.InferenceSession(str(bundle.folder / bundle.inputs[name].graphs["tokenise"]))
    found = session.run(["ids"], {"windows": seen[name]})[0]
    wanted = reference.tokenise(name, seen[name])
    print(
        f"{name}: {(found == wanted).mean():.2%} of tokens, {len(np.unique(wanted))} distinct of {wanted.size}"
    )
    assert (found == wanted).mean() >= 0.99
    assert len(np.unique(wanted)) >= 2


@pytest.mark.parametrize("name", ["S1RTC", "DEM"])
def test_an_input_seen_as_tokens_leads_to_the_references_targets(
    bundle: Bundle, reference: Reference, seen: dict[str, np.ndarray], name: str
) -> None:
    """The reference is asked by the name that is tokens alone."""
    noise = noise_for(bundle, TARGETS, 2)
    as_tokens = narrow_view(reference, name)
    values, tokens = as_tokens.generate({name: seen[name]}, noise, 2)
    made, found = generate(bundle, {name: seen[name]}, noise, tokenised=(name,))
    for target in TARGETS:
        print(f"{name} as tokens -> {target}: {(found[target] == tokens[target]).mean():.2%} of tokens")
        assert (found[target] == tokens[target]).mean() >= 0.99
    if all((found[target] == tokens[target]).all() for target in TARGETS):
        compare(bundle, made, values)
    pixels = generate(bundle, {name: seen[name]}, noise)[1]
    assert any((pixels[target] != found[target]).mean() > 0.2 for target in TARGETS)


@pytest.mark.parametrize("name", ["S2L2A", "NDVI", "LULC"])
def test_a_reconstruction_is_that_of_the_references_tokenizer(
    bundle: Bundle, reference: Reference, seen: dict[str, np.ndarray], name: str
) -> None:
    """terratorch's own tokenizer there and back; the transformer has no part in it."""
    tokenizer, key = reference.model.tokenizer[tokens_key(name)], tokens_key(name)
    mean, std = (
        numbers[key].numpy()
        for numbers in (reference.model.pretraining_mean, reference.model.pretraining_std)
    )
    noise = noise_for(bundle, (name,), 2)
    options = {"timesteps": 2, "verbose": False} if name in noise else {}
    standard = torch.from_numpy(((seen[name] - mean) / std).astype(np.float32))
    given = mock.patch("torch.randn", lambda *_, **__: torch.from_numpy(noise[name]))
    with torch.inference_mode(), given:
        ids = tokenizer.tokenize(standard)
        decoded = tokenizer.decode_tokens(ids, image_size=(224, 224), **options).numpy()
    settings = GenerationOptions(steps=2, inputs=(name,), reconstruct=True)
    generator = open_generator(bundle, (name,), options=settings)
    assert isinstance(generator, TerraMindGenerator)
    windows = {name: seen[name]}
    random = {name: WindowRandomness(noise.get(name))}
    # A token at an equal lead would change a patch: those of the reference are followed.
    chain = {name: ids.flatten(1).numpy()}
    values, tokens = generator.generate_with_tokens(windows, random, chain)
    equal = float((tokens[name] == chain[name]).mean())
    wanted = decoded if name == "LULC" else (decoded * std + mean) * FACTORS.get(name, 1)
    compare(bundle, values, {name: wanted.astype(np.float32)}, most=1e-5)
    print(f"{name}: {equal:.2%} of tokens, {len(np.unique(chain[name]))} distinct")
    assert equal >= 0.99


def narrow_view(reference: Reference, name: str) -> Reference:
    """The same model, to which an input is tokens alone."""
    inputs = tuple(other for other in reference.inputs if other != name)
    return Reference(reference.model, reference.variant, reference.targets, inputs, (name,), seed=0)


def test_the_selftest_covers_every_input(bundle: Bundle) -> None:
    check = check_bundle(bundle)
    assert check.failures == ()
    assert set(check.tokenised) == set(TOKENISED)


def test_a_map_of_real_backscatter_and_heights(bundle: Bundle, shared_data: Path, tmp_path: Path) -> None:
    """Local items of the real form, pixels of TerraMesh's example: LULC, NDVI and cloud-free optical from radar."""
    catalog = tmp_path / "catalog"
    catalog.mkdir()
    rect, epsg = add_radar(shared_data, catalog, PATCHES[0], start="2021-06-14 05:00:00+00:00")
    add_heights(shared_data, catalog, PATCHES[0])
    left, bottom, right, top = rect.bounds
    outline = lonlat_of(box(left + 504, bottom + 504, right - 504, top - 504), epsg)
    request = RegionRequest(
        region=as_geojson(outline),
        datetime="2021-06",
        catalog=str(catalog),
        out=str(tmp_path / "maps"),
        model=str(bundle.folder),
        inputs=("S1RTC", "DEM"),
        targets=TARGETS,
        steps=2,
    )
    result = map_region(request)
    reflectance, place = read(result.mosaics["S2L2A"])
    assert reflectance.shape == (12, *place.shape)
    for name in TARGETS:
        pixels = read(result.mosaics[name])[0]
        assert (pixels != (0 if name == "LULC" else -32768)).all(), name
        assert len(np.unique(pixels)) > 2, name
    item = json.loads((result.folder / "item.json").read_text())
    bands = item["assets"]["S2L2A"]["bands"]
    assert [band["name"] for band in bands] == list(INPUT_BANDS["S2L2A"])
    assert bands[3]["eo:common_name"] == "red"
    assert verify(result.folder, windows=2, write=False).failure is None
