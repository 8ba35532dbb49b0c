"""How large blocks are where nobody says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from terramosaic.model.bundle import Bundle, load_bundle
from terramosaic.planning.blocks import block_size_for
from terramosaic.planning.prepared import Prepared
from terramosaic.request.request import RegionRequest

DEMO = load_bundle("demo")
WHERE = {"region": (14, 45, 14.1, 45.1), "datetime": "2023"}


def a_bundle(family: str, dates: int = 1) -> Bundle:
    """The demo, as if it were another model."""
    inputs = {name: spec.model_copy(update={"dates": dates}) for name, spec in DEMO.inputs.items()}
    return replace(DEMO, manifest=DEMO.manifest.model_copy(update={"family": family, "inputs": inputs}))


@pytest.mark.parametrize(
    ("bundle", "device", "size"),
    [
        (DEMO, "cpu", 2048),
        (DEMO, "cuda", 2048),
        (a_bundle("terramind"), "cpu", 2048),
        (a_bundle("terramind"), "cuda", 8192),
        (a_bundle("terramind"), "cuda:1", 8192),
        (a_bundle("segmentation"), "cuda", 4096),
        (a_bundle("segmentation", dates=3), "cuda", 2048),
    ],
)
def test_what_suits_model_and_device(bundle, device, size):
    assert block_size_for(bundle, device) == size


def test_a_plan_keeps_the_size_that_was_found():
    assert Prepared.of(RegionRequest(**WHERE, block_size="auto")).request.block_size == 2048
    assert Prepared.of(RegionRequest(**WHERE, block_size=1024)).request.block_size == 1024
