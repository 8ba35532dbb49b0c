"""The quote of a run, before it is begun: device time, bytes over the network, disk; with prices, cost and energy.

Device time of targets is what `terramosaic model check` measured here, or a table's; that of all else follows from what
was measured on processors of the kind that the table is of. On the CPU the device is one processor: two of them take
half the time and as many minutes. On a GPU all else is done beside it by the machine's processors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from terramosaic.model.bundle import Bundle
from terramosaic.model.devices import parse_device
from terramosaic.model.manifest import NAMED_KINDS, TOKENS
from terramosaic.model.speed import Speed, speed_of
from terramosaic.model.work import chain_of
from terramosaic.planning.lattices import TargetLattice
from terramosaic.planning.layers import Layer
from terramosaic.planning.prices import Cost, Prices
from terramosaic.request.request import RegionRequest

#: Seconds of a processor for all but the model, fitted to runs of 0.3 to 19 megapixels of one to four targets of a
#: full-size scene, on two of a Zen 5 (`tests/benchmarks/quote.py`). Of blocks: of a window, of a gigabyte of imagery,
#: of a megapixel of each target, of a thousand pixels along a side (what is read and cut around blocks), and of a run.
_WINDOW, _READ, _BLENDED, _AROUND, _RUN = 0.003, 4.0, 0.13, 0.75, 0.1
#: Of mosaics: of a megapixel of each target, and of a gigabyte of files.
_ASSEMBLED, _WRITTEN = 0.033, 5.6
#: Of the report, whose pictures are of about one size, while all pixels are counted: of a band, by megapixels to this
#: power. Of a layer with more bands than these no more is drawn and counted.
_REPORT, _POWER, _MOST_BANDS = 0.42, 0.3, 3
#: Of the report of the smallest run.
_LEAST_REPORT = 1.3


class Quote(BaseModel):
    """What a run is expected to take beside `Figures.device_minutes`, which are those of its targets alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str = Field(description="Whose minutes these are: cpu, of which one processor counts, or a GPU")
    measured: datetime | None = Field(
        description="When `model check` measured the model's speed here; null where a table stands in"
    )
    processor_minutes: float = Field(description="Of one processor, for all of blocks but the model")
    finishing_minutes: float = Field(description="Of one processor, for mosaics and the report")
    network_gigabytes: float = Field(
        description="To fetch, in whole tiles of files; 0 of what lies on a disk"
    )
    mosaics_gigabytes: float = Field(description="That stay on disk, or in the store")
    blocks_gigabytes: float = Field(description="Of block rasters, until they are removed")
    cost: Cost | None = Field(default=None, description="Null where no prices are set")

    def priced(self, device_minutes: Mapping[str, float], prices: Prices | None) -> Quote:
        """The same with what it costs, where prices are known."""
        if prices is None:
            return self
        cost = Cost.of(
            prices,
            device=self.device,
            minutes=self.minutes(device_minutes),
            beside_minutes=0.0 if self.is_cpu else self.beside_minutes,
            network_gigabytes=self.network_gigabytes,
            disk_gigabytes=self.mosaics_gigabytes,
        )
        return self.model_copy(update={"cost": cost})

    @property
    def is_cpu(self) -> bool:
        """Whether the model runs on processors, so that all minutes are of one kind."""
        return self.device == "cpu"

    @property
    def beside_minutes(self) -> float:
        """Of one processor, for all but the model."""
        return self.processor_minutes + self.finishing_minutes

    @property
    def peak_gigabytes(self) -> float:
        """The most that lies in the output folder at once."""
        return self.mosaics_gigabytes + self.blocks_gigabytes

    @property
    def basis(self) -> str:
        """What the device's time is taken from, in words."""
        if self.measured is None:
            return "by a table; not measured here, which terramosaic model check does"
        return f"as measured on {self.device}, {self.measured:%Y-%m-%d}"

    def minutes(self, device_minutes: Mapping[str, float]) -> float:
        """Minutes of the device in all: on the CPU those of all else too."""
        return sum(device_minutes.values()) + (self.beside_minutes if self.is_cpu else 0.0)

    @classmethod
    def of(
        cls,
        speed: Speed,
        *,
        targets: int,
        opening: float,
        layers: Sequence[Layer],
        windows: float,
        read_gigabytes: float,
        network_gigabytes: float,
        mosaics_gigabytes: float,
        blocks_gigabytes: float,
        mapped_km2: float,
    ) -> Self:
        """The quote of a run.

        Args:
            speed: of its model on its device.
            targets: how many it makes.
            opening: seconds of a processor to open the model.
            layers: its rasters.
            windows: to cut, of all lattices; as all, those that have imagery.
            read_gigabytes: of pixels of imagery, compressed; see `terramosaic.planning.reading`.
            network_gigabytes: of the tiles that hold them, what does not lie on a disk.
            mosaics_gigabytes: of all of them, without gaps; see `terramosaic.planning.disk`.
            blocks_gigabytes: of block rasters.
            mapped_km2: of the region that has imagery.
        """
        megapixels = mapped_km2 / 100
        blocks = windows * _WINDOW + read_gigabytes * _READ + megapixels * targets * _BLENDED
        blocks += megapixels**0.5 * _AROUND + _RUN
        mosaics = megapixels * targets * _ASSEMBLED + mosaics_gigabytes * _WRITTEN
        bands = sum(min(_MOST_BANDS, len(layer.bands)) for layer in layers)
        # Pictures of less than a megapixel are smaller than that.
        report = min(megapixels**_POWER, megapixels ** (2 * _POWER)) * bands * _REPORT
        report = max(report, _LEAST_REPORT)
        return cls(
            device=speed.device,
            measured=speed.measured,
            processor_minutes=(opening + speed.pace * blocks) / 60,
            finishing_minutes=speed.pace * (mosaics + report) / 60,
            network_gigabytes=network_gigabytes,
            mosaics_gigabytes=mosaics_gigabytes,
            blocks_gigabytes=blocks_gigabytes,
        )


def model_minutes(
    request: RegionRequest,
    bundle: Bundle,
    lattices: Sequence[TargetLattice],
    windows: Mapping[int, float],
    around: float,
) -> tuple[dict[str, float], Speed]:
    """Minutes of the device for each target of a run, and the speed that they follow from.

    Args:
        request: of the run.
        bundle: its model.
        lattices: of its windows.
        windows: to compute, by stride.
        around: windows beside these whose tokens' logits a consensus takes.
    """
    speed = speed_of(bundle, parse_device(request.device), request.precision)
    seen, inputs = chain_of(request.targets, request.conditioning), len(request.inputs)
    minutes: dict[str, float] = {}
    for each in lattices:
        # A model of one graph a target draws nothing for those that are made elsewhere.
        drawn = [target for target in each.drawn if TOKENS in bundle.targets[target].graphs]
        for target in {*each.targets, *drawn}:
            steps = request.steps if target in each.targets else 0
            count = windows[each.lattice.stride]
            taken = {"seen": seen.get(target, 0), "inputs": inputs}
            seconds = count * speed.seconds(bundle, target, steps=steps, **taken)
            if each.rings and target not in NAMED_KINDS:
                share = count / max(1, sum(windows.values()))
                seconds += around * share * speed.seconds(bundle, target, steps=0, **taken)
            minutes[target] = minutes.get(target, 0.0) + seconds / 60
    return {target: minutes[target] for target in request.targets}, speed
