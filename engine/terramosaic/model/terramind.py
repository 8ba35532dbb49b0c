"""TerraMind behind the engine's `Generator`: batches of any size, run on one device by a pipeline of fixed batches."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from terramosaic.errors import ModelError, TerramosaicError, one_line
from terramosaic.model.bundle import Bundle
from terramosaic.model.devices import Device
from terramosaic.model.generator import (
    BATCH_SIZES,
    GenerationOptions,
    LogitSums,
    Needs,
    TileKey,
    WindowRandomness,
    Windows,
    checked,
    checked_windows,
)
from terramosaic.model.ground_sums import GroundSums
from terramosaic.model.manifest import COORDINATES
from terramosaic.model.pipeline import Pipeline
from terramosaic.model.runtime import is_out_of_memory

logger = logging.getLogger(__name__)

_Part = TypeVar("_Part")


class TerraMindGenerator:
    """Generates targets with an exported TerraMind; threads may share it, their batches follow one another.

    Args:
        bundle: a bundle with TerraMind's graphs.
        targets: what to generate, in this order.
        device: where to run; CUDA is strict.
        options: the run's choices.
        batch_size: windows in a run of the graphs; by default what suits the device.
        threads: processors that the model may use.

    Raises:
        ModelError: the device cannot be used, or a graph cannot be opened on it.
    """

    def __init__(
        self,
        bundle: Bundle,
        targets: Sequence[str],
        device: Device,
        options: GenerationOptions,
        *,
        batch_size: int | None = None,
        threads: int,
    ) -> None:
        self.targets = tuple(targets)
        self._bundle, self._device, self._options, self._threads = bundle, device, options, threads
        # CUDA keeps captured graphs by thread, so one thread alone runs the model.
        self._model_thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._pipeline = self._open_pipeline(batch_size or BATCH_SIZES[device.kind].terramind)

    @property
    def needs(self) -> Mapping[str, Needs]:
        """The randomness that each target asks for."""
        specs = ((target, self._bundle.targets[target]) for target in self.targets)
        is_drawn = not self._options.reconstruct
        return {target: Needs(spec.noise_channels, spec.uniform and is_drawn) for target, spec in specs}

    @property
    def batch_size(self) -> int:
        """Windows in a run of the graphs; less than was asked for where the device has no room for that."""
        return self._pipeline.batch

    def generate(
        self,
        windows: Windows,
        randomness: Mapping[str, WindowRandomness],
        wanted: Collection[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """Generates targets for a batch of windows; see `terramosaic.model.generator.Generator`."""
        return self.generate_with_tokens(windows, randomness, wanted=wanted)[0]

    def generate_with_tokens(
        self,
        windows: Windows,
        randomness: Mapping[str, WindowRandomness],
        chain: Mapping[str, np.ndarray] | None = None,
        wanted: Collection[str] | None = None,
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """As `generate`, with tokens; see `terramosaic.model.generator.GeneratorWithTokens`."""
        given, count = self._given(windows)
        made = tuple(target for target in self.targets if wanted is None or target in wanted)
        noise, uniform = self._checked(count, randomness, made)

        def run(pipeline: Pipeline, part: slice) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
            with pipeline.buffers() as buffers:
                pipeline.stage(buffers, _cut(given, part), _cut(noise, part), _cut(uniform, part))
                chained = chain and _cut(chain, part)
                left, drawn = self._model_thread.submit(pipeline.compute, buffers, chained, made).result()
                return pipeline.fetched(left, _length(part, count)), drawn

        found = self._in_batches(count, run)
        values, tokens = (self._joined([part[kind] for part in found], count) for kind in (0, 1))
        for target, drawn in tokens.items():
            # Logits that are not even numbers leave no token to draw, which the graph tells by -1.
            if (drawn < 0).any():
                raise self._not_finite(target)
        self._require_finite(values)
        return values, tokens

    def logits(self, windows: Windows, target: str, seen: Mapping[str, np.ndarray]) -> np.ndarray:
        """What tokens are drawn from; see `terramosaic.model.generator.GeneratorOfLogits`."""
        given, count = self._given(windows)

        def run(pipeline: Pipeline, part: slice) -> np.ndarray:
            with pipeline.buffers() as buffers:
                pipeline.stage(buffers, _cut(given, part), {}, {})
                return self._model_thread.submit(pipeline.logits, buffers, target, _cut(seen, part)).result()

        return np.concatenate(self._in_batches(count, run))[:count]

    def sums(self, target: str, step: int) -> LogitSums:
        """Sums of what tokens are drawn from; see `terramosaic.model.generator.GeneratorOfLogits`."""
        return _DeviceSums(self, target, step)

    def open_sums(self, target: str, step: int) -> GroundSums:
        """Sums in the device's memory, none yet.

        Raises:
            ModelError: there is no room for them.
        """
        pipeline = self._pipeline
        try:
            return self._model_thread.submit(pipeline.open_sums, target, step).result()
        except TerramosaicError:
            raise
        except Exception as error:  # ONNX Runtime's errors have no other common base
            raise ModelError(f"{self._device}: {one_line(error)}") from error

    def add_logits(
        self,
        windows: Windows,
        target: str,
        seen: Mapping[str, np.ndarray],
        sums: GroundSums,
        tiles: Sequence[Sequence[TileKey]],
    ) -> None:
        """Adds windows' logits to the tiles under them; see `terramosaic.model.generator.LogitSums`."""
        given, count = self._given(windows)

        def run(pipeline: Pipeline, part: slice) -> None:
            with pipeline.buffers() as buffers:
                pipeline.stage(buffers, _cut(given, part), {}, {})
                arguments = buffers, target, _cut(seen, part), sums, tiles[part]
                self._model_thread.submit(pipeline.add_logits, *arguments).result()

        self._in_batches(count, run)

    def draw_mean(
        self,
        target: str,
        sums: GroundSums,
        tile: TileKey,
        patches: np.ndarray,
        windows: np.ndarray,
        uniform: np.ndarray,
    ) -> np.ndarray:
        """Draws tokens of a tile's means; see `terramosaic.model.generator.LogitSums`."""
        arguments = target, sums, tile, patches, windows, uniform
        try:
            drawn = self._model_thread.submit(self._pipeline.draw_mean, *arguments).result()
        except TerramosaicError:
            raise
        except Exception as error:  # the tile is gone by then: there is no second try
            raise ModelError(f"{self._device}: ONNX Runtime failed: {one_line(error)}") from error
        if (drawn < 0).any():
            raise self._not_finite(target)
        return drawn

    def draw(self, target: str, logits: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """Draws tokens; see `terramosaic.model.generator.GeneratorOfLogits`."""

        def run(pipeline: Pipeline, _: slice) -> np.ndarray:
            return self._model_thread.submit(pipeline.draw, target, logits, uniform).result()

        (drawn,) = self._in_batches(1, run)
        if (drawn < 0).any():
            raise self._not_finite(target)
        return drawn

    def values_of(
        self, tokens: Mapping[str, np.ndarray], randomness: Mapping[str, WindowRandomness]
    ) -> dict[str, np.ndarray]:
        """What is made of tokens; see `terramosaic.model.generator.GeneratorOfLogits`."""
        count = len(next(iter(tokens.values())))
        noise = self._checked_noise(count, randomness, tokens)

        def run(pipeline: Pipeline, part: slice) -> dict[str, np.ndarray]:
            with pipeline.buffers() as buffers:
                pipeline.stage(buffers, {}, _cut(noise, part), {})
                left = self._model_thread.submit(pipeline.values_of, buffers, _cut(tokens, part)).result()
                return pipeline.fetched(left, _length(part, count))

        values = self._joined(self._in_batches(count, run), count)
        self._require_finite(values)
        return values

    def _in_batches(self, count: int, run: Callable[[Pipeline, slice], _Part]) -> list[_Part]:
        """Runs windows in batches of the pipeline's size, the last of which may have fewer."""
        found: list[_Part] = []
        for start in range(0, count, self.batch_size):
            try:
                found.append(run(self._pipeline, slice(start, start + self.batch_size)))
            except TerramosaicError:
                raise
            except Exception as error:  # ONNX Runtime's errors have no other common base
                raise self._failed(error) from error
        return found

    def _failed(self, error: Exception) -> ModelError:
        if not is_out_of_memory(error):
            return ModelError(f"{self._device}: ONNX Runtime failed: {one_line(error)}")
        # No smaller batch is tried: launches would be captured anew while other threads copy, which CUDA forbids.
        return ModelError(
            f"{self._device}: out of memory with batches of {self.batch_size}, for which there was room when the model "
            f"was opened; free what others have taken of it since and run it again ({one_line(error)})"
        )

    def _open_pipeline(self, batch: int) -> Pipeline:
        """A pipeline of the size asked for, or of the largest half, quarter … of it that the device has room for.

        Opening one runs every graph, so that what is opened has all the memory that it will need.
        """
        size = batch
        while True:
            try:
                return self._pipeline_of(size)
            except ModelError as error:
                if not is_out_of_memory(error):
                    raise
                if size == 1:
                    raise ModelError(
                        f"{error}; there is no room for a single window: free the device's memory or ask for fewer "
                        "targets"
                    ) from error
            logger.warning("%s: no room for batches of %d windows; trying %d", self._device, size, size // 2)
            size //= 2
            gc.collect()  # errors and frames refer to each other, and to what holds the device's memory

    def _pipeline_of(self, batch: int) -> Pipeline:
        def make() -> Pipeline:
            return Pipeline(
                self._bundle, self.targets, self._device, self._options, batch=batch, threads=self._threads
            )

        try:
            return self._model_thread.submit(make).result()
        except TerramosaicError:
            raise
        except Exception as error:  # buffers and first runs fail in ONNX Runtime's own ways
            raise ModelError(f"{self._device}: {one_line(error)}") from error

    def _given(self, windows: Windows) -> tuple[dict[str, np.ndarray], int]:
        """Windows of the run's inputs, checked, and how many there are."""
        inputs = {name: self._bundle.inputs[name] for name in self._options.inputs}
        given = checked_windows(inputs, self._bundle.manifest.window, windows)
        return given, len(next(iter(given.values())))

    def _checked(
        self, count: int, randomness: Mapping[str, WindowRandomness], made: Collection[str]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        side, needs = self._bundle.manifest.patches, self.needs
        uniform = {
            target: checked(
                f"{target}: uniform", randomness.get(target, WindowRandomness()).uniform, (count, side, side)
            )
            for target in self.targets
            if needs[target].uniform
        }
        return self._checked_noise(count, randomness, made), uniform

    def _checked_noise(
        self, count: int, randomness: Mapping[str, WindowRandomness], made: Collection[str]
    ) -> dict[str, np.ndarray]:
        window = self._bundle.manifest.window
        return {
            target: checked(
                f"{target}: noise",
                randomness.get(target, WindowRandomness()).noise,
                (count, need.noise_channels, window, window),
            )
            for target, need in self.needs.items()
            if need.noise_channels and target in made
        }

    def _require_finite(self, values: Mapping[str, np.ndarray]) -> None:
        for target, array in values.items():
            # A sum is finite only if all its terms are, and costs nothing beside what the model does.
            if target != COORDINATES and not np.isfinite(array.sum()):
                raise self._not_finite(target)

    def _not_finite(self, target: str) -> ModelError:
        text = f"{target}: the model returned numbers that are not finite; nothing was written"
        if self._device.kind == "cuda" and self._options.precision != "fp32":
            text += (
                "; in half precision numbers beyond 65504 are not: ask for precision fp32, which takes longer"
            )
        return ModelError(text)

    def _joined(self, parts: Sequence[Mapping[str, np.ndarray]], count: int) -> dict[str, np.ndarray]:
        """Batches put together, in the order of targets, without what filled up the last one."""
        return {
            # One part, as most calls have, is not copied.
            target: (
                np.concatenate([part[target] for part in parts]) if len(parts) > 1 else parts[0][target]
            )[:count]
            for target in self.targets
            if target in parts[0]
        }


class _DeviceSums:
    """Sums of a target's logits on a generator's device."""

    def __init__(self, generator: TerraMindGenerator, target: str, step: int) -> None:
        self._generator, self._target = generator, target
        self._sums = generator.open_sums(target, step)

    def add(
        self, windows: Windows, seen: Mapping[str, np.ndarray], tiles: Sequence[Sequence[TileKey]]
    ) -> None:
        self._generator.add_logits(windows, self._target, seen, self._sums, tiles)

    def draw(
        self, tile: TileKey, patches: np.ndarray, windows: np.ndarray, uniform: np.ndarray
    ) -> np.ndarray:
        if not len(patches):
            self._sums.forget(tile)
            return np.empty(0, np.int64)
        return self._generator.draw_mean(self._target, self._sums, tile, patches, windows, uniform)


def _length(part: slice, count: int) -> int:
    """Windows of a batch that is one part of so many."""
    return min(int(part.stop), count) - int(part.start)


def _cut(arrays: Mapping[str, np.ndarray], part: slice) -> dict[str, np.ndarray]:
    return {name: array[part] for name, array in arrays.items()}
