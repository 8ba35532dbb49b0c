"""TerraMind behind the engine's `Generator`: batches of any size, run on one device by a pipeline of fixed batches."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import numpy as np

from terramosaic.errors import ModelError, TerramosaicError, one_line
from terramosaic.model.bundle import Bundle
from terramosaic.model.devices import Device
from terramosaic.model.generator import (
    BATCH_SIZES,
    GenerationOptions,
    Needs,
    WindowRandomness,
    Windows,
    checked,
    checked_windows,
)
from terramosaic.model.pipeline import Pipeline

logger = logging.getLogger(__name__)


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
        self._swapping = Lock()
        self._was_halved = False
        #: Whether it has lost its memory and got no other: it must be opened anew.
        self.is_broken = False
        self._pipeline = self._open_pipeline(batch_size or BATCH_SIZES[device.kind].terramind)

    @property
    def needs(self) -> Mapping[str, Needs]:
        """The randomness that each target asks for."""
        specs = ((target, self._bundle.targets[target]) for target in self.targets)
        is_drawn = not self._options.reconstruct
        return {target: Needs(spec.noise_channels, spec.uniform and is_drawn) for target, spec in specs}

    @property
    def batch_size(self) -> int:
        """Windows in a run of the graphs; halved where the device's memory was too small."""
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
        inputs = {name: self._bundle.inputs[name] for name in self._options.inputs}
        given = checked_windows(inputs, self._bundle.manifest.window, windows)
        count = len(next(iter(given.values())))
        made = tuple(target for target in self.targets if wanted is None or target in wanted)
        noise, uniform = self._checked(count, randomness, made)
        found: list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]] = []
        start = 0
        while start < count:
            found.append(self._run_some(start, given, noise, uniform, chain, made))
            start += len(next(iter(found[-1][0].values())))
        values, tokens = (
            {
                target: np.concatenate([part[kind][target] for part in found])
                for target in self.targets
                if target in found[0][kind]
            }
            for kind in (0, 1)
        )
        # Logits that are not even numbers leave no token to draw, which the graph tells by -1. A sum is finite only if
        # all its terms are, and costs nothing beside what the model does.
        broken = [target for target, drawn in tokens.items() if (drawn < 0).any()]
        broken += [target for target, array in values.items() if not np.isfinite(array.sum())]
        if broken:
            raise ModelError(
                f"{broken[0]}: the model returned numbers that are not finite; nothing was written"
            )
        return values, tokens

    def _run_some(
        self,
        start: int,
        windows: Windows,
        noise: Mapping[str, np.ndarray],
        uniform: Mapping[str, np.ndarray],
        chain: Mapping[str, np.ndarray] | None,
        made: Sequence[str],
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Computes windows from ``start`` on, as many as one batch holds."""
        while True:
            pipeline = self._pipeline
            try:
                part = slice(start, start + pipeline.batch)
                values, tokens = self._compute(
                    pipeline,
                    {name: array[part] for name, array in windows.items()},
                    {target: array[part] for target, array in noise.items()},
                    {target: array[part] for target, array in uniform.items()},
                    chain and {target: array[part] for target, array in chain.items()},
                    made,
                )
            except TerramosaicError:
                raise
            except Exception as error:  # ONNX Runtime's errors have no other common base
                self._halve_after(error, pipeline)
                continue
            count = len(next(iter(windows.values()))[part])
            return (
                {target: array[:count] for target, array in values.items()},
                {target: array[:count] for target, array in tokens.items()},
            )

    def _compute(
        self,
        pipeline: Pipeline,
        windows: Windows,
        noise: Mapping[str, np.ndarray],
        uniform: Mapping[str, np.ndarray],
        chain: Mapping[str, np.ndarray] | None,
        made: Sequence[str],
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        with pipeline.buffers() as buffers:
            pipeline.stage(buffers, windows, noise, uniform)
            return self._model_thread.submit(pipeline.compute, buffers, chain, made).result()

    def _halve_after(self, error: Exception, pipeline: Pipeline) -> None:
        """Makes room after the device ran out of memory, once; any other error goes on as one of ours."""
        with self._swapping:
            if self._pipeline is not pipeline:
                return  # another thread has halved it meanwhile
            if not is_out_of_memory(error):
                raise ModelError(f"{self._device}: ONNX Runtime failed: {one_line(error)}") from error
            batch = pipeline.batch
            if self._was_halved or batch == 1:
                raise ModelError(
                    f"{self._device}: out of memory even with batches of {batch}, the smallest tried; free the "
                    f"device's memory or ask for fewer targets ({one_line(error)})"
                ) from error
            self._was_halved = True
            logger.warning(
                "%s: out of memory with batches of %d windows; going on with %d",
                self._device,
                batch,
                batch // 2,
            )
            # What holds the device's memory: the pipeline, and the frames of the error.
            error.__traceback__ = None
            pipeline.close()
            self.is_broken = True
            self._pipeline = self._pipeline_of(batch // 2)
            self.is_broken = False

    def _open_pipeline(self, batch: int) -> Pipeline:
        """A pipeline of the size asked for, or of half that where the device has no room for it."""
        try:
            return self._pipeline_of(batch)
        except ModelError as error:
            if batch == 1 or not is_out_of_memory(error):
                raise
        self._was_halved = True
        logger.warning("%s: no memory for batches of %d windows; trying %d", self._device, batch, batch // 2)
        try:
            return self._pipeline_of(batch // 2)
        except ModelError as error:
            raise ModelError(f"{error}; the smallest batch tried was {batch // 2}") from error

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

    def _checked(
        self, count: int, randomness: Mapping[str, WindowRandomness], made: Collection[str]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        window, side = self._bundle.manifest.window, self._bundle.manifest.patches
        noise, uniform = {}, {}
        for target, need in self.needs.items():
            given = randomness.get(target, WindowRandomness())
            if need.noise_channels and target in made:
                shape = (count, need.noise_channels, window, window)
                noise[target] = checked(f"{target}: noise", given.noise, shape)
            if need.uniform:
                uniform[target] = checked(f"{target}: uniform", given.uniform, (count, side, side))
        return noise, uniform


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device or the machine had no memory left, by ONNX Runtime's words for it."""
    text = str(error).lower()
    return any(
        words in text
        for words in ("out of memory", "failed to allocate memory", "bad_alloc", "cudaerrormemoryallocation")
    ) or isinstance(error, MemoryError)
