"""Seams without a map: two overlapping windows of each sample of TerraMesh, and how far they agree.

A sample has 264 pixels, a window of TerraMind 224. Two are cut side by side, 32 pixels apart: two patches, for in a map
all windows lie on one lattice of patches, and a model draws a token for each (40, which the sample has room for, would
shift them by half a patch). They see the same ground with the same randomness, so what differs is what the model makes
of the rest. In a map windows overlap at their rims, so the pixels within 32 of a window's edge are told apart from
those in the middle, where both look around equally far.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from terramosaic.catalog.offset import OFFSET
from terramosaic.errors import RequestError
from terramosaic.evaluation.ahead import ahead, batched
from terramosaic.evaluation.evaluate import most_of_shard, no_sample_of
from terramosaic.evaluation.randomness import place_of, randomness_at
from terramosaic.evaluation.samples import DamagedSampleError, require_zarr
from terramosaic.evaluation.sampling import SOURCE, read_source, stacked
from terramosaic.evaluation.terramesh import TerraMesh
from terramosaic.ground.lattice import Lattice
from terramosaic.imagery.offset import harmonise
from terramosaic.model.bundle import Bundle
from terramosaic.model.devices import Precision, precision_on, resolve
from terramosaic.model.generator import BATCH_SIZES, GenerationOptions, Generator
from terramosaic.model.manifest import NAMED_KINDS, TargetSpec
from terramosaic.model.opening import open_generator
from terramosaic.trust.seams import Ratio, Side, ratio_of, step_at

#: Patches that the second window lies to the right of the first.
_SHIFT = 2

#: Columns of the overlap that count as its rims, on either side, and as its middle.
_RIM, _MIDDLE = 32, 64

_READERS = 4


@dataclass
class OverlapScores:
    """How far the two windows agree about a target.

    Attributes:
        target: its name.
        unit: of the disagreement; of classes it is the share of pixels that have another one.
        spec: how the target is generated.
        windows: the two are the first in a row of this lattice.
        disagreement: of each sample (sum, count) at the rims and (sum, count) in the middle.
        step: of each sample's blended picture, the same of differences between neighbouring pixels: across the edges
            of windows, and within.
    """

    target: str
    unit: str
    spec: TargetSpec
    windows: Lattice
    disagreement: list[np.ndarray] = field(default_factory=list)
    step: list[np.ndarray] = field(default_factory=list)

    def add(self, left: np.ndarray, right: np.ndarray) -> None:
        """Takes in a sample: float32 (planes, side, side) of both windows."""
        shift, side_of, patch = self.windows.stride, self.windows.side, self.windows.patch
        blended = np.concatenate(
            [left[..., :shift], (left[..., shift:] + right[..., :-shift]) / 2, right[..., -shift:]], axis=2
        )
        if self.spec.classes:
            differ = (self._classes(left)[..., shift:] != self._classes(right)[..., :-shift]).astype(
                np.float32
            )
            blended = self._classes(blended)
        else:
            differ = np.abs(left[..., shift:] - right[..., :-shift])
        width = differ.shape[2]
        rims = np.concatenate([differ[..., :_RIM], differ[..., -_RIM:]], axis=2)
        middle = differ[..., (width - _MIDDLE) // 2 : (width + _MIDDLE) // 2]
        sums = [float(rims.sum(dtype=float)), rims.size, float(middle.sum(dtype=float)), middle.size]
        self.disagreement.append(np.array(sums))
        # Of the blended picture: where a window begins or ends, and between patches in the middle of its overlap.
        edges, middle_line = (shift, side_of), (side_of + shift) // 2
        inner = (middle_line - patch, middle_line + patch)
        side = Side(blended, np.ones(blended.shape[1:], bool), 0, is_class=bool(self.spec.classes))
        self.step.append(step_at(side, edges, inner))

    def _classes(self, probabilities: np.ndarray) -> np.ndarray:
        """The classes that win: (1, height, width)."""
        candidates = [item.index for item in self.spec.candidates]
        winners: np.ndarray = probabilities[candidates].argmax(axis=0)[None]
        return winners

    @property
    def at_rims(self) -> float:
        """Mean difference within 32 pixels of an edge; NaN of no sample."""
        return _mean(self.disagreement, 0)

    @property
    def in_middle(self) -> float:
        """The same in the middle."""
        return _mean(self.disagreement, 2)

    @property
    def ratio(self) -> Ratio | None:
        """The first over the second, with an interval by drawing samples again."""
        return ratio_of(self.disagreement, np.random.default_rng(0))

    @property
    def seam(self) -> Ratio | None:
        """How much neighbouring pixels differ across the edges of windows, against lines within: 1 where none shows."""
        return ratio_of(self.step, np.random.default_rng(0))

    def as_dict(self) -> dict[str, Any]:
        """All figures for other programs; None stands for a figure of none."""
        return {
            "samples": len(self.disagreement),
            "unit": self.unit,
            "at_rims": self.at_rims if self.disagreement else None,
            "in_middle": self.in_middle if self.disagreement else None,
            "ratio": _told(self.ratio),
            "step": _told(self.seam),
        }


@dataclass
class Overlaps:
    """What came of it.

    Attributes:
        bundle: which was looked at.
        data: where the samples came from.
        steps: of diffusion.
        seed: of the randomness.
        scores: by target.
        windows: the two of a sample are the first in a row of this lattice.
        precision: that the device computed in.
        samples: that were used.
        left_out: samples that could not be, and why.
    """

    bundle: Bundle
    data: TerraMesh
    steps: int
    seed: int
    scores: dict[str, OverlapScores]
    windows: Lattice
    precision: Literal["fp16", "fp32"] = "fp32"
    samples: int = 0
    left_out: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """All figures for other programs."""
        return {
            "bundle": self.bundle.name,
            "fingerprint": self.bundle.fingerprint,
            "random_weights": self.bundle.manifest.random_weights,
            "terramesh": self.data.shown,
            "steps": self.steps,
            "seed": self.seed,
            "precision": self.precision,
            "shift": self.windows.stride,
            "samples": self.samples,
            "left_out": self.left_out,
            "seams": {name: scores.as_dict() for name, scores in self.scores.items()},
        }


def evaluate_overlaps(
    bundle: Bundle,
    data: TerraMesh,
    *,
    targets: Sequence[str] = (),
    limit: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    precision: Precision = "auto",
    progress: Callable[[int], None] = lambda done: None,
) -> Overlaps:
    """Compares two overlapping windows of each sample; references are not needed. The arguments are `evaluate`'s.

    Raises:
        RequestError: zarr is missing, the data set has no Sentinel-2, or the device does not compute in that
            precision.
        CatalogError: a shard cannot be read, or no sample can be used.
        ModelError: the model or its device failed.
    """
    require_zarr()
    where = resolve(device)
    computed_in = precision_on(precision, where)
    bundle.require(targets)
    if without := [target for target in targets if target in NAMED_KINDS]:
        raise RequestError(f"targets: {' and '.join(without)} has no pixels to compare; leave it out")
    shards = data.shards_of(SOURCE)
    if not shards:
        raise RequestError(f"terramesh: {data.shown} has no shard of {SOURCE}")
    wanted = tuple(targets) or bundle.manifest.generated
    manifest = bundle.manifest
    windows = Lattice(_SHIFT * manifest.patch, manifest.window, manifest.patch)
    scores = {
        name: OverlapScores(name, bundle.targets[name].unit or "", bundle.targets[name], windows)
        for name in wanted
    }
    found = Overlaps(bundle, data, steps or bundle.default_steps, seed, scores, windows, computed_in)
    options = GenerationOptions(steps=found.steps, conditioning="independent", precision=computed_in)
    generator = open_generator(bundle, wanted, str(where), options=options)
    share = None if limit is None else math.ceil(limit / len(shards))
    for name in shards:
        most = most_of_shard(share, limit, found.samples + len(found.left_out))
        # Both windows of a sample in one call.
        for some in batched(_pairs(found, name, most), max(1, BATCH_SIZES[where.kind].call // 2)):
            _score(found, generator, some)
            progress(found.samples)
    if not found.samples:
        raise no_sample_of(data, found.left_out)
    return found


def _pairs(found: Overlaps, name: str, most: int | None) -> Iterator[tuple[str, np.ndarray]]:
    """Keys of a shard's samples with both windows: uint16 (2, 12, side, side)."""
    source = found.data.shard(SOURCE, name)

    def read(key: str) -> np.ndarray:
        verdict, raw = read_source(key, source)
        return _cut(harmonise(raw, OFFSET) if verdict == "present" else raw, found.windows)

    with ThreadPoolExecutor(_READERS, thread_name_prefix="samples") as pool:
        try:
            for key, waiting in ahead(pool, read, source.first(most), _READERS):
                try:
                    yield key, waiting.result()
                except DamagedSampleError as error:
                    found.left_out[key] = str(error)
        finally:
            pool.shutdown(cancel_futures=True)


def _cut(pixels: np.ndarray, windows: Lattice) -> np.ndarray:
    (height, width), side, shift = pixels.shape[-2:], windows.side, windows.stride
    if height < side or width < side + shift:
        raise DamagedSampleError(
            f"it has {height} x {width} pixels, and two windows need {side} x {side + shift}"
        )
    top, left = (height - side) // 2, (width - side - shift) // 2
    rows = pixels[:, top : top + side]
    return np.stack([rows[..., begin : begin + side] for begin in (left, left + shift)])


def _score(found: Overlaps, generator: Generator, pairs: Sequence[tuple[str, np.ndarray]]) -> None:
    windows = stacked([window for _, pair in pairs for window in pair], found.bundle.bands)
    shift, side, patch = found.windows.stride, found.windows.side, found.windows.patch
    places = [place_of(key, col=col, side=side) for key, _ in pairs for col in (0, shift)]
    made = generator.generate({SOURCE: windows}, randomness_at(generator, found.seed, places, patch))
    for index in range(len(pairs)):
        for target, scores in found.scores.items():
            scores.add(*made[target][2 * index : 2 * index + 2])
    found.samples += len(pairs)


def _mean(sums: Sequence[np.ndarray], at: int) -> float:
    total = np.sum(sums, axis=0)
    return float(total[at] / total[at + 1]) if len(sums) else math.nan


def _told(ratio: Ratio | None) -> dict[str, float | None] | None:
    return None if ratio is None else {"value": ratio.value, "low": ratio.low, "high": ratio.high}
