"""How large the numbers get that become half precision on a GPU, measured on the processor with a bundle's self-test.

Half precision ends at 65 504. A network that was trained in single precision may pass that in the midst of a layer,
which shows on a GPU alone, and there after hours as values that are not finite. Here each graph is run in single
precision on the self-test's windows, with the largest number of its half-precision part as one more output.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import helper

from terramosaic.model.bundle import Bundle
from terramosaic.model.cuda.graph import FLOAT, HALF, Graph, load_graph
from terramosaic.model.cuda.step import half_part_of_step
from terramosaic.model.cuda.transformer import half_part_of_transformer
from terramosaic.model.diffusion import ddim_steps
from terramosaic.model.manifest import CLASSES, CONTEXT, COORDINATES, DECODE, EMBED, STEP, TOKENISE, TOKENS
from terramosaic.model.pipeline import code_of
from terramosaic.model.runtime import graph_session, session_options
from terramosaic.model.selftest import read_selftest

#: The output that is added.
_LARGEST = "half:largest"


def largest_in_half(bundle: Bundle, *, threads: int) -> dict[str, float]:
    """The largest number, of activations or weights, that half precision has to hold in each of TerraMind's graphs.

    Args:
        bundle: of TerraMind, with a self-test.
        threads: processors.

    Returns:
        By graph's file, to three digits; the largest number of single precision where that itself overflows. Graphs of
        which nothing becomes half, and those that only coordinates and shared tokens need, are not among them.

    Raises:
        ModelError: the self-test is broken, or a graph cannot be read or run.
    """
    return _Measuring(bundle, threads).run()


class _Measuring:
    def __init__(self, bundle: Bundle, threads: int) -> None:
        self._bundle, self._threads = bundle, threads
        # One window tells it nearly as well as two.
        stored = read_selftest(bundle, bundle.manifest.selftest or "")
        self._steps = int(stored.pop("steps", np.int64(1)))
        self._stored = {name: array[:1] for name, array in stored.items()}
        self._found: dict[str, float] = {}

    def run(self) -> dict[str, float]:
        manifest, stored = self._bundle.manifest, self._stored
        ids = {
            name: stored[f"{name}.ids"].reshape(len(stored[f"{name}.ids"]), -1) for name in manifest.generated
        }
        patches = []
        for name, spec in self._bundle.inputs.items():
            for role, output in ((EMBED, "patches"), (TOKENISE, "ids")):
                if role in spec.graphs and name != COORDINATES:
                    made = self._made(role, spec.graphs[role], {"windows": stored[f"windows.{name}"]}, output)
                    patches += [made] if role == EMBED and name in manifest.embedded else []
        if patches and ids:
            self._transformer(np.stack(patches), ids)
        for name in manifest.generated:
            self._decoder(name, ids[name])
        most = float(np.finfo(np.float32).max)
        return {
            file: float(f"{np.nan_to_num(largest, nan=most, posinf=most):.3g}")
            for file, largest in self._found.items()
        }

    def _transformer(self, patches: np.ndarray, ids: Mapping[str, np.ndarray]) -> None:
        """Context, decoder and tokens, each on the longest chain that a target sees."""
        manifest, earlier = self._bundle.manifest, list(ids)[:-1] or list(ids)
        feeds = {
            "patches": patches,
            "image": np.arange(len(patches)),
            "ids": np.concatenate([ids[name] for name in earlier], axis=1),
            "modality": np.array([manifest.vocabularies.index(name) for name in earlier]),
            "sequence": np.zeros((patches.shape[1], 0, patches.shape[3]), np.float32),
        }
        context = self._made(CONTEXT, manifest.graphs[CONTEXT], feeds, "context")
        for name in manifest.generated:
            feeds = {"context": context, "target": np.array([manifest.generated.index(name)])}
            hidden = self._made(DECODE, manifest.graphs[DECODE], feeds, "hidden")
            uniform = np.zeros((len(context), manifest.patches, manifest.patches), np.float32)
            feeds = {"hidden": hidden, "uniform": uniform, "top_p": np.zeros(1, np.float32)}
            self._made(TOKENS, self._bundle.targets[name].graphs[TOKENS], feeds, "ids")

    def _decoder(self, name: str, ids: np.ndarray) -> None:
        """A target's values of its code, at all steps."""
        spec = self._bundle.targets[name]
        code = code_of(ids, spec.codebook_levels, self._bundle.manifest.patches)
        if spec.schedule is None:
            self._made(CLASSES, spec.graphs[CLASSES], {"code": code}, "probabilities")
            return
        session = self._session(STEP, spec.graphs[STEP])
        x = self._stored[f"{name}.noise"]
        clip = spec.x0_clip or float(np.finfo(np.float32).max)
        for step in ddim_steps(spec.schedule, self._steps):
            coefficients = np.array([step.a, step.b, step.c, clip], np.float32)
            feeds = {"x": x, "code": code, "t": np.array([step.t], np.float32), "coefficients": coefficients}
            x = self._run(spec.graphs[STEP], session, feeds, "next")

    def _made(self, role: str, file: str, feeds: Mapping[str, np.ndarray], output: str) -> np.ndarray:
        # One graph is open at a time: the export that asks has the whole model in memory beside it.
        return self._run(file, self._session(role, file), feeds, output)

    def _session(self, role: str, file: str) -> onnxruntime.InferenceSession:
        with tempfile.TemporaryDirectory(prefix="terramosaic-ranges-") as folder:
            graph = load_graph(self._bundle.folder / file)
            largest = _measure(
                graph, half_part_of_step(graph) if role == STEP else half_part_of_transformer(graph)
            )
            if largest is not None:
                self._found[file] = max(largest, self._found.get(file, 0.0))
            target = Path(folder) / "graph.onnx"
            graph.save(target)
            return graph_session(target, session_options(self._threads))

    def _run(
        self, file: str, session: onnxruntime.InferenceSession, feeds: Mapping[str, np.ndarray], output: str
    ) -> np.ndarray:
        wanted = {each.name for each in session.get_inputs()}
        outputs = [output, *({_LARGEST} & {each.name for each in session.get_outputs()})]
        made = session.run(outputs, {name: array for name, array in feeds.items() if name in wanted})
        if len(made) > 1:
            self._found[file] = float(np.maximum(self._found[file], made[1]))  # NaN stays
        found: np.ndarray = made[0]
        return found


def _measure(graph: Graph, half: set[int]) -> float | None:
    """Adds the output to a graph; returns the largest of the weights in that part, or None if there is no such part."""
    nodes = [node for node in graph.nodes if id(node) in half]
    names = [name for node in nodes for name in node.output if graph.types.get(name) in (FLOAT, HALF)]
    if not names:
        return None
    rows = []
    once = graph.add_constant("once", np.array([1]))
    for name in names:
        size, largest, row = (graph.new_name("half") for _ in range(3))
        graph.nodes += [
            helper.make_node("Abs", [name], [size]),
            helper.make_node("ReduceMax", [size], [largest], keepdims=0),
            helper.make_node("Reshape", [largest, once], [row]),
        ]
        rows.append(row)
    together = graph.new_name("half")
    graph.nodes += [
        helper.make_node("Concat", rows, [together], axis=0),
        helper.make_node("ReduceMax", [together], [_LARGEST], keepdims=0),
    ]
    graph.add_output(_LARGEST)
    weights = {name for node in nodes for name in node.input if name in graph.constants}
    real = [graph.constants[name] for name in weights if graph.types[name] in (FLOAT, HALF)]
    return max((float(np.abs(constant.read()).max(initial=0)) for constant in real), default=0.0)
