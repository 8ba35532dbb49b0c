"""What NVIDIA's driver says of the GPUs that this process may see, and whether ONNX Runtime can use them.

The driver is asked, since ONNX Runtime's list of providers tells what it was built with, not what the machine has; and
asked first, since a card or a driver that its CUDA libraries cannot use fails at the first kernel, hours into a plan.
"""

from __future__ import annotations

import ctypes
import sys
import uuid
from dataclasses import dataclass
from typing import Any

#: Name of the NVIDIA driver's library, which comes with the driver and not with CUDA or its wheels.
DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"

#: Compute capabilities that onnxruntime-gpu has machine code for (1.31: sm_75, 80, 86, 89, 90a and 120a). It brings no
#: PTX that a driver could translate for others, and code of 90a and 120a runs on just these.
CAPABILITIES = frozenset({(7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (12, 0)})

#: Code for the first card of this generation runs on all of it.
_WHOLE_GENERATION = 8

#: The first driver for each CUDA (NVIDIA, "CUDA Toolkit Release Notes", table 3: minor version compatibility).
_DRIVERS = {12: "525", 13: "580"}

#: What the driver calls a few of its errors.
_NO_DEVICE = 100

#: Numbers of the attributes that make up a compute capability.
_MAJOR, _MINOR = 75, 76


@dataclass(frozen=True)
class Gpu:
    """A GPU.

    Attributes:
        name: what its maker calls it.
        capability: its compute capability, such as (9, 0).
        uuid: names it, or the part of one that MIG makes of it, on whatever machine and in whatever container; empty
            where the driver does not tell.
    """

    name: str
    capability: tuple[int, int]
    uuid: str


@dataclass(frozen=True)
class Driver:
    """What the driver says.

    Attributes:
        cuda: the newest CUDA that it knows, such as (13, 0).
        gpus: those that this process may see, as CUDA counts them.
        failure: the number of the error with which it does not start; 0 if it does.
    """

    cuda: tuple[int, int]
    gpus: tuple[Gpu, ...] = ()
    failure: int = 0


def driver() -> Driver | None:
    """What the NVIDIA driver says, or None where there is none."""
    try:
        library = ctypes.CDLL(DRIVER)
    except OSError:
        return None
    version = ctypes.c_int(0)
    library.cuDriverGetVersion(ctypes.byref(version))
    cuda = (version.value // 1000, version.value % 1000 // 10)
    if failure := library.cuInit(0):
        return Driver(cuda, failure=failure)
    count = ctypes.c_int(0)
    if failure := library.cuDeviceGetCount(ctypes.byref(count)):
        return Driver(cuda, failure=failure)
    return Driver(cuda, tuple(_gpu(library, index) for index in range(count.value)))


def cuda_device_count() -> int:
    """GPUs that the NVIDIA driver offers to this process; 0 where there is no driver."""
    found = driver()
    return len(found.gpus) if found else 0


def why_unusable(index: int) -> str:
    """Why ONNX Runtime cannot use a GPU of this process, as far as its driver tells, and what to do; empty if it can.

    Args:
        index: of the GPU, as CUDA counts those that this process may see.
    """
    found = driver()
    if found is None:
        return f"there is no NVIDIA driver ({DRIVER} cannot be loaded)"
    return (
        _driver_is_too_old(found) or _gpu_is_missing(found, index) or _has_no_code(found.gpus[index], index)
    )


def cuda_wanted() -> int:
    """The CUDA that ONNX Runtime was built for, such as 13; 0 of a build without."""
    import onnxruntime  # for start-up time: only where there is a driver

    return int(str(onnxruntime.cuda_version or "0").split(".", maxsplit=1)[0])


def _driver_is_too_old(found: Driver) -> str:
    import onnxruntime  # as above

    major = cuda_wanted()
    if found.cuda[0] >= major:
        return ""
    return (
        f"the NVIDIA driver is one for CUDA {found.cuda[0]}.{found.cuda[1]}, and onnxruntime "
        f"{onnxruntime.__version__} needs CUDA {major}; install driver {_DRIVERS.get(major, 'of it')} or newer"
    )


def _gpu_is_missing(found: Driver, index: int) -> str:
    if found.failure and found.failure != _NO_DEVICE:
        return f"the NVIDIA driver does not start (error {found.failure}); see what nvidia-smi says"
    if not found.gpus:
        return "the NVIDIA driver has no GPU for this process (is CUDA_VISIBLE_DEVICES empty?)"
    if index < len(found.gpus):
        return ""
    seen = ", ".join(f"cuda:{number}" for number in range(len(found.gpus)))
    return f"there is no cuda:{index}, this process sees {seen}"


def _has_no_code(gpu: Gpu, index: int) -> str:
    if gpu.capability in CAPABILITIES or gpu.capability[0] == _WHOLE_GENERATION:
        return ""
    known = ", ".join(f"{one}.{two}" for one, two in sorted(CAPABILITIES))
    return (
        f"onnxruntime has no code for cuda:{index}, {gpu.name} with compute capability {gpu.capability[0]}."
        f"{gpu.capability[1]}, only for {known}; name another GPU"
    )


def _gpu(library: Any, index: int) -> Gpu:
    handle, name = ctypes.c_int(0), ctypes.create_string_buffer(256)
    library.cuDeviceGet(ctypes.byref(handle), index)
    library.cuDeviceGetName(name, len(name), handle)
    capability = []
    for attribute in (_MAJOR, _MINOR):
        number = ctypes.c_int(0)
        library.cuDeviceGetAttribute(ctypes.byref(number), attribute, handle)
        capability.append(number.value)
    return Gpu(name.value.decode(errors="replace"), (capability[0], capability[1]), _uuid(library, handle))


def _uuid(library: Any, handle: ctypes.c_int) -> str:
    for name in ("cuDeviceGetUuid_v2", "cuDeviceGetUuid"):  # the first one tells parts of a GPU apart (MIG)
        made = (ctypes.c_ubyte * 16)()
        function = getattr(library, name, None)
        if function is not None and function(made, handle) == 0:
            return str(uuid.UUID(bytes=bytes(made)))
    return ""
