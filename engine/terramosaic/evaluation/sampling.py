"""Samples of TerraMesh as a model sees them: windows, references, and what was decided about the offset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from terramosaic.bands import INPUT_BANDS, S2L2A_BANDS
from terramosaic.catalog.offset import OFFSET
from terramosaic.evaluation.sample_offset import Verdict, offset_in
from terramosaic.evaluation.samples import DamagedSampleError, centre_of, pixels_of
from terramosaic.evaluation.shards import Shard
from terramosaic.imagery.offset import harmonise

#: The input that figures are of where nobody says otherwise.
SOURCE = "S2L2A"

#: Inputs that samples can be read as, and those that may carry the offset.
INPUTS = ("S2L2A", "S2L1C", "S2RGB", "S1GRD", "S1RTC", "DEM", "NDVI")
_OPTICAL = ("S2L2A", "S2L1C")

#: What reflectance is of a reference's digital numbers.
_REFLECTANCE = np.float32(1e-4)

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
        windows: by input (bands, side, side), in the order of `INPUT_BANDS`.
        references: by target, (bands, side, side) in the unit of the target.
    """

    key: str
    treatments: tuple[str, ...]
    windows: Mapping[str, np.ndarray]
    references: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Sample:
    """One place: its cases, and what its pixels say of the offset; where none of them could carry it, ``not asked``."""

    offset: str
    cases: tuple[Case, ...]


def read_sample(
    key: str, inputs: Mapping[str, Shard], targets: Mapping[str, Shard], bands: Mapping[str, int], side: int
) -> Sample:
    """Reads a place in all its modalities.

    Args:
        key: of the sample.
        inputs: the shards of what is generated from, which hold the key.
        targets: the shards of the references, which hold the key.
        bands: how many bands each reference has.
        side: of the model's windows, in pixels.

    Raises:
        DamagedSampleError: a modality of it cannot be used.
        CatalogError: a shard cannot be read.
    """
    raw, verdicts = {}, {}
    for name in _OPTICAL:
        shard = inputs.get(name) or targets.get(name)
        if shard is not None:
            verdicts[name], raw[name] = read_source(key, shard, name)
    stored = {
        name: _pixels(key, name, shard, len(INPUT_BANDS[name]))
        for name, shard in inputs.items()
        if name not in raw
    }
    stored |= {
        name: _pixels(key, name, shard, bands[name]) for name, shard in targets.items() if name not in raw
    }
    stored = {name: centre_of(pixels, side) for name, pixels in (stored | raw).items()}
    corrected = stored | {
        name: harmonise(stored[name], OFFSET) for name, verdict in verdicts.items() if verdict == "present"
    }
    if verdicts.get(SOURCE) == "present" and "NDVI" in targets:
        # TerraMesh computed it from the numbers that it stored.
        corrected["NDVI"] = _ndvi(corrected[SOURCE])[None]

    def case(treatments: tuple[str, ...], pixels: Mapping[str, np.ndarray]) -> Case:
        references = {
            name: pixels[name] * _REFLECTANCE if name == SOURCE else pixels[name] for name in targets
        }
        return Case(key, treatments, {name: pixels[name] for name in inputs}, references)

    told = list(verdicts.values())
    offset = next(
        (verdict for verdict in ("present", "removed", "undecided") if verdict in told), "not asked"
    )
    if "present" not in told:
        return Sample(offset, (case(TREATMENTS, stored),))
    return Sample(offset, (case((TAKEN_OFF,), corrected), case((AS_STORED,), stored)))


def read_source(key: str, source: Shard, name: str = SOURCE) -> tuple[Verdict, np.ndarray]:
    """A sample's Sentinel-2, and what its pixels say of the offset: uint16 (bands, 264, 264), as stored.

    Of L1C the dark band of cirrus decides, too: with the offset it has 1 000 like all others.

    Raises:
        DamagedSampleError: it cannot be used.
        CatalogError: the shard cannot be read.
    """
    stored = _pixels(key, name, source, len(INPUT_BANDS[name]))
    raw = np.rint(np.clip(stored, 0, np.iinfo(np.uint16).max)).astype(np.uint16)
    return offset_in(raw), raw


def stacked(windows: Sequence[np.ndarray], bands: Sequence[str], name: str = SOURCE) -> np.ndarray:
    """What a model takes of some bands of an input: float32 (N, bands, side, side)."""
    order = [INPUT_BANDS[name].index(band) for band in bands]
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
