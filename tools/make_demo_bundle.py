"""Make the built-in ``demo`` bundle: band arithmetic as ONNX graphs, so that everything runs without weights.

    python -m tools.make_demo_bundle [OUT]

It is NOT TerraMind and learned nothing. NDVI is exact. Land cover is scored by rules on spectral indices: a
class loses points in proportion to how far a pixel misses its conditions, and a softmax over the scores gives
probabilities with smooth transitions. Backscatter is what each class typically shows in C band, mixed by its
probability, plus ground-anchored noise in place of speckle. There is no DEM: elevation cannot be made up
from reflectance.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from terramosaic.bands import S2L2A_BANDS
from terramosaic.errors import RequestError
from terramosaic.ground.lattice import WINDOW
from terramosaic.model.bundle import DEMO_FOLDER
from terramosaic.model.manifest import GENERATE, LULC_CLASSES, FileSpec, InputSpec, Manifest, TargetSpec

#: Every supported ONNX Runtime knows 17 and nothing here needs more; IR version 8 goes with it.
OPSET, IR_VERSION = 17, 8

#: Normalised differences (a - b) / (a + b) of two bands.
INDICES = {
    "ndvi": ("B08", "B04"),  # green vegetation
    "ndwi": ("B03", "B08"),  # open water, turbid too
    "mndwi": ("B03", "B11"),  # snow and water, against everything dry
    "redness": ("B04", "B02"),  # soil and dry grass; roofs, asphalt, clouds and snow are grey
    "moisture": ("B08", "B11"),  # leaves full of water, against dry or woody ones and soil
}

#: Reflectances, as weights of bands.
REFLECTANCES = {
    "visible": {"B02": 1 / 3, "B03": 1 / 3, "B04": 1 / 3},
    "nir": {"B08": 1.0},
    "swir": {"B11": 1.0},
}
REFLECTANCE_BANDS = ("B02", "B03", "B04", "B08", "B11")

#: A feature, the side of the threshold on which the condition holds, the threshold, and the points that a
#: class loses for each unit of the feature on the other side.
Condition = tuple[str, str, float, float]

#: Per class: its score where all conditions hold, and the conditions. Found by a coordinate search, then trimmed by
#: eye, on TerraMesh's example patches, a desert tile and the covers of the demo's made-up world.
RULES: dict[str, tuple[float, tuple[Condition, ...]]] = {
    "water": (
        5.5,
        (
            ("ndwi", ">", -0.07, 35),
            ("nir", "<", 0.09, 90),
            ("swir", "<", 0.13, 20),
            ("visible", "<", 0.22, 60),
        ),
    ),
    "trees": (
        6.0,
        (
            ("ndvi", ">", 0.65, 15),
            ("visible", "<", 0.03, 100),
            ("swir", "<", 0.14, 50),
            ("nir", "<", 0.36, 90),
            ("moisture", ">", 0.3, 25),
        ),
    ),
    "flooded vegetation": (
        3.0,
        (
            ("ndvi", ">", 0.2, 25),
            ("ndvi", "<", 0.65, 25),
            ("swir", "<", 0.08, 90),
            ("nir", ">", 0.12, 90),
            ("nir", "<", 0.2, 80),
        ),
    ),
    "crops": (3.0, (("ndvi", ">", 0.45, 10), ("swir", ">", 0.15, 40), ("swir", "<", 0.22, 80))),
    "built area": (
        4.0,
        (
            ("ndvi", "<", 0.42, 15),
            ("redness", "<", 0.15, 120),
            ("visible", ">", 0.07, 100),
            ("visible", "<", 0.38, 40),
            ("mndwi", "<", 0.0, 10),
        ),
    ),
    "bare ground": (4.0, (("ndvi", "<", 0.2, 20), ("redness", ">", 0.16, 50), ("mndwi", "<", 0.0, 10))),
    "snow/ice": (5.5, (("mndwi", ">", 0.4, 45), ("visible", ">", 0.26, 40), ("nir", ">", 0.17, 20))),
    "clouds": (
        6.0,
        (
            ("visible", ">", 0.44, 80),
            ("mndwi", "<", 0.4, 30),
            ("redness", "<", 0.2, 50),
            ("swir", ">", 0.37, 40),
        ),
    ),
    "rangeland": (
        4.5,
        (
            ("ndvi", ">", 0.18, 50),
            ("ndvi", "<", 0.5, 7),
            ("swir", ">", 0.28, 80),
            ("moisture", "<", 0.06, 50),
        ),
    ),
}

#: Scores stop here, and "no data" has this score everywhere. Whatever the spectrum, some class scores -12 or more,
#: so odds never vanish together (0 / 0) and no data stays below 1e-20.
SCORE_FLOOR = -60.0

#: Typical S1RTC backscatter (VV, VH) in dB, and speckle's standard deviation in dB. Classes that look alike to a radar
#: are one: fewer rules, half the time.
BACKSCATTER = {
    "other": (-11.5, -17.5, 1.25),
    "water": (-19.0, -27.0, 1.2),
    "trees": (-10.0, -15.5, 1.2),
    "built area": (-4.0, -11.0, 2.0),
    "bare ground": (-13.0, -21.0, 1.2),
}

#: What is none of the classes above scores this much, everywhere.
OTHER_SCORE = 2.0

#: dB of (VV, VH) per unit of reflectance above 0.2: green biomass scatters back, dry ground does less.
TEXTURE = {"nir": (6.0, 9.0), "swir": (-5.0, -4.0)}

#: RTC is gamma naught, GRD sigma naught = gamma naught x cos(incidence angle): 1.1 dB less at 39 degrees.
GRD_SHIFT = -1.1

#: Noise floor and corner reflector.
DECIBEL_RANGE = (-35.0, 10.0)


class _Graph:
    """An ONNX graph under construction; calling it adds a node and returns the name of the node's output."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def __call__(
        self, op: str, *inputs: str | np.ndarray | np.generic, output: str = "", **attributes: Any
    ) -> str:
        output = output or f"{op.lower()}_{len(self._nodes)}"
        names = [value if isinstance(value, str) else self._constant(np.asarray(value)) for value in inputs]
        self._nodes.append(helper.make_node(op, names, [output], **attributes))
        return output

    def _constant(self, value: np.ndarray) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(value, name))
        return name

    def serialize(self, target: str, inputs: dict[str, int], planes: int) -> bytes:
        """The model's bytes, with ``inputs`` (name to planes) and one output, named after the target."""

        def declare(name: str, channels: int) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", channels, WINDOW, WINDOW])

        graph = helper.make_graph(
            self._nodes,
            f"demo_{target}",
            [declare(name, channels) for name, channels in inputs.items()],
            [declare(target, planes)],
            initializer=self._constants,
            doc_string="Band arithmetic, NOT TerraMind",
        )
        model = helper.make_model(
            graph,
            producer_name="terramosaic",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        onnx.checker.check_model(model, full_check=True)
        serialized: bytes = model.SerializeToString(deterministic=True)
        return serialized


def _floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def _pointwise(weights: np.ndarray) -> np.ndarray:
    """(out, in) weights as those of a 1 x 1 convolution, which ONNX Runtime runs as one matrix product."""
    return weights[:, :, None, None].astype(np.float32)


def _pick(graph: _Graph, bands: Sequence[str], wanted: Sequence[str]) -> str:
    return graph("Gather", "windows", np.array([bands.index(band) for band in wanted]), axis=1)


def _planes(graph: _Graph, tensor: str, start: int, stop: int) -> str:
    return graph("Slice", tensor, np.array([start]), np.array([stop]), np.array([1]))


def _normalised_difference(graph: _Graph, a: str, b: str, output: str = "") -> str:
    # DN is at least 1 where there is imagery, so guarding the denominator changes nothing there.
    total = graph("Max", graph("Add", a, b), np.float32(1))
    return graph("Div", graph("Sub", a, b), total, output=output)


def _features(graph: _Graph, bands: Sequence[str]) -> str:
    """Planes that rules look at: the indices, then single bands as DN."""
    minuends, subtrahends = zip(*INDICES.values(), strict=True)
    indices = _normalised_difference(graph, _pick(graph, bands, minuends), _pick(graph, bands, subtrahends))
    return graph("Concat", indices, _pick(graph, bands, REFLECTANCE_BANDS), axis=1)


def _feature_weights(feature: str) -> np.ndarray:
    """The feature as a linear combination of the planes of `_features`; reflectance is DN / 10 000."""
    if feature in INDICES:
        weights = {feature: 1.0}
    else:
        weights = {band: weight / 10_000 for band, weight in REFLECTANCES[feature].items()}
    return np.array([weights.get(plane, 0.0) for plane in (*INDICES, *REFLECTANCE_BANDS)])


def _odds(graph: _Graph, features: str, scores: dict[str, float]) -> str:
    """Planes of class probabilities before they are divided by their sum.

    What a condition lacks is a rectified linear function of the features, and a score is linear in what its
    conditions lack: two 1 x 1 convolutions hold all rules. Scores are bounded, so exp cannot overflow.

    Args:
        scores: per plane the class and its score where all its conditions hold; one without rules has it everywhere.
    """
    rules = {name: RULES[name][1] for name in scores if name in RULES}
    # Classes share conditions: each is computed once.
    conditions = list(dict.fromkeys(condition[:3] for all_of in rules.values() for condition in all_of))
    signs = np.array([1 if side == "<" else -1 for _, side, _ in conditions])
    lack = signs[:, None] * np.array([_feature_weights(feature) for feature, _, _ in conditions])
    lack_at_zero = -signs * np.array([threshold for _, _, threshold in conditions])

    loss = np.zeros((len(scores), len(conditions)))
    for plane, name in enumerate(scores):
        for feature, side, threshold, points in rules.get(name, ()):
            loss[plane, conditions.index((feature, side, threshold))] = -points

    best = _floats(*scores.values())
    lacking = graph("Relu", graph("Conv", features, _pointwise(lack), _floats(*lack_at_zero)))
    totals = graph("Conv", lacking, _pointwise(loss), best)
    return graph("Exp", graph("Clip", totals, np.float32(SCORE_FLOOR), best.max()))


def _ndvi(graph: _Graph, bands: Sequence[str]) -> None:
    nir, red = (_pick(graph, bands, [band]) for band in INDICES["ndvi"])
    _normalised_difference(graph, nir, red, output="NDVI")


def _land_cover(graph: _Graph, bands: Sequence[str]) -> None:
    scores = {item.name: RULES[item.name][0] if item.name in RULES else SCORE_FLOOR for item in LULC_CLASSES}
    odds = _odds(graph, _features(graph, bands), scores)
    # Not ReduceSum: ONNX Runtime adds in another order as soon as there are two windows in a batch.
    total = graph("Conv", odds, _pointwise(np.ones((1, len(LULC_CLASSES)))))
    graph("Div", odds, total, output="LULC")


def _backscatter(graph: _Graph, bands: Sequence[str], target: str) -> None:
    features = _features(graph, bands)
    # One product gives the odds' weighted sums of VV, VH and speckle, and as fourth plane the odds' own sum.
    typical = np.array([(*decibels, 1.0) for decibels in BACKSCATTER.values()]).T
    scores = {name: RULES[name][0] if name in RULES else OTHER_SCORE for name in BACKSCATTER}
    sums = graph("Conv", _odds(graph, features, scores), _pointwise(typical))
    total = _planes(graph, sums, 3, 4)
    decibel = graph("Div", _planes(graph, sums, 0, 2), total)
    deviation = graph("Div", _planes(graph, sums, 2, 3), total)

    gains = np.array(list(TEXTURE.values())).T
    level = (GRD_SHIFT if target == "S1GRD" else 0.0) - 0.2 * gains.sum(axis=1)
    per_plane = gains @ np.array([_feature_weights(feature) for feature in TEXTURE])
    texture = graph("Conv", features, _pointwise(per_plane), _floats(*level))

    speckled = graph("Add", graph("Add", decibel, texture), graph("Mul", "noise", deviation))
    graph("Clip", speckled, *_floats(*DECIBEL_RANGE), output=target)


_SPECS: dict[str, dict[str, Any]] = {
    "S1GRD": {"output": "values", "channels": ("VV", "VH"), "unit": "dB", "noise_channels": 2},
    "S1RTC": {"output": "values", "channels": ("VV", "VH"), "unit": "dB", "noise_channels": 2},
    "NDVI": {"output": "values", "channels": ("NDVI",)},
    "LULC": {"output": "probabilities", "channels": ("LULC",), "classes": LULC_CLASSES},
}


def _serialize(target: str, spec: TargetSpec, bands: Sequence[str]) -> bytes:
    graph = _Graph()
    needed = set(INDICES["ndvi"]) if target == "NDVI" else {*sum(INDICES.values(), ()), *REFLECTANCE_BANDS}
    if missing := sorted(needed - set(bands)):
        raise RequestError(f"bands: {target} needs {' '.join(missing)}, not in {' '.join(bands)}")
    if target == "NDVI":
        _ndvi(graph, bands)
    elif target == "LULC":
        _land_cover(graph, bands)
    else:
        _backscatter(graph, bands, target)
    inputs = {"windows": len(bands)} | ({"noise": spec.noise_channels} if spec.noise_channels else {})
    return graph.serialize(target, inputs, spec.planes)


def make_bundle(
    out: Path, *, targets: Sequence[str] = tuple(_SPECS), bands: Sequence[str] = S2L2A_BANDS
) -> Path:
    """Write the demo bundle, byte for byte the same each time under one version of onnx.

    Args:
        out: Folder to write into; made if need be.
        targets: What to include, out of S1GRD, S1RTC, NDVI and LULC.
        bands: Bands of the windows. NDVI needs B04 and B08, the other targets B02 B03 B04 B08 B11.

    Returns:
        The folder.

    Raises:
        RequestError: a target is none that band arithmetic makes, or needs a band that ``bands`` lacks.
    """
    if unknown := [target for target in targets if target not in _SPECS]:
        raise RequestError(
            f"targets: the demo bundle has no {', '.join(unknown)}; it makes {', '.join(_SPECS)}"
        )
    out.mkdir(parents=True, exist_ok=True)
    specs, files = {}, {}
    for target in targets:
        file = f"{target}.onnx"
        spec = TargetSpec.model_validate({"kind": "direct", "graphs": {GENERATE: file}, **_SPECS[target]})
        content = _serialize(target, spec, bands)
        (out / file).write_bytes(content)
        specs[target] = spec
        files[file] = FileSpec(
            sha256=hashlib.sha256(content).hexdigest(), size=len(content), opset=OPSET, precision="fp32"
        )
    manifest = Manifest(
        name="demo",
        title="demo model (band arithmetic; NOT TerraMind)",
        family="demo",
        source="terramosaic, tools/make_demo_bundle.py",
        licence="Apache-2.0",
        inputs={
            "S2L2A": InputSpec(
                bands=tuple(bands),
                convention="Sentinel-2 L2A, DN = reflectance x 10 000, offset removed, at least 1; gaps filled",
            )
        },
        conditioning="independent",
        targets=specs,
        files=files,
        versions={"onnx": onnx.__version__},
    )
    text = manifest.model_dump_json(indent=2, exclude_none=True)
    (out / "bundle.json").write_text(text + "\n", encoding="utf-8", newline="\n")
    return out


if __name__ == "__main__":
    print(make_bundle(Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO_FOLDER))
