"""Coordinates as input (Figure 17 of the paper): where windows lie, beside what they show, against terratorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

pytest.importorskip("tokenizers", reason="needs the extra `export`")

from terramosaic.model.bundle import Bundle, load_bundle
from terramosaic.model.cuda import prepare_transformer
from terramosaic.model.export.bundle import write_bundle
from terramosaic.model.export.reference import Reference
from terramosaic.model.generator import GenerationOptions
from terramosaic.model.manifest import COORDINATES
from terramosaic.model.opening import open_generator
from terramosaic.model.selftest import check_bundle
from terramosaic.model.terramind import TerraMindGenerator
from tests.export.conftest import narrow_reference
from tests.export.inputs import forced_tokens, noise_for, randomness, relative
from tests.export.test_inputs import hidden_kept
from tests.export.test_parity import compare_chains, margins_kept
from tests.support.cuda_emulation import emulated

TARGETS = ("S1RTC", "LULC")
#: Longitude and latitude of the three windows, and of others; on halves of the grid, south and west, too.
HERE, ELSEWHERE = (
    np.array(places, np.float32)
    for places in (
        [(7.125, 45.375), (-63.4, -8.6), (179.9, 66.1)],
        [(120.3, -31.2), (11.4, 48.1), (-0.3, 5.4)],
    )
)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return narrow_reference(TARGETS, inputs=("S2L2A", "DEM"), placed=True)


@pytest.fixture(scope="module")
def bundle(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_bundle(reference, tmp_path_factory.mktemp("placed") / "bundle"))


def tokens_of(
    bundle: Bundle, windows: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    options = GenerationOptions(steps=1, sampling="greedy", inputs=tuple(windows))
    generator = open_generator(bundle, TARGETS, options=options)
    assert isinstance(generator, TerraMindGenerator)
    return generator.generate_with_tokens(
        windows, randomness(TARGETS, noise_for(bundle, TARGETS, 3), None, 3)
    )


@pytest.mark.parametrize("is_placed", [True, False], ids=["placed", "not placed"])
def test_tokens_and_values_equal_the_reference(
    bundle: Bundle, reference: Reference, windows: np.ndarray, is_placed: bool
) -> None:
    """One bundle is run with coordinates and without."""
    given = {"S2L2A": windows} | ({COORDINATES: HERE} if is_placed else {})
    noise = noise_for(bundle, TARGETS, 3)
    with margins_kept() as margins, hidden_kept(reference) as hidden:
        wanted = reference.generate(given, noise, 1)
    states = forced_tokens(
        bundle, lambda file: onnxruntime.InferenceSession(str(bundle.folder / file)), given, wanted[1]
    )[1]
    for target, state in zip(TARGETS, hidden, strict=True):
        off = relative(states[target], state)
        print(f"{target}: hidden {off:.1e}")
        assert off <= 1e-5
    compare_chains(bundle, tokens_of(bundle, given), wanted, dict(zip(TARGETS, margins, strict=True)))


def test_half_precision_puts_in_the_same(bundle: Bundle, windows: np.ndarray, tmp_path: Path) -> None:
    """Of the graphs as CUDA gets them, with places and without."""

    def context(open_graph: Any, given: dict[str, np.ndarray]) -> np.ndarray:
        chain = {"S1RTC": np.zeros((3, 196), np.int64)}
        found: np.ndarray = forced_tokens(bundle, open_graph, given, chain)[1]["S1RTC"]
        return found

    def prepared(file: str) -> Any:
        prepare_transformer(bundle.folder / file, tmp_path / file)
        return emulated(tmp_path / file)

    for given in ({"S2L2A": windows}, {"S2L2A": windows, COORDINATES: HERE}):
        exact = context(lambda file: onnxruntime.InferenceSession(str(bundle.folder / file)), given)
        off = relative(context(prepared, given), exact)
        print(f"hidden in half precision: relative L2 {off:.1e}")
        assert 1e-5 < off <= 1e-2


def test_where_a_window_lies_counts(bundle: Bundle, windows: np.ndarray) -> None:
    without, here, there = (
        tokens_of(bundle, {"S2L2A": windows} | given)[1]
        for given in ({}, {COORDINATES: HERE}, {COORDINATES: ELSEWHERE})
    )
    for target in TARGETS:
        shares = [float((here[target] != other[target]).mean()) for other in (without, there)]
        print(f"{target}: {shares[0]:.0%} of tokens differ without, {shares[1]:.0%} elsewhere")
    assert any((here[target] != without[target]).any() for target in TARGETS)
    assert any((here[target] != there[target]).any() for target in TARGETS)


def test_the_selftest_passes(bundle: Bundle) -> None:
    check = check_bundle(bundle)
    assert check.failures == ()
    assert [each.target for each in check.targets] == [*TARGETS, "embedding"]


def test_the_graph_of_places_is_small(bundle: Bundle) -> None:
    """A row for each word on the grid and one for the end, and not for 30 000."""
    spec = bundle.manifest.files["coordinates.embed.data"]
    assert 721 + 1441 + 1 == 2163 and spec.size == pytest.approx(2163 * 192 * 4, rel=0.01)
