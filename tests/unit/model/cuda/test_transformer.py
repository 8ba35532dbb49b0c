"""TerraMind's transformer graphs rewritten for CUDA, in miniature: where half precision begins and ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from terramosaic.errors import ModelError
from terramosaic.model.cuda.graph import HALF
from terramosaic.model.cuda.transformer import prepare_transformer
from tests.support.cuda_emulation import emulated

#: As exported: standardised windows, patches, one block of attention, a last norm; ids are looked up, not computed.
_ENCODE = """
<ir_version: 10, opset_import: ["" : 23]>
encode (float[batch, 2, 8, 8] windows, int64[batch, tokens] ids) => (float[batch, length, 16] context)
<float mean = {1000}, float std = {800}, int64[6] parted = {0, 2, 2, 4, 2, 4}, int64[3] rows = {0, 4, 32},
 int64[2] ends = {1, 1}>
{
    above = Sub (windows, mean)
    standard = Div (above, std)
    parts = Reshape (standard, parted)
    turned = Transpose <perm = [0, 2, 4, 3, 5, 1]> (parts)
    patches = Reshape (turned, rows)
    embedded = MatMul (patches, embed)
    looked = Gather (table, ids)
    x = Concat <axis = 1> (embedded, looked)
    normal = LayerNormalization (x, scale)
    q = MatMul (normal, query)
    k = MatMul (normal, key)
    v = MatMul (normal, value)
    found = Attention <q_num_heads = 2, kv_num_heads = 2> (q, k, v)
    projected = MatMul (found, project)
    sum = Add (x, projected)
    last = LayerNormalization (sum, scale)
    context = MatMul (last, out)
}
"""

#: Logits, and a token drawn from their cumulative distribution or the largest one.
_TOKENS = """
<ir_version: 10, opset_import: ["" : 23]>
tokens (float[batch, 4, 16] hidden, float[batch, 4] uniform) => (int64[batch, 4] ids, int64[batch, 4] drawn)
<int64 axis = {2}, int64[1] last = {2}, float narrow = {4}>
{
    kept = MatMul (hidden, out)
    mapped = MatMul (kept, out)
    logits = MatMul (mapped, codes)
    ids = ArgMax <axis = -1, keepdims = 0> (logits)
    odds = Softmax <axis = -1> (logits)
    sums = CumSum (odds, axis)
    wanted = Unsqueeze (uniform, last)
    passed = LessOrEqual (sums, wanted)
    counts = Cast <to = 7> (passed)
    drawn = ReduceSum <keepdims = 0> (counts, last)
}
"""


def write(path: Path, text: str) -> Path:
    """Writes a graph with random weights for the names that it does not define."""
    model = onnx.parser.parse_model(text)
    rng = np.random.default_rng(2)
    shapes = {"embed": (32, 16), "table": (10, 16), "scale": (16,), "codes": (16, 64)}
    made = {name for node in model.graph.node for name in node.output}
    known = made | {tensor.name for tensor in (*model.graph.input, *model.graph.initializer)}
    for name in dict.fromkeys(name for node in model.graph.node for name in node.input if name not in known):
        shape = shapes.get(name, (16, 16))
        array = (
            rng.standard_normal(shape, np.float32) / 4
            if len(shape) > 1
            else 1 + rng.random(shape, np.float32)
        )
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    onnx.save_model(
        model, str(path), save_as_external_data=True, location=f"{path.stem}.data", size_threshold=64
    )
    onnx.checker.check_model(str(path), full_check=True)
    return path


def prepared(folder: Path, text: str) -> tuple[Path, Path]:
    (folder / "cuda").mkdir()
    source, target = write(folder / "source.onnx", text), folder / "cuda" / "graph.onnx"
    prepare_transformer(source, target)
    return source, target


def halves(path: Path) -> tuple[set[str], onnx.GraphProto]:
    """Tensors in half precision, by name."""
    graph = onnx.load_model(str(path)).graph
    half = {tensor.name for tensor in graph.initializer if tensor.data_type == HALF}
    for node in graph.node:
        casts = helper.get_node_attr_value(node, "to") if node.op_type == "Cast" else None
        if casts == HALF or (casts is None and any(name in half for name in node.input)):
            half.update(node.output)
    return half, graph


def test_encode_is_half_between_its_first_and_its_last_product(tmp_path: Path) -> None:
    _, target = prepared(tmp_path, _ENCODE)
    half, graph = halves(target)
    made = [name for node in graph.node for name in node.output]
    assert {"embedded", "x", "normal", "q", "found", "projected", "sum", "last"} <= half
    assert not {"above", "standard", "patches", "looked", "context"} & half
    assert {"standard", "looked", "context"} <= set(made)
    assert graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    constants = {tensor.name: tensor.data_type for tensor in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMul"]
    assert [constants[node.input[1]] for node in products] == [HALF] * 5 + [TensorProto.FLOAT]
    assert constants["table"] == TensorProto.FLOAT


def test_in_single_precision_the_graph_stays_what_it_is(tmp_path: Path) -> None:
    source = write(tmp_path / "source.onnx", _ENCODE)
    (tmp_path / "cuda").mkdir()
    prepare_transformer(source, tmp_path / "cuda" / "graph.onnx", in_half=False)
    half, graph = halves(tmp_path / "cuda" / "graph.onnx")
    assert not half
    assert len(graph.node) == len(onnx.load_model(str(source)).graph.node)


@pytest.mark.parametrize("generated", [0, 3])
def test_encode_stays_near(tmp_path: Path, generated: int) -> None:
    source, target = prepared(tmp_path, _ENCODE)
    rng = np.random.default_rng(4)
    feeds = {
        "windows": rng.gamma(2, 800, (2, 2, 8, 8)).astype(np.float32),
        "ids": rng.integers(0, 10, (2, generated)),
    }
    wanted = onnxruntime.InferenceSession(str(source)).run(None, feeds)[0]
    found = emulated(target).run(None, feeds)[0]
    error = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    assert 1e-5 < error < 2e-3


def test_logits_and_what_is_decided_on_them_are_single(tmp_path: Path) -> None:
    source, target = prepared(tmp_path, _TOKENS)
    half, graph = halves(target)
    assert {"kept", "mapped"} <= half
    assert not {"logits", "ids", "odds", "sums", "drawn"} & half
    product = next(node for node in graph.node if node.output[0] == "logits")
    assert not set(product.input) & half
    kinds = [tensor.type.tensor_type.elem_type for tensor in (*graph.input, *graph.output)]
    assert kinds == [TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT64]

    rng = np.random.default_rng(4)
    feeds = {
        "hidden": rng.standard_normal((50, 4, 16), np.float32),
        "uniform": rng.random((50, 4), np.float32),
    }
    wanted = onnxruntime.InferenceSession(str(source)).run(None, feeds)
    found = emulated(target).run(None, feeds)
    for now, before in zip(found, wanted, strict=True):
        assert (now == before).mean() > 0.98


def test_a_product_after_a_decision_moves_nothing(tmp_path: Path) -> None:
    """As where sums are made by a product with ones: the logits are the last product all the same."""
    text = _TOKENS.replace("sums = CumSum (odds, axis)", "sums = MatMul (odds, triangle)")
    text = text.replace(
        "float narrow", f"float[64, 64] triangle = {{{', '.join(['1'] * 4096)}}}, float narrow"
    )
    half, _ = halves(prepared(tmp_path, text)[1])
    assert {"kept", "mapped"} <= half
    assert not {"logits", "odds", "sums"} & half


def test_loops_and_branches_are_refused(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["" : 23]>
    tokens (float[batch, 16] hidden, bool again) => (float[batch, 16] twice)
    { one = MatMul (hidden, out)
      twice = If (again) <then_branch = yes () => (float[batch, 16] a) { a = Add (one, one) },
                          else_branch = no () => (float[batch, 16] b) { b = Sub (one, one) }> }"""
    with pytest.raises(ModelError, match=r"source\.onnx: holds a If, which cannot be made ready for CUDA"):
        prepared(tmp_path, text)
