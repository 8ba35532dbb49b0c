"""Devices that a model runs on, by their names: ``cpu``, ``cuda``, ``cuda:1``; and ``auto``, which is one of them."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from terramosaic.errors import RequestError
from terramosaic.model.gpus import driver, why_unusable

logger = logging.getLogger(__name__)

#: Asks for CUDA where there is a device, and for the CPU elsewhere.
AUTO = "auto"


#: What a model computes in; ``auto`` is what suits a kind of device.
Precision = Literal["auto", "fp16", "fp32"]

#: By kind of device what ``auto`` is.
PRECISIONS: Mapping[str, Literal["fp16", "fp32"]] = {"cpu": "fp32", "cuda": "fp16"}


@dataclass(frozen=True)
class Device:
    """A device: its kind, which is part of what a run is, and its index, on which results do not depend."""

    kind: Literal["cpu", "cuda"]
    index: int = 0

    def __str__(self) -> str:
        return self.kind if self.kind == "cpu" else f"{self.kind}:{self.index}"


def parse_device(name: str) -> Device:
    """The device of a name: ``cpu``, ``cuda`` for the first GPU, ``cuda:1`` for the second.

    Raises:
        RequestError: no device has such a name.
    """
    if name == "cpu":
        return Device("cpu")
    if found := re.fullmatch(r"cuda(?::([0-9]{1,3}))?", name):
        return Device("cuda", int(found[1] or 0))
    raise RequestError(f"{name!r} is not a device; take cpu, cuda, or one of several GPUs such as cuda:1")


def resolve(name: str) -> Device:
    """The device of a name, also of ``auto``: CUDA where there is a GPU that can be used, else the CPU.

    The log says which, and why a GPU that is there cannot be used.

    Raises:
        RequestError: no device has such a name.
    """
    if name != AUTO:
        return parse_device(name)
    found = driver()
    if found is None or not found.gpus:
        logger.info("device auto is cpu: there is no NVIDIA driver with a device")
        return Device("cpu")
    if reason := why_unusable(0):
        logger.warning("device auto is cpu: %s", reason)
        return Device("cpu")
    logger.info("device auto is cuda:0: the NVIDIA driver has %d", len(found.gpus))
    return Device("cuda")


def worker_devices(names: Sequence[str], device: str) -> tuple[Device, ...]:
    """The devices of worker processes, one process each: ``cpu`` as often as wanted, a GPU once.

    Args:
        names: a list of names, or one text with commas between them.
        device: what the run was planned for; it decides pixels, so the devices must be of its kind.

    Raises:
        RequestError: a name is wrong, of another kind, or a GPU is named twice.
    """
    split = [name.strip() for name in names.split(",")] if isinstance(names, str) else names
    try:
        devices = tuple(parse_device(name) for name in split)
    except RequestError as error:
        raise error.within("devices") from None
    if not devices:
        raise RequestError("devices: name at least one, or leave them out")
    kind = resolve(device).kind
    for place, named in enumerate(devices):
        if named.kind != kind:
            raise RequestError(
                f"devices: {named} is not of the request's device {kind}; ask for device {named.kind}, "
                f"or for {kind} devices"
            )
        if named.kind == "cuda" and named in devices[:place]:
            raise RequestError(f"devices: {named} is named twice; a GPU takes one process")
    return devices


def is_own_precision(precision: Precision, device: Device) -> bool:
    """Whether a precision is the one that a kind of device computes in unasked."""
    return precision in ("auto", PRECISIONS[device.kind])


def precision_on(precision: Precision, device: Device) -> Literal["fp16", "fp32"]:
    """What a device computes in where a precision is asked for: of ``auto`` the kind's own.

    Raises:
        RequestError: this kind of device does not compute in it.
    """
    if precision == "fp16" and device.kind == "cpu":
        raise RequestError(
            "precision: a cpu computes in fp32 alone; take device cuda, or leave precision out"
        )
    return PRECISIONS[device.kind] if precision == "auto" else precision


def require_device(device: Device) -> None:
    """Makes sure that this process can run a model on a device, as far as that shows before a model is opened.

    Raises:
        ModelError: CUDA cannot be used here; says what is missing.
    """
    if device.kind == "cuda":
        # Brings onnx, which a CPU does without.
        from terramosaic.model.cuda.libraries import load_cuda_libraries

        load_cuda_libraries(device.index)


@cache
def device_name(device: Device) -> str:
    """What the maker of a GPU calls it, as its driver tells; of a CPU, and without a driver, the device's kind."""
    found = driver() if device.kind == "cuda" else None
    return found.gpus[device.index].name if found and device.index < len(found.gpus) else device.kind


def available_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):  # a container's share, where the platform tells
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def blocks_at_once() -> int:
    """Blocks that a process computes side by side where nobody says: one for each processor, at most 4."""
    return min(4, available_cpus())
