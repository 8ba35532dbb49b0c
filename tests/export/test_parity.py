"""The exported bundle against terratorch, on real windows: tokens, values, classes, sampling, and the whole forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import onnxruntime
import pytest
import torch
from terratorch.models.backbones.terramind.model.generate import GenerationSampler

from terramosaic.model.bundle import Bundle, load_bundle
from terramosaic.model.export.bundle import write_bundle
from terramosaic.model.export.random_weights import randomise
from terramosaic.model.export.reference import Reference, build_model
from terramosaic.model.generator import GenerationOptions
from terramosaic.model.opening import open_generator
from terramosaic.model.terramind import TerraMindGenerator
from tests.export.inputs import noise_for, randomness, relative, standardised

Build = Callable[[Sequence[str]], Reference]

#: 1 to 4 targets, and two orders of four.
CHAINS = [
    ("S1GRD",),
    ("NDVI", "LULC"),
    ("DEM", "S1RTC", "NDVI"),
    ("S1GRD", "S1RTC", "NDVI", "LULC"),
    ("LULC", "NDVI", "S1RTC", "S1GRD"),
]


def generate(
    bundle: Bundle,
    targets: Sequence[str],
    windows: np.ndarray,
    noise: dict[str, np.ndarray],
    uniform: dict[str, np.ndarray] | None = None,
    **options: Any,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    settings = GenerationOptions(sampling="greedy" if uniform is None else "nucleus", **options)
    generator = open_generator(bundle, targets, options=settings)
    assert isinstance(generator, TerraMindGenerator)
    return generator.generate_with_tokens(
        {"S2L2A": windows}, randomness(targets, noise, uniform, len(windows))
    )


def compare(
    bundle: Bundle,
    found: dict[str, np.ndarray],
    wanted: dict[str, np.ndarray],
    most: float = 1e-4,
) -> None:
    """Asserts that values and logits agree to ``most`` (relative L2) and classes everywhere; prints how well."""
    for target, values in found.items():
        if bundle.targets[target].classes:
            probabilities = torch.softmax(torch.from_numpy(wanted[target]), dim=1).numpy()
            off = relative(values, probabilities)
            assert_same_classes(values, wanted[target])
        else:
            off = relative(standardised(bundle, target, values), standardised(bundle, target, wanted[target]))
            assert standardised(bundle, target, wanted[target]).std() > 0.05
        print(f"{target}: relative L2 {off:.1e}")
        assert off <= most, target


def assert_same_classes(found: np.ndarray, logits: np.ndarray) -> None:
    """All pixels have the reference's class, but where its two likeliest are equal to rounding."""
    second, first = np.sort(logits, axis=1)[:, -2:].swapaxes(0, 1)
    differs = found.argmax(1) != logits.argmax(1)
    assert not differs[first - second > 1e-5].any()
    assert differs.mean() < 1e-4


@contextmanager
def margins_kept(tokens: int = 196) -> Iterator[list[np.ndarray]]:
    """By how much each token's largest logit leads, float32 (N, tokens) for each target, tokens in reading order."""
    sample, margins = GenerationSampler.sample_tokens, []

    def keeping(self: Any, logits: torch.Tensor, *options: Any, **more: Any) -> Any:
        first, second = logits.topk(2).values.T
        margins.append((first - second).reshape(-1, tokens).numpy())
        return sample(self, logits, *options, **more)

    with in_reading_order(), mock.patch.object(GenerationSampler, "sample_tokens", keeping):
        yield margins


def in_reading_order() -> Any:
    """terratorch draws an order of tokens that changes nothing; this is the plain one."""
    return mock.patch("torch.rand", lambda n, **_: torch.arange(n) / n)


Generated = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


def compare_chains(
    bundle: Bundle, found: Generated, wanted: Generated, margins: dict[str, np.ndarray] | None = None
) -> None:
    """Asserts that tokens are the same, and values where they are, target after target.

    A token may differ only where two were equal to rounding: with ``margins``, where the reference's lead is below
    1e-4; else, one in a hundred. A window in which one did has another chain, and is left out from there on.
    """
    same_chain = np.ones(len(next(iter(found[1].values()))), bool)
    for target in found[1]:
        equal = found[1][target] == wanted[1][target]
        print(f"{target}: {equal[same_chain].mean():.2%} of tokens agree, in {same_chain.sum()} windows")
        if margins is not None:
            assert (equal | (margins[target] < 1e-4))[same_chain].all()
        assert equal[same_chain].mean() >= 0.99
        same_chain &= equal.all(1)
        assert same_chain.any()
        compare(bundle, *({target: values[target][same_chain]} for values in (found[0], wanted[0])))


@pytest.mark.parametrize("targets", CHAINS, ids=",".join)
def test_greedy_tokens_and_values_equal_the_reference(
    bundle: Bundle, reference_for: Build, windows: np.ndarray, targets: tuple[str, ...]
) -> None:
    noise = noise_for(bundle, targets, len(windows))
    found = generate(bundle, targets, windows, noise, steps=1)
    reference = reference_for(targets)
    with margins_kept() as margins:
        wanted = reference.generate({"S2L2A": windows}, noise, steps=1)
    compare_chains(bundle, found, wanted, dict(zip(targets, margins, strict=True)))


def test_the_comparison_is_not_empty(bundle: Bundle, windows: np.ndarray) -> None:
    """Tokens vary over a window and over windows, and each target's depend on those before it and on their order."""
    noise = noise_for(bundle, bundle.targets, len(windows))
    targets = ("S1GRD", "S1RTC", "NDVI", "LULC")

    def tokens(*targets: str, **options: Any) -> dict[str, np.ndarray]:
        return generate(bundle, targets, windows, noise, steps=1, **options)[1]

    chained, backwards = tokens(*targets), tokens(*targets[::-1])
    independent = tokens(*targets, conditioning="independent")
    for place, target in enumerate(targets):
        found = chained[target]
        distinct = [len(np.unique(window)) for window in found]
        differ = float((found[0] != found[1]).mean())
        order = float((found != backwards[target]).mean())
        chain = float((found != independent[target]).mean())
        print(f"{target}: {distinct} distinct tokens in a window; of {differ:.0%} between windows, {order:.0%} by "
              f"order, {chain:.0%} without a chain")  # fmt: skip
        # With the random weights of six inputs the least have 2 and 4, NDVI's.
        assert max(distinct) >= 2
        assert len(np.unique(found)) >= 4
        assert differ > 0.5
        assert order > 0.5
        assert chain == 0 if place == 0 else chain > 0.5


def test_independent_targets_do_not_depend_on_the_others(bundle: Bundle, windows: np.ndarray) -> None:
    noise = noise_for(bundle, ("NDVI", "LULC"), len(windows))
    together = generate(bundle, ("NDVI", "LULC"), windows, noise, steps=1, conditioning="independent")[0]
    alone = generate(bundle, ("LULC",), windows, noise, steps=1, conditioning="independent")[0]
    np.testing.assert_array_equal(together["LULC"], alone["LULC"])


@pytest.mark.parametrize("steps", [1, 4, 10])
def test_diffusion_equals_the_reference(
    bundle: Bundle, narrow: Reference, windows: np.ndarray, steps: int
) -> None:
    """All five targets in a chain, from the same noise."""
    noise = noise_for(bundle, narrow.targets, 2, seed=steps)
    found = generate(bundle, narrow.targets, windows[:2], noise, steps=steps)
    with margins_kept() as margins:
        wanted = narrow.generate({"S2L2A": windows[:2]}, noise, steps)
    compare_chains(bundle, found, wanted, dict(zip(narrow.targets, margins, strict=True)))


def test_a_wider_bound_lets_extremes_out(bundle: Bundle, windows: np.ndarray) -> None:
    noise = noise_for(bundle, ("NDVI",), 1)
    bounded = standardised(
        bundle, "NDVI", generate(bundle, ("NDVI",), windows[:1], noise, steps=4)[0]["NDVI"]
    )
    free = standardised(
        bundle, "NDVI", generate(bundle, ("NDVI",), windows[:1], noise, steps=4, x0_clip=3)[0]["NDVI"]
    )
    assert np.abs(bounded).max() <= 1 + 1e-6
    assert 1.2 < np.abs(free).max() <= 3 + 1e-6


def test_lulc_logits_equal_the_reference(bundle: Bundle, narrow: Reference, windows: np.ndarray) -> None:
    wanted, tokens = narrow.generate({"S2L2A": windows[:1]}, noise_for(bundle, narrow.targets, 1), 1)
    levels = np.array(bundle.targets["LULC"].codebook_levels)
    basis = np.cumprod([1, *levels[:-1]])
    digits = tokens["LULC"].reshape(1, 1, 14, 14) // basis[:, None, None] % levels[:, None, None]
    code = (digits / (levels[:, None, None] - 1)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(bundle.folder / "LULC.classes.onnx"))
    probabilities, logits = session.run(["probabilities", "logits"], {"code": code})
    assert relative(logits, wanted["LULC"]) <= 1e-4
    assert_same_classes(logits, wanted["LULC"])
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert len(np.unique(logits.argmax(1))) > 5


@contextmanager
def given_uniforms(uniform: dict[str, np.ndarray], targets: Sequence[str]) -> Iterator[None]:
    """terratorch with tokens in reading order, drawn by the inverse of their cumulative distribution from uniforms."""
    waiting = iter([uniform[target] for target in targets])

    def multinomial(probabilities: torch.Tensor, count: int) -> torch.Tensor:
        share = torch.from_numpy(next(waiting)).reshape(-1, 1).double()
        sums = probabilities.double().cumsum(dim=1)
        return (sums <= share * sums[:, -1:]).sum(dim=1, keepdim=True)

    with in_reading_order(), mock.patch("torch.multinomial", multinomial):
        yield


@pytest.mark.parametrize("targets", CHAINS[-2:], ids=",".join)
def test_the_whole_forward_equals_the_reference(
    bundle: Bundle, reference_for: Build, windows: np.ndarray, targets: tuple[str, ...]
) -> None:
    """Nucleus sampling and noise included: only what terratorch draws by itself is replaced by the same numbers."""
    rng = np.random.default_rng(5)
    count = len(windows)
    noise = noise_for(bundle, targets, count, seed=5)
    uniform = {target: rng.random((count, 14, 14), np.float32) for target in targets}
    found = generate(bundle, targets, windows, noise, uniform, steps=2)
    reference = reference_for(targets)
    with given_uniforms(uniform, targets):
        wanted = reference.generate({"S2L2A": windows}, noise, 2, greedy=False)
    compare_chains(bundle, found, wanted)


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> tuple[Reference, Bundle]:
    """NDVI with the U-Net of 196 million parameters."""
    torch.manual_seed(0)
    model = build_model("terramind_v1_tiny", ["NDVI"])
    randomise(model, 0)
    reference = Reference(model, "terramind_v1_tiny", ("NDVI",), seed=0)
    return reference, load_bundle(write_bundle(reference, tmp_path_factory.mktemp("full") / "bundle"))


def test_the_full_size_unet_equals_the_reference(
    full_size: tuple[Reference, Bundle], windows: np.ndarray
) -> None:
    """One window, few steps; on the CPU its wide convolutions are rewritten, which narrow ones are not."""
    reference, full = full_size
    noise = noise_for(full, ("NDVI",), 1)
    values, tokens = generate(full, ("NDVI",), windows[:1], noise, steps=2)
    wanted, wanted_tokens = reference.generate({"S2L2A": windows[:1]}, noise, 2)
    np.testing.assert_array_equal(tokens["NDVI"], wanted_tokens["NDVI"])
    compare(full, values, wanted)
