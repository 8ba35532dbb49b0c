"""Zero-shot water: the land cover that a bundle generates against masks of water, as in Table 4 of the paper."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rasterio.errors import RasterioError

from terramosaic.catalog.offset import OFFSET
from terramosaic.errors import CatalogError, RequestError, one_line, printable
from terramosaic.evaluation.ahead import ahead, batched
from terramosaic.evaluation.chips import Chip, chips_in, read_chip, starts
from terramosaic.evaluation.classes import Confusion
from terramosaic.evaluation.paper import WATER_IOU
from terramosaic.evaluation.randomness import place_of, randomness_at
from terramosaic.evaluation.sample_offset import offset_in
from terramosaic.evaluation.samples import DamagedSampleError
from terramosaic.evaluation.sampling import SOURCE, stacked
from terramosaic.imagery.offset import harmonise
from terramosaic.model.bundle import Bundle
from terramosaic.model.devices import Device, Precision, precision_on, resolve
from terramosaic.model.generator import BATCH_SIZES, GenerationOptions, Generator
from terramosaic.model.manifest import LandCover
from terramosaic.model.opening import open_generator

_LAND, _WATER = 0, 1

#: Chips that are read at the same time.
_READERS = 2


@dataclass
class WaterScores:
    """What came of it.

    Attributes:
        bundle: which was graded.
        folder: of the chips.
        target: whose class of water was compared.
        seed: of the randomness.
        precision: that the device computed in.
        confusion: of all pixels that were compared: of land (0) and water (1).
        chips: that were compared.
        l1c: those of them that are of the top of the atmosphere.
        offset: those of which an offset of 1000 was taken off, by their pixels.
        unknown: pixels without a mask or without imagery.
        left_out: chips that could not be used, and why.
    """

    bundle: Bundle
    folder: Path
    target: str
    seed: int
    precision: Literal["fp16", "fp32"] = "fp32"
    confusion: Confusion = field(default_factory=lambda: Confusion.empty((_LAND, _WATER)))
    chips: int = 0
    l1c: int = 0
    offset: int = 0
    unknown: int = 0
    left_out: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """All figures, and the paper's, for other programs; None stands for a figure of none."""
        (neither, mask_alone), (map_alone, both) = (map(int, row) for row in self.confusion.counts)
        return {
            "bundle": self.bundle.name,
            "fingerprint": self.bundle.fingerprint,
            "random_weights": self.bundle.manifest.random_weights,
            "water": str(self.folder),
            "target": self.target,
            "seed": self.seed,
            "precision": self.precision,
            "chips": self.chips,
            "l1c": self.l1c,
            "offset_taken_off": self.offset,
            "left_out": self.left_out,
            "pixels": {
                "water_in_both": both,
                "water_in_the_map_alone": map_alone,
                "water_in_the_mask_alone": mask_alone,
                "water_in_neither": neither,
                "left_out": self.unknown,
            },
            **{name: None if np.isnan(figure) else figure for name, figure in self.figures.items()},
            "paper": {"table": 4, "iou": WATER_IOU},
        }

    @property
    def figures(self) -> dict[str, float]:
        """Of water, of all pixels together; NaN where there is none."""
        of = self.confusion
        return {
            "iou": float(of.iou[_WATER]),
            "users_accuracy": float(of.users[_WATER]),
            "producers_accuracy": float(of.producers[_WATER]),
            "f1": float(of.f1[_WATER]),
            "mean_iou": float(of.iou.mean()),
            "overall_accuracy": of.overall,
        }


def evaluate_water(
    bundle: Bundle,
    folder: Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    precision: Precision = "auto",
    progress: Callable[[int], None] = lambda done: None,
) -> WaterScores:
    """Compares the water that a bundle sees with masks.

    A chip is covered by overlapping windows, whose class probabilities are averaged, as in a map; their classes are
    then water or not. Pixels whose mask is neither 0 nor 1, or that have no imagery, are left out.

    Args:
        bundle: generates a land cover with a class called water.
        folder: of the chips, see `terramosaic.evaluation.chips`.
        limit: chips to take at most: the first ones by name.
        seed: of the randomness.
        device: where the model runs.
        precision: that a GPU computes in: ``fp16``, which ``auto`` is there, or ``fp32``.
        progress: is told how many chips are done.

    Raises:
        RequestError: there are no chips, the bundle knows no water, or the device does not compute in that precision.
        CatalogError: no chip can be used.
        ModelError: the model or its device failed.
    """
    where = resolve(device)
    computed_in = precision_on(precision, where)
    target, classes = _water_of(bundle)
    chips, left_out = chips_in(folder)
    found = WaterScores(bundle, folder, target, seed, computed_in, left_out=left_out)
    options = GenerationOptions(conditioning="independent", precision=computed_in)
    generator = open_generator(bundle, [target], str(where), options=options)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="chips") as pool:
        for chip, waiting in ahead(pool, read_chip, chips[:limit], _READERS):
            try:
                dn, mask = waiting.result()
                _compare(found, chip, dn, mask, classes, generator, where)
            except (DamagedSampleError, RasterioError) as error:
                found.left_out[chip.key] = one_line(error)
            progress(found.chips)
    if not found.chips:
        key, why = next(iter(found.left_out.items()))
        raise CatalogError(f"water: {folder}: no chip can be used: {printable(key)}: {why}")
    return found


def _compare(
    found: WaterScores,
    chip: Chip,
    dn: np.ndarray,
    mask: np.ndarray,
    classes: tuple[LandCover, ...],
    generator: Generator,
    device: Device,
) -> None:
    """Generates a chip's land cover and adds up how its water compares."""
    side = found.bundle.manifest.window
    if min(mask.shape) < side:
        raise DamagedSampleError(
            f"it has {mask.shape[0]} x {mask.shape[1]} pixels, and should have {side} at least"
        )
    seen = dn.any(axis=0)
    known = (mask >= 0) & seen
    if not known.any():
        raise DamagedSampleError("its mask has neither 0 nor 1 where there is imagery")
    if has_offset := offset_in(dn) == "present":
        dn = harmonise(dn, OFFSET)
    # A model takes no gaps; their pixels are not compared.
    probabilities = _probabilities(found, chip.key, np.maximum(dn, 1), generator, device)
    candidates = [item.index for item in classes]
    water = next(place for place, item in enumerate(classes) if item.name == "water")
    mapped = np.where(probabilities[candidates].argmax(axis=0) == water, _WATER, _LAND)
    found.confusion += Confusion.of(mapped, mask, (_LAND, _WATER), known)
    found.chips += 1
    found.l1c += chip.is_l1c
    found.offset += has_offset
    found.unknown += int((~known).sum())


def _probabilities(
    found: WaterScores, key: str, dn: np.ndarray, generator: Generator, device: Device
) -> np.ndarray:
    """Class probabilities of a chip, summed over the windows that see a pixel: float32 (classes, height, width)."""
    _, height, width = dn.shape
    total = np.zeros((len(found.bundle.targets[found.target].classes), height, width), np.float32)
    count = np.zeros((height, width), np.float32)
    # They lie as far apart as those of a map by default.
    manifest = found.bundle.manifest
    side, stride = manifest.window, manifest.default_stride
    places = [(row, col) for row in starts(height, side, stride) for col in starts(width, side, stride)]
    for some in batched(places, BATCH_SIZES[device.kind].call):
        slices = [(slice(row, row + side), slice(col, col + side)) for row, col in some]
        windows = stacked([dn[:, *each] for each in slices], found.bundle.bands)
        where = [place_of(key, *place, side=side) for place in some]
        randomness = randomness_at(generator, found.seed, where, manifest.patch)
        for each, made in zip(
            slices, generator.generate({SOURCE: windows}, randomness)[found.target], strict=True
        ):
            total[:, *each] += made
            count[each] += 1
    averaged: np.ndarray = total / count
    return averaged


def _water_of(bundle: Bundle) -> tuple[str, tuple[LandCover, ...]]:
    """The target with a class of water, and the classes that are candidates: not the one that stands for no data."""
    for name, spec in bundle.targets.items():
        if any(item.name == "water" for item in spec.classes):
            return name, spec.candidates
    raise RequestError(f"water: bundle {bundle.name!r} generates no land cover with a class called water")
