"""One target's U-Net on its own: ours with one choice changed at a time, and what others make of the same graph."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.benchmarks.gpu.machine import share, share_of
from tests.benchmarks.gpu.measure import median_seconds, relative
from tests.benchmarks.gpu.table import Results

if TYPE_CHECKING:
    from terramosaic.model.bundle import Bundle
    from terramosaic.model.devices import Device
    from terramosaic.model.io_binding import Tensor


def _ours(source: Path, target: Path) -> None:
    from terramosaic.model.cuda import prepare_step

    prepare_step(source, target)


def _in_single(source: Path, target: Path) -> None:
    from terramosaic.model.cuda import prepare_step

    prepare_step(source, target, in_half=False)


def _half_alone(source: Path, target: Path) -> None:
    """Half precision without any fusing: what ONNX Runtime makes of the exporter's operators by itself."""
    from terramosaic.model.cuda import step
    from terramosaic.model.cuda.graph import load_graph
    from terramosaic.model.cuda.half import to_half

    graph = load_graph(source)
    to_half(graph, step.half_part_of_step(graph))
    graph.save(target)


def _by_optimizer(source: Path, target: Path) -> None:
    """What ONNX Runtime's own tools make of it, as they do of Stable Diffusion's U-Net."""
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    options = FusionOptions("unet")
    model = optimize_model(str(source), "unet", optimization_options=options, opt_level=0, use_gpu=True)
    model.convert_float_to_float16(keep_io_types=True)
    # Where two nodes read one tensor in single precision the cast to it comes out twice, which a session refuses.
    made: set[str] = set()
    for node in list(model.nodes()):
        if node.op_type == "Cast" and node.output[0] in made:
            model.remove_node(node)
        made.update(node.output)
    model.save_model_to_file(str(target), use_external_data_format=True)


@dataclass(frozen=True)
class Way:
    """A way to run a step graph on CUDA.

    Attributes:
        prepare: rewrites the exported graph.
        options: of the CUDA provider, beside the engine's own.
        capture: whether its launches are captured as a CUDA graph.
    """

    prepare: Callable[[Path, Path], None] = _ours
    options: Mapping[str, str] = field(default_factory=dict)
    capture: bool = True


CHOICES = {
    "as it is": Way(),
    "as it is, once more": Way(),
    "no CUDA graph": Way(capture=False),
    "prefer_nhwc=1": Way(options={"prefer_nhwc": "1"}),
    "fuse_conv_bias=0": Way(options={"fuse_conv_bias": "0"}),
    "cudnn_conv_algo_search=EXHAUSTIVE": Way(options={"cudnn_conv_algo_search": "EXHAUSTIVE"}),
    "cudnn_conv_use_max_workspace=0": Way(options={"cudnn_conv_use_max_workspace": "0"}),
    "single precision": Way(_in_single),
    "operators as exported, half": Way(_half_alone),
    "operators as exported, half, prefer_nhwc=1": Way(_half_alone, {"prefer_nhwc": "1"}),
}

RIVALS = {
    "ours": Way(),
    "onnxruntime.transformers, unet, half": Way(_by_optimizer),
    "onnxruntime.transformers, unet, half, prefer_nhwc=1": Way(_by_optimizer, {"prefer_nhwc": "1"}),
}


class _Walk:
    """The same way from noise to values for whatever session: a target's noise, code and steps of diffusion."""

    def __init__(self, bundle: Bundle, target: str, steps: int, batch: int) -> None:
        from terramosaic.model.diffusion import ddim_steps

        spec, side = bundle.targets[target], bundle.manifest.patches
        assert spec.schedule is not None
        rng = np.random.default_rng(5)
        levels = np.array(spec.codebook_levels)[:, None, None]
        codes = rng.integers(0, levels, (batch, len(levels), side, side)) / (levels - 1)
        shape = (batch, spec.noise_channels, bundle.manifest.window, bundle.manifest.window)
        self._codes, self._noise = codes.astype(np.float32), rng.standard_normal(shape, np.float32)
        self._steps, self._clip = ddim_steps(spec.schedule, steps), spec.x0_clip or 1.0
        self._planes = spec.planes
        self._bundle, self._target = bundle, target
        self._name = f"{bundle.fingerprint[:12]}-{target}-{steps}-of-{batch}"

    def on(self, session: Any, device: Device, count: int) -> tuple[Callable[[], None], Tensor]:
        """What denoises the first ``count`` windows by a session, and where their values will be."""
        from terramosaic.model.denoiser import Denoiser
        from terramosaic.model.io_binding import Tensor

        codes, noise = self._codes[:count], self._noise[:count]
        code, start = (Tensor(array.shape, np.float32, device) for array in (codes, noise))
        values = Tensor((count, self._planes, *noise.shape[2:]), np.float32, device)
        code.write(codes)
        start.write(noise)
        denoiser = Denoiser(session, self._steps, self._clip, device, code, values)
        return partial(denoiser.denoise, denoiser.from_noise(start, 0)), values

    def by_exported_graph(self, work: Path) -> np.ndarray:
        """Values of the first window, by the exported graph in single precision on the CPU."""
        from terramosaic.model.devices import Device
        from terramosaic.model.manifest import STEP
        from tests.benchmarks.gpu.correct import open_as_exported

        kept = work / f"{self._name}.npy"
        if not kept.exists():
            target = self._bundle.targets[self._target]
            run, values = self.on(open_as_exported(self._bundle, target.graphs[STEP]), Device("cpu"), 1)
            run()
            np.save(kept, values.read())
        wanted: np.ndarray = np.load(kept)
        return wanted


def measure(
    results: Results,
    bundle: Bundle,
    target: str,
    device: str,
    steps: int,
    batch: int,
    repeats: int,
    name: str,
    work: Path,
) -> None:
    """Opens a target's U-Net in the way of that name, denoises a batch, and adds a row.

    On the CPU it is the engine's own graph for the CPU; other ways' graphs are prepared, and cannot be run there. In
    ``work`` stays what the exported graph makes of the first window, for the next way.
    """
    from terramosaic.model.devices import parse_device
    from terramosaic.model.manifest import STEP
    from terramosaic.model.prepared import prepared_graph
    from terramosaic.model.sessions import open_session
    from terramosaic.model.work import work_of

    way, where = (CHOICES | RIVALS)[name], parse_device(device)
    file = bundle.targets[target].graphs[STEP]
    began = time.perf_counter()
    recipe = "cuda step" if way.prepare is _ours else f"benchmark {way.prepare.__name__}"
    graph = prepared_graph(bundle, file, recipe, way.prepare)
    if where.kind == "cpu" and way != Way():
        figures: tuple[object, ...] = ("not run: it needs CUDA", "", "", "", time.perf_counter() - began)
    else:
        walk = _Walk(bundle, target, steps, batch)
        if where.kind == "cpu":
            session = open_session(bundle, STEP, file, where, threads=0, batch=batch)
        else:
            session = _open(graph, way, where.index, batch)
        run, values = walk.on(session, where, batch)
        run()
        opened = time.perf_counter() - began
        seconds = median_seconds(run, repeats)
        tflops = batch * steps * work_of(bundle, target).step / seconds / 1000
        error = relative(values.read()[:1], walk.by_exported_graph(work))
        figures = (1000 * seconds / steps / batch, tflops, share(tflops, device), error, opened)
    kinds = _kinds(graph)
    made = (kinds.total(), kinds["GroupNorm"] + kinds["SkipGroupNorm"], kinds["NhwcConv"])
    part = "choices" if name in CHOICES else "rivals"
    head = (
        "way",
        "ms a step and window",
        "TFLOP/s",
        share_of(device),
        "relative L2 of a window",
        "s to open",
    )
    head_of_graph = ("nodes", "norms fused", "NhwcConv")
    title = f"{target}'s U-Net, {part}, batch {batch}, {steps} steps"
    results.row(title, (*head, *head_of_graph), (name, *figures, *made))


def _open(graph: Path, way: Way, index: int, batch: int) -> Any:
    from terramosaic.model.cuda import sessions

    sessions.CUDA_OPTIONS = {**sessions.CUDA_OPTIONS, **way.options}
    return sessions.open_on_cuda(graph, device_index=index, batch=batch, threads=1, capture=way.capture)


def _kinds(graph: Path) -> Counter[str]:
    import onnx

    return Counter(node.op_type for node in onnx.load(graph, load_external_data=False).graph.node)
