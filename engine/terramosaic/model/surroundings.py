"""Where a model runs, as far as the last bits of its numbers may hang on it."""

from __future__ import annotations

import contextlib
import hashlib
import platform
from functools import cache
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, PositiveInt

from terramosaic.model.devices import Device, device_name


class Surroundings(BaseModel):
    """Where a model runs: the same worker on the same machine has the same ones.

    Attributes:
        onnxruntime: its version.
        processor: the kind of CPU, see `processor`.
        device: ``cpu``, or what a GPU's maker calls it.
        threads: CPU threads of the model.
        batch: windows that it is given at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    onnxruntime: str
    processor: str
    device: str
    threads: PositiveInt
    batch: PositiveInt

    @classmethod
    def of(cls, device: Device, *, threads: int, batch: int) -> Self:
        """Those of a model that runs here."""
        import onnxruntime  # for start-up time: who reads what others wrote does without

        return cls(
            onnxruntime=onnxruntime.__version__,
            processor=processor(),
            device=device_name(device),
            threads=threads,
            batch=batch,
        )

    @property
    def repeats(self) -> bool:
        """Whether the same work has the same bits each time: a GPU may add in another order."""
        return self.device == "cpu"

    def unlike(self, here: Surroundings) -> str:
        """What is otherwise here, in words; nothing where all is as it was."""
        ours, theirs = self.model_dump(), here.model_dump()
        return ", ".join(
            f"{name} {value}, here {theirs[name]}" for name, value in ours.items() if value != theirs[name]
        )


@cache
def processor() -> str:
    """The kind of processor: what ONNX Runtime chooses layouts and instructions by."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return f"{platform.machine()} {hashlib.sha256(line.encode()).hexdigest()[:16]}"
    return f"{platform.machine()} {platform.processor()}"
