"""A model as a STAC item of the MLM extension: a bundle's own is valid and leads back, others become what they say."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pystac.validation
import pytest
from onnx import helper
from pystac.validation import RegisteredValidator

from terramosaic.errors import ModelError, OutputError, RequestError
from terramosaic.model.bundle import Bundle, load_bundle
from terramosaic.model.mlm.fetching import pack_item
from terramosaic.model.mlm.writing import item_of, write_item
from tests.support.file_server import serve_files
from tests.unit.model.test_packing import DATED, SIDE, conv, graph, made, of_dates

#: What an item of another maker tells of a model of two bands, and of land and water.
TOLD: dict[str, Any] = {
    "type": "Feature",
    "stac_version": "1.1.0",
    "stac_extensions": ["https://stac-extensions.github.io/mlm/v1.5.2/schema.json"],
    "id": "water",
    "properties": {
        "license": "Apache-2.0",
        "mlm:name": "Water by NDWI",
        "mlm:input": [
            {
                "name": "green and near infrared",
                "bands": ["B3", {"name": "nir"}],
                "input": {
                    "shape": [-1, 2, SIDE, SIDE],
                    "dim_order": ["batch", "bands", "height", "width"],
                    "data_type": "float32",
                },
                "value_scaling": [{"type": "z-score", "mean": 0, "stddev": 3000}],
            }
        ],
        "mlm:output": [
            {
                "name": "water mask",
                "tasks": ["semantic-segmentation"],
                "result": {"shape": [-1, 2, SIDE, SIDE], "dim_order": ["batch", "class", "height", "width"]},
                "post_processing_function": {"format": "python", "expression": "torch.softmax"},
                "classification:classes": [
                    {"value": 1, "name": "water", "color_hint": "2B6CB0"},
                    {"value": 0, "name": "dry", "title": "dry land"},
                ],
            }
        ],
    },
    "links": [{"rel": "cite-as", "href": "https://example.org/ndwi"}],
    "assets": {
        "weights": {"href": "model.pt", "roles": ["mlm:model"], "mlm:artifact_type": "torch.save"},
        "model": {"href": "./model.onnx", "roles": ["mlm:model"], "mlm:artifact_type": "onnx"},
    },
}


def told(folder: Path, **changes: Any) -> Path:
    """The item and its model, with other values in the item's one input, its one output or elsewhere."""
    graph(
        folder / "model.onnx",
        [helper.make_node("Conv", ["windows", "weights"], ["made"])],
        {"windows": ("n", 2, SIDE, SIDE)},
        {"made": ("n", 2, SIDE, SIDE)},
        weights=conv((-1.0, 1.0), (1.0, -1.0)),
    )
    item = copy.deepcopy(TOLD)
    item["properties"]["mlm:input"][0] |= changes.pop("input", {})
    item["properties"]["mlm:output"][0] |= changes.pop("output", {})
    path = folder / "item.json"
    path.write_text(json.dumps(item | changes), encoding="utf-8")
    return path


def refusal(path: Path, said: dict[str, Any] | None = None) -> str:
    with pytest.raises((RequestError, ModelError, OutputError)) as error:
        pack_item(str(path), path.parent / "bundle", said)
    assert not (path.parent / "bundle").exists() and "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle of that model."""
    (tmp_path / "told").mkdir()
    return pack_item(str(told(tmp_path / "told")), tmp_path / "water").bundle


def test_an_item_of_another_maker_becomes_the_model_that_it_describes(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert manifest.window == SIDE and manifest.name == "Water-by-NDWI"
    assert (manifest.source, manifest.licence) == ("https://example.org/ndwi", "Apache-2.0")
    assert bundle.bands == ("B03", "B08") and manifest.inputs["S2L2A"].std == (3000.0, 3000.0)
    classes = bundle.targets["waterMask"].classes
    # Planes are in the order of values, of which 0 is no data in a mosaic: so they count from 1.
    assert [(item.value, item.name) for item in classes] == [(1, "dry land"), (2, "water")]
    assert classes[1].colour == "#2b6cb0"
    windows = np.full((1, 2, SIDE, SIDE), 900, np.float32)
    windows[:, 0] = 1800
    # Logits of -0.3 and 0.3.
    expected = 1 / (1 + np.exp(-0.6))
    assert made(bundle, S2L2A=windows)["waterMask"][0, 1] == pytest.approx(
        np.full((SIDE, SIDE), expected), abs=1e-6
    )


def test_a_spec_goes_before_what_the_item_tells(tmp_path: Path) -> None:
    path = told(tmp_path)
    said = {
        "stride": 24,
        "inputs": {"S2L2A": {"unit": "reflectance"}},
        "targets": {"waterMask": {"output": "logits"}},
    }
    manifest = pack_item(str(path), tmp_path / "bundle", said).bundle.manifest
    assert manifest.stride == 24 and manifest.inputs["S2L2A"].std is None
    assert manifest.targets["waterMask"].classes[0].name == "dry land"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"input": {"value_scaling": None}}, "inputs.S2L2A.unit, whether DN or reflectance"),
        ({"input": {"value_scaling": [{"type": "clip", "minimum": 0}]}}, "value_scaling clip is not done here"),
        ({"input": {"pre_processing_function": {"expression": "x"}}}, "pre_processing_function is not run here"),
        ({"input": {"bands": ["B03", "thermal"]}}, "B03, thermal belongs to no input"),
        ({"input": {"bands": []}}, "no bands belongs to no input"),
        ({"output": {"post_processing_function": None}}, "targets.waterMask.output, whether logits or probabilities"),
        ({"assets": {"w": TOLD["assets"]["weights"]}}, "has no ONNX models among its assets (torch.save)"),
        ({"properties": {}}, "no STAC item of a model"),
        ({"assets": {"model": {**TOLD["assets"]["model"], "href": "gone.onnx"}}}, "gone.onnx is no ONNX model"),
    ],
)  # fmt: skip
def test_what_an_item_leaves_open_is_asked_for_in_a_line(
    tmp_path: Path, changes: dict[str, Any], line: str
) -> None:
    assert line in refusal(told(tmp_path, **changes))


@pytest.mark.parametrize("axes", ["NCTHW", "NTCHW"])
def test_an_item_of_several_dates_tells_their_axis(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, axes: str
) -> None:
    words = {"N": "batch", "C": "bands", "T": "time", "H": "height", "W": "width"}
    sizes = {"N": -1, "C": 2, "T": 3, "H": SIDE, "W": SIDE}
    of_axes = {"dim_order": [words[axis] for axis in axes], "data_type": "float32"}
    path = told(
        tmp_path,
        input={"input": of_axes | {"shape": [sizes[axis] for axis in axes]}},
        output={"classification:classes": []},
    )
    of_dates(tmp_path, axes)
    bundle = pack_item(str(path), tmp_path / "bundle").bundle
    assert bundle.inputs["S2L2A"].dates == 3
    expected = (DATED * np.array([1, 10, 100]).reshape(3, 1, 1)).sum(axis=2) / 3000
    np.testing.assert_allclose(made(bundle, S2L2A=DATED)["waterMask"], expected, rtol=1e-5)
    with_own_schemas(shared_data, monkeypatch)
    item = item_of(bundle)
    pystac.validation.validate_dict(item, pystac.STACObjectType.ITEM, "1.1.0")
    (tensor,) = (each["input"] for each in item["properties"]["mlm:input"])
    # Of the bundle's own graph, which turns the axes itself.
    assert tensor["dim_order"] == ["batch", "bands", "time", "height", "width"]
    assert tensor["shape"] == [-1, 2, 3, SIDE, SIDE]


def test_how_many_dates_an_item_leaves_open(tmp_path: Path) -> None:
    shape = {
        "shape": [-1, 2, -1, SIDE, SIDE],
        "dim_order": ["batch", "bands", "time", "height", "width"],
        "data_type": "float32",
    }
    path = told(tmp_path, input={"input": shape}, output={"classification:classes": []})
    assert "leaves open how many dates it takes; say in a spec, as inputs.S2L2A.dates" in refusal(path)
    of_dates(tmp_path, "NCTHW")
    found = pack_item(str(path), tmp_path / "bundle", {"inputs": {"S2L2A": {"dates": 3}}}).bundle
    assert found.inputs["S2L2A"].dates == 3


def test_what_is_no_item_at_all(tmp_path: Path) -> None:
    path = tmp_path / "item.json"
    assert "cannot be read: there is no such file" in refusal(path)
    path.write_text("[1", encoding="utf-8")
    assert "cannot be read" in refusal(path)
    path.write_text("[1]", encoding="utf-8")
    assert "no STAC item of a model" in refusal(path)


def test_a_bundles_item_leads_back_to_the_same_bundle_from_disk_and_from_a_server(
    bundle: Bundle, tmp_path: Path
) -> None:
    path = write_item(bundle)
    assert load_bundle(bundle.folder).fingerprint == bundle.fingerprint
    copied = pack_item(str(path), tmp_path / "copied").bundle
    with serve_files(bundle.folder) as server:
        fetched = pack_item(server.url("item.json"), tmp_path / "fetched").bundle
    assert copied.fingerprint == fetched.fingerprint == bundle.fingerprint
    assert sorted(p.name for p in fetched.folder.iterdir()) == [
        "bundle.json",
        "selftest.npz",
        "waterMask.onnx",
    ]


def test_a_bundle_whose_files_have_changed_since_is_not_taken(bundle: Bundle, tmp_path: Path) -> None:
    path = write_item(bundle)
    (bundle.folder / "waterMask.onnx").write_bytes(b"another")
    with pytest.raises(ModelError, match=r"waterMask\.onnx: size"):
        pack_item(str(path), tmp_path / "copied")
    assert not (tmp_path / "copied").exists()


def test_a_bundles_item_takes_no_spec_and_no_name_that_leads_out(bundle: Bundle) -> None:
    path = write_item(bundle)
    assert "says all itself" in refusal(path, {"stride": 8})
    content = json.loads(path.read_text())
    content["assets"]["../out.onnx"] = content["assets"].pop("waterMask.onnx")
    path.write_text(json.dumps(content))
    assert "no name of a file" in refusal(path)
    assert not (bundle.folder / "../out.onnx").exists()


@pytest.mark.parametrize("model", ["demo", "own"])
def test_a_bundles_item_is_valid(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch, bundle: Bundle, model: str
) -> None:
    with_own_schemas(shared_data, monkeypatch)
    item = item_of(bundle if model == "own" else load_bundle(model))
    assert len(pystac.validation.validate_dict(item, pystac.STACObjectType.ITEM, "1.1.0")) == 1 + 3
    assert item["assets"]["bundle.json"]["href"] == "./bundle.json"


def with_own_schemas(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has items validated without the network."""
    cache = RegisteredValidator.get_validator().schema_cache
    for file in (shared_data / "stac-schemas").glob("*.json"):
        schema = json.loads(file.read_text())
        monkeypatch.setitem(cache, schema["$id"].rstrip("#"), schema)
    # Of this one the extension uses the types of numbers alone.
    types = {"data_type": {"enum": ["float32"]}}
    monkeypatch.setitem(
        cache,
        "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": {"bands": {"items": {"properties": types}}},
        },
    )
