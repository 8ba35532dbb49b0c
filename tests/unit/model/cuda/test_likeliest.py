"""Graphs that draw tokens, made greedy: the same ids, and nothing left of what they were drawn with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

from terramosaic.model.cuda import prepare_transformer
from terramosaic.model.cuda.likeliest import write_likeliest

#: As the export writes it: chosen by the mass, and -1 of what is no number.
_DRAW = """
<ir_version: 9, opset_import: ["" : 18]>
draw (float[tokens, codes] logits, float[tokens] uniform, float[1] top_p) => (int64[tokens] ids)
<float[1] nothing = {0}, int64[1] last = {1}, int64 none = {-1}, float mass = {0}>
{
    largest = ReduceMax (logits, last)
    below = Sub (logits, largest)
    weight = Exp (below)
    total = ReduceSum (weight, last)
    most = Mul (top_p, total)
    kept = LessOrEqual (weight, most)
    counted = Cast <to = 7> (kept)
    drawn = ReduceSum <keepdims = 0> (counted, last)
    is_drawn = Greater (top_p, MASS)
    likeliest = ArgMax <axis = 1, keepdims = 0> (logits)
    chosen = Where (is_drawn, drawn, likeliest)
    sum = Squeeze (total, last)
    is_number = Greater (sum, nothing)
    ids = Where (is_number, chosen, none)
}
"""


def kinds(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load_model(str(path)).graph.node]


def ids(path: Path, logits: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = {"logits": logits, "uniform": np.zeros(len(logits), np.float32), "top_p": np.zeros(1, np.float32)}
    found: np.ndarray = session.run(["ids"], feeds)[0]
    return found


@pytest.mark.parametrize("on", ["cpu", "cuda"])
def test_a_greedy_graph_has_no_nucleus_and_the_same_ids(tmp_path: Path, on: str) -> None:
    source, target = tmp_path / "source.onnx", tmp_path / "target.onnx"
    onnx.save_model(onnx.parser.parse_model(_DRAW.replace("MASS", "nothing")), str(source))
    if on == "cpu":
        write_likeliest(source, target)
    else:
        prepare_transformer(source, target, greedy=True)
    assert not {"Mul", "LessOrEqual", "Cast"} & set(kinds(target))
    assert {"ArgMax", "Exp"} <= set(kinds(target))
    rng = np.random.default_rng(0)
    logits = rng.integers(0, 9, (500, 40)).astype(np.float32)  # with ties, of which the first is taken
    logits[3, 7], logits[4] = np.nan, -np.inf
    wanted = ids(source, logits)
    assert wanted[3] == wanted[4] == -1 and (wanted >= -1).all() and len(set(wanted)) > 10
    np.testing.assert_array_equal(ids(target, logits), wanted)


@pytest.mark.parametrize("mass", ["of a half", "of the sum"])
def test_another_choice_stays_as_it_is(tmp_path: Path, mass: str) -> None:
    """Where the mass is compared with another number, or with one that is not known before."""
    text = _DRAW.replace("MASS", "half").replace("float mass = {0}", "float[1] half = {0.5}")
    if mass == "of the sum":
        text = text.replace("Greater (top_p, half)", "Greater (top_p, most)")
        text = text.replace("is_drawn, drawn", "is_first, drawn").replace(
            "likeliest =", "is_first = Squeeze (is_drawn, last)\n    likeliest ="
        )
    source, target = tmp_path / "source.onnx", tmp_path / "target.onnx"
    onnx.save_model(onnx.parser.parse_model(text), str(source))
    write_likeliest(source, target)
    assert sorted(kinds(target)) == sorted(kinds(source))
