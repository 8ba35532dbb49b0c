"""Windows of 256 pixels, as TerraMind's authors map with: positions are stretched as terratorch does it."""

from __future__ import annotations

import numpy as np
import pytest

from terramosaic.model.bundle import Bundle, load_bundle
from terramosaic.model.export.bundle import write_bundle
from terramosaic.model.export.reference import Reference
from terramosaic.model.generator import GenerationOptions
from terramosaic.model.opening import open_generator
from terramosaic.model.selftest import check_bundle
from terramosaic.model.terramind import TerraMindGenerator
from tests.export.conftest import narrow_reference
from tests.export.inputs import noise_for, randomness, relative
from tests.export.test_parity import compare_chains, margins_kept

TARGETS = ("S1RTC", "LULC")
SIDE = 256


@pytest.fixture(scope="module")
def reference() -> Reference:
    """One target by diffusion, one at once; an input of tokens beside pixels."""
    return narrow_reference(TARGETS, inputs=("S2L2A",), tokenised=("NDVI",), window=SIDE)


@pytest.fixture(scope="module")
def bundle(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_bundle(reference, tmp_path_factory.mktemp("wide") / "bundle"))


@pytest.fixture(scope="module")
def wide(windows: np.ndarray) -> np.ndarray:
    """Real windows, mirrored at two edges."""
    beyond = SIDE - windows.shape[-1]
    return np.pad(windows[:2], ((0, 0), (0, 0), (0, beyond), (0, beyond)), mode="reflect")


def test_a_bundle_says_its_window(bundle: Bundle) -> None:
    assert (bundle.manifest.window, bundle.manifest.patches, bundle.manifest.default_stride) == (256, 16, 224)


def test_the_selftest_passes(bundle: Bundle) -> None:
    """That is what the reference made, of inputs and tokenised inputs, with embeddings and the draw of logits."""
    check = check_bundle(bundle)
    assert check.failures == ()
    assert check.tokenised == {"NDVI": 1}
    assert all(found.relative < 1e-4 for found in check.targets)
    assert [found.shared for found in check.targets] == [1, 1, None]


def test_tokens_and_values_equal_the_reference(
    bundle: Bundle, reference: Reference, wide: np.ndarray
) -> None:
    """terratorch, built for 224 pixels and given 256."""
    noise, options = noise_for(bundle, TARGETS, 2), GenerationOptions(steps=2, sampling="greedy")
    generator = open_generator(bundle, TARGETS, options=options)
    assert isinstance(generator, TerraMindGenerator)
    given = randomness(TARGETS, noise, None, 2, patches=16)
    found = generator.generate_with_tokens({"S2L2A": wide}, given)
    with margins_kept(tokens=256) as margins:
        wanted = reference.generate({"S2L2A": wide}, noise, 2)
    compare_chains(bundle, found, wanted, dict(zip(TARGETS, margins, strict=True)))
    # Positions count: at the mirrored rim there would be other tokens than within.
    assert all(len(np.unique(found[1][target])) >= 2 for target in TARGETS)


def test_embeddings_equal_the_reference(bundle: Bundle, reference: Reference, wide: np.ndarray) -> None:
    found = open_generator(bundle, ("embedding",)).generate({"S2L2A": wide}, {})["embedding"]
    off = relative(found, reference.embed({"S2L2A": wide}))
    print(f"embedding {found.shape}: relative L2 {off:.1e}")
    assert found.shape == (2, 192, 16, 16) and off <= 1e-5
