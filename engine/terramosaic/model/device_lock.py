"""A GPU is used by one process at a time: a kernel lock per device, which is free at once when its holder dies.

Two runs on one machine, or the workers of a cluster that was started without a thought for GPUs, take turns instead of
filling the device's memory twice. Locks are called by what the driver calls a GPU wherever it is seen, and lie in a
folder that containers can share. A CPU is shared by nature and has no lock.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from terramosaic.errors import ModelError, RunCancelledError
from terramosaic.model.devices import Device, require_device
from terramosaic.model.gpus import cuda_device_count, driver, why_unusable
from terramosaic.settings import DEVICE_LOCKS
from terramosaic.storage.scratch import temporary_folder

logger = logging.getLogger(__name__)

#: Seconds between two looks at whether the wait was cancelled.
_LOOK_EVERY = 0.5

#: Devices that calls of this process hang on.
_GIVEN_UP: set[Device] = set()


@contextmanager
def device_to_itself(device: Device, cancelled: threading.Event | None = None) -> Iterator[None]:
    """Holds a device for this process; threads of one process share it. Waits while another process has it.

    Args:
        device: a GPU; for the CPU nothing is held.
        cancelled: once set, waiting ends.

    Raises:
        RunCancelledError: it was cancelled while it waited.
        ModelError: this process has given the device up.
    """
    if device in _GIVEN_UP:
        raise ModelError(
            f"{device}: a block hangs on it in this process, which cannot use it again; start a new one"
        )
    if device.kind == "cpu":
        yield
        return
    lock = _lock_of(_name_of(device))
    lock.acquire(device, cancelled)
    try:
        yield
    finally:
        lock.release()


def give_up(device: Device) -> None:
    """Never uses a device in this process again: a call on it hangs, and a thread cannot be ended."""
    _GIVEN_UP.add(device)


def has_given_up() -> bool:
    """Whether a call of this process hangs."""
    return bool(_GIVEN_UP)


@cache
def claimed_gpu() -> Device:
    """The first GPU of this machine that no other process holds, kept until this process ends.

    For workers of a cluster, which nobody told which GPU is theirs.

    Raises:
        ModelError: there is no GPU that can be used, with what is missing, or others hold all of them.
    """
    devices = [Device("cuda", index) for index in range(cuda_device_count())]
    usable = [device for device in devices if not why_unusable(device.index)]
    if not usable:
        require_device(Device("cuda"))  # says why
    for device in usable:
        if _lock_of(_name_of(device)).try_acquire():
            require_device(device)
            logger.info("this process takes %s", device)
            return device
    raise ModelError(
        f"cuda: other processes hold all {len(usable)} GPUs of this machine that can be used; run one worker for each"
    )


class _ProcessLock:
    """A lock file that this process holds as long as one of its threads wants it."""

    def __init__(self, path: Path) -> None:
        self._file = FileLock(path, thread_local=False, mode=0o666)
        self._holders = 0
        self._guard = threading.Lock()

    def try_acquire(self) -> bool:
        return self._take(0)

    def acquire(self, device: Device, cancelled: threading.Event | None) -> None:
        waited = False
        while not self._take(_LOOK_EVERY):
            if not waited:
                logger.warning("%s is used by another process; waiting for it", device)
                waited = True
            if cancelled is not None and cancelled.is_set():
                raise RunCancelledError(f"cancelled while another process used {device}")

    def release(self) -> None:
        with self._guard:
            self._holders -= 1
            if not self._holders:
                self._file.release()

    def _take(self, patience: float) -> bool:
        with self._guard:
            if not self._holders:
                try:
                    self._file.acquire(timeout=patience)
                except Timeout:
                    return False
                except OSError as error:
                    raise ModelError(
                        f"the lock {self._file.lock_file} cannot be used: {error.strerror or error}; remove it"
                    ) from error
            self._holders += 1
            return True


@cache
def _lock_of(name: str) -> _ProcessLock:
    own = DEVICE_LOCKS.text
    folder = Path(own).expanduser() if own else temporary_folder() / "terramosaic-devices"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(
            f"{folder}: locks of GPUs cannot be kept there: {error.strerror or error}; name another folder in "
            f"{DEVICE_LOCKS}, the same for all that share GPUs"
        ) from error
    with contextlib.suppress(OSError):  # it is another user's, who has done this already
        folder.chmod(0o1777)
    return _ProcessLock(folder / f"{name}.lock")


def _name_of(device: Device) -> str:
    """The device's name, the same in each process and container: there CUDA_VISIBLE_DEVICES gives it other numbers."""
    found = driver()
    if found and device.index < len(found.gpus) and (own := found.gpus[device.index].uuid):
        return f"cuda-{own}"
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return f"cuda-{visible[device.index] if device.index < len(visible) else device.index}"
