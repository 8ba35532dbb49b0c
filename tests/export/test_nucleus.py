"""Drawing from the nucleus without sorting: which tokens stay, how often each is drawn, and the odd cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from terratorch.models.backbones.terramind.model.generate import GenerationSampler

from terramosaic.model.export.nucleus import draw

TOP_P = torch.tensor([0.8])
DRAWS = 100_000


@pytest.fixture(scope="module")
def sampler() -> GenerationSampler:
    return GenerationSampler(torch.nn.Identity())


def nucleus(sampler: GenerationSampler, logits: torch.Tensor, top_p: float = 0.8) -> np.ndarray:
    """Probabilities of the reference's nucleus, float64."""
    kept = sampler.top_k_top_p_filtering(logits[None].clone(), 0, top_p)[0]
    return torch.softmax(kept.double(), 0).numpy()


def chi_square(drawn: np.ndarray, probability: np.ndarray) -> float:
    """The p-value of draws; tokens expected less than ten times are taken together."""
    counts = np.bincount(drawn, minlength=len(probability))
    assert not counts[probability == 0].any(), "a token outside the nucleus was drawn"
    often = probability * len(drawn) >= 10
    rare = ~often & (probability > 0)
    observed, expected = counts[often], probability[often] * len(drawn)
    if rare.any():
        observed = np.append(observed, counts[rare].sum())
        expected = np.append(expected, probability[rare].sum() * len(drawn))
    return float(chisquare(observed, expected).pvalue)


@pytest.mark.parametrize("spread", [1.5, 3.0, 6.0])
def test_draws_follow_the_references_distribution(sampler: GenerationSampler, spread: float) -> None:
    """A hundred thousand draws of one vector of logits, by us and by the reference, both against its exact nucleus."""
    torch.manual_seed(3)
    logits = torch.randn(4375) * spread
    probability = nucleus(sampler, logits)
    rng = np.random.default_rng(4)
    ours, theirs = [], []
    for _ in range(DRAWS // 1000):
        uniform = torch.from_numpy(rng.random((1, 1000), np.float32))
        ours.append(draw(logits.expand(1, 1000, -1), uniform, TOP_P).ravel())
        theirs.append(sampler.sample_tokens(logits.repeat(1000, 1), 1.0, 0, 0.8)[0])
    p_ours, p_theirs = (chi_square(torch.cat(drawn).numpy(), probability) for drawn in (ours, theirs))
    size = (probability > 0).sum()
    print(f"nucleus of {size} tokens: chi-square p {p_ours:.3f}, of the reference's own draws {p_theirs:.3f}")
    assert p_ours > 1e-3


@pytest.mark.parametrize("codes", [100, 128, 4375, 15360])
@pytest.mark.parametrize("top_p", [0.1, 0.8, 0.999])
def test_the_same_tokens_stay(sampler: GenerationSampler, codes: int, top_p: float) -> None:
    """Sweeping the uniform over [0, 1) draws each token of the nucleus, first and last included, and no other."""
    torch.manual_seed(codes)
    logits = torch.randn(codes) * 2
    kept = np.flatnonzero(nucleus(sampler, logits, top_p))
    probability = nucleus(sampler, logits, top_p)[kept]
    ends = np.cumsum(probability)
    middles = np.concatenate([ends - probability / 2, [0.0, 1 - 2**-24]]).astype(np.float32)
    drawn = draw(logits.expand(1, len(middles), -1), torch.from_numpy(middles)[None], torch.tensor([top_p]))[
        0
    ].numpy()
    assert drawn[-2] == kept[0]
    assert drawn[-1] == kept[-1]
    # A middle of a sliver may fall to its neighbour by rounding.
    clear = probability > 1e-5
    np.testing.assert_array_equal(drawn[:-2][clear], kept[clear])


def test_no_mass_is_greedy() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 50, 4375)
    uniform = torch.rand(2, 50)
    np.testing.assert_array_equal(draw(logits, uniform, torch.zeros(1)), logits.argmax(-1))


def test_logits_that_are_no_numbers_make_no_token() -> None:
    logits = torch.randn(1, 3, 300)
    logits[0, 1, 7] = float("nan")
    for top_p in (TOP_P, torch.zeros(1)):
        drawn = draw(logits, torch.rand(1, 3), top_p)[0]
        assert drawn[1] == -1
        assert (drawn[[0, 2]] >= 0).all()


def test_one_certain_token_and_all_alike() -> None:
    certain = torch.zeros(1, 1, 300)
    certain[..., 77] = 100
    for share in (0.0, 0.5, 1 - 2**-24):
        assert draw(certain, torch.full((1, 1), share), TOP_P).item() == 77
    alike = draw(torch.zeros(1, 11, 300), torch.linspace(0, 0.999, 11)[None], TOP_P)[0]
    # Among equals the reference keeps those that its sort puts first; here all stay.
    assert alike[0] == 0
    assert (alike.diff() > 0).all()
    assert alike.max() < 300
