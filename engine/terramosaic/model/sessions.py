"""ONNX Runtime sessions of a bundle's graphs, prepared for their device."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import onnxruntime

from terramosaic.model.bundle import Bundle
from terramosaic.model.devices import Device, Precision
from terramosaic.model.manifest import STEP
from terramosaic.model.prepared import prepared_graph
from terramosaic.model.runtime import graph_session, session_options

#: Initializers below this size stay in the graph itself: packed small ones were found misaligned when mapped.
_EXTERNAL_FROM_BYTES = 1 << 20


def open_session(
    bundle: Bundle,
    role: str,
    file: str,
    device: Device,
    *,
    threads: int,
    batch: int,
    precision: Precision = "auto",
    greedy: bool = False,
) -> onnxruntime.InferenceSession:
    """Opens a graph on a device, from the cache of prepared graphs.

    Args:
        bundle: a loaded bundle.
        role: what the graph does, such as ``step``; steps get the device's fast convolutions.
        file: the graph's name in the bundle.
        device: where to run; CUDA is strict.
        threads: processors that one run may use.
        batch: windows in a run; fixed on CUDA, any on the CPU.
        precision: that CUDA computes in; ``auto`` is half.
        greedy: whether a graph that draws tokens is to take the most probable ones alone.

    Raises:
        ModelError: the device cannot be used, or ONNX Runtime cannot open the graph.
    """
    kind: Literal["step", "transformer"] = "step" if role == STEP else "transformer"
    if device.kind == "cuda":
        in_half = precision != "fp32"
        return _open_on_cuda(bundle, kind, file, device, threads, batch, in_half=in_half, greedy=greedy)
    return _open_on_cpu(bundle, kind, file, threads, greedy=greedy)


def _open_on_cpu(
    bundle: Bundle, kind: str, file: str, threads: int, *, greedy: bool
) -> onnxruntime.InferenceSession:
    def make(source: Path, target: Path) -> None:
        rewritten = target.with_name("rewritten.onnx")
        # Both bring onnx, which prepared graphs do without.
        if kind == "step":
            from terramosaic.model.cpu import rewrite_step

            rewrite_step(source, rewritten)
        elif greedy:
            from terramosaic.model.cuda.likeliest import write_likeliest

            write_likeliest(source, rewritten)
        else:
            rewritten = source
        _optimise(rewritten, target)
        for leftover in target.parent.glob("rewritten.*"):
            leftover.unlink()

    graph = prepared_graph(bundle, file, f"cpu {kind}{' greedy' if greedy else ''}", make)
    options = session_options(threads)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return graph_session(graph, options)


def _optimise(source: Path, target: Path) -> None:
    """Has ONNX Runtime optimise a graph and keep its weights as it packs them for this processor."""
    options = session_options(threads=1)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(target)
    for entry, value in (
        ("session.optimized_model_external_initializers_file_name", target.with_suffix(".data").name),
        ("session.optimized_model_external_initializers_min_size_in_bytes", str(_EXTERNAL_FROM_BYTES)),
        ("session.save_external_prepacked_constant_initializers", "1"),
    ):
        options.add_session_config_entry(entry, value)
    graph_session(source, options)


def _open_on_cuda(
    bundle: Bundle,
    kind: str,
    file: str,
    device: Device,
    threads: int,
    batch: int,
    *,
    in_half: bool,
    greedy: bool,
) -> onnxruntime.InferenceSession:
    from terramosaic.model.cuda import (  # brings onnx, as above
        open_on_cuda,
        prepare_step,
        prepare_transformer,
    )

    prepare = prepare_step if kind == "step" else partial(prepare_transformer, greedy=greedy)
    recipe = f"cuda {kind}{'' if in_half else ' fp32'}{' greedy' if greedy else ''}"
    graph = prepared_graph(bundle, file, recipe, partial(prepare, in_half=in_half))
    return open_on_cuda(
        graph, device_index=device.index, batch=batch, capture=kind == "step", threads=threads
    )
