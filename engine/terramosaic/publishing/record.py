"""What a run left on disk, gathered once: the report and the item are two ways of telling it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window
from shapely.geometry import box

from terramosaic.block.ndvi import NdviAgreement
from terramosaic.block.preview import PREVIEW, shown_in_words
from terramosaic.block.receipt import BlockReceipt, finishing_times, receipts_of_all
from terramosaic.block.windows import region_mask
from terramosaic.errors import OutputError
from terramosaic.evaluation.assessment import Assessment, assessment_of
from terramosaic.ground.grid import RESOLUTION, Rect
from terramosaic.imagery.scene_decision import SceneDecision
from terramosaic.imagery.scene_records import SceneRecords
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.gaps import IN_FILES, LEFT_OUT, NO_SCENE, SKIPPED
from terramosaic.planning.layers import QUALITY_CLOUD, Layer
from terramosaic.planning.plan import Block, Plan, Zone
from terramosaic.publishing.census import Census, Histogram, census_of, histogram_of_counts
from terramosaic.publishing.facts import PlanFacts
from terramosaic.publishing.gaps import gaps_in_words
from terramosaic.publishing.inputs import InputPixels
from terramosaic.publishing.left_out import left_out_in_words
from terramosaic.publishing.numbers import UNBROKEN
from terramosaic.publishing.places import PlaceFigures, figures_of_places
from terramosaic.publishing.quicklook import Quicklook, Swatch, draw, true_colour
from terramosaic.publishing.reduced import ReducedMosaic, read_reduced, told_if_broken
from terramosaic.storage.files import exists
from terramosaic.storage.gdal import local_files
from terramosaic.storage.hashes import multihash_of
from terramosaic.storage.location import Location, is_remote
from terramosaic.storage.scratch import LocalCopy
from terramosaic.trust.seams import Seams, seams_of
from terramosaic.trust.self_checks import (
    NdviLimits,
    doubts_about_layer,
    doubts_about_ndvi,
    doubts_about_range,
    doubts_about_tokens,
    shares_at_bound,
)
from terramosaic.trust.verification import Verification, verification_of

_PIXEL_KM2 = RESOLUTION**2 / 1e6

_QUALITY = "quality"

#: Share of a run's pixels that is rounding.
_DUST = 1e-9

#: Mosaics of a run in a store that are looked at, and so lie in scratch, at the same time.
_COPIES = 2


@dataclass(frozen=True)
class LayerRecord:
    """A finished mosaic.

    Attributes:
        size: of the file, in bytes.
        checksum: SHA-256 of the file as a multihash in hexadecimal.
        census: its pixels, counted.
        seams: what shows of windows and blocks; None of layers that are not estimates.
    """

    zone: Zone
    layer: Layer
    path: Location
    size: int
    checksum: str
    census: Census
    quicklook: Quicklook
    seams: Seams | None

    @property
    def name(self) -> str:
        """The mosaic's file name without its ending: names its quicklook and its asset."""
        return self.path.stem

    def shares(self) -> dict[int, float]:
        """Share of each class, flag or day among the pixels with data; those of flags may overlap."""
        if self.census.counts is None or self.layer.kind not in ("class", "flags", "days"):
            return {}
        return shares_of(self.layer, self.census.counts[0])

    @property
    def legend(self) -> list[tuple[Swatch, float]]:
        """Colours of classes, flags or days, with their shares."""
        return legend_of(self.layer, self.quicklook, self.shares())

    @property
    def histograms(self) -> dict[str, Histogram]:
        """How each band's values are spread, where all of them were counted and are not much the same."""
        if self.census.counts is None or not self.layer.is_measured:
            return {}
        found = {
            band: histogram_of_counts(counts, self.layer)
            for band, counts in zip(self.layer.bands, self.census.counts, strict=True)
        }
        return {band: each for band, each in found.items() if each is not None and len(each.shares) > 2}

    @property
    def only(self) -> str:
        """The one value that a layer beside the maps has wherever it has any, in words; empty where there are others.

        Of such a layer, as the disagreement of windows that agree everywhere, a picture would show nothing.
        """
        found = {(figures.minimum, figures.maximum) for figures in self.census.statistics}
        if self.layer.is_estimate or len(found) != 1:
            return ""
        ((low, high),) = found
        unit = "" if self.layer.unit == "1" else f"{UNBROKEN}{self.layer.unit}"
        return f"{low:g}{unit}" if low == high else ""

    @property
    def valid_km2(self) -> float:
        """Area of the pixels with data, for layers of classes, flags or days."""
        if self.census.counts is None:
            return 0.0
        first = self.census.counts[0]
        return (int(first.sum()) - int(first[self.layer.nodata])) * _PIXEL_KM2


@dataclass(frozen=True, kw_only=True)
class RunFacts(PlanFacts):
    """What is told of a finished run.

    Attributes:
        layers: every mosaic, zone after zone.
        true_colour: Sentinel-2's picture of each zone, by EPSG code.
        receipts: of each block, by id.
        busy_seconds: time in which at least one block was being computed.
        busy_seconds_by_device: the same of each device, as receipts call it.
        verification: the last one of these mosaics; None if there is none.
        assessment: the same.
        places: how far off the places are that the model names for windows; None where it is not asked.
    """

    folder: RunFolder
    layers: tuple[LayerRecord, ...]
    true_colour: dict[int, Quicklook]
    receipts: dict[str, BlockReceipt]
    busy_seconds: float
    busy_seconds_by_device: dict[str, float]
    verification: Verification | None = None
    assessment: Assessment | None = None
    places: PlaceFigures | None = None

    @property
    def pictures(self) -> dict[str, Quicklook]:
        """All pictures by the name of their file: the mosaic's, and for the true colour ``S2``."""
        found = {self.true_colour_name(zone): self.true_colour[zone.epsg] for zone in self.plan.zones}
        # The imagery that was kept looks like the true colour.
        shown = (record for record in self.layers if record.layer.kind != "imagery")
        return found | {record.name: record.quicklook for record in shown}

    @property
    def imagery(self) -> list[LayerRecord]:
        """The imagery that the model saw, where it was kept."""
        return [record for record in self.layers if record.layer.kind == "imagery"]

    @property
    def seen(self) -> str:
        """What pictures of the imagery show."""
        return (
            "Sentinel-1 that the model saw"
            if self.plan.is_led_by_radar
            else shown_in_words(self.plan.bundle.bands)
        )

    def true_colour_name(self, zone: Zone) -> str:
        """What a zone's true colour is called; like a mosaic's, it tells the zone if there are several."""
        return f"{PREVIEW}_{zone.epsg}" if len(self.plan.zones) > 1 else PREVIEW

    @cached_property
    def left_out(self) -> dict[str, SceneDecision]:
        """Scenes of the plan that the run has left out, by their keys."""
        return {key: decision for key, decision in self.decisions.items() if not decision.is_used}

    @property
    def windows(self) -> int:
        """Windows that were computed; those without a valid pixel were left out."""
        return sum(receipt.windows for receipt in self.receipts.values())

    @cached_property
    def ndvi(self) -> NdviAgreement:
        """The NDVI that the imagery shows, and the one that was generated, over all blocks."""
        return sum(self.ndvi_by_block.values(), NdviAgreement())

    @property
    def ndvi_by_block(self) -> dict[str, NdviAgreement]:
        """The same of each block that it is known of."""
        return {id_: receipt.ndvi for id_, receipt in self.receipts.items() if receipt.ndvi is not None}

    @property
    def tokens(self) -> dict[str, int]:
        """How many different tokens were drawn for each target in the block that has the most of them."""
        found: dict[str, int] = {}
        for receipt in self.receipts.values():
            found |= {name: max(count, found.get(name, 0)) for name, count in receipt.tokens.items()}
        return found

    @property
    def estimates(self) -> list[LayerRecord]:
        """The maps that were asked for."""
        return [record for record in self.layers if record.layer.is_estimate]

    @property
    def shares_at_bound(self) -> dict[str, dict[str, float]]:
        """Share of each map's pixels that lie at the bound of samples, by mosaic and band."""
        return {
            record.name: {band: round(share, 6) for band, share in shares.items()}
            for record in self.estimates
            if record.census.counts is not None
            and (shares := shares_at_bound(record.layer, record.census.counts))
        }

    @property
    def ndvi_limits(self) -> NdviLimits:
        """What the generated NDVI is held to."""
        return NdviLimits.of(self.plan)

    @property
    def doubts(self) -> list[str]:
        """What the maps' numbers tell against the model, in a line each."""
        return [
            *doubts_about_ndvi(self.ndvi, self.ndvi_limits),
            *doubts_about_tokens(self.tokens, self.ndvi),
            *(
                line
                for record in self.estimates
                if record.census.counts is not None
                for line in doubts_about_layer(record.layer, record.census.counts, self.ndvi)
            ),
            *(
                line
                for record in self.estimates
                for band, figures in zip(record.layer.bands, record.census.statistics, strict=False)
                for line in doubts_about_range(
                    record.layer, band, figures.percentile_2, figures.percentile_98, self.ndvi
                )
            ),
        ]

    @property
    def mapped_km2(self) -> float:
        """Area of the pixels that have data."""
        return self.valid_pixels * _PIXEL_KM2

    @property
    def cloud_share(self) -> float | None:
        """Share of the mapped pixels that were generated under cloud; None where nothing tells, or none matters."""
        if not self.plan.tells_clouds:
            return None
        cloudy = sum(receipt.cloudy_pixels for receipt in self.receipts.values())
        return cloudy / max(1, self.valid_pixels)

    @cached_property
    def gap_share(self) -> float:
        """Share of the pixels to map that stayed without data; exact where every part of the region has a block."""
        return 1 - self.valid_pixels / max(1, self._pixels) * self._share_in_blocks

    @cached_property
    def _pixels(self) -> int:
        """Pixels of the region that lie in blocks."""
        return sum(_region_pixels(self.plan, block) for block in self.plan.blocks)

    @property
    def _share_in_blocks(self) -> float:
        """Share of the region that lies in blocks."""
        figures = self.plan.figures
        # Parts of the region without a block are known by their area only, which UTM stretches a little.
        return min(1.0, self._pixels * _PIXEL_KM2 / figures.area_km2) if figures.empty_blocks else 1.0

    @property
    def valid_pixels(self) -> int:
        """Pixels that have data."""
        return sum(receipt.valid_pixels for receipt in self.receipts.values())

    @cached_property
    def gaps(self) -> dict[str, float]:
        """Share of the pixels to map that stayed without data, by cause, as far as metadata and the run tell it."""
        share = self._share_in_blocks / max(1, self._pixels)
        skipped = sum(receipt.skipped_pixels for receipt in self.receipts.values())
        lost = {**self.inputs.lost_beside(self.valid_pixels + skipped), SKIPPED: skipped}
        beside = {cause: pixels * share for cause, pixels in lost.items()}
        left, found = self.gap_share - sum(beside.values()), {}
        for cause, share in (self.plan.figures.gaps or {NO_SCENE: self.plan.figures.gap_share}).items():
            if cause not in beside:
                found[cause] = min(share, left)
                left -= found[cause]
        # Counts do not tell which of the two a pixel is; where a scene is missing, it is most likely that.
        found[LEFT_OUT if self.left_out.keys() & self.plan.leading.keys() else IN_FILES] = left
        return {cause: share for cause, share in (found | beside).items() if share > _DUST}

    @cached_property
    def inputs(self) -> InputPixels:
        """What each input had of the pixels to map."""
        return InputPixels.of(self.plan, self.receipts.values())

    @property
    def warnings(self) -> list[str]:
        """The plan's warnings, and what only the run could tell."""
        found = super().warnings
        found += self.doubts
        if self.verification is not None and self.verification.failure is not None:
            found.append(f"a verification has failed: {self.verification.failure.text}")
        if self.cloud_share is not None and self.cloud_share > 0.01:
            found.append(
                f"{self.cloud_share:.1%} of the mapped area lies under cloud; the quality layer tells where"
            )
        if self.gap_share > self.plan.figures.gap_share + 0.01:
            found.append(gaps_in_words(self.gaps))
        found += left_out_in_words(self.decisions.values())
        for scene in (*self.scenes, *self.beside):
            if scene.subtracted is not None and scene.planned not in ("kept", str(scene.subtracted)):
                found.append(
                    f"{scene.id}: {scene.subtracted} was subtracted, not {scene.planned}, by {scene.rule}"
                )
        return found

    @property
    def processor_seconds(self) -> float | None:
        """What blocks took of all processors; None where a block was computed by a version that does not tell."""
        told = [receipt.processor_seconds for receipt in self.receipts.values()]
        return None if None in told else sum(filter(None, told))

    @property
    def read_bytes(self) -> int | None:
        """Imagery that blocks read, decoded; likewise."""
        told = [receipt.read_bytes for receipt in self.receipts.values()]
        return None if None in told else sum(filter(None, told))

    @property
    def block_bytes(self) -> int:
        """What blocks' rasters took, those that are gone too."""
        return sum(sum(receipt.files.values()) for receipt in self.receipts.values())

    def seconds(self, phase: str) -> float:
        """Sum of a phase (``total``, ``data``, ``model``, ``other``) over all blocks."""
        return sum(receipt.seconds.get(phase, 0.0) for receipt in self.receipts.values())


def gather(plan: Plan) -> RunFacts:
    """Reads what a run left: receipts, decisions about scenes, mosaics from afar and, counted, in full.

    Raises:
        OutputError: a block or a mosaic is missing or cannot be read.
    """
    folder = RunFolder.of(plan)
    wanted = [(zone, layer) for zone in plan.zones for layer in plan.layers]
    # Of a run in a store each of them holds a copy of a mosaic in scratch.
    threads = _COPIES if is_remote(folder.path) else None
    with ThreadPoolExecutor(threads, thread_name_prefix="survey") as pool:
        surveys = list(pool.map(lambda item: _survey(plan, folder, *item), wanted))
    clear = {
        record.zone.epsg: reduced.valid & (reduced.stored[0] & QUALITY_CLOUD == 0)
        for record, reduced in surveys
        if record.layer.name == _QUALITY
    }
    receipts, ends = receipts_of_all(plan, with_rasters=False), finishing_times(plan)
    checksums = {record.name: record.checksum for record, _ in surveys}
    verification, assessment = verification_of(folder), assessment_of(folder)
    # What is about mosaics that were made anew since tells nothing of these.
    if verification is not None and verification.mosaics != checksums:
        verification = None
    if assessment is not None and assessment.mosaics != checksums:
        assessment = None
    return RunFacts(
        plan=plan,
        folder=folder,
        layers=tuple(record for record, _ in surveys),
        true_colour={
            zone.epsg: true_colour(plan, zone, receipts, clear.get(zone.epsg)) for zone in plan.zones
        },
        receipts=receipts,
        decisions=SceneRecords(folder).read_all(plan),
        busy_seconds=_busy_seconds(receipts, ends),
        busy_seconds_by_device={
            device: _busy_seconds(
                {id_: each for id_, each in receipts.items() if each.device == device}, ends
            )
            for device in sorted({receipt.device for receipt in receipts.values()})
        },
        verification=verification,
        assessment=assessment,
        places=figures_of_places(plan),
    )


def _survey(plan: Plan, folder: RunFolder, zone: Zone, layer: Layer) -> tuple[LayerRecord, ReducedMosaic]:
    path = folder.mosaic(plan, zone, layer.name)
    if not exists(path):
        raise OutputError(f"{path} is missing; assemble the run before publishing it")
    seams = partial(_seams, zone=zone, layer=layer, plan=plan) if layer.is_estimate else None
    return survey(path, zone, layer, plan.preview_factor, seams)


def survey(
    path: Location, zone: Zone, layer: Layer, factor: int, seams: Callable[[Path], Seams] | None = None
) -> tuple[LayerRecord, ReducedMosaic]:
    """Counts and draws a mosaic.

    Args:
        path: of the mosaic.
        zone: its zone.
        layer: what its numbers mean.
        factor: pixels of the grid to one of its picture, along a side.
        seams: looks for these in the file, where that is wanted.

    Raises:
        OutputError: it cannot be read.
    """
    # All that is wanted of a mosaic is read at once: from a store it comes a single time.
    with LocalCopy(path) as local, local_files():
        reduced = read_reduced(local, layer, factor, zone.rect)
        census = census_of(local, layer, reduced)
        found = seams(local) if seams else None
        size, checksum = local.stat().st_size, multihash_of(local)
    record = LayerRecord(
        zone=zone,
        layer=layer,
        path=path,
        size=size,
        checksum=checksum,
        census=census,
        quicklook=draw(reduced),
        seams=found,
    )
    return record, reduced


def _seams(path: Path, zone: Zone, layer: Layer, plan: Plan) -> Seams:
    with told_if_broken(path), rasterio.open(path) as dataset:

        def pixels(rect: Rect) -> np.ndarray:
            window = Window(rect.col - zone.col, rect.row - zone.row, rect.width, rect.height)
            read: np.ndarray = dataset.read(window=window)
            return read

        return seams_of(pixels, zone, layer, plan.lattice_of(layer.target))


def _region_pixels(plan: Plan, block: Block) -> int:
    """Pixels of a block that lie in the region."""
    outline = plan.zone_of(block).shape
    if outline is None or outline.contains(box(*block.rect.bounds)):
        return block.rect.area
    return int(region_mask(plan, block).sum())


def _busy_seconds(receipts: dict[str, BlockReceipt], ends: Mapping[str, float]) -> float:
    """Length of the union of the blocks' spells of work; a receipt is written when its block ends.

    So blocks that ran at the same time count once, and a pause between a crash and its resumption does not.
    """
    return union_length(
        [(ends[id_] - receipt.seconds["total"], ends[id_]) for id_, receipt in receipts.items()]
    )


def shares_of(layer: Layer, counts: np.ndarray) -> dict[int, float]:
    """Share of each class, flag or day among the pixels with data, from the pixels of each stored value."""
    held = counts.copy()
    held[layer.nodata] = 0
    total = max(1, int(held.sum()))
    if layer.kind == "flags":
        values = np.arange(256)
        return {0: int(held[0]) / total} | {
            bit: int(held[values & bit != 0].sum()) / total for bit in layer.bits
        }
    return {item.value: int(held[item.value]) / total for item in layer.classes}


def legend_of(layer: Layer, picture: Quicklook, shares: Mapping[int, float]) -> list[tuple[Swatch, float]]:
    """A picture's colours with their shares; what fills the whole begins with the largest.

    Of days, of which a long period has many, only those that were used.
    """
    legend = [(swatch, shares[swatch.value]) for swatch in picture.swatches]
    if layer.kind == "days":
        legend = [(swatch, share) for swatch, share in legend if share]
    return legend if layer.kind == "flags" else sorted(legend, key=lambda one: -one[1])


def union_length(spells: Sequence[tuple[float, float]]) -> float:
    """Length of the union of intervals: of (0, 2), (1, 3) and (5, 6) it is 4."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spells):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
