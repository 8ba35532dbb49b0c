"""The largest number of what becomes half precision, in miniature."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from rich.console import Console

from terramosaic.cli.show import show_bundle
from terramosaic.model.bundle import load_bundle
from terramosaic.model.cuda.graph import load_graph
from terramosaic.model.cuda.step import half_part_of_step
from terramosaic.model.export import ranges
from terramosaic.model.export.ranges import largest_in_half
from terramosaic.planning.estimates import warnings_of
from terramosaic.request.request import RegionRequest
from tests.unit.model.cuda.small_unet import a_step, write_small_unet
from tests.unit.model.toy_terramind import make_toy


def measured(source: Path, target: Path) -> tuple[float, float]:
    """The largest weight, and the largest activation of a step."""
    graph = load_graph(source)
    weight = ranges._measure(graph, half_part_of_step(graph))
    assert weight is not None
    graph.save(target)
    (found,) = onnxruntime.InferenceSession(str(target)).run([ranges._LARGEST], a_step(2))
    return weight, float(found)


def every_number(source: Path) -> dict[str, np.ndarray]:
    """All that a step makes, by the tensor's name."""
    model = onnx.load_model(str(source))
    names = [name for node in model.graph.node for name in node.output]
    model.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in names if name not in ("next", "values")
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    outputs = [each.name for each in session.get_outputs()]
    return dict(zip(outputs, session.run(None, a_step(2)), strict=True))


def test_the_largest_of_what_becomes_half_is_found(tmp_path: Path) -> None:
    source = write_small_unet(tmp_path / "step.onnx")
    graph = load_graph(source)
    half = half_part_of_step(graph)
    names = {name for node in graph.nodes if id(node) in half for name in node.output}
    made = every_number(source)
    real = {name: array for name, array in made.items() if array.dtype == np.float32}
    wanted = max(float(np.abs(array).max()) for name, array in real.items() if name in names)
    weight, found = measured(source, tmp_path / "measured.onnx")
    assert found == pytest.approx(wanted, rel=1e-5)
    # What stays in single precision does not count: it holds an index of time, which is larger.
    assert max(float(np.abs(array).max()) for array in real.values()) > wanted
    assert 0 < weight < 5


def test_numbers_that_half_precision_cannot_hold_are_found(tmp_path: Path) -> None:
    """All weights are within it, and so is what comes out."""
    source = write_small_unet(tmp_path / "step.onnx")
    model = onnx.load_model(str(source))
    (kernel,) = (each for each in model.graph.initializer if list(each.dims) == [16, 11, 3, 3])
    kernel.CopyFrom(numpy_helper.from_array(3e4 * numpy_helper.to_array(kernel), kernel.name))
    onnx.save_model(model, str(source))
    weight, found = measured(source, tmp_path / "measured.onnx")
    assert weight < 65504 < found


def test_of_a_bundle_each_graph_tells_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy's have no products but in one sum over patches, so all that is real is looked at here."""
    make_toy(tmp_path / "toy")
    toy = load_bundle(tmp_path / "toy")
    everything = lambda graph: {id(node) for node in graph.nodes}  # noqa: E731
    monkeypatch.setattr(ranges, "half_part_of_step", everything)
    monkeypatch.setattr(ranges, "half_part_of_transformer", everything)
    found = largest_in_half(toy, threads=1)
    assert found.keys() >= {
        "context.onnx",
        "decode.onnx",
        "S1GRD.step.onnx",
        "NDVI.step.onnx",
        "LULC.classes.onnx",
    }
    assert all(0 < largest < 1e6 for largest in found.values())


def test_a_model_that_half_precision_may_be_too_narrow_for_is_told(tmp_path: Path) -> None:
    """Beside its facts, and in the plan of a run that computes in half."""
    make_toy(tmp_path / "toy")
    file = tmp_path / "toy" / "bundle.json"
    content = json.loads(file.read_text())
    content["files"]["NDVI.step.onnx"]["largest"], content["files"]["S1GRD.step.onnx"]["largest"] = 2e4, 1e4
    file.write_text(json.dumps(content))
    bundle = load_bundle(tmp_path / "toy")
    assert bundle.manifest.unsafe_in_half == {"NDVI.step.onnx": 2e4}
    console = Console(width=200, record=True, file=io.StringIO())
    show_bundle(console, bundle)
    told = "numbers up to 20000 of 65504 (NDVI.step.onnx); on a GPU ask for precision fp32"
    assert told in console.export_text()
    figures = SimpleNamespace(gaps={}, gap_share=0.0)
    for precision, count in (("fp16", 1), ("fp32", 0)):
        fields = {
            "region": (14, 46, 14.1, 46.1),
            "datetime": "2023-08",
            "targets": ("NDVI",),
            "device": "cuda",
        }
        request = RegionRequest.model_validate(fields | {"precision": precision})
        warnings = warnings_of(request, bundle, figures, (), ())  # type: ignore[arg-type]
        assert sum("half precision may be too narrow" in line for line in warnings) == count
