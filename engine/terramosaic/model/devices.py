"""Devices that a model runs on, by their names: ``cpu``, ``cuda``, ``cuda:1``; and ``auto``, which is one of them."""

from __future__ import annotations

import ctypes
import logging
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from terramosaic.errors import RequestError

logger = logging.getLogger(__name__)

#: Asks for CUDA where there is a device, and for the CPU elsewhere.
AUTO = "auto"

#: Name of the NVIDIA driver's library, which comes with the driver and not with CUDA or its wheels.
DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


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
    """The device of a name, also of ``auto``: CUDA where a driver has a device, else the CPU; the log says which.

    Raises:
        RequestError: no device has such a name.
    """
    if name != AUTO:
        return parse_device(name)
    count = cuda_device_count()
    device = Device("cuda") if count else Device("cpu")
    reason = f"the NVIDIA driver has {count}" if count else "there is no NVIDIA driver with a device"
    logger.info("device auto is %s: %s", device, reason)
    return device


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


def cuda_device_count() -> int:
    """GPUs that the NVIDIA driver offers to this process; 0 where there is no driver.

    ONNX Runtime's list of providers tells what it was built with, not what the machine has, so the driver is asked.
    """
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


@cache
def device_name(device: Device) -> str:
    """What the maker of a GPU calls it, as its driver tells; of a CPU, and without a driver, the device's kind."""
    if device.kind == "cpu":
        return device.kind
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return device.kind
    name, handle = ctypes.create_string_buffer(256), ctypes.c_int(0)
    if (
        driver.cuInit(0) != 0
        or driver.cuDeviceGet(ctypes.byref(handle), device.index) != 0
        or driver.cuDeviceGetName(name, len(name), handle) != 0
    ):
        return device.kind
    return name.value.decode(errors="replace")


def available_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):  # a container's share, where the platform tells
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
