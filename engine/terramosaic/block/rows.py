"""A block's rows as they become final, with memory that does not grow with its height; who keeps them is not said here.

strips of the stack → windows → batches → model → accumulator of their lattice → rows that are finished in all lattices

Where windows share tokens, a consensus stands before the model: it hands batches on as soon as their tokens are known.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace

import numpy as np

from terramosaic.block.batches import Batch, RowEnd, batches
from terramosaic.block.consensus import TokenConsensus
from terramosaic.block.opening import OpenInputs
from terramosaic.block.places import PlaceSheet, place_sheet
from terramosaic.block.rasters import SourceRows
from terramosaic.block.tokens import TokenSheet, token_sheets
from terramosaic.block.windows import region_mask, windows_by_row
from terramosaic.ground.blend import RowBand, RowBandAccumulator, window_weights
from terramosaic.ground.grid import Rect
from terramosaic.ground.joining import JoinedBands
from terramosaic.ground.lattice import Lattice
from terramosaic.ground.noise import GroundNoise, GroundUniform
from terramosaic.ground.zones import lonlat_of_points
from terramosaic.model.generator import Generator as Model
from terramosaic.model.generator import GeneratorOfLogits, GeneratorWithTokens, WindowRandomness
from terramosaic.model.manifest import COORDINATES, EMBEDDING
from terramosaic.planning.identity import own_bundle
from terramosaic.planning.plan import Block, Plan


class BlockRows:
    """Computes a block, or a part of one: a `Block` with a smaller rectangle gets the same pixels in it.

    Args:
        plan: the run's plan.
        block: the block.
        model: the run's.
        inputs: opens what windows are cut from; see `scenes_under`.
        batch_size: windows per call of the model.
        check: called between two batches; what it raises ends the work.
        on_windows: called with the number of windows done since the last call.
        chain: tokens that values are made of, whatever the model draws; of a block that has all these windows.
        only: the lattice whose targets are made, if not all are; windows of others then count for flags alone.

    Attributes:
        bundle: the plan's model as it describes itself.
        tokens: what the model has drawn so far; of no lattice, where it has no tokens.
        places: where windows are taken to lie, as far as they were asked; None where they are not.
        windows: windows cut so far.
        seconds: spent waiting for ``data`` and in the ``model`` so far.
    """

    def __init__(
        self,
        plan: Plan,
        block: Block,
        model: Model,
        inputs: OpenInputs,
        *,
        batch_size: int,
        check: Callable[[], None] = lambda: None,
        on_windows: Callable[[int], None] = lambda _: None,
        chain: Mapping[Lattice, TokenSheet] | None = None,
        only: Lattice | None = None,
    ) -> None:
        request = plan.request
        self.bundle = own_bundle(plan)
        self.windows, self.seconds = 0, {"data": 0.0, "model": 0.0}
        self._plan, self._block, self._model, self._chain = plan, block, model, chain
        self._batch_size, self._check, self._on_windows = batch_size, check, on_windows
        self._open_inputs = inputs
        self._targets = {
            each.lattice: each.targets if only in (None, each.lattice) else () for each in plan.lattices
        }
        self._rings = {each.lattice: each.rings for each in plan.lattices if only in (None, each.lattice)}
        has_tokens = isinstance(model, GeneratorWithTokens)
        self.tokens = token_sheets(plan, block.rect, only) if has_tokens else {}
        self.places = place_sheet(plan, block.rect, only)
        reach = max((1 + each.rings) * each.lattice.side for each in plan.lattices)
        width = block.rect.width + 2 * reach
        self._noise = {
            name: GroundNoise(request.seed, name, block.epsg, need.noise_channels, width)
            for name, need in model.needs.items()
            if need.noise_channels
        }
        self._uniform = {
            name: GroundUniform(request.seed, name, block.epsg, plan.bundle.patch)
            for name, need in model.needs.items()
            if need.uniform
        }
        self._consensus = dict(self._consensuses(only)) if request.consensus == "tokens" else {}
        self._accumulators = {
            lattice: RowBandAccumulator(
                block.rect,
                lattice,
                self._planes(targets, of_patches=False),
                window_weights(request.blend, lattice),
                std=self._with("std", targets),
                disagreement=self._with("disagreement", targets),
                patches=self._planes(targets, of_patches=True),
            )
            for lattice, targets in self._targets.items()
        }
        self._joined = JoinedBands(self._targets)
        self._sources: dict[int, SourceRows] = {}

    def finished(self) -> Generator[tuple[RowBand, SourceRows], None, None]:
        """Runs the model over batches of windows, and yields rows as they become final, with what lies under them."""
        with closing(self._batches()) as cut:
            while True:
                with self._timed("data"):
                    batch = next(cut, None)
                if batch is None:
                    return
                self._check()
                made = self._made(batch)
                while True:
                    with self._timed("model"):
                        computed = next(made, None)
                    if computed is None:
                        break
                    yield from self._blended(*computed)
                    self.windows += len(computed[0].windows)
                    self._on_windows(len(computed[0].windows))

    @property
    def sheets(self) -> list[TokenSheet | PlaceSheet]:
        """What was drawn for windows, and is kept beside what lies on the grid."""
        return [*self.tokens.values(), *([] if self.places is None else [self.places])]

    @property
    def distinct_tokens(self) -> dict[str, int]:
        """How many different tokens were drawn so far to make each target of."""
        found: dict[str, int] = {}
        for lattice, sheet in self.tokens.items():
            distinct = sheet.distinct
            found |= {target: distinct[target] for target in self._targets[lattice] if target in distinct}
        return found

    def _planes(self, targets: Collection[str], *, of_patches: bool) -> dict[str, int]:
        """Planes of those of some targets that have a number for each patch, or for each pixel."""
        specs = {name: self.bundle.targets[name] for name in targets if name != COORDINATES}
        return {name: spec.planes for name, spec in specs.items() if (name == EMBEDDING) is of_patches}

    def _consensuses(self, only: Lattice | None) -> Iterator[tuple[Lattice, TokenConsensus]]:
        request, chain = self._plan.request, self._chain
        for each in self._plan.lattices:
            if only in (None, each.lattice):
                assert isinstance(self._model, GeneratorOfLogits)  # as planning required of the bundle
                yield (
                    each.lattice,
                    TokenConsensus(
                        self._model,
                        each,
                        request.conditioning,
                        self._uniform,
                        size=self._batch_size,
                        check=self._check,
                        chain=None if chain is None else chain[each.lattice],
                    ),
                )

    def _with(self, measure: str, targets: Collection[str]) -> tuple[str, ...]:
        """Those of some targets that have a layer of such a measure."""
        return tuple(
            layer.target
            for layer in self._plan.layers
            if layer.measure == measure and layer.target in targets
        )

    def _blended(
        self, batch: Batch, outputs: Mapping[str, np.ndarray]
    ) -> Iterator[tuple[RowBand, SourceRows]]:
        accumulator, index = self._accumulators[batch.lattice], 0
        for item in batch.items:
            if isinstance(item, RowEnd):
                # Another lattice may not have come this far; its windows are cut from top to bottom with these.
                if not item.source.rect.is_empty:
                    self._sources[item.source.rect.row] = item.source
                for band in self._joined.put(batch.lattice, accumulator.finish_row()):
                    yield band, self._sources.pop(band.rect.row)
            else:
                values = {name: output[index] for name, output in outputs.items()}
                accumulator.add(item.i, item.j, values, item.flags, item.seen)
                index += 1

    def _made(self, batch: Batch) -> Iterator[tuple[Batch, dict[str, np.ndarray]]]:
        """What is made of a batch, or of windows before it that were waiting for their neighbours."""
        if batch.lattice not in self._consensus:
            yield batch, self._generate(batch)
            return
        for settled, drawn in self._consensus[batch.lattice].put(batch):
            yield settled, self._decoded(settled, drawn)

    def _decoded(self, batch: Batch, drawn: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What is made of windows' tokens."""
        if not batch.windows:
            return {}
        self._keep_tokens(batch, drawn)
        tokens, wanted = self._chained(batch) or drawn, self._targets[batch.lattice]
        assert isinstance(self._model, GeneratorOfLogits)
        rects = [batch.lattice.window(window.i, window.j) for window in batch.windows]
        noise = {
            name: WindowRandomness(self._noise_of(name, rects)) for name in wanted if name in self._noise
        }
        return self._model.values_of({name: tokens[name] for name in wanted}, noise)

    def _generate(self, batch: Batch) -> dict[str, np.ndarray]:
        rects = [batch.lattice.window(window.i, window.j) for window in batch.windows]
        wanted = self._targets[batch.lattice]
        if not rects or not wanted:
            return {}
        randomness = {
            name: WindowRandomness(
                noise=self._noise_of(name, rects) if name in self._noise and name in wanted else None,
                uniform=np.stack([self._uniform[name].cut(rect) for rect in rects])
                if name in self._uniform
                else None,
            )
            for name in self._noise.keys() | self._uniform.keys()
        }
        if not isinstance(self._model, GeneratorWithTokens):
            return self._model.generate(batch.pixels, randomness, wanted)
        outputs, drawn = self._model.generate_with_tokens(
            batch.pixels, randomness, self._chained(batch), wanted
        )
        self._keep_tokens(batch, drawn)
        if self.places is not None and COORDINATES in outputs:
            for window, place in zip(batch.windows, outputs.pop(COORDINATES), strict=True):
                self.places.put(window.i, window.j, place)
        return outputs

    def _noise_of(self, name: str, rects: Iterable[Rect]) -> np.ndarray:
        return np.stack([self._noise[name].cut(rect) for rect in rects])

    def _keep_tokens(self, batch: Batch, drawn: Mapping[str, np.ndarray]) -> None:
        for index, window in enumerate(batch.windows):
            tokens = {name: tokens[index] for name, tokens in drawn.items() if name != COORDINATES}
            if tokens:
                self.tokens[batch.lattice].put(window.i, window.j, tokens)

    def _chained(self, batch: Batch) -> dict[str, np.ndarray] | None:
        if self._chain is None or batch.lattice not in self._chain:
            return None
        sheet = self._chain[batch.lattice]
        held = [tokens for window in batch.windows if (tokens := sheet.of(window.i, window.j))]
        if len(held) < len(batch.windows):
            return None  # what was computed then had less imagery
        return {name: np.stack([tokens[name] for tokens in held]) for name in sheet.targets}

    def _batches(self) -> Generator[Batch, None, None]:
        block, inputs = self._block, self._plan.request.inputs
        region = region_mask(self._plan, block)
        rows = windows_by_row(self._targets, block.rect, region, self._rings)
        depths = {name: self.bundle.inputs[name].depth for name in inputs if name != COORDINATES}
        with self._open_inputs(rows, block.rect) as held:
            for batch in batches(
                held,
                rows,
                block.rect,
                region,
                size=self._batch_size,
                depths=depths,
                skips_cloud=self._plan.request.under_cloud == "skip",
            ):
                yield self._placed(batch) if COORDINATES in inputs else batch

    def _placed(self, batch: Batch) -> Batch:
        """A batch with the middle of its windows as one more input."""
        windows = np.array([(window.i, window.j) for window in batch.windows], np.int64).reshape(-1, 2)
        lonlat = lonlat_of_points(batch.lattice.centres(windows), self._block.epsg).astype(np.float32)
        return replace(batch, pixels=batch.pixels | {COORDINATES: lonlat})

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - started
