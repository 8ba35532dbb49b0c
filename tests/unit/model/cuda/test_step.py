"""Step graphs rewritten for CUDA: what is fused, what stays in single precision, and that the numbers stay the same."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from terramosaic.errors import ModelError
from terramosaic.model.cuda.graph import HALF, MICROSOFT, load_graph
from terramosaic.model.cuda.norms import fuse_group_norms
from terramosaic.model.cuda.step import Fusions, fuse_step, prepare_step
from tests.support.cuda_emulation import emulated
from tests.unit.model.cuda.small_unet import a_step, write_small_unet


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_unet(tmp_path_factory.mktemp("source") / "step.onnx")


@pytest.fixture(scope="module")
def prepared(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("prepared") / "graph.onnx"
    prepare_step(source, target)
    return target


def run(session: onnxruntime.InferenceSession, batch: int = 2) -> list[np.ndarray]:
    return session.run(["next", "values"], a_step(batch))


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    """Relative, in the Euclidean norm."""
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def test_fusing_changes_no_number(source: Path, tmp_path: Path) -> None:
    """All in single precision, against the graph as it was, for batches that the graph leaves open."""
    graph = load_graph(source)
    fuse_step(graph)
    graph.save(tmp_path / "fused.onnx")
    plain, fused = onnxruntime.InferenceSession(str(source)), emulated(tmp_path / "fused.onnx")
    for batch in (1, 3):
        for found, wanted in zip(run(fused, batch), run(plain, batch), strict=True):
            assert error(found, wanted) < 2e-6


@pytest.mark.parametrize(("ratio", "low", "high"), [(1, 1e-8, 1e-6), (100, 1e-4, 5e-3)])
def test_a_variance_is_that_of_onnx_runtimes_kernel(
    tmp_path: Path, ratio: float, low: float, high: float
) -> None:
    """E[x²] − E[x]²: what a mean of so many standard deviations costs, as it will on a GPU."""
    text = f"""<ir_version: 10, opset_import: ["" : 20, "{MICROSOFT}" : 1]>
    norm (float[2, 8, 8, 16] x) => (float[2, 8, 8, 16] y) <float[16] gamma = {{{", ".join("1" * 16)}}},
    float[16] beta = {{{", ".join("0" * 16)}}}>
    {{ y = {MICROSOFT}.GroupNorm <channels_last = 1, groups = 4, activation = 0, epsilon = 1e-5> (x, gamma, beta) }}"""
    onnx.save_model(onnx.parser.parse_model(text), str(tmp_path / "norm.onnx"))
    x = np.random.default_rng(3).standard_normal((2, 8, 8, 16), np.float32) + np.float32(ratio)
    groups = np.float64(x).reshape(2, 64, 4, 4)
    wanted = groups - groups.mean((1, 3), keepdims=True)
    wanted = (wanted / np.sqrt(groups.var((1, 3), keepdims=True) + 1e-5)).reshape(x.shape)
    (found,) = emulated(tmp_path / "norm.onnx").run(None, {"x": x})
    assert low < error(found, wanted) < high


def test_what_was_found_is_told(source: Path) -> None:
    assert fuse_step(load_graph(source)) == Fusions(norms=8, skips=2, blocks=3, left=())


def test_a_network_of_which_nothing_fuses_is_refused(tmp_path: Path) -> None:
    """As after a change in how PyTorch's exporter spells a normalisation: here its scale is its own."""
    with pytest.raises(
        ModelError, match=r"step\.onnx: none of its 8 group normalisations is spelled as .*or ask"
    ):
        prepare_step(_with_own_scales(tmp_path / "step.onnx", 8), tmp_path / "graph.onnx")


def test_a_network_of_which_a_part_does_not_fuse_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "terramosaic"):
        prepare_step(_with_own_scales(tmp_path / "step.onnx", 1), tmp_path / "graph.onnx")
    assert "1 of 8 group normalisations are not fused and take longer on CUDA: instancenorm" in caplog.text


def _with_own_scales(path: Path, count: int) -> Path:
    """A network some of whose normalisations have a scale of their own, which no exporter has written so far."""
    model = onnx.load_model(str(write_small_unet(path)))
    scale = numpy_helper.from_array(np.array([1, 2, 1, 1], np.float32), "scale")
    model.graph.initializer.append(scale)
    for node in [node for node in model.graph.node if node.op_type == "InstanceNormalization"][:count]:
        node.input[1] = "scale"
    onnx.save_model(model, str(path))
    return path


def test_half_precision_stays_near(source: Path, prepared: Path) -> None:
    plain, half = onnxruntime.InferenceSession(str(source)), emulated(prepared)
    for found, wanted in zip(run(half), run(plain), strict=True):
        assert found.dtype == np.float32
        assert 1e-5 < error(found, wanted) < 2e-3  # not at all: then nothing was rounded


def test_everything_that_can_be_fused_is(prepared: Path) -> None:
    model = onnx.load_model(str(prepared))
    count = Counter(node.op_type for node in model.graph.node)
    # Two in each of three blocks, one in attention and one at the end; a residual sum that a concatenation
    # reads and one that the halving reads are no normalisation's.
    assert count["GroupNorm"] + count["SkipGroupNorm"] == 8
    assert count["SkipGroupNorm"] == 2
    assert count["NhwcConv"] == 14
    assert count["Gemm"] == 2  # the time embedding's own, and one for all three blocks
    assert not any(count[kind] for kind in ("Conv", "InstanceNormalization", "Einsum", "Shape"))
    groups = [
        helper.get_node_attr_value(node, "groups") for node in model.graph.node if "GroupNorm" in node.op_type
    ]
    activations = [
        helper.get_node_attr_value(node, "activation")
        for node in model.graph.node
        if "GroupNorm" in node.op_type
    ]
    assert groups == [4] * 8
    assert sorted(activations) == [0] + [1] * 7


def test_tensors_are_turned_only_where_the_network_begins_and_ends(prepared: Path) -> None:
    """And in attention, where keys meet queries."""
    nodes = onnx.load_model(str(prepared)).graph.node
    perms = [helper.get_node_attr_value(node, "perm") for node in nodes if node.op_type == "Transpose"]
    turns = [perm for perm in perms if len(perm) == 4]
    assert len(turns) == 3  # patches and code before the first convolution, x0 after the last one
    assert [perm for perm in perms if len(perm) == 3] == [[0, 2, 1]]


def test_the_first_convolution_is_filled_up_to_eights(source: Path, prepared: Path) -> None:
    nodes, constants = _parts(prepared)
    first = next(node for node in nodes if node.op_type == "NhwcConv")
    weight = numpy_helper.to_array(constants[first.input[1]])
    assert weight.shape == (16, 3, 3, 16)  # 8 of the patches and 3 of the code
    assert not weight[..., 11:].any()
    assert weight[..., :11].all()


def test_single_precision_where_it_counts(prepared: Path) -> None:
    nodes, constants = _parts(prepared)
    half = _halves(nodes, constants)
    by_kind: dict[str, set[bool]] = {}
    for node in nodes:
        by_kind.setdefault(node.op_type, set()).add(node.output[0] in half)
    assert by_kind["NhwcConv"] == by_kind["GroupNorm"] == by_kind["MatMul"] == by_kind["Softmax"] == {True}
    for kind in ("Cos", "Sin", "Gemm", "Max", "Min", "Neg", "Gather"):
        assert by_kind[kind] == {False}, kind
    for node in nodes:
        if node.op_type in ("GroupNorm", "SkipGroupNorm"):
            assert [constants[name].data_type for name in node.input[1:3]] == [TensorProto.FLOAT] * 2
    # The sample in, the time in once, x0 out.
    assert sum(node.op_type == "Cast" for node in nodes) == 3


def test_the_graph_is_sound(prepared: Path) -> None:
    model = onnx.load_model(str(prepared))
    onnx.checker.check_model(str(prepared))
    names = [node.name for node in model.graph.node]
    made = [name for node in model.graph.node for name in node.output if name]
    assert len(set(names)) == len(names)
    assert len(set(made)) == len(made)
    assert {opset.domain for opset in model.opset_import} == {"", MICROSOFT}
    declared = [
        (tensor.name, tensor.type.tensor_type.elem_type)
        for tensor in (*model.graph.input, *model.graph.output)
    ]
    names = ["x", "code", "t", "coefficients", "next", "values"]
    assert declared == [(name, TensorProto.FLOAT) for name in names]
    # ONNX Runtime infers every type and shape, and then finds that only CUDA has the kernels.
    with pytest.raises(Exception, match=r"Failed to find kernel for com\.microsoft"):
        onnxruntime.InferenceSession(str(prepared), _quiet(), providers=["CPUExecutionProvider"])


def test_weights_lie_beside_the_graph_wherever_the_folder_goes(prepared: Path, tmp_path: Path) -> None:
    assert {path.name for path in prepared.parent.iterdir()} == {"graph.onnx", "graph.data"}
    model = onnx.load_model(str(prepared), load_external_data=False)
    places = {
        entry.value
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    assert places == {"graph.data"}
    assert prepared.stat().st_size < 60_000


def test_weights_stored_in_half_are_taken_as_they_are(tmp_path: Path) -> None:
    stored = write_small_unet(tmp_path / "step.onnx", stored_in_half=True)
    (tmp_path / "cuda").mkdir()
    prepare_step(stored, tmp_path / "cuda" / "graph.onnx")
    nodes, _ = _parts(tmp_path / "cuda" / "graph.onnx")
    assert sum(node.op_type == "Cast" for node in nodes) == 3
    plain = onnxruntime.InferenceSession(str(stored))
    for found, wanted in zip(run(emulated(tmp_path / "cuda" / "graph.onnx")), run(plain), strict=True):
        assert error(found, wanted) < 2e-3


@pytest.mark.parametrize("stored_in_half", [False, True])
def test_in_single_precision_nothing_is_half(tmp_path: Path, stored_in_half: bool) -> None:
    """Fused all the same; of weights that are stored in half not one cast is left over."""
    source = write_small_unet(tmp_path / "step.onnx", stored_in_half=stored_in_half)
    (tmp_path / "cuda").mkdir()
    prepare_step(source, tmp_path / "cuda" / "graph.onnx", in_half=False)
    nodes, constants = _parts(tmp_path / "cuda" / "graph.onnx")
    assert not _halves(nodes, constants)
    assert {"NhwcConv", "GroupNorm", "SkipGroupNorm"} <= {node.op_type for node in nodes}
    assert "Cast" not in {node.op_type for node in nodes}
    plain = onnxruntime.InferenceSession(str(source))
    for found, wanted in zip(run(emulated(tmp_path / "cuda" / "graph.onnx")), run(plain), strict=True):
        assert error(found, wanted) < 1e-5


def test_a_weight_too_large_for_half_precision_is_named(source: Path, tmp_path: Path) -> None:
    model = onnx.load_model(str(source))
    weight = next(tensor for tensor in model.graph.initializer if list(tensor.dims) == [16, 11, 3, 3])
    array = numpy_helper.to_array(weight).copy()
    array[0, 0, 0, 0] = 1e5
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    onnx.save_model(model, str(tmp_path / "step.onnx"))
    with pytest.raises(
        ModelError, match=rf"^{weight.name}.*: a weight is beyond 65504.*ask for precision fp32"
    ):
        prepare_step(tmp_path / "step.onnx", tmp_path / "graph.onnx")
    prepare_step(tmp_path / "step.onnx", tmp_path / "graph.onnx", in_half=False)


def test_a_graph_without_a_network_is_left_in_single_precision(tmp_path: Path) -> None:
    """Such as the tests' own toy; nothing to fuse is no error."""
    text = """<ir_version: 9, opset_import: ["" : 20]>
    step (float[batch, 2, 8, 8] x, float[batch, 1, 2, 2] code) => (float[batch, 2, 8, 8] next)
    <float[4] scales = {1, 1, 4, 4}>
    { wide = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">
        (code, , scales)  next = Add (x, wide) }"""
    onnx.save_model(onnx.parser.parse_model(text), str(tmp_path / "step.onnx"))
    prepare_step(tmp_path / "step.onnx", tmp_path / "graph.onnx")
    rng = np.random.default_rng(1)
    feeds = {"x": rng.random((2, 2, 8, 8), np.float32), "code": rng.random((2, 1, 2, 2), np.float32)}
    wanted = feeds["x"] + feeds["code"].repeat(4, 2).repeat(4, 3)
    session = onnxruntime.InferenceSession(str(tmp_path / "graph.onnx"))
    np.testing.assert_array_equal(session.run(None, feeds)[0], wanted)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("constant_scale", "an instance normalisation with a scale of its own"),
        ("second_reader", "something else reads what is between"),
    ],
)
def test_what_only_looks_like_group_normalisation_is_left_alone(source: Path, change: str, why: str) -> None:
    graph = load_graph(source)
    norm = next(node for node in graph.nodes if node.op_type == "InstanceNormalization")
    if change == "constant_scale":
        norm.input[1] = graph.add_constant("scale", np.array([1, 2, 1, 1], np.float32))
    else:
        graph.nodes.append(helper.make_node("Neg", [norm.output[0]], ["other"]))
    assert fuse_group_norms(graph) == 7, why


def _parts(path: Path) -> tuple[list[onnx.NodeProto], dict[str, TensorProto]]:
    graph = onnx.load_model(str(path)).graph
    return list(graph.node), {tensor.name: tensor for tensor in graph.initializer}


def _halves(nodes: list[onnx.NodeProto], constants: dict[str, TensorProto]) -> set[str]:
    """Tensors in half precision."""
    half = {name for name, tensor in constants.items() if tensor.data_type == HALF}
    for node in nodes:
        if node.op_type == "Cast":
            is_half = helper.get_node_attr_value(node, "to") == HALF
        else:
            is_half = any(name in half for name in node.input)
        half.update(node.output if is_half else ())
    return half


def _quiet() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return options
