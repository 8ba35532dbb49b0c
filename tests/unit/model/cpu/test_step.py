"""Winograd's products against the convolutions that they replace."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from terramosaic.model.cpu import rewrite_step
from terramosaic.model.cpu.winograd import from_products, into_tiles, transform_filters


def test_one_dimension_by_hand() -> None:
    """4 outputs of a 3-tap filter over a row of 4, zeros around it."""
    rng = np.random.default_rng(0)
    row, taps = rng.standard_normal(4), rng.standard_normal(3)
    wanted = np.correlate(np.pad(row, 1), taps, "valid")
    tile = into_tiles(4) @ row
    # In two dimensions a filter that is `taps` in its middle row, over an image that is `row` there, is the same.
    filters = np.zeros((1, 1, 3, 3))
    filters[0, 0, 1] = taps
    image = np.zeros((4, 4))
    image[1] = row
    tiles = into_tiles(4) @ image @ into_tiles(4).T
    outputs = from_products() @ (transform_filters(filters)[:, 0, 0].astype(float) * tiles.ravel())
    np.testing.assert_allclose(outputs.reshape(4, 4)[1], wanted, atol=1e-6)
    assert tile.shape == (6,)


def test_doubling_is_in_the_matrix() -> None:
    row = np.random.default_rng(0).standard_normal(14)
    np.testing.assert_allclose(into_tiles(14, 2) @ row, into_tiles(28) @ row.repeat(2))


def a_graph(*, half: bool = False, bias: bool = True) -> onnx.ModelProto:
    """A wide convolution of 28 pixels, doubled, another of 56; then ones that must stay as they are."""
    rng = np.random.default_rng(1)
    nodes, initializers = [], []

    def weights(name: str, *shape: int) -> str:
        array = (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        if half and len(shape) > 1:
            initializers.append(numpy_helper.from_array(array.astype(np.float16), f"{name}.half"))
            nodes.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
        else:
            initializers.append(numpy_helper.from_array(array, name))
        return name

    def conv(source: str, result: str, channels: int, outputs: int, **attributes: object) -> None:
        kernel = attributes.pop("kernel", 3)
        inputs = [source, weights(f"{result}.w", outputs, channels, kernel, kernel)]
        if bias:
            inputs.append(weights(f"{result}.b", outputs))
        nodes.append(helper.make_node("Conv", inputs, [result], name=result, **attributes))

    conv("x", "wide", 128, 144, pads=[1, 1, 1, 1])
    initializers.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"))
    resize = {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    }
    nodes.append(helper.make_node("Resize", ["wide", "", "scales"], ["doubled"], **resize))
    conv("doubled", "large", 144, 128, pads=[1, 1, 1, 1])
    conv("large", "strided", 128, 128, pads=[1, 1, 1, 1], strides=[2, 2])
    conv("strided", "pointwise", 128, 128, kernel=1)
    conv("pointwise", "narrow", 128, 8, pads=[1, 1, 1, 1])

    def value(name: str, channels: int, side: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", channels, side, side])

    graph = helper.make_graph(
        nodes,
        "step",
        [value("x", 128, 28)],
        [value("narrow", 8, 28), value("large", 128, 56)],
        initializers,
        value_info=[value("wide", 144, 28), value("doubled", 144, 56), value("strided", 128, 28),
                    value("pointwise", 128, 28)],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize(("half", "bias", "batch"), [(False, True, 1), (True, True, 3), (False, False, 2)])
def test_the_rewritten_step_computes_the_same(tmp_path: Path, half: bool, bias: bool, batch: int) -> None:
    model = a_graph(half=half, bias=bias)
    onnx.save_model(model, str(tmp_path / "step.onnx"))
    (tmp_path / "new").mkdir()
    rewrite_step(tmp_path / "step.onnx", tmp_path / "new" / "step.onnx")
    rewritten = onnx.load(str(tmp_path / "new" / "step.onnx"))
    onnx.checker.check_model(rewritten)
    kinds = Counter(node.op_type for node in rewritten.graph.node)
    assert kinds["Conv"] == 3
    assert kinds["Resize"] == 0
    assert (tmp_path / "new" / "step.data").stat().st_size > 36 * 128 * 144 * 4
    x = np.random.default_rng(2).standard_normal((batch, 128, 28, 28)).astype(np.float32)
    results = [
        onnxruntime.InferenceSession(str(path)).run(None, {"x": x})
        for path in (tmp_path / "step.onnx", tmp_path / "new" / "step.onnx")
    ]
    for wanted, found in zip(*results, strict=True):
        assert np.linalg.norm(found - wanted) / np.linalg.norm(wanted) < 5e-6


def test_a_doubled_image_that_others_use_stays(tmp_path: Path) -> None:
    model = a_graph()
    model.graph.output.append(
        helper.make_tensor_value_info("doubled", TensorProto.FLOAT, ["batch", 144, 56, 56])
    )
    model.graph.node.append(helper.make_node("Identity", ["doubled"], ["again"]))
    onnx.save_model(model, str(tmp_path / "step.onnx"))
    (tmp_path / "new").mkdir()
    rewrite_step(tmp_path / "step.onnx", tmp_path / "new" / "step.onnx")
    kinds = Counter(node.op_type for node in onnx.load(str(tmp_path / "new" / "step.onnx")).graph.node)
    assert (kinds["Conv"], kinds["Resize"]) == (3, 1)
