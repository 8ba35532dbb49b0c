"""Drawing from the nucleus without sorting: which tokens stay, how often each is drawn, and the odd cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from terratorch.models.backbones.terramind.model.generate import GenerationSampler
from torch.nn import functional

from terramosaic.model.export.nucleus import _inverse, _least_kept, draw

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


def kept_by_sorting(logits: torch.Tensor, top_p: float) -> np.ndarray:
    """Which tokens are in the nucleus, bool (rows, codes), in double precision: those with no more than p before."""
    weight = np.exp(logits.double().numpy() - logits.double().numpy().max(axis=1, keepdims=True))
    order = np.argsort(-weight, axis=1, kind="stable")
    ranked = np.take_along_axis(weight, order, axis=1)
    before = ranked.cumsum(axis=1) - ranked
    last = ranked.shape[1] - 1 - (before <= top_p * ranked.sum(axis=1, keepdims=True))[:, ::-1].argmax(axis=1)
    return np.asarray(weight >= ranked[np.arange(len(ranked)), last][:, None])


def drawn_by_halving(logits: torch.Tensor, uniform: torch.Tensor, top_p: float) -> torch.Tensor:
    """As bundles of 0.1 and 0.2 drew: the nucleus' end by 25 halvings, each of which sums all weights above it."""
    below = logits - logits.amax(dim=-1, keepdim=True)
    weight = below.exp()
    most = top_p * weight.sum(dim=-1, keepdim=True)
    low, high = torch.full_like(most, -30.0), torch.zeros_like(most)
    for _ in range(25):
        middle = (low + high) * 0.5
        is_kept = torch.where(below > middle, weight, 0.0).sum(dim=-1, keepdim=True) <= most
        high, low = torch.where(is_kept, middle, high), torch.where(is_kept, low, middle)
    return _inverse(torch.where(below > low, weight, 0.0), uniform)


def _rows(kind: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    normal, chance = (make(40, 15360, generator=generator) for make in (torch.randn, torch.rand))
    if kind.startswith("normal"):
        return normal * float(kind.split()[1])
    return {
        "long tails": normal * 0.1 / chance.clamp(min=1e-3),
        "a bump": torch.where(chance < 0.02, normal, normal * 0.5 - 4) * 0.5,
        "flat": torch.zeros(40, 15360),
        "few values": (chance * 4).floor(),
        "half impossible": normal.masked_fill(chance < 0.5, -torch.inf),
        "certain": normal + 60 * functional.one_hot(torch.arange(40) * 380, 15360),
        "far apart": normal * 1e4,
    }[kind]


KINDS = (
    *(f"normal {spread}" for spread in (0.003, 0.3, 1, 2, 4, 8)),
    "long tails", "a bump", "flat", "few values", "half impossible", "certain", "far apart",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("top_p", [1e-3, 0.8, 0.999, 1.0])
def test_the_nucleus_is_that_of_sorting_and_draws_are_those_of_halving(kind: str, top_p: float) -> None:
    logits = _rows(kind)
    weight = (logits - logits.amax(dim=-1, keepdim=True)).exp()
    total = weight.sum(dim=-1, keepdim=True)
    kept = (weight >= _least_kept(weight, total, torch.tensor([top_p]))).numpy()
    wanted = kept_by_sorting(logits, top_p) & (
        weight.numpy() >= np.exp(-30)
    )  # below it there is no mass at all
    share = weight.numpy() / total.numpy()
    # Single precision may put the end elsewhere among weights that are as good as equal, or that are next to nothing.
    assert (share * (kept != wanted)).sum(axis=1).max() < 2e-4 and (kept == wanted).mean() > 0.99
    assert ((share * kept).sum(axis=1) > min(top_p, 0.999) - 1e-5).all()
    uniform = torch.rand(40, generator=torch.Generator().manual_seed(8))
    drawn = draw(logits, uniform, torch.tensor([top_p]))
    assert kept[np.arange(40), drawn].all()
    same = drawn == drawn_by_halving(logits, uniform, top_p)
    assert same.sum() >= (20 if kind == "normal 0.003" else 38), f"{same.sum()} of 40"


def test_a_row_does_not_depend_on_its_companions() -> None:
    """Rows that end in each of the three steps, together, alone and in another order."""
    logits = torch.cat([_rows(kind)[:5] for kind in ("normal 2", "few values", "long tails", "certain")])
    uniform = torch.linspace(0, 0.99, len(logits))
    together = draw(logits, uniform, TOP_P)
    turned = torch.arange(len(logits)).flip(0)
    np.testing.assert_array_equal(draw(logits[turned], uniform[turned], TOP_P), together[turned])
    for number, token in enumerate(together):
        assert draw(logits[number : number + 1], uniform[number : number + 1], TOP_P).item() == token
