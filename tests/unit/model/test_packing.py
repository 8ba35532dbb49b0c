"""Any ONNX model becomes a bundle that makes what the model makes; what cannot be a map is told in a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from terramosaic.errors import ModelError, RequestError
from terramosaic.model.bundle import Bundle
from terramosaic.model.generator import GenerationOptions, WindowRandomness
from terramosaic.model.opening import open_generator
from terramosaic.model.packing import Packed, pack_model, read_spec
from terramosaic.model.selftest import check_bundle

SIDE = 32
RNG = np.random.default_rng(1)
OPTICAL = RNG.uniform(100, 4000, (3, 2, SIDE, SIDE)).astype(np.float32)
BACKSCATTER = RNG.uniform(-25, -5, (3, 2, SIDE, SIDE)).astype(np.float32)

SPEC: dict[str, Any] = {
    "name": "toy",
    "source": "tests",
    "licence": "Apache-2.0",
    "window": SIDE,
    "inputs": {"S2L2A": {"bands": ["B03", "B08"]}},
    "targets": {"out": {"output": "values"}},
}


def graph(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[Any, ...]],
    outputs: dict[str, tuple[Any, ...]],
    *,
    kind: int = TensorProto.FLOAT,
    opset: int = 17,
    **weights: np.ndarray,
) -> Path:
    """Writes a model; sizes that are words stay open."""
    onnx.save(
        helper.make_model(
            helper.make_graph(
                nodes,
                "graph",
                [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
                [
                    helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                    for name, shape in outputs.items()
                ],
                [numpy_helper.from_array(array, name) for name, array in weights.items()],
            ),
            opset_imports=[helper.make_opsetid("", opset)],
            ir_version=8,
        ),
        path,
    )
    return path


def one(path: Path, node: str = "Identity", planes: int = 2, batch: Any = "n", **weights: np.ndarray) -> Path:
    """A model of one node from two bands to some planes."""
    return graph(
        path / "model.onnx",
        [helper.make_node(node, ["windows", *weights], ["made"])],
        {"windows": (batch, 2, SIDE, SIDE)},
        {"made": (batch, planes, SIDE, SIDE)},
        **weights,
    )


def conv(*rows: tuple[float, float]) -> np.ndarray:
    return np.array(rows, np.float32)[:, :, None, None]


def packed(model: Path, **changes: Any) -> Packed:
    """The bundle of a model, of `SPEC` with changes."""
    spec = model.with_suffix(".yaml")
    spec.write_text(yaml.safe_dump({**SPEC, **changes}))
    return pack_model(model, read_spec(spec), model.parent / "bundle")


def made(bundle: Bundle, **windows: np.ndarray) -> dict[str, np.ndarray]:
    options = GenerationOptions(inputs=tuple(windows))
    return open_generator(bundle, tuple(bundle.targets), options=options).generate(windows, {})


def refusal(model: Path, **changes: Any) -> str:
    with pytest.raises((RequestError, ModelError)) as error:
        packed(model, **changes)
    assert not (model.parent / "bundle").exists()
    assert sorted(path.name for path in model.parent.iterdir()) == ["model.onnx", "model.yaml"]
    return str(error.value)


@pytest.mark.parametrize("batch", ["n", 1])
def test_units_and_statistics_are_those_that_the_graph_wants(tmp_path: Path, batch: int | str) -> None:
    said = {"bands": ["B08", "B03"], "unit": "reflectance", "mean": [0.1, 0.2], "std": [0.5, 2]}
    bundle = packed(one(tmp_path, batch=batch), inputs={"S2L2A": said}).bundle
    assert bundle.targets["out"].channels == ("out 1", "out 2") and bundle.bands == ("B08", "B03")
    expected = (OPTICAL * 1e-4 - np.array([0.1, 0.2])[:, None, None]) / np.array([0.5, 2])[:, None, None]
    np.testing.assert_allclose(made(bundle, S2L2A=OPTICAL)["out"], expected, rtol=1e-5, atol=1e-6)
    check = check_bundle(bundle)
    assert not check.failures and check.targets[0].relative == 0 and check.targets[0].tokens is None


def test_a_graph_of_other_layout_type_and_age(tmp_path: Path) -> None:
    """Channels last, integers in, an operator set from before Softmax had an axis."""
    model = graph(
        tmp_path / "model.onnx",
        [helper.make_node("Cast", ["windows"], ["made"], to=TensorProto.FLOAT)],
        {"windows": ("n", SIDE, SIDE, 2)},
        {"made": ("n", SIDE, SIDE, 2)},
        kind=TensorProto.UINT16,
        opset=11,
    )
    target = {"output": "logits", "classes": ["low", {"name": "high", "colour": "#AABBCC", "value": 7}]}
    bundle = packed(model, layout="NHWC", targets={"out": target}).bundle
    assert [(item.name, item.value) for item in bundle.targets["out"].classes] == [("low", 1), ("high", 7)]
    assert bundle.targets["out"].classes[1].colour == "#aabbcc"
    near = np.stack([np.full((SIDE, SIDE), 1000.4), np.full((SIDE, SIDE), 1001.2)]).astype(np.float32)[None]
    share = made(bundle, S2L2A=near)["out"][0, 1]
    np.testing.assert_allclose(share, 1 / (1 + np.exp(-1.0)), rtol=1e-5)


def test_one_plane_of_two_classes_is_that_of_the_second(tmp_path: Path) -> None:
    model = one(tmp_path, "Conv", 1, weights=conv((0.001, -0.001)))
    target = {"output": "logits", "classes": ["land", "water"]}
    bundle = packed(model, targets={"out": target}).bundle
    shares = made(bundle, S2L2A=OPTICAL)["out"]
    logit = 0.001 * (OPTICAL[:, 0] - OPTICAL[:, 1])
    np.testing.assert_allclose(shares[:, 1], 1 / (1 + np.exp(-logit)), rtol=1e-4)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)


def test_several_inputs_and_outputs_whose_names_are_ours(tmp_path: Path) -> None:
    """The graph calls its optical input S1RTC and its radar windows, which are names of the bundle's own."""
    model = graph(
        tmp_path / "model.onnx",
        [
            helper.make_node("Add", ["S1RTC", "windows"], ["out"]),
            helper.make_node("Sub", ["S1RTC", "windows"], ["before/0"]),
        ],
        {"S1RTC": ("n", 2, SIDE, SIDE), "windows": ("n", 2, SIDE, SIDE)},
        {"out": ("n", 2, SIDE, SIDE), "before/0": ("n", 2, SIDE, SIDE)},
    )
    inputs = {
        "S2L2A": {"tensor": "S1RTC", "bands": ["B03", "B08"]},
        "S1RTC": {"tensor": "windows", "unit": "linear"},
    }
    targets = {
        "less": {
            "tensor": "before/0",
            "output": "values",
            "channels": ["a", "b"],
            "unit": "t/ha",
            "step": 0.5,
        },
        "more": {"tensor": "out", "output": "values"},
    }
    bundle = packed(model, inputs=inputs, targets=targets).bundle
    both = made(bundle, S2L2A=OPTICAL, S1RTC=BACKSCATTER)
    linear = 10 ** (BACKSCATTER / 10)
    np.testing.assert_allclose(both["more"], OPTICAL + linear, rtol=1e-5)
    np.testing.assert_allclose(both["less"], OPTICAL - linear, rtol=1e-5)
    assert (bundle.targets["less"].unit, bundle.targets["less"].step) == ("t/ha", 0.5)


def test_weights_beside_the_graph_are_taken_along(tmp_path: Path) -> None:
    model = one(tmp_path, "Conv", 2, weights=conv((1, 0), (0, 2)))
    onnx.save(onnx.load(model), model, save_as_external_data=True, location="weights.bin", size_threshold=0)
    bundle = packed(model).bundle
    (tmp_path / "weights.bin").unlink()
    np.testing.assert_allclose(made(bundle, S2L2A=OPTICAL)["out"][:, 1], 2 * OPTICAL[:, 1], rtol=1e-6)


def test_weights_too_large_for_one_file_lie_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("terramosaic.model.packing.pack._LARGEST_GRAPH", 1)
    weights = np.zeros((2, 2, 9, 9), np.float32)
    weights[0, 0, 4, 4], weights[1, 1, 4, 4] = 1, 2
    model = graph(
        tmp_path / "model.onnx",
        [helper.make_node("Conv", ["windows", "weights"], ["made"], pads=[4, 4, 4, 4])],
        {"windows": ("n", 2, SIDE, SIDE)},
        {"made": ("n", 2, SIDE, SIDE)},
        weights=weights,
    )
    bundle = packed(model).bundle
    assert {"out.onnx", "out.onnx.data"} <= bundle.manifest.files.keys()
    np.testing.assert_allclose(made(bundle, S2L2A=OPTICAL)["out"][:, 1], 2 * OPTICAL[:, 1], rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"inputs": {"S2L2A": {"tensor": "image"}}}, "inputs.S2L2A.tensor: 'image' is none of the graph's: windows"),
        ({"inputs": {"S2L2A": {"bands": ["B03"]}}}, "S2L2A: 'windows' is 2 x 32 x 32 in the graph, but the spec"),
        ({"window": 64}, "says 2 bands in windows of 64, 2 x 64 x 64; put bands"),
        ({"layout": "NHWC"}, "'windows' is 2 x 32 x 32 in the graph, but the spec says 2 bands"),
        ({"inputs": {"S2L2A": {"bands": ["B03", "B8"]}}}, "spec: inputs: S2L2A: there is no band B8; it has B01"),
        ({"inputs": {"S2L2A": {"bands": ["B03", "B08"], "std": [1]}}}, "S2L2A: std has 1 numbers for 2 bands"),
        ({"inputs": {"S2L2A": {"bands": ["B03", "B08"], "unit": "dn"}}}, "unit is 'dn'; it can be DN or refl"),
        ({"inputs": {"HLS": {}}}, "spec: inputs: HLS is no input that imagery is read for; take S2L2A"),
        ({"inputs": {}}, "spec: inputs: Dictionary should have at least 1 item"),
        ({"targets": {"out": {"output": "logits"}}}, "spec: targets.out: probabilities and logits are of two classes"),
        ({"targets": {"out": {"output": "logits", "classes": ["a", "b", "c"]}}}, "the spec says 3 classes in windows"),
        ({"targets": {"out": {"output": "values", "classes": ["a", "b"]}}}, "targets.out: values have no classes"),
        ({"targets": {"out": {"output": "logits", "classes": ["a", "a"]}}}, "two classes have the same name"),
        ({"targets": {"out": {"output": "logits", "classes": [{"name": "a", "value": 0}, "b"]}}},
         "targets.out.classes.0.value: Input should be greater than or equal to 1"),
        ({"targets": {"quality": {"output": "values"}}}, "'quality' is the name of a layer that every run has"),
        ({"targets": {"out": {"output": "probabilities", "classes": ["a", "b"]}}},
         "targets.out: output: these are no probabilities: they reach from"),
        ({"stride": 99}, "spec: stride: is 99; windows of 32 pixels lie a multiple of 1 apart"),
        ({"inputs": {"S2L2A": {"bands": ["B03", "B03"]}}}, "spec: inputs: S2L2A: a band is named twice: B03, B03"),
        ({"inputs": {"S2L2A": {"bands": ["B03", "B08"], "mean": [1, float("nan")]}}}, "must be numbers, not NaN"),
        ({"inputs": {"S2L2A": {"bands": ["B03", "B08"], "dates": 3}}},
         "inputs.S2L2A: 'windows' has 4 axes in the graph; windows have 5 (NCTHW), the first the batch"),
        ({"inputs": {"S2L2A": {"axes": "NTCHW"}}}, "S2L2A: axes: NTCHW has an axis T of dates; say how many, as dates"),
        ({"inputs": {"S2L2A": {"dates": 25}}}, "inputs.S2L2A.dates: Input should be less than or equal to 24"),
        ({"patch": 5}, "window: 32 is not made of two or more patches of 5"),
        ({"licence": ""}, "spec: licence: String should have at least 1 character"),
        ({"pixel": 30}, "spec: pixel: Extra inputs are not permitted"),
        ({"targets": {"S2L2A": {"output": "values"}}}, "spec: targets: S2L2A is what the model takes; give"),
        ({"targets": {"windows": {"output": "values"}}}, "spec: targets: windows is what the model takes"),
        ({"targets": {"../out": {"output": "values"}}},
         "spec: targets.../out: is no name here; take letters and digits, a letter first"),
        ({"targets": {"x" * 300: {"output": "values"}}}, "String should have at most 64 characters"),
        ({"name": "a/b"}, "spec: name: is no name here; take letters, digits"),
        ({"targets": {"out": {"output": "logits", "classes": [f"c{n}" for n in range(256)]}}},
         "spec: targets.out.classes: 256 classes; a map holds 255, and 0 where there is none"),
        ({"targets": {"out": {"output": "logits", "classes": ["a", {"name": "b", "colour": "red"}]}}},
         "spec: targets.out.classes.1.colour: is no colour; write it as '#2b6cb0'"),
    ],
)  # fmt: skip
def test_a_spec_that_does_not_fit_is_told_in_a_line(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    line = refusal(one(tmp_path), **changes)
    assert told in line and "\n" not in line


DATED = RNG.uniform(100, 4000, (3, 2, 3, SIDE, SIDE)).astype(np.float32)


def of_dates(folder: Path, axes: str, **sizes: int) -> Path:
    """A model of three dates: of each band the sum over dates with weights 1, 10 and 100."""
    size = {"C": 2, "T": 3, "H": SIDE, "W": SIDE} | sizes
    shape = [size[axis] for axis in axes[1:]]
    weights = np.array([1, 10, 100], np.float32).reshape([3 if axis == "T" else 1 for axis in axes])
    nodes = [
        helper.make_node("Mul", ["windows", "weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "axis"], ["made"], keepdims=0),
    ]
    left = [size[axis] for axis in axes[1:] if axis != "T"]
    return graph(
        folder / "model.onnx",
        nodes,
        {"windows": ("n", *shape)},
        {"made": ("n", *left)},
        weights=weights,
        axis=np.array([axes.index("T")]),
    )


@pytest.mark.parametrize("axes", ["NCTHW", "NTCHW", "NTHWC"])
def test_dates_are_an_axis_in_the_order_that_the_graph_has(tmp_path: Path, axes: str) -> None:
    said = {"bands": ["B08", "B03"], "dates": 3, "axes": axes, "mean": [10, 20], "std": [2, 4]}
    layout = "NHWC" if axes.endswith("C") else "NCHW"
    bundle = packed(of_dates(tmp_path, axes), inputs={"S2L2A": said}, layout=layout).bundle
    assert bundle.inputs["S2L2A"].dates == bundle.manifest.dates == 3
    standard = (DATED - np.array([10, 20]).reshape(2, 1, 1, 1)) / np.array([2, 4]).reshape(2, 1, 1, 1)
    expected = (standard * np.array([1, 10, 100]).reshape(3, 1, 1)).sum(axis=2)
    np.testing.assert_allclose(made(bundle, S2L2A=DATED)["out"], expected, rtol=1e-5)
    assert not check_bundle(bundle).failures
    with pytest.raises(ModelError, match=r"windows of S2L2A must be float32 \(3, 2, 3, 32, 32\)"):
        made(bundle, S2L2A=DATED[:, :, 0])


def test_a_graph_of_dates_that_a_spec_does_not_tell(tmp_path: Path) -> None:
    model = of_dates(tmp_path, "NCTHW")
    assert "has 5 axes in the graph; windows have 4, the first the batch; one more is of dates" in refusal(
        model
    )
    two = {"bands": ["B03", "B08"], "dates": 2}
    line = refusal(model, inputs={"S2L2A": two})
    assert (
        "'windows' is 2 x 3 x 32 x 32 in the graph, but the spec says 2 bands in windows of 32 of 2 dates"
        in line
    )


def test_inputs_of_several_dates_have_the_same(tmp_path: Path) -> None:
    model = graph(
        tmp_path / "model.onnx",
        [
            helper.make_node("ReduceMean", ["a"], ["x"], axes=[2], keepdims=0),
            helper.make_node("ReduceMean", ["b"], ["y"], axes=[2], keepdims=0),
            helper.make_node("Add", ["x", "y"], ["made"]),
        ],
        {"a": ("n", 2, 3, SIDE, SIDE), "b": ("n", 2, 2, SIDE, SIDE)},
        {"made": ("n", 2, SIDE, SIDE)},
    )
    inputs = {
        "S2L2A": {"tensor": "a", "bands": ["B03", "B08"], "dates": 3},
        "S1RTC": {"tensor": "b", "dates": 2},
    }
    assert "inputs: dates are 2 of S1RTC and 3 of S2L2A; those" in refusal(model, inputs=inputs)


def test_graphs_that_cannot_be_mapped_with(tmp_path: Path) -> None:
    assert "takes batches of 4 windows alone" in refusal(one(tmp_path, batch=4))
    assert "the model returned numbers that are not finite" in refusal(
        one(tmp_path, "Div", nothing=np.zeros(1, np.float32))
    )
    (tmp_path / "model.onnx").write_bytes(b"")
    assert "is no ONNX model: it holds no graph" in refusal(tmp_path / "model.onnx")
    (tmp_path / "model.onnx").write_bytes(b"no model")
    assert "is no ONNX model that can be read" in refusal(tmp_path / "model.onnx")


def test_a_graph_whose_windows_are_not_their_own_makes_no_bundle(tmp_path: Path) -> None:
    """A norm over the batch, as of a model exported while training, and random numbers of its own."""
    over_batch = graph(
        tmp_path / "model.onnx",
        [
            helper.make_node("ReduceMean", ["windows"], ["mean"], axes=[0, 2, 3], keepdims=1),
            helper.make_node("Sub", ["windows", "mean"], ["made"]),
        ],
        {"windows": ("n", 2, SIDE, SIDE)},
        {"made": ("n", 2, SIDE, SIDE)},
    )
    assert "of the same window the graph makes something else" in refusal(over_batch)
    for batch in ("n", 1):
        line = refusal(one(tmp_path, "RandomNormalLike", batch=batch))
        assert "without random numbers of its own" in line and "\n" not in line


@pytest.mark.parametrize("output", ["logits", "probabilities"])
@pytest.mark.parametrize("keeps_axis", [True, False])
def test_numbers_of_classes_are_no_logits(tmp_path: Path, output: str, keeps_axis: bool) -> None:
    model = graph(
        tmp_path / "model.onnx",
        [helper.make_node("ArgMax", ["windows"], ["made"], axis=1, keepdims=int(keeps_axis))],
        {"windows": ("n", 2, SIDE, SIDE)},
        {"made": ("n", 1, SIDE, SIDE) if keeps_axis else ("n", SIDE, SIDE)},
    )
    made_by = onnx.load(model)
    made_by.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    onnx.save(made_by, model)
    line = refusal(model, targets={"out": {"output": output, "classes": ["a", "b"]}})
    assert "'made' holds whole numbers (INT64), as classes do after an argmax" in line


def test_an_input_that_nothing_is_said_of(tmp_path: Path) -> None:
    model = graph(
        tmp_path / "model.onnx",
        [helper.make_node("Add", ["a", "b"], ["c"])],
        {"a": ("n", 2, SIDE, SIDE), "b": ("n", 2, SIDE, SIDE)},
        {"c": ("n", 2, SIDE, SIDE)},
    )
    said = {"S2L2A": {"bands": ["B03", "B08"], "tensor": "a"}}
    assert "inputs: the graph also wants b; say what it is fed with" in refusal(model, inputs=said)


def test_what_looks_odd_is_a_warning(tmp_path: Path) -> None:
    found = packed(one(tmp_path, "Mul", nothing=np.zeros(1, np.float32)))
    assert any("all pixels of made-up windows get the same" in line for line in found.warnings)


def test_values_beyond_what_is_stored_and_a_class_that_always_wins_are_warnings(tmp_path: Path) -> None:
    found = packed(one(tmp_path, "Conv", 1, weights=conv((1, 1))))
    assert any("beyond the 3.277 that int16 holds in steps of 0.0001" in line for line in found.warnings)
    (tmp_path / "second").mkdir()
    model = one(tmp_path / "second", "Conv", 2, weights=conv((0, 0), (1, 1)))
    found = packed(model, targets={"out": {"output": "logits", "classes": ["land", "water"]}})
    assert any("all pixels of made-up windows are 'water'" in line for line in found.warnings)


def test_a_self_test_that_comes_out_otherwise_fails(tmp_path: Path) -> None:
    bundle = packed(one(tmp_path)).bundle
    stored = dict(np.load(bundle.folder / "selftest.npz"))
    stored["out.values"] = stored["out.values"] * np.float32(1.01)
    np.savez(bundle.folder / "selftest.npz", **stored)
    assert "out differs from the reference by" in check_bundle(bundle).failures[0]


def test_the_graph_is_the_users_own(tmp_path: Path) -> None:
    """What the bundle makes is what ONNX Runtime makes of the file itself, where nothing is converted."""
    weights = RNG.normal(size=(3, 2, 3, 3)).astype(np.float32)
    model = graph(
        tmp_path / "model.onnx",
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        {"x": ("n", 2, SIDE, SIDE)},
        {"y": ("n", 3, SIDE, SIDE)},
        w=weights,
    )
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    expected = np.concatenate([session.run(None, {"x": window[None]})[0] for window in OPTICAL])
    # Sums may be rounded in another order, for the engine chooses what the runtime may rearrange.
    found = made(packed(model).bundle, S2L2A=OPTICAL)["out"]
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


def drawing(path: Path, side: Any = 4, **more: Any) -> Path:
    """A model that adds a number a patch to its windows, for two outputs."""
    return graph(
        path / "model.onnx",
        [
            helper.make_node("Unsqueeze", ["chance", "axis"], ["planes"]),
            helper.make_node("Resize", ["planes", "", "scales"], ["upsampled"], mode="nearest"),
            helper.make_node("Add", ["windows", "upsampled"], ["made"]),
        ],
        {"windows": ("n", 2, SIDE, SIDE), "chance": ("n", side, side)},
        {"made": ("n", 2, SIDE, SIDE)},
        axis=np.array([1]),
        scales=np.array([1, 1, 8, 8], np.float32),
        **more,
    )


def test_a_model_that_draws_gets_the_grounds_numbers(tmp_path: Path) -> None:
    bundle = packed(
        drawing(tmp_path), patch=8, targets={"out": {"output": "values", "uniform": "chance"}}
    ).bundle
    assert bundle.targets["out"].uniform and not check_bundle(bundle).failures
    generator = open_generator(bundle, ("out",), options=GenerationOptions(inputs=("S2L2A",)))
    assert generator.needs["out"].uniform
    chance = RNG.uniform(size=(3, 4, 4)).astype(np.float32)
    found = generator.generate({"S2L2A": OPTICAL}, {"out": WindowRandomness(uniform=chance)})["out"]
    np.testing.assert_allclose(found, OPTICAL + np.kron(chance, np.ones((8, 8)))[:, None], rtol=1e-6)


@pytest.mark.parametrize(
    ("said", "side", "patch", "told"),
    [
        ("luck", 4, 8, "targets.out.uniform: 'luck' is none of the graph's: windows, chance"),
        ("chance", 4, 16, "'chance' is ? x 4 x 4 in the graph; a number a patch is batch x 2 x 2"),
        ("", 4, 8, "inputs.S2L2A.tensor: say which of the graph's it is: windows, chance"),
        ("windows", 4, 8, "targets.out.uniform: 'windows' is"),
    ],
)
def test_numbers_to_draw_with_that_do_not_fit(
    tmp_path: Path, said: str, side: int, patch: int, told: str
) -> None:
    targets = {"out": {"output": "values", "uniform": said}}
    found = refusal(drawing(tmp_path, side), patch=patch, targets=targets)
    assert told in found, found
