"""A packed model of several dates: what it makes tells which pixels it was handed, band by band and date by date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from terramosaic.model.packing import pack_model
from terramosaic.model.packing.spec import PackSpec

SIDE, STRIDE = 64, 48

#: By input, the bands that it takes.
BANDS = {"S2L2A": ["B03", "B08"], "S1RTC": ["VV", "VH"], "DEM": ["DEM"]}


def make_dated(
    folder: Path, dates: int, inputs: tuple[str, ...] = ("S2L2A", "S1RTC", "DEM"), *, one_dem: bool = False
) -> Path:
    """Writes a bundle of two targets.

    ``seen`` has a channel for each first band and date, the oldest first, input after input: what was handed in.
    ``mixed`` is a convolution of 9 x 9 pixels over all of them, which a seam or another neighbour would show in.

    Args:
        folder: to write to.
        dates: that it sees.
        inputs: in the order of channels.
        one_dem: whether it sees one DEM, without an axis of dates.
    """
    folder.mkdir(parents=True)
    counts = {name: 1 if one_dem and name == "DEM" else dates for name in inputs}
    nodes, firsts = [], []
    for name in inputs:
        if counts[name] == 1:
            firsts.append(name)
            continue
        # (N, C, T, H, W): the first band, whose axis goes.
        nodes += [
            helper.make_node("Gather", [name, "zero"], [f"{name}/first"], axis=1),
        ]
        firsts.append(f"{name}/first")
    planes = sum(counts.values())
    nodes += [
        helper.make_node("Concat", firsts, ["seen"], axis=1),
        helper.make_node("Conv", ["seen", "weights"], ["mixed"], pads=[4, 4, 4, 4]),
    ]
    weights = np.random.default_rng(3).normal(size=(1, planes, 9, 9)).astype(np.float32) / (81 * planes)
    shapes: dict[str, list[str | int | None]] = {
        name: ["n", len(BANDS[name]), *([counts[name]] if counts[name] > 1 else []), SIDE, SIDE]
        for name in inputs
    }
    graph = helper.make_graph(
        nodes,
        "dated",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [
            helper.make_tensor_value_info("seen", TensorProto.FLOAT, ["n", planes, SIDE, SIDE]),
            helper.make_tensor_value_info("mixed", TensorProto.FLOAT, ["n", 1, SIDE, SIDE]),
        ],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array(0), "zero")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
        folder / "model.onnx",
    )
    spec: dict[str, Any] = {
        "name": "dated", "source": "tests", "licence": "Apache-2.0", "window": SIDE, "stride": STRIDE,
        "inputs": {name: {"tensor": name, "bands": BANDS[name], "dates": counts[name]} for name in inputs},
        "targets": {
            "seen": {"tensor": "seen", "output": "values",
                     "channels": [f"{name} {n}" for name in inputs for n in range(counts[name])]},
            "mixed": {"tensor": "mixed", "output": "values"},
        },
    }  # fmt: skip
    return pack_model(folder / "model.onnx", PackSpec.model_validate(spec), folder / "bundle").bundle.folder
