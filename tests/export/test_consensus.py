"""What windows share tokens of: exported logits against those of terratorch, and the draw against the bundle's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from terramosaic.model.bundle import Bundle
from terramosaic.model.export.reference import Reference, tokens_key
from terramosaic.model.generator import GenerationOptions, GeneratorOfLogits
from terramosaic.model.opening import open_generator
from tests.export.inputs import noise_for, randomness, relative
from tests.export.test_parity import in_reading_order

TARGETS = ("S1GRD", "S1RTC", "NDVI", "LULC", "DEM")


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> GeneratorOfLogits:
    found = open_generator(bundle, TARGETS, options=GenerationOptions(steps=1, consensus=True))
    assert isinstance(found, GeneratorOfLogits)
    return found


def test_logits_equal_the_reference(
    model: GeneratorOfLogits, narrow: Reference, bundle: Bundle, windows: np.ndarray
) -> None:
    """A chain of all targets, each seeing the reference's tokens; terratorch gives logits in its order of decoding."""
    wanted: dict[str, np.ndarray] = {}
    hooks = []
    for target in TARGETS:
        layer = narrow.model.sampler.model.decoder_embeddings[tokens_key(target)].to_logits

        def keep(_: Any, __: Any, logits: torch.Tensor, target: str = target) -> None:
            wanted[target] = logits.detach().reshape(len(windows), 196, -1).numpy()

        hooks.append(layer.register_forward_hook(keep))
    try:
        with in_reading_order(), torch.no_grad():
            _, chain = narrow.generate({"S2L2A": windows}, noise_for(bundle, TARGETS, len(windows)), 1)
    finally:
        for hook in hooks:
            hook.remove()
    for k, target in enumerate(TARGETS):
        seen = {name: chain[name] for name in TARGETS[:k]}
        found = model.logits({"S2L2A": windows}, target, seen)
        off = relative(found, wanted[target])
        print(f"{target}: {found.shape[-1]} codes, relative L2 {off:.1e}, std {wanted[target].std():.2f}")
        assert wanted[target].std() > 0.05 and off <= 1e-4
        assert (found.argmax(2) == wanted[target].argmax(2)).mean() >= 0.99


def test_a_window_alone_draws_its_own_tokens(
    model: GeneratorOfLogits, bundle: Bundle, windows: np.ndarray
) -> None:
    """Both codebooks' sizes through the one graph that draws, against each target's own; not a token differs."""
    rng = np.random.default_rng(6)
    uniform = {target: rng.random((len(windows), 14, 14), np.float32) for target in TARGETS}
    noise = noise_for(bundle, TARGETS, len(windows))
    given = {"S2L2A": windows}
    _, tokens = model.generate_with_tokens(given, randomness(TARGETS, noise, uniform, len(windows)))
    for k, target in enumerate(TARGETS):
        said = model.logits(given, target, {name: tokens[name] for name in TARGETS[:k]})
        drawn = model.draw(target, said.reshape(-1, said.shape[-1]), uniform[target].ravel())
        # With the random weights of six inputs NDVI has the fewest, 7.
        assert len(np.unique(drawn)) > 4
        np.testing.assert_array_equal(drawn, tokens[target].ravel())
