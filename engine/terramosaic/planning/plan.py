"""A plan: everything about a run, decided. What `terramosaic.planning.planning` makes and every stage works from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from functools import cached_property
from typing import Any, Literal, Self

import shapely
from pydantic import BaseModel, ConfigDict, Field
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from terramosaic.bands import L2A
from terramosaic.catalog import Pass, Scene
from terramosaic.catalog.backscatter import BackscatterScene
from terramosaic.catalog.elevation import ElevationTile
from terramosaic.errors import RequestError
from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import PATCH, WINDOW, Lattice
from terramosaic.model.bundle import Bundle
from terramosaic.model.manifest import COORDINATES, NdviLimit
from terramosaic.planning.dates import PlannedDate
from terramosaic.planning.heights import Heights
from terramosaic.planning.inputs import LEADING, is_led_by_radar
from terramosaic.planning.lattices import TargetLattice, lattices_of
from terramosaic.planning.layers import Layer
from terramosaic.planning.optical import OpticalBands
from terramosaic.planning.quote import Quote
from terramosaic.planning.radar import Radar
from terramosaic.request.request import RegionRequest
from terramosaic.shown import Shown

#: What inputs are called where people read.
_SOURCES = {
    "S2L2A": "Sentinel-2 L2A",
    "S2L1C": "Sentinel-2 L1C",
    "S2RGB": "the true colour of Sentinel-2 L2A",
    "S1RTC": "Sentinel-1 RTC",
    "DEM": "the Copernicus DEM",
    COORDINATES: "where windows lie",
}


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values; what was computed from the old ones is forgotten, which pydantic's copy keeps."""
        copied = super().model_copy(update=update, deep=deep)
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied


class Block(_Value):
    """The unit of work, retry and resume: a rectangle of a zone's grid.

    Attributes:
        id: names its folder, from the zone and the aligned block's row and column.
        acquisitions: ids of the scenes that touch it, one tuple for each acquisition in rank order.
        windows: windows that touch the region in it, of all lattices.
    """

    id: str
    epsg: int
    row: int
    col: int
    height: int
    width: int
    acquisitions: tuple[tuple[str, ...], ...]
    windows: int

    @property
    def rect(self) -> Rect:
        """The block's pixels: the aligned block, cropped to the zone's mosaic."""
        return Rect(self.row, self.col, self.height, self.width)


class Zone(_Value):
    """The part of a run in one UTM zone: one grid, one mosaic per target.

    Attributes:
        outline: GeoJSON geometry in the zone's metres to which mosaics are cut, or None when the rectangle is full.
    """

    epsg: int
    row: int
    col: int
    height: int
    width: int
    outline: dict[str, Any] | None
    blocks: tuple[Block, ...]

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        # A notebook keeps this text beside what it shows, and a country's blocks fill megabytes.
        yield from (("epsg", self.epsg), ("rect", self.rect), ("blocks", len(self.blocks)))

    @property
    def rect(self) -> Rect:
        """Pixels of the mosaic."""
        return Rect(self.row, self.col, self.height, self.width)

    @cached_property
    def shape(self) -> BaseGeometry | None:
        """The outline as geometry in metres."""
        if self.outline is None:
            return None
        outline = shape(self.outline)
        # Every block asks which of its pixels lie inside, and a country's border has many vertices.
        shapely.prepare(outline)
        return outline


class RankedAcquisition(_Value):
    """One pass's scenes: ids, the share of the region under their footprints, their mean cloud cover in %.

    Attributes:
        platform: empty in plans of earlier versions, to which all passes of a solar day were one acquisition.
        relative_orbit: None where no scene tells it.
    """

    solar_day: str
    platform: str = ""
    relative_orbit: int | None = None
    scenes: tuple[str, ...]
    coverage: float
    cloud: float


class DroppedScene(_Value):
    """A scene that was found and not used, and why."""

    id: str
    reason: str


class Figures(_Value):
    """What the plan amounts to."""

    area_km2: float = Field(description="Area of the region")
    covered_share: float = Field(description="Share of the region under at least one scene's footprint")
    mapped_share: float | None = Field(
        default=None,
        description="Estimate: share of the region that all inputs have, without the edges of swaths; "
        "null where Sentinel-2 is the only one",
    )
    gaps: dict[str, float] = Field(
        default_factory=dict,
        description="Share of the region that stays without data, by cause; empty where not asked",
    )
    scenes: int
    acquisitions: int
    blocks: int
    empty_blocks: int = Field(description="Blocks of the region that no scene touches; they are left out")
    windows: int = Field(description="Windows to compute; those on block borders count in each block")
    windows_by_stride: dict[int, int] = Field(
        default_factory=dict, description="The same by stride, where targets have strides of their own"
    )
    windows_around: int = Field(
        default=0,
        description="Windows around these of which a consensus takes the tokens' logits alone, block by block",
    )
    read_gigabytes: float = Field(
        description="Estimate: bytes of pixels to read, compressed, with the expected use of further acquisitions"
    )
    output_gigabytes: dict[str, float] = Field(description="Estimate per target, overviews included")
    device_minutes: dict[str, float] = Field(
        default_factory=dict,
        description="Estimate per target: minutes of a GPU, or on the CPU of one processor; empty in earlier plans",
    )
    quote: Quote | None = Field(
        default=None, description="What else the run is expected to take; null in earlier plans"
    )

    @property
    def minutes(self) -> float:
        """Estimate: minutes of the device in all; on the CPU, of one processor, those of all but the model too."""
        return (
            sum(self.device_minutes.values())
            if self.quote is None
            else self.quote.minutes(self.device_minutes)
        )

    @property
    def gap_share(self) -> float:
        """Share of the region that stays without data, as far as metadata tell it."""
        return 1 - (self.covered_share if self.mapped_share is None else self.mapped_share)


class BundleRef(_Value):
    """Which model a plan was made for: all that is told of it, so that a finished run needs no bundle.

    Attributes:
        fingerprint: the bundle's, of its manifest and through it of every file.
        family: `terramind`, `demo`, or `own` of other models.
        bands: of a window of S2L2A, in the model's order.
        inputs: the same of every input that the model takes.
        checkpoints: SHA-256 of the weights that were exported, by name.
        random_weights: the seed, where the weights are not trained.
        ndvi_limits: what a generated NDVI is held to, where the bundle says so.
        window: side of its windows, in pixels.
        patch: side of its patches, in pixels.
        default_stride: pixels between windows where a request does not say.
    """

    name: str
    title: str
    fingerprint: str
    is_terramind: bool
    family: str = ""
    bands: tuple[str, ...]
    variant: str | None
    source: str
    licence: str
    checkpoints: dict[str, str]
    random_weights: int | None
    ndvi_limits: dict[NdviLimit, float] = Field(default_factory=dict)
    window: int = WINDOW
    patch: int = PATCH
    default_stride: int = 192
    # 0.2 kept those of S2L2A alone.
    inputs: dict[str, tuple[str, ...]] = Field(default_factory=lambda fields: {L2A: fields["bands"]})

    @property
    def is_demo(self) -> bool:
        """Whether it is the bundle that comes with the engine: in earlier plans, what is not TerraMind."""
        return self.family == "demo" or not (self.family or self.is_terramind)

    @classmethod
    def of(cls, bundle: Bundle) -> Self:
        """What is told of a bundle."""
        manifest = bundle.manifest
        return cls(
            name=bundle.name,
            title=bundle.title,
            fingerprint=bundle.fingerprint,
            is_terramind=bundle.is_terramind,
            family=manifest.family,
            bands=bundle.bands,
            variant=manifest.variant,
            source=manifest.source,
            licence=manifest.licence,
            checkpoints=dict(manifest.checkpoints),
            random_weights=manifest.random_weights,
            ndvi_limits=manifest.ndvi_limits,
            window=manifest.window,
            patch=manifest.patch,
            default_stride=manifest.default_stride,
            inputs=bundle.bands_by_input,
        )


class Plan(Shown, _Value):
    """A request with everything decided; written once as ``plan.json``, and all that a worker needs."""

    format: Literal["terramosaic-plan-2"] = "terramosaic-plan-2"
    run_id: str
    pixels: int = Field(description="Version of the pixels; see `terramosaic.planning.identity`")
    engine_version: str
    created: datetime
    request: RegionRequest
    region: dict[str, Any] = Field(description="The region as GeoJSON, lon/lat")
    searched: str = Field(description="What was searched, in words")
    bundle: BundleRef
    layers: tuple[Layer, ...] = Field(description="The rasters that the run makes; quality comes last")
    acquisitions: tuple[RankedAcquisition, ...]
    scenes: dict[str, Scene] = Field(
        description="Of Sentinel-2, by key; each with its L1C, if that is read, too"
    )
    radar: Radar | None = Field(
        default=None, description="The Sentinel-1 that windows are cut from, if it is an input"
    )
    heights: Heights | None = Field(
        default=None, description="The DEM that windows are cut from, if it is an input"
    )
    dates: tuple[PlannedDate, ...] = Field(
        default=(), description="Of a model of several dates: which acquisitions they are, the oldest first"
    )
    dropped: tuple[DroppedScene, ...]
    zones: tuple[Zone, ...]
    figures: Figures
    warnings: tuple[str, ...]
    preview_factor: int = Field(description="Pixels of ground to one of the report's pictures")

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        yield from (
            ("run_id", self.run_id),
            ("scenes", len(self.sources)),
            ("blocks", len(self.blocks)),
            ("windows", self.figures.windows),
        )

    @cached_property
    def passes(self) -> tuple[Pass, ...]:
        """Which pass each of the acquisitions is, in their order."""
        return tuple(
            Pass(
                date.fromisoformat(ranked.solar_day),
                min(self.sources[scene].datetime for scene in ranked.scenes),
                ranked.platform,
                ranked.relative_orbit,
            )
            for ranked in self.acquisitions
        )

    def radar_of(self, date: PlannedDate) -> Radar | None:
        """The Sentinel-1 that windows of a date are cut from, if it is an input."""
        return self.radar and self.radar.at(date.moment, date.slices)

    @cached_property
    def lattices(self) -> tuple[TargetLattice, ...]:
        """The lattices of windows, and what is made on each."""
        return lattices_of(self.request, self.bundle)

    @property
    def stride(self) -> int:
        """Pixels between windows of targets that have no stride of their own."""
        return self.request.stride or self.bundle.default_stride

    def lattice_of(self, target: str) -> Lattice:
        """The windows that a target is made in."""
        return next(each.lattice for each in self.lattices if target in each.targets)

    @property
    def is_led_by_radar(self) -> bool:
        """Whether acquisitions are passes of Sentinel-1."""
        return is_led_by_radar(self.request)

    @property
    def lead(self) -> str:
        """The input whose acquisitions the run is of."""
        return next(name for name in LEADING if name in self.request.inputs)

    @property
    def made_from(self) -> str:
        """What windows are cut from, in words."""
        names = [_SOURCES[name] for name in self.request.inputs]
        return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))

    @property
    def leading(self) -> Mapping[str, Scene | BackscatterScene]:
        """The scenes that acquisitions and blocks are of, by key."""
        return self.radar.scenes if self.radar is not None and self.is_led_by_radar else self.scenes

    @cached_property
    def sources(self) -> Mapping[str, Scene | BackscatterScene]:
        """All scenes, of Sentinel-2 at both levels and of Sentinel-1, by key."""
        return {**self.scenes, **self.l1c_beside, **(self.radar.scenes if self.radar else {})}

    @cached_property
    def l1c_beside(self) -> Mapping[str, Scene]:
        """The L1C of scenes of L2A, where windows are cut from both, by key."""
        return {scene.l1c.key: scene.l1c for scene in self.scenes.values() if scene.l1c is not None}

    @cached_property
    def optical(self) -> OpticalBands | None:
        """What is read of scenes of Sentinel-2; None where it is no input."""
        return OpticalBands.of(self.request.inputs, self.bundle.inputs)

    @property
    def tells_clouds(self) -> bool:
        """Whether it is known where clouds are in what leads; radar sees through them."""
        return self.optical is not None and self.optical.tells_clouds

    @cached_property
    def items(self) -> Mapping[str, Scene | BackscatterScene | ElevationTile]:
        """All that files are read of: scenes, and tiles of heights, by key."""
        return {**self.sources, **(self.heights.elevation.by_key if self.heights else {})}

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks, zone after zone."""
        return tuple(block for zone in self.zones for block in zone.blocks)

    def block(self, block_id: str) -> Block:
        """The block of that id.

        Raises:
            RequestError: the plan has none.
        """
        try:
            return self._blocks_by_id[block_id]
        except KeyError:
            some = f"{self.blocks[0].id} to {self.blocks[-1].id}" if self.blocks else "none"
            raise RequestError(
                f"block: run {self.run_id} has no {block_id!r}; its {len(self.blocks)} blocks are {some}"
            ) from None

    def layer(self, name: str) -> Layer:
        """The layer of that name."""
        return next(layer for layer in self.layers if layer.name == name)

    def zone_of(self, block: Block) -> Zone:
        """The zone that a block lies in."""
        return next(zone for zone in self.zones if zone.epsg == block.epsg)

    @cached_property
    def _blocks_by_id(self) -> dict[str, Block]:
        return {block.id: block for block in self.blocks}
