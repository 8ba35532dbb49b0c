"""Coordinates as output: the words that are drawn, and what they are drawn from, against terratorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

pytest.importorskip("tokenizers", reason="needs the extra `export`")

from terratorch.models.backbones.terramind.tokenizer.text.text_tokenizer import CoordsTokenizer

from terramosaic.errors import ModelError
from terramosaic.model.bundle import Bundle, load_bundle
from terramosaic.model.coordinates import places_on_grid, read_vocabulary
from terramosaic.model.cuda import prepare_transformer
from terramosaic.model.export.bundle import write_bundle
from terramosaic.model.export.reference import WORDS_KEY, Reference
from terramosaic.model.export.vocabulary import made_up_tokenizer, read_tokenizer, vocabulary_of
from terramosaic.model.generator import GenerationOptions
from terramosaic.model.manifest import COORDINATES
from terramosaic.model.opening import open_generator
from terramosaic.model.selftest import check_bundle
from terramosaic.model.terramind import TerraMindGenerator
from tests.export.conftest import narrow_reference
from tests.export.inputs import noise_for, randomness, relative
from tests.export.test_parity import in_reading_order
from tests.support.cuda_emulation import emulated

TARGETS = ("NDVI", "LULC")
ALL = (*TARGETS, COORDINATES)


@pytest.fixture(scope="module")
def reference() -> Reference:
    """Two targets and coordinates; of random weights the words on the grid are made likelier than the 28 000 others."""
    found = narrow_reference(TARGETS, inputs=("S2L2A",), locates=True)
    table = found.model.sampler.model.decoder_embeddings[WORDS_KEY].to_logits.weight
    table[len(made_up_tokenizer().get_vocab()) :] *= 0.2
    return found


@pytest.fixture(scope="module")
def bundle(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_bundle(reference, tmp_path_factory.mktemp("located") / "bundle"))


@pytest.fixture(scope="module")
def said(reference: Reference, bundle: Bundle, windows: np.ndarray) -> dict[str, Any]:
    """The reference's greedy words, and what each was drawn from, float32 (N, words) one after the other."""
    logits: list[np.ndarray] = []
    layer = reference.model.sampler.model.decoder_embeddings[WORDS_KEY].to_logits

    def keep(_: Any, __: Any, made: torch.Tensor) -> None:
        # Of all words so far; the next is drawn from the last.
        logits.append(made.reshape(len(windows), -1, made.shape[-1])[:, -1].numpy().copy())

    hook = layer.register_forward_hook(keep)
    try:
        with in_reading_order():
            values, tokens = reference.generate(
                {"S2L2A": windows}, noise_for(bundle, TARGETS, len(windows)), 1
            )
    finally:
        hook.remove()
    return {"values": values[COORDINATES], "tokens": tokens, "logits": logits}


def test_logits_and_words_equal_the_reference(
    bundle: Bundle, windows: np.ndarray, said: dict[str, Any]
) -> None:
    """The graph by itself at all three steps of terratorch's, on the context of the reference's tokens."""

    def run(file: str, output: str, feeds: dict[str, np.ndarray]) -> np.ndarray:
        found: np.ndarray = onnxruntime.InferenceSession(str(bundle.folder / file)).run([output], feeds)[0]
        return found

    patches = run("S2L2A.embed.onnx", "patches", {"windows": windows})[None]
    ids = np.concatenate([said["tokens"][name] for name in TARGETS], axis=1)
    feeds = {"patches": patches, "image": np.zeros(1, np.int64), "ids": ids, "modality": np.arange(2)}
    context = run("context.onnx", "context", feeds)
    words = np.full((len(windows), 1), 5, np.int64)
    assert len(said["logits"]) == 3
    for number, wanted in enumerate(said["logits"]):
        found = run("coordinates.words.onnx", "logits", {"context": context, "ids": words})
        off = relative(found, wanted)
        print(f"word {number}: relative L2 {off:.1e}, std {wanted.std():.2f}")
        assert wanted.std() > 0.05 and off <= 1e-5
        words = np.concatenate([words, wanted.argmax(1)[:, None]], axis=1)
    assert len(np.unique(said["logits"][0].argmax(1))) > 1, "all windows say the same"


def test_half_precision_says_nearly_the_same(
    bundle: Bundle, windows: np.ndarray, said: dict[str, Any], tmp_path: Path
) -> None:
    """The graphs as CUDA gets them, of the reference's words so far; computed here with the same rounding."""

    def run(file: str, output: str, feeds: dict[str, np.ndarray]) -> np.ndarray:
        prepare_transformer(bundle.folder / file, tmp_path / file)
        found: np.ndarray = emulated(tmp_path / file).run([output], feeds)[0]
        return found

    patches = run("S2L2A.embed.onnx", "patches", {"windows": windows})[None]
    ids = np.concatenate([said["tokens"][name] for name in TARGETS], axis=1)
    feeds = {"patches": patches, "image": np.zeros(1, np.int64), "ids": ids, "modality": np.arange(2)}
    context = run("context.onnx", "context", feeds)
    words = np.column_stack([np.full(len(windows), 5), said["logits"][0].argmax(1)])
    off = relative(
        run("coordinates.words.onnx", "logits", {"context": context, "ids": words}), said["logits"][1]
    )
    print(f"second word in half precision: relative L2 {off:.1e}")
    assert 1e-5 < off <= 1e-2


def test_places_equal_the_reference(bundle: Bundle, windows: np.ndarray, said: dict[str, Any]) -> None:
    options = GenerationOptions(steps=1, sampling="greedy")
    generator = open_generator(bundle, ALL, options=options)
    assert isinstance(generator, TerraMindGenerator)
    given = randomness(ALL, noise_for(bundle, TARGETS, len(windows)), None, len(windows))
    values, tokens = generator.generate_with_tokens({"S2L2A": windows}, given)
    assert all((tokens[name] == said["tokens"][name]).all() for name in TARGETS)
    np.testing.assert_array_equal(tokens[COORDINATES], said["tokens"][COORDINATES])
    np.testing.assert_array_equal(values[COORDINATES], said["values"])


def test_the_selftest_passes(bundle: Bundle) -> None:
    check = check_bundle(bundle)
    assert check.failures == ()
    assert [each.tokens for each in check.targets if each.target == COORDINATES] == [1]


def test_places_are_drawn_from_the_nucleus(bundle: Bundle, windows: np.ndarray) -> None:
    """With other uniform numbers there are other words; with the same, the same, alone and in a batch."""
    generator = open_generator(bundle, (COORDINATES,), options=GenerationOptions())

    def drawn(number: float, some: slice) -> np.ndarray:
        uniform = {COORDINATES: np.full((len(windows[some]), 14, 14), number, np.float32)}
        given = randomness((COORDINATES,), {}, uniform, len(windows[some]))
        assert isinstance(generator, TerraMindGenerator)
        return generator.generate_with_tokens({"S2L2A": windows[some]}, given)[1][COORDINATES]

    low, high = drawn(0.01, slice(3)), drawn(0.95, slice(3))
    assert (low != high).any()
    np.testing.assert_array_equal(drawn(0.01, slice(1, 2)), low[1:2])


def test_words_are_put_in_as_terratorch_does(tmp_path: Path) -> None:
    """Of places everywhere, the word of each; halves of the grid go the same way, and a file tells the same."""
    path = tmp_path / "config.json"
    made_up_tokenizer().save(str(path))
    reference, vocabulary = CoordsTokenizer(str(path)), vocabulary_of(read_tokenizer(path), "it")
    rng = np.random.default_rng(3)
    lonlat = np.stack([rng.uniform(-180, 180, 400), rng.uniform(-90, 90, 400)], axis=1)
    lonlat[:8] = [
        (-180, -90),
        (180, 90),
        (7.125, 45.375),
        (7.375, 45.125),
        (0, 0),
        (0.1, 0.2),
        (-7.125, -45.375),
        (179.9, 89.9),
    ]
    wanted = reference.encode(torch.from_numpy(lonlat))["tensor"].numpy()
    latitudes, longitudes = places_on_grid(lonlat).T
    found = np.stack(
        [np.array(vocabulary.latitudes)[latitudes], np.array(vocabulary.longitudes)[longitudes]], axis=1
    )
    # A number that is rounded to 0 from below is written -0.00 there, which no word is.
    plain = ~((lonlat < 0) & (np.rint(lonlat * 4) == 0)).any(axis=1)
    np.testing.assert_array_equal(found[plain], wanted[plain, :2])
    assert (wanted[:, 2] == vocabulary.end).all() and plain.mean() > 0.99


def test_a_bundle_keeps_the_vocabulary(bundle: Bundle, reference: Reference) -> None:
    assert bundle.manifest.vocabulary == "coordinates.json"
    assert read_vocabulary(bundle.folder / "coordinates.json") == reference.vocabulary


@pytest.mark.parametrize(
    ("content", "message"),
    [("{}", "is no tokenizer of coordinates"), (None, "has no word 'lat=-90.00'")],
)
def test_another_file_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "config.json"
    if content is None:
        tokenizer = made_up_tokenizer()
        path.write_text(tokenizer.to_str().replace("lat=-90.00", "lat=-91.00"))
    else:
        path.write_text(content)
    with pytest.raises(ModelError, match=message):
        vocabulary_of(read_tokenizer(path), str(path))
