"""Samples of TerraMesh as a model sees them: windows, references, and what was decided about the offset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from terramosaic.bands import S2L2A_BANDS
from terramosaic.catalog.offset import OFFSET
from terramosaic.evaluation.sample_offset import Verdict, offset_in
from terramosaic.evaluation.samples import DamagedSampleError, centre_of, pixels_of
from terramosaic.evaluation.shards import Shard
from terramosaic.imagery.offset import harmonise

#: The input that this engine's bundles take.
SOURCE = "S2L2A"

#: Names of what is done about the +1000 that some samples carry: taken off, as the model expects, or left in.
TAKEN_OFF, AS_STORED = "offset taken off", "as stored"
TREATMENTS = (TAKEN_OFF, AS_STORED)

_RED, _NEAR_INFRARED = S2L2A_BANDS.index("B04"), S2L2A_BANDS.index("B08")


@dataclass(frozen=True)
class Case:
    """A window to generate from, and what is known to be there.

    Attributes:
        key: of the sample; decides the randomness.
        treatments: which figures it belongs to: without the offset both are one.
        pixels: uint16 (12, 224, 224), digital numbers in the order of `S2L2A_BANDS`.
        references: by target, (bands, 224, 224) in the data set's unit.
    """

    key: str
    treatments: tuple[str, ...]
    pixels: np.ndarray
    references: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Sample:
    """One place: its cases, and what its pixels say of the offset."""

    offset: Verdict
    cases: tuple[Case, ...]


def read_sample(key: str, source: Shard, targets: Mapping[str, Shard], bands: Mapping[str, int]) -> Sample:
    """Reads a place in all its modalities.

    Args:
        key: of the sample.
        source: the shard of S2L2A.
        targets: the shards of the references, which hold the key.
        bands: how many bands each reference has.

    Raises:
        DamagedSampleError: a modality of it cannot be used.
        CatalogError: a shard cannot be read.
    """
    verdict, raw = read_source(key, source)
    references = {
        target: centre_of(_pixels(key, target, shard, bands[target])) for target, shard in targets.items()
    }
    window = centre_of(raw)
    if verdict != "present":
        return Sample(verdict, (Case(key, TREATMENTS, window, references),))
    harmonised = harmonise(window, OFFSET)
    corrected = dict(references)
    if "NDVI" in references:
        # TerraMesh computed it from the numbers that it stored.
        corrected["NDVI"] = _ndvi(harmonised)[None]
    return Sample(
        verdict, (Case(key, (TAKEN_OFF,), harmonised, corrected), Case(key, (AS_STORED,), window, references))
    )


def read_source(key: str, source: Shard) -> tuple[Verdict, np.ndarray]:
    """A sample's Sentinel-2, and what its pixels say of the offset: uint16 (12, 264, 264), as stored.

    Raises:
        DamagedSampleError: it cannot be used.
        CatalogError: the shard cannot be read.
    """
    stored = _pixels(key, SOURCE, source, len(S2L2A_BANDS))
    raw = np.rint(np.clip(stored, 0, np.iinfo(np.uint16).max)).astype(np.uint16)
    return offset_in(raw), raw


def stacked(windows: Sequence[np.ndarray], bands: Sequence[str]) -> np.ndarray:
    """What a model takes of some bands: float32 (N, bands, 224, 224)."""
    order = [S2L2A_BANDS.index(band) for band in bands]
    return np.stack([window[order] for window in windows]).astype(np.float32)


def _pixels(key: str, modality: str, shard: Shard, bands: int) -> np.ndarray:
    try:
        pixels = pixels_of(shard.read(key))
        if len(pixels) != bands:
            raise DamagedSampleError(f"it has {len(pixels)} bands, and should have {bands}")
        if not np.isfinite(pixels).all():
            raise DamagedSampleError("it has gaps")
    except DamagedSampleError as error:
        raise DamagedSampleError(f"{modality}: {error}") from error
    return pixels


def _ndvi(dn: np.ndarray) -> np.ndarray:
    red, near_infrared = (dn[band].astype(np.float32) for band in (_RED, _NEAR_INFRARED))
    index: np.ndarray = (near_infrared - red) / np.maximum(near_infrared + red, 1)
    return index
