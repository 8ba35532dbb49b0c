"""A U-Net as others publish them, exported by torch, packed, and mapped: it makes what torch makes, on real pixels.

The architecture is that of Fields of The World's models (segmentation-models-pytorch, EfficientNet-B3, numbers over
3 000, three classes) on one date; its weights are seeded, for the published ones cannot be had here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import yaml

from terramosaic import load_bundle, map_region, verify
from terramosaic.ground.grid import Rect
from terramosaic.model.packing import pack_model, read_spec
from tests.export.conftest import read_patches
from tests.integration.conftest import LAND, land  # noqa: F401  (a fixture)
from tests.support.pixels import read

smp = pytest.importorskip("segmentation_models_pytorch", reason="comes with the extra `export`")

SIDE = 256
BANDS = ["B04", "B03", "B02", "B08"]
SPEC = {
    "name": "fields",
    "source": "tests",
    "licence": "Apache-2.0",
    "window": SIDE,
    "stride": 192,
    "inputs": {"S2L2A": {"bands": BANDS, "unit": "DN", "mean": [0.0] * 4, "std": [3000.0] * 4}},
    "targets": {
        "fields": {
            "output": "logits",
            "classes": [
                {"name": "background", "colour": "#d9d0c1"},
                {"name": "field", "colour": "#6b8e23"},
                {"name": "boundary", "colour": "#8b1a1a"},
            ],
        }
    },
}


@pytest.fixture(scope="module")
def unet() -> torch.nn.Module:
    torch.manual_seed(0)
    model = smp.Unet("efficientnet-b3", encoder_weights=None, in_channels=len(BANDS), classes=3)
    with torch.no_grad():  # running averages that have seen something, so that layers do more than pass on
        model.train()(torch.randn(4, len(BANDS), SIDE, SIDE))
    return model.eval()


@pytest.fixture(scope="module")
def packed(unet: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fields")
    torch.onnx.export(
        unet,
        (torch.zeros(2, len(BANDS), SIDE, SIDE),),
        folder / "fields.onnx",
        input_names=["image"],
        output_names=["scores"],
        dynamic_axes={"image": {0: "batch"}, "scores": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )
    (folder / "fields.yaml").write_text(yaml.safe_dump(SPEC))
    pack_model(folder / "fields.onnx", read_spec(folder / "fields.yaml"), folder / "bundle")
    return folder / "bundle"


def test_the_bundle_makes_what_torch_makes_of_real_pixels(
    unet: torch.nn.Module, packed: Path, shared_data: Path
) -> None:
    order = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]
    patches = read_patches(shared_data, "S2L2A")[:, [order.index(band) for band in BANDS], :224, :224]
    windows = np.pad(patches, ((0, 0), (0, 0), (0, SIDE - 224), (0, SIDE - 224)), mode="reflect")
    with torch.no_grad():
        wanted = torch.softmax(unet(torch.from_numpy(windows / 3000)), dim=1).numpy()
    spec = load_bundle(packed).targets["fields"]
    session = onnxruntime.InferenceSession(
        packed / spec.graphs["generate"], providers=["CPUExecutionProvider"]
    )
    (feed,) = session.get_inputs()
    (made,) = session.run(None, {feed.name: windows})
    np.testing.assert_allclose(made, wanted, atol=1e-4)
    assert len(np.unique(wanted.argmax(1))) > 1


def test_it_is_mapped_and_verified(land, packed: Path, tmp_path: Path) -> None:  # noqa: F811
    rect = Rect(LAND.row + 60, LAND.col + 80, 200, 220)
    result = map_region(land.request(rect, tmp_path / "out", model=str(packed), targets=("fields",)))
    fields, _ = read(result.mosaics["fields"])
    assert set(np.unique(fields)) <= {0, 1, 2, 3} and (fields > 0).mean() > 0.9
    found = verify(result, seed=0)
    assert found.verified and not found.differing and not found.flaws
