"""A bundle graded on TerraMesh: windows generated sample by sample, compared with what is known to be there.

Samples stream: a few are held at a time, and of those that are done the sums alone. The conditioning is independent,
for the paper's tables are of one target made of one input. A sample's randomness is of the seed, the target and its
key, so a figure does not depend on what else was evaluated, or in which order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

from terramosaic.bands import S2L2A_BANDS
from terramosaic.errors import CatalogError, RequestError, printable
from terramosaic.evaluation.ahead import ahead, batched
from terramosaic.evaluation.outcome import Evaluation, MadeOf, TargetScores
from terramosaic.evaluation.randomness import place_of, randomness_at
from terramosaic.evaluation.samples import DamagedSampleError, require_zarr
from terramosaic.evaluation.sampling import INPUTS, SOURCE, TREATMENTS, Case, Sample, read_sample, stacked
from terramosaic.evaluation.terramesh import TerraMesh
from terramosaic.model.bundle import Bundle
from terramosaic.model.devices import Device, Precision, precision_on, resolve
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
    inputs: Sequence[str] = (SOURCE,),
    tokenised: bool = False,
    reconstruct: bool = False,
    targets: Sequence[str] = (),
    limit: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    precision: Precision = "auto",
    progress: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Grades a bundle.

    Args:
        bundle: takes the inputs.
        data: the samples.
        inputs: what to generate from, together.
        tokenised: whether the model shall see them as tokens.
        reconstruct: whether they are to be made again of their own tokens, without the model between.
        targets: what to generate; by default all that both have.
        limit: samples to take at most, as many of each shard and the first ones of it.
        steps: of diffusion; by default the bundle's.
        seed: of the randomness.
        device: where the model runs.
        precision: that a GPU computes in: ``fp16``, which ``auto`` is there, or ``fp32``.
        progress: is told how many samples are done.

    Raises:
        RequestError: zarr is missing, the bundle cannot take the inputs, bundle and data have nothing in common, or
            the device does not compute in that precision.
        CatalogError: a shard cannot be read, or no sample can be used.
        ModelError: the model or its device failed.
    """
    require_zarr()
    where = resolve(device)
    computed_in = precision_on(precision, where)
    targets = targets or (inputs if reconstruct else ())
    bundle.require(targets, inputs, reconstruct=reconstruct)
    if unread := [name for name in inputs if name not in INPUTS]:
        raise RequestError(f"inputs: samples cannot be read as {', '.join(unread)}; take {', '.join(INPUTS)}")
    wanted = tuple(
        target
        for target in targets or bundle.targets
        if target in _REFERENCES and (targets or target not in inputs)
    )
    if unknown := set(targets) - set(wanted):
        raise RequestError(f"targets: TerraMesh has no {', '.join(sorted(unknown))}")
    pairs = {
        name: tuple(target for target in there if target in wanted)
        for name, there in data.pairs(inputs[0], (*wanted, *inputs[1:])).items()
        if set(inputs[1:]) <= set(there) and set(wanted) & set(there)
    }
    if not pairs:
        raise RequestError(
            f"terramesh: {data.shown} has no shard of {' and '.join(inputs)} with one of the same name of "
            f"{' or '.join(wanted)}"
        )
    steps = steps or bundle.default_steps
    made_of = MadeOf(tuple(inputs), tokenised, reconstruct)
    empty = {target: TargetScores.empty(target, bundle.targets[target], made_of) for target in wanted}
    scores = {treatment: dict(empty) for treatment in TREATMENTS}
    found = Evaluation(bundle, data, steps, seed, scores, made_of, computed_in)
    options = GenerationOptions(
        steps=steps,
        conditioning="independent",
        inputs=made_of.inputs,
        tokenised=made_of.inputs if tokenised else (),
        reconstruct=reconstruct,
        precision=computed_in,
    )
    share = None if limit is None else math.ceil(limit / len(pairs))
    for made, names in groupby(pairs, key=lambda name: pairs[name]):
        _grade(found, list(names), made, where, options, share=share, limit=limit, progress=progress)
    if not found.samples:
        raise no_sample_of(data, found.left_out)
    return found


def most_of_shard(share: int | None, limit: int | None, looked_at: int) -> int | None:
    """Samples to take of the next shard at most: its share, or what is left of the limit; None for all."""
    return share if share is None or limit is None else min(share, limit - looked_at)


def no_sample_of(data: TerraMesh, left_out: Mapping[str, str]) -> CatalogError:
    """What to raise where none of the samples could be used."""
    reasons = [f"{printable(key)}: {why}" for key, why in left_out.items()]
    return CatalogError(
        f"terramesh: {data.shown}: no sample can be used: {reasons[0] if reasons else 'the shards are empty'}"
    )


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
        most = most_of_shard(share, limit, found.samples + len(found.left_out))
        for cases in batched(_cases(found, name, targets, most, progress), BATCH_SIZES[device.kind].call):
            _score(found, generator, cases)


def _cases(
    found: Evaluation, name: str, targets: Sequence[str], most: int | None, progress: Callable[[int], None]
) -> Iterator[Case]:
    """Reads a shard's samples, several at a time; those that cannot be used are noted and left out."""
    inputs = {each: found.data.shard(each, name) for each in found.made_of.inputs}
    keys = inputs[found.made_of.inputs[0]].first(most)
    for shard in inputs.values():
        there = shard.holds(keys)
        found.left_out |= dict.fromkeys((key for key in keys if key not in there), "it lacks an input")
        keys = [key for key in keys if key in there]
    shards = {target: found.data.shard(target, name) for target in targets}
    held = {target: shard.holds(keys) for target, shard in shards.items()}
    known: set[str] = set().union(*held.values())
    found.left_out |= dict.fromkeys((key for key in keys if key not in known), "it has no reference")
    specs, side = found.bundle.targets, found.bundle.manifest.window
    bands = {
        target: len(S2L2A_BANDS) if target == SOURCE else len(specs[target].channels) for target in targets
    }

    def read(key: str) -> Sample:
        return read_sample(key, inputs, {t: shards[t] for t in targets if key in held[t]}, bands, side)

    with ThreadPoolExecutor(_READERS, thread_name_prefix="samples") as pool:
        try:
            for key, waiting in ahead(pool, read, filter(known.__contains__, keys), _READERS):
                try:
                    sample = waiting.result()
                except DamagedSampleError as error:
                    found.left_out[key] = str(error)
                    continue
                found.offsets[sample.offset] = found.offsets.get(sample.offset, 0) + 1
                yield from sample.cases
                progress(found.samples)
        finally:
            pool.shutdown(cancel_futures=True)


def _score(found: Evaluation, generator: Generator, cases: Sequence[Case]) -> None:
    """Generates from a batch and adds up how it compares."""
    windows = {
        name: stacked([case.windows[name] for case in cases], found.bundle.inputs[name].bands, name)
        for name in found.made_of.inputs
    }
    manifest = found.bundle.manifest
    places = [place_of(case.key, side=manifest.window) for case in cases]
    made = generator.generate(windows, randomness_at(generator, found.seed, places, manifest.patch))
    for index, case in enumerate(cases):
        for target, reference in case.references.items():
            several = [found.scores[treatment] for treatment in case.treatments]
            one = several[0][target].of_window(made[target][index], reference)
            for scores in several:
                scores[target] += one
