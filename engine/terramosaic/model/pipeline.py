"""TerraMind's graphs on one device for one size of batch: sessions open, buffers in place, everything bound.

The way of a batch, target after target:

    windows → embed (or tokenise), once for each input; coordinates likewise
    embedded patches, earlier tokens → context → decode → hidden → tokens → steps (or classes) → values
                                               → embedding, of the inputs alone
                                               → words of coordinates, one after the other, of all that came before

Where inputs are reconstructed, their own tokens go straight to the steps (or classes). Where windows share tokens, the
way ends at hidden → logits, and goes on from tokens that others have drawn.
"""

from __future__ import annotations

import math
import queue
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import onnxruntime

from terramosaic.errors import ModelError, one_line
from terramosaic.model.bundle import Bundle
from terramosaic.model.coordinates import TOKENS_OF_A_PLACE, places_on_grid, read_vocabulary
from terramosaic.model.denoiser import Denoiser
from terramosaic.model.devices import Device
from terramosaic.model.diffusion import ddim_steps
from terramosaic.model.generator import GenerationOptions, TileKey, Windows, drawn_for, tokens_seen
from terramosaic.model.ground_sums import GroundSums
from terramosaic.model.io_binding import BoundGraph, Tensor
from terramosaic.model.manifest import (
    CLASSES,
    CONTEXT,
    COORDINATES,
    DECODE,
    DRAW,
    EMBED,
    EMBEDDING,
    LOGITS,
    STEP,
    TOKENISE,
    TOKENS,
    WORDS,
    TargetSpec,
)
from terramosaic.model.sessions import open_session
from terramosaic.model.words import Words


@dataclass(frozen=True)
class BatchBuffers:
    """What a batch brings along, what reads it, and what it leaves.

    While one batch is computed, the next is copied to others, and what the last one left is fetched from them.
    """

    windows: dict[str, Tensor]
    noise: dict[str, Tensor]
    uniform: dict[str, Tensor]
    inputs: dict[str, BoundGraph]
    tokens: dict[str, BoundGraph]
    first_step: dict[str, BoundGraph]
    values: dict[str, Tensor]


#: By target, values of a batch: an array, or where they lie on the device.
Left = dict[str, "np.ndarray | Tensor"]


class Pipeline:
    """One device's sessions and buffers for batches of a fixed size; ``compute`` is for one thread at a time."""

    def __init__(
        self,
        bundle: Bundle,
        targets: Sequence[str],
        device: Device,
        options: GenerationOptions,
        *,
        batch: int,
        threads: int,
    ) -> None:
        self.batch = batch
        self._bundle, self._targets, self._device, self._options = bundle, tuple(targets), device, options
        self._window, self._side = bundle.manifest.window, bundle.manifest.patches
        self._count = self._side**2
        self._threads = threads
        self._specs = {name: bundle.targets[name] for name in targets if name in bundle.manifest.generated}
        self._before = {} if options.reconstruct else tokens_seen(self._targets, options.conditioning)
        # In the bundle's order, so that the order in which a request names them decides nothing.
        inputs = [name for name in bundle.inputs if name in options.inputs and name != COORDINATES]
        self._is_placed = COORDINATES in options.inputs and not options.reconstruct
        self._as_tokens = tuple(name for name in inputs if is_tokenised(bundle, name, options))
        self._as_patches = tuple(name for name in inputs if name not in self._as_tokens)
        if options.reconstruct:
            self._as_tokens, self._as_patches = self._targets, ()
        self._bind_inputs()
        self._bind_transformer()
        self._bind_targets()
        if options.consensus:
            self._bind_logits()
        if COORDINATES in self._targets:
            self._bind_words()
        self._free: queue.SimpleQueue[BatchBuffers] = queue.SimpleQueue()
        # On the CPU there is nothing to copy ahead.
        for number in range(1 if device.kind == "cpu" else 2):
            buffers = self._make_buffers(number)
            if device.kind == "cuda":
                # The first runs choose algorithms and capture launches, which copies by other threads would disturb.
                self.compute(buffers)
            self._free.put(buffers)

    @contextmanager
    def buffers(self) -> Iterator[BatchBuffers]:
        """Buffers that no other batch uses; waits for them."""
        buffers = self._free.get()
        try:
            yield buffers
        finally:
            self._free.put(buffers)

    def stage(
        self,
        buffers: BatchBuffers,
        windows: Windows,
        noise: Mapping[str, np.ndarray],
        uniform: Mapping[str, np.ndarray],
    ) -> None:
        """Copies a batch, full or not, to the device, with noise for what is to be made.

        Shapes are the generator's to check.
        """
        for name, tensor in buffers.windows.items():
            if name in windows:  # none, where values are made of tokens alone
                given = windows[name]
                tensor.write(places_on_grid(given) if name == COORDINATES else given)
        for target, array in noise.items():
            buffers.noise[target].write(array)
        if not self._is_greedy:  # greedy keeps the zeros that the tensors were made with
            for target, array in uniform.items():
                buffers.uniform[target].write(array)

    def compute(
        self,
        buffers: BatchBuffers,
        chain: Mapping[str, np.ndarray] | None = None,
        made: Collection[str] | None = None,
    ) -> tuple[Left, dict[str, np.ndarray]]:
        """Generates a staged batch: by target its values or probabilities, and its tokens int64 (batch, patches²).

        Values lie in the buffers, for `fetched` to take while the next batch is computed.

        With ``chain``, int64 (batch or less, patches²) by target, values are made of these tokens, and later targets
        see them, instead of those that were drawn. With ``made``, values are of these targets alone, and tokens of
        these and those that they see.
        """
        made = self._targets if made is None else made
        values: Left = {}
        tokens: dict[str, np.ndarray] = {}
        seen: dict[str, np.ndarray] = {}
        given = self._take_inputs(buffers)
        if self._options.reconstruct:
            tokens = dict(zip(self._as_tokens, given, strict=True))
            for target in made:
                self._follow(target, tokens[target], chain or {target: tokens[target]})
                values[target] = self._decoded(target, buffers)
            return values, tokens
        encoded: tuple[str, ...] | None = None
        if EMBEDDING in made:
            self._encode(given)
            values[EMBEDDING] = self._left(EMBEDDING, self._embedding, buffers)
            encoded = ()
        for target in drawn_for(made, self._targets, self._options.conditioning):
            before = self._before[target]
            if before != encoded:
                self._encode(given, [seen[name] for name in before])
                encoded = before
            self._decode[target].run()
            buffers.tokens[target].run()
            tokens[target] = seen[target] = self._tokens_of[target].taken()
            if chain is not None:
                seen[target] = self._follow(target, tokens[target], chain)
            if target in made:
                values[target] = self._decoded(target, buffers)
        if COORDINATES in made:
            before = drawn_for((COORDINATES,), self._targets, self._options.conditioning)
            if before != encoded:
                self._encode(given, [seen[name] for name in before])
            tokens[COORDINATES] = self._words.drawn(
                buffers.uniform[COORDINATES].read().reshape(self.batch, -1)
            )
            values[COORDINATES] = self._vocabulary.degrees(tokens[COORDINATES])
        return values, tokens

    @staticmethod
    def fetched(left: Left, count: int) -> dict[str, np.ndarray]:
        """What a batch of so many windows left, as arrays; not in the model's thread, whose device would wait."""
        return {
            target: found.taken(count) if isinstance(found, Tensor) else found
            for target, found in left.items()
        }

    def logits(self, buffers: BatchBuffers, target: str, seen: Mapping[str, np.ndarray]) -> np.ndarray:
        """What a target's tokens are drawn from, of a staged batch: float32 (batch, patches², codes).

        With ``seen`` tokens of the targets that it sees, int64 (batch or less, patches²).
        """
        return self._made_logits(buffers, target, seen).taken()

    def add_logits(
        self,
        buffers: BatchBuffers,
        target: str,
        seen: Mapping[str, np.ndarray],
        sums: GroundSums,
        tiles: Sequence[Sequence[TileKey]],
    ) -> None:
        """Adds the same of each window of a staged batch to the tiles under it; nothing of it leaves the device."""
        logits = self._made_logits(buffers, target, seen)
        try:
            for index, under in enumerate(tiles):
                sums.add(logits.place(index), under)
        except Exception as error:  # ONNX Runtime's errors have no other common base
            # What has been added must not be added again, as a smaller batch would.
            raise ModelError(f"{self._device}: sums of logits failed: {one_line(error)}") from error

    def draw_mean(
        self,
        target: str,
        sums: GroundSums,
        tile: TileKey,
        patches: np.ndarray,
        windows: np.ndarray,
        uniform: np.ndarray,
    ) -> np.ndarray:
        """Draws a token of the mean of each of some patches of a tile: int64 (patches,)."""
        means = sums.mean(tile, patches, windows)
        binding = self._draw.io_binding()
        kind, index = self._device.kind, self._device.index
        binding.bind_input("logits", kind, index, np.float32, means.shape, means.address)
        binding.bind_cpu_input("uniform", np.ascontiguousarray(uniform))
        binding.bind_cpu_input("top_p", np.array([self._top_p_for(self._specs[target])], np.float32))
        binding.bind_output("ids", "cpu")
        self._draw.run_with_iobinding(binding)
        found: np.ndarray = binding.copy_outputs_to_cpu()[0]
        return found

    def open_sums(self, target: str, step: int) -> GroundSums:
        """Sums of a target's logits, none yet."""
        return GroundSums(self._side, step, self._codebook(target), self._device, threads=self._threads)

    def _made_logits(self, buffers: BatchBuffers, target: str, seen: Mapping[str, np.ndarray]) -> Tensor:
        given, earlier = self._take_inputs(buffers), [seen[name] for name in self._before[target]]
        # Of a batch that is not full, only what is seen is there.
        self._encode([ids[: len(earlier[0])] for ids in given] if earlier else given, earlier)
        self._decode[target].run()
        self._logits[target].run()
        return self._logits_of[self._codebook(target)]

    def draw(self, target: str, logits: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """Draws a token from each row of logits (tokens, codes): int64 (tokens,)."""
        top_p = np.array([self._top_p_for(self._specs[target])], np.float32)
        feeds = {"logits": logits, "uniform": uniform, "top_p": top_p}
        found: np.ndarray = self._draw.run(["ids"], feeds)[0]
        return found

    def values_of(self, buffers: BatchBuffers, tokens: Mapping[str, np.ndarray]) -> Left:
        """Values, or probabilities, of tokens int64 (batch or less, patches²), with the noise that was staged."""
        values: Left = {}
        for target, ids in tokens.items():
            self._follow(target, ids, {target: ids})
            values[target] = self._decoded(target, buffers)
        return values

    def _take_inputs(self, buffers: BatchBuffers) -> list[np.ndarray]:
        """Embeds staged windows; returns the tokens of those inputs that are seen so."""
        for graph in buffers.inputs.values():
            graph.run()
        return [self._input_ids[name].taken() for name in self._as_tokens]

    def _codebook(self, target: str) -> int:
        return math.prod(self._specs[target].codebook_levels)

    def _encode(self, given: Sequence[np.ndarray], earlier: Sequence[np.ndarray] = ()) -> None:
        """Runs the context of the inputs and the tokens of earlier targets."""
        if ids := [*given, *earlier]:
            self._ids[len(earlier)].write(np.concatenate(ids, axis=1))
        self._contexts[len(earlier)].run()

    def _follow(self, target: str, drawn: np.ndarray, chain: Mapping[str, np.ndarray]) -> np.ndarray:
        """Lets a target's values be made of the tokens of a chain, as far as it reaches; returns these."""
        followed = drawn.copy()
        followed[: len(chain[target])] = chain[target]
        self._codes[target].write(code_of(followed, self._specs[target].codebook_levels, self._side))
        return followed

    def _decoded(self, target: str, buffers: BatchBuffers) -> np.ndarray | Tensor:
        """A target's values or probabilities, of its code as it is."""
        if target in self._denoisers:
            self._denoisers[target].denoise(buffers.first_step[target])
        else:
            self._classes[target].run()
        return self._left(target, self._values[target], buffers)

    def _left(self, target: str, made: Tensor, buffers: BatchBuffers) -> np.ndarray | Tensor:
        """What a target's graph made, where no later batch writes."""
        if self._device.kind == "cpu":
            return made.taken()
        made.copy_to(buffers.values[target])
        return buffers.values[target]

    @property
    def _is_greedy(self) -> bool:
        return self._options.sampling == "greedy"

    def _bind_inputs(self) -> None:
        """Each input's own graph, and where its patches or tokens come to lie."""
        specs = self._bundle.inputs
        self._embed = {name: self._open(EMBED, specs[name].graphs) for name in self._as_patches}
        self._tokenise = {name: self._open(TOKENISE, specs[name].graphs) for name in self._as_tokens}
        self._embed_places = self._open(EMBED, specs[COORDINATES].graphs) if self._is_placed else None
        self._input_ids = {name: self._tensor(self._count, dtype=np.int64) for name in self._as_tokens}

    def _bind_transformer(self) -> None:
        """The shared graphs: a context for each number of earlier targets, and the decoder bound for each target."""
        if self._options.reconstruct:
            return
        manifest = self._bundle.manifest
        context = self._open(CONTEXT, manifest.graphs)
        width = next(each.shape[-1] for each in context.get_inputs() if each.name == "patches")
        # Input by input, so that each is written in one piece.
        self._patches = Tensor(
            (len(self._as_patches), self.batch, self._count, width), np.float32, self._device
        )
        # Of a bundle that takes coordinates, none where a run does not.
        places = TOKENS_OF_A_PLACE if self._is_placed else 0
        self._sequence = self._tensor(places, width)
        takes_sequence = any(each.name == "sequence" for each in context.get_inputs())
        image = self._constant([manifest.embedded.index(name) for name in self._as_patches], np.int64)
        self._ids, self._contexts, contexts = {}, {}, {}
        befores = {len(before): before for before in self._before.values()}
        if COORDINATES in self._targets:
            before = drawn_for((COORDINATES,), self._targets, self._options.conditioning)
            befores[len(before)] = before
        if EMBEDDING in self._targets:
            befores[0] = ()
            self._embedding = self._tensor(width, self._side, self._side)
        for before in befores.values():
            chain = (*self._as_tokens, *before)
            n, pieces = len(before), len(chain)
            self._ids[n] = self._tensor(pieces * self._count, dtype=np.int64)
            contexts[n] = self._tensor((len(self._as_patches) + pieces) * self._count + places, width)
            modality = self._constant([manifest.vocabularies.index(name) for name in chain], np.int64)
            feeds = {"patches": self._patches, "image": image, "ids": self._ids[n], "modality": modality}
            feeds |= {"sequence": self._sequence} if takes_sequence else {}
            made = {"context": contexts[n]}
            if n == 0 and EMBEDDING in self._targets:
                made["embedding"] = self._embedding
            self._contexts[n] = BoundGraph(context, feeds, made)
        self._context_of = contexts
        if not self._before:
            return
        decode = self._open(DECODE, manifest.graphs)
        self._hidden = self._tensor(self._count, width)
        self._decode = {
            target: BoundGraph(
                decode,
                {
                    "context": contexts[len(before)],
                    "target": self._constant([manifest.generated.index(target)], np.int64),
                },
                {"hidden": self._hidden},
            )
            for target, before in self._before.items()
        }

    def _bind_targets(self) -> None:
        """Each target's own graphs, from its code on."""
        drawn = {} if self._options.reconstruct else self._specs
        self._tokens = {
            target: self._open(TOKENS, spec.graphs, greedy=not self._top_p_for(spec))
            for target, spec in drawn.items()
        }
        self._tokens_of, self._codes, self._values, self._top_p = {}, {}, {}, {}
        self._denoisers, self._classes = {}, {}
        for target, spec in self._specs.items():
            self._tokens_of[target] = self._tensor(self._count, dtype=np.int64)
            self._codes[target] = code = self._tensor(len(spec.codebook_levels), self._side, self._side)
            self._values[target] = values = self._tensor(spec.planes, self._window, self._window)
            self._top_p[target] = self._constant([self._top_p_for(spec)], np.float32)
            if spec.schedule is None:
                session = self._open(CLASSES, spec.graphs)
                self._classes[target] = BoundGraph(session, {"code": code}, {"probabilities": values})
            else:
                steps = ddim_steps(spec.schedule, self._options.steps)
                clip = self._bound_of(target)
                session = self._open(STEP, spec.graphs)
                self._denoisers[target] = Denoiser(session, steps, clip, self._device, code, values)

    def _bind_logits(self) -> None:
        """What tokens are drawn from, of each target; those of codebooks of one size in one place."""
        self._draw = self._open(DRAW, self._bundle.manifest.graphs, greedy=self._is_greedy)
        self._logits_of = {
            codes: self._tensor(self._count, codes)
            for codes in {self._codebook(name) for name in self._specs}
        }
        self._logits = {
            target: BoundGraph(
                self._open(LOGITS, spec.graphs),
                {"hidden": self._hidden},
                {"logits": self._logits_of[self._codebook(target)]},
            )
            for target, spec in self._specs.items()
        }

    def _bind_words(self) -> None:
        """The graph of coordinates, on the context of all that came before."""
        manifest, spec = self._bundle.manifest, self._bundle.targets[COORDINATES]
        assert manifest.vocabulary  # as the manifest's checks say
        self._vocabulary = read_vocabulary(self._bundle.folder / manifest.vocabulary)
        earlier = len(drawn_for((COORDINATES,), self._targets, self._options.conditioning))
        self._words = Words(
            self._open(WORDS, spec.graphs),
            self._vocabulary,
            self._context_of[earlier],
            self._device,
            self._open(DRAW, manifest.graphs, greedy=self._is_greedy),
            self._top_p_for(spec),
        )

    def _bound_of(self, target: str) -> float:
        """Bound of a target's predicted sample: its own, the run's, the bundle's, or none."""
        own = dict(self._options.x0_clips).get(target) or self._options.x0_clip
        return own or self._specs[target].x0_clip or float(np.finfo(np.float32).max)

    def _make_buffers(self, number: int) -> BatchBuffers:
        windows = {
            name: self._tensor(len(self._bundle.inputs[name].bands), self._window, self._window, staged=True)
            for name in (*self._as_patches, *self._as_tokens)
        }
        patches = {
            name: BoundGraph(session, {"windows": windows[name]}, {"patches": self._patches.place(index)})
            for index, (name, session) in enumerate(self._embed.items())
        }
        tokenised = {
            name: BoundGraph(session, {"windows": windows[name]}, {"ids": self._input_ids[name]})
            for name, session in self._tokenise.items()
        }
        if self._embed_places is not None:
            windows[COORDINATES] = self._tensor(2, dtype=np.int64)
            feeds, made = {"places": windows[COORDINATES]}, {"sequence": self._sequence}
            patches[COORDINATES] = BoundGraph(self._embed_places, feeds, made)
        noise = {
            target: self._tensor(self._specs[target].noise_channels, self._window, self._window, staged=True)
            for target in self._denoisers
        }
        with_uniform = [*self._tokens, *(name for name in self._targets if name == COORDINATES)]
        uniform = {target: self._tensor(self._side, self._side) for target in with_uniform}
        return BatchBuffers(
            windows,
            noise,
            uniform,
            inputs=patches | tokenised,
            tokens={
                target: BoundGraph(
                    session,
                    {"hidden": self._hidden, "uniform": uniform[target], "top_p": self._top_p[target]},
                    {"ids": self._tokens_of[target], "code": self._codes[target]},
                )
                for target, session in self._tokens.items()
            },
            first_step={
                target: denoiser.from_noise(noise[target], number)
                for target, denoiser in self._denoisers.items()
            },
            values={
                target: Tensor(made.shape, made.dtype, self._device)
                for target, made in self._makes().items()
                if self._device.kind == "cuda"
            },
        )

    def _makes(self) -> dict[str, Tensor]:
        """By target, where its graph leaves values."""
        embedding = {} if EMBEDDING not in self._targets else {EMBEDDING: self._embedding}
        return {**self._values, **embedding}

    def _top_p_for(self, spec: TargetSpec) -> float:
        """Probability mass that tokens are drawn from; none at all leaves the most probable one alone."""
        if self._is_greedy or spec.sampling is None or spec.sampling.temperature == 0:
            return 0.0
        return spec.sampling.top_p

    def _open(
        self, role: str, graphs: Mapping[str, str], *, greedy: bool = False
    ) -> onnxruntime.InferenceSession:
        return open_session(
            self._bundle,
            role,
            graphs[role],
            self._device,
            threads=self._threads,
            batch=self.batch,
            precision=self._options.precision,
            greedy=greedy,
        )

    def _tensor(self, *shape: int, dtype: type = np.float32, staged: bool = False) -> Tensor:
        return Tensor((self.batch, *shape), dtype, self._device, staged=staged)

    def _constant(self, numbers: Sequence[float], dtype: type) -> Tensor:
        tensor = Tensor((len(numbers),), dtype, self._device)
        tensor.write(np.array(numbers, dtype))
        return tensor


def is_tokenised(bundle: Bundle, name: str, options: GenerationOptions) -> bool:
    """Whether a model sees an input as tokens: where a run asks for that, and where it has no other form."""
    graphs = bundle.inputs[name].graphs
    return TOKENISE in graphs and (name in options.tokenised or EMBED not in graphs)


def code_of(tokens: np.ndarray, levels: Sequence[int], side: int) -> np.ndarray:
    """The code of tokens by finite scalar quantisation, float32 (N, levels, side, side): its digits, from 0 to 1."""
    sizes = np.array(levels)[:, None]
    basis = np.cumprod([1, *levels[:-1]])[:, None]
    digits = tokens[:, None] // basis % sizes
    code: np.ndarray = (digits / (sizes - 1)).astype(np.float32)
    return code.reshape(len(tokens), len(levels), side, side)
