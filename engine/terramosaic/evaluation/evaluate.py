"""A bundle graded on TerraMesh: windows generated sample by sample, compared with what is known to be there.

Samples stream: a few are held at a time, and of those that are done the sums alone. The conditioning is independent,
for the paper's tables are of one target made of one input. A sample's randomness is of the seed, the target and its
key, so a figure does not depend on what else was evaluated, or in which order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

from terramosaic.bands import S2L2A_BANDS
from terramosaic.errors import CatalogError, RequestError, printable
from terramosaic.evaluation.ahead import ahead, batched
from terramosaic.evaluation.outcome import Evaluation, TargetScores
from terramosaic.evaluation.randomness import place_of, randomness_at
from terramosaic.evaluation.samples import DamagedSampleError, require_zarr
from terramosaic.evaluation.sampling import SOURCE, TREATMENTS, Case, Sample, read_sample, stacked
from terramosaic.evaluation.terramesh import TerraMesh
from terramosaic.model.bundle import Bundle
from terramosaic.model.devices import Device, resolve
from terramosaic.model.generator import BATCH_SIZES, GenerationOptions, Generator
from terramosaic.model.opening import open_generator

#: Modalities that can be references.
_REFERENCES = ("S1GRD", "S1RTC", "NDVI", "LULC", "DEM", "S2L2A")

#: Samples that are read at the same time: over a network each waits for its answers.
_READERS = 8


def evaluate(
    bundle: Bundle,
    data: TerraMesh,
    *,
    targets: Sequence[str] = (),
    limit: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Grades a bundle.

    Args:
        bundle: takes S2L2A.
        data: the samples.
        targets: what to generate; by default all that both have.
        limit: samples to take at most, as many of each shard and the first ones of it.
        steps: of diffusion; by default the bundle's.
        seed: of the randomness.
        device: where the model runs.
        progress: is told how many samples are done.

    Raises:
        RequestError: zarr is missing, or bundle and data have no target in common.
        CatalogError: a shard cannot be read, or no sample can be used.
        ModelError: the model or its device failed.
    """
    require_zarr()
    bundle.require(targets)
    wanted = tuple(target for target in targets or bundle.targets if target in _REFERENCES)
    if unknown := set(targets) - set(wanted):
        raise RequestError(f"targets: TerraMesh has no {', '.join(sorted(unknown))}")
    pairs = data.pairs(SOURCE, wanted)
    if not pairs:
        raise RequestError(
            f"terramesh: {data.shown} has no shard of {SOURCE} with one of the same name of {' or '.join(wanted)}"
        )
    steps = steps or default_steps(bundle)
    empty = {target: TargetScores.empty(target, bundle.targets[target]) for target in wanted}
    found = Evaluation(bundle, data, steps, seed, {treatment: dict(empty) for treatment in TREATMENTS})
    options = GenerationOptions(steps=steps, conditioning="independent")
    share = None if limit is None else math.ceil(limit / len(pairs))
    for made, names in groupby(pairs, key=lambda name: pairs[name]):
        _grade(
            found, list(names), made, resolve(device), options, share=share, limit=limit, progress=progress
        )
    if not found.samples:
        reasons = [f"{printable(key)}: {why}" for key, why in found.left_out.items()]
        raise CatalogError(
            f"terramesh: {data.shown}: no sample can be used: {reasons[0] if reasons else 'the shards are empty'}"
        )
    return found


def default_steps(bundle: Bundle) -> int:
    """Steps of diffusion that a bundle is made for; 1 where it has none."""
    return max((spec.schedule.default_steps for spec in bundle.targets.values() if spec.schedule), default=1)


def _grade(
    found: Evaluation,
    shards: Sequence[str],
    targets: Sequence[str],
    device: Device,
    options: GenerationOptions,
    *,
    share: int | None,
    limit: int | None,
    progress: Callable[[int], None],
) -> None:
    """Grades shards that have the same references. Its generator is let go of with it: two would not fit a device."""
    generator = open_generator(found.bundle, targets, str(device), options=options)
    for name in shards:
        most = share
        if share is not None and limit is not None:
            most = min(share, limit - found.samples - len(found.left_out))
        for cases in batched(_cases(found, name, targets, most, progress), BATCH_SIZES[device.kind].call):
            _score(found, generator, cases)


def _cases(
    found: Evaluation, name: str, targets: Sequence[str], most: int | None, progress: Callable[[int], None]
) -> Iterator[Case]:
    """Reads a shard's samples, several at a time; those that cannot be used are noted and left out."""
    source = found.data.shard(SOURCE, name)
    keys = source.first(most)
    shards = {target: found.data.shard(target, name) for target in targets}
    held = {target: shard.holds(keys) for target, shard in shards.items()}
    known: set[str] = set().union(*held.values())
    found.left_out |= dict.fromkeys((key for key in keys if key not in known), "it has no reference")
    specs = found.bundle.targets
    bands = {
        target: len(S2L2A_BANDS) if target == SOURCE else len(specs[target].channels) for target in targets
    }

    def read(key: str) -> Sample:
        return read_sample(key, source, {t: shards[t] for t in targets if key in held[t]}, bands)

    with ThreadPoolExecutor(_READERS, thread_name_prefix="samples") as pool:
        try:
            for key, waiting in ahead(pool, read, filter(known.__contains__, keys), _READERS):
                try:
                    sample = waiting.result()
                except DamagedSampleError as error:
                    found.left_out[key] = str(error)
                    continue
                found.offsets[sample.offset] += 1
                yield from sample.cases
                progress(found.samples)
        finally:
            pool.shutdown(cancel_futures=True)


def _score(found: Evaluation, generator: Generator, cases: Sequence[Case]) -> None:
    """Generates from a batch and adds up how it compares."""
    windows = stacked([case.pixels for case in cases], found.bundle.bands)
    made = generator.generate(
        {SOURCE: windows}, randomness_at(generator, found.seed, [place_of(case.key) for case in cases])
    )
    for index, case in enumerate(cases):
        for target, reference in case.references.items():
            several = [found.scores[treatment] for treatment in case.treatments]
            one = several[0][target].of_window(made[target][index], reference)
            for scores in several:
                scores[target] += one
