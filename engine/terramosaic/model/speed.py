"""How long a device takes to make a model's targets of a window: as measured on this machine, or by a table.

`terramosaic model check` measures, and what it finds is kept in the cache for each bundle and device: who plans reads
it there. Where nothing was measured a table of rates stands in, and says so.

On the CPU a second is one of one processor, which is what a run takes whatever the number of blocks at a time; on a GPU
it is one of the device.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, ValidationError

from terramosaic.errors import OutputError
from terramosaic.model.bundle import Bundle
from terramosaic.model.devices import Device, Precision, device_name, is_own_precision
from terramosaic.model.surroundings import processor
from terramosaic.model.work import chain_of, weights_of, work_of
from terramosaic.storage.cache import cache_folder
from terramosaic.storage.files import read_json, write_json

logger = logging.getLogger(__name__)

#: TFLOP/s that a device does of this work, by a part of the name that its maker gives it. Of CPUs one processor: 10.9 s
#: a window of tiny, S1GRD, NDVI and LULC in ten steps, on two. Of GPUs estimates from their bandwidth and dense half
#: precision.
_RATES = {
    "cpu": 0.18, "H200": 255.0, "H100": 240.0, "A100": 127.0, "L40": 95.0, "L4": 34.0, "A10": 42.0, "V100": 48.0,
    "T4": 19.0,
}  # fmt: skip

#: Times as long as a GPU takes in single precision: an estimate.
_SINGLE = 3.0

#: What a GPU that is not in the table counts as.
_USUAL = "A100"

#: Seconds of one processor that the demo bundle takes for a target of a window: measured on one of two of a Zen 5.
DEMO_SECONDS = {"S1GRD": 0.0023, "S1RTC": 0.0023, "NDVI": 0.0001, "LULC": 0.0034}


class TargetSpeed(BaseModel):
    """What making a target of one window takes.

    Attributes:
        once: seconds whatever the number of diffusion steps.
        step: seconds of each of these.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    once: NonNegativeFloat
    step: NonNegativeFloat = 0.0


class Speed(BaseModel):
    """How fast a device makes a model's targets, each alone from one input.

    Attributes:
        device: ``cpu``, or what a GPU's maker calls it; of one that the table does not know, which it counts as.
        targets: by target.
        opening: seconds of a processor to open the model with all targets, once its graphs are prepared.
        batch: windows at once; None of what a table says.
        pace: seconds that this machine's processors take for what others did in one: the demo bundle's by its table.
        measured: when it was, in UTC; None of what a table says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    targets: dict[str, TargetSpeed]
    opening: NonNegativeFloat = 0.0
    batch: int | None = None
    pace: float = Field(default=1.0, gt=0)
    measured: datetime | None = None

    def seconds(self, bundle: Bundle, target: str, *, steps: int, seen: int = 0, inputs: int = 1) -> float:
        """What a target takes of one window.

        Args:
            bundle: the model that this is the speed of.
            target: one of its targets.
            steps: of diffusion.
            seen: targets of the chain before it.
            inputs: images that it is made of.
        """
        speed, alone = self.targets[target], work_of(bundle, target)
        more = work_of(bundle, target, seen=seen, inputs=inputs).once / alone.once if alone.once else 1.0
        return speed.once * more + speed.step * steps

    def windows_per_second(self, bundle: Bundle) -> float:
        """With all of the model's targets, with the steps and the conditioning that it was exported for."""
        seen = chain_of(tuple(bundle.targets), bundle.manifest.conditioning)
        seconds = sum(
            self.seconds(bundle, target, steps=bundle.default_steps, seen=seen.get(target, 0))
            for target in bundle.targets
        )
        return 1 / max(seconds, 1e-9)

    def in_words(self, bundle: Bundle) -> str:
        """The same as a line."""
        of = "of one processor" if self.device == "cpu" else f"on {self.device}"
        is_diffused = any(spec.schedule for spec in bundle.targets.values())
        steps = f", {bundle.default_steps} steps" if is_diffused else ""
        batches = f", batches of {self.batch}" if self.batch else ""
        return f"{self.windows_per_second(bundle):.3g} windows a second {of} with all targets{steps}{batches}"

    def opening_of(self, bundle: Bundle, targets: Collection[str]) -> float:
        """The same with some targets alone, whose graphs are a part of all."""
        weights = {target: weights_of(bundle, target) for target in bundle.targets}
        return self.opening * sum(weights[target] for target in targets) / max(1e-9, sum(weights.values()))


def speed_of(bundle: Bundle, device: Device, precision: Precision = "auto") -> Speed:
    """How fast a device of this machine runs a bundle; measured if it was, else by a table.

    Of GPUs that this machine has not, what was measured last on any stands in: who plans may have none. What was
    measured is of the device's own precision; in another one the table tells.
    """
    name = device_name(device)
    if not is_own_precision(precision, device):
        usual = table_speed(bundle, name)
        slower = {
            target: TargetSpeed(once=_SINGLE * each.once, step=_SINGLE * each.step)
            for target, each in usual.targets.items()
        }
        return usual.model_copy(update={"targets": slower})
    for file in _kept(bundle, device, name):
        content = read_json(file)
        try:
            found = None if content is None else Speed.model_validate(content)
        except ValidationError:
            found = None  # of another version
        if found is not None and found.targets.keys() == bundle.targets.keys():
            return found
    return table_speed(bundle, name)


def keep_speed(bundle: Bundle, device: Device, speed: Speed) -> None:
    """Keeps what was measured for who plans on this machine; where the cache cannot be written, it says so."""
    try:
        file = _file(bundle, device, speed.device)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, speed.model_dump(mode="json"))
    except (OSError, OutputError) as error:
        logger.warning("the measured speed is not kept: %s", error)


def table_speed(bundle: Bundle, device: str) -> Speed:
    """What the table says of a device that nothing was measured on.

    Args:
        bundle: the model.
        device: ``cpu``, ``cuda``, or what a GPU's maker calls it.
    """
    known = next((name for name in _RATES if re.search(rf"\b{name}", device)), _USUAL)
    rate = 1000 * _RATES[known]
    targets = {}
    for target in bundle.targets:
        work = work_of(bundle, target)
        targets[target] = TargetSpeed(once=work.once / rate, step=work.step / rate)
        if bundle.is_demo and known == "cpu":
            targets[target] = TargetSpeed(once=DEMO_SECONDS.get(target, targets[target].once))
    return Speed(device=device if known in device else f"GPU like an {known}", targets=targets)


def now() -> datetime:
    """The moment of a measurement, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def _kept(bundle: Bundle, device: Device, name: str) -> Iterator[Path]:
    """Where the speed may be, the likeliest first."""
    yield _file(bundle, device, name)
    if name == "cuda":
        others = cache_folder("speeds").glob(f"{bundle.fingerprint[:32]}-cuda-*.json")
        yield from sorted(others, key=lambda file: -file.stat().st_mtime)


def _file(bundle: Bundle, device: Device, name: str) -> Path:
    # A cache that machines share has one for each kind of processor.
    which = processor() if device.kind == "cpu" else name
    slug = re.sub(r"[^A-Za-z0-9]+", "-", which)
    return cache_folder("speeds") / f"{bundle.fingerprint[:32]}-{device.kind}-{slug}.json"
