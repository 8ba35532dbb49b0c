"""Kernel locks: free at once when their holder dies, however it dies, in whatever container.

All processes of a kernel that see the same file share its lock, and threads of one process exclude each other as
processes do, since each opens the file for itself. Between machines NFS and CephFS carry a lock to the server; other
mounts keep it to themselves, and some know no locks at all. Nobody can be asked which, so what is known of a mount is
told once, in the log.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from terramosaic.errors import OutputError

logger = logging.getLogger(__name__)

#: What a file system answers that knows no locks, or whose server knows none.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})

#: File systems that machines may share and that carry locks to each other, and the options that stop them.
_CARRIED: dict[str, frozenset[str]] = {
    "nfs": frozenset({"nolock", "local_lock=flock", "local_lock=all"}),
    "nfs4": frozenset({"nolock", "local_lock=flock", "local_lock=all"}),
    "cifs": frozenset({"nobrl"}),
    "smb3": frozenset({"nobrl"}),
    "lustre": frozenset({"localflock"}),
    "ceph": frozenset(),
    "fuse.ceph": frozenset(),
    "fuse.ceph-fuse": frozenset(),
    "fuse.glusterfs": frozenset(),
    "fuse.juicefs": frozenset(),
}
#: Those that machines may share and that do not, or only if somebody has seen to it: any other FUSE, and these.
_KEPT = frozenset({"9p", "virtiofs", "vboxsf", "prl_fs", "beegfs", "afs"})

#: Mounts that were looked at, by the kernel's number.
_warned: set[int] = set()

#: Seconds to wait for a turn, and between two looks.
_TURN, _POLL = 60, 0.01


@dataclass(frozen=True)
class Mount:
    """A mounted file system.

    Attributes:
        point: where it is mounted.
        kind: its type, such as ``nfs4``.
        options: those of the mount and of the file system.
    """

    point: str
    kind: str
    options: frozenset[str]

    @property
    def keeps_locks_to_itself(self) -> bool:
        """Whether machines may share it, and would not see each other's locks."""
        if self.kind in _CARRIED:
            return bool(_CARRIED[self.kind] & self.options)
        return self.kind in _KEPT or self.kind.startswith("fuse.")


class KernelLock:
    """The lock of one holder.

    Args:
        file: what is locked; it is made, and its folder.

    Attributes:
        kernel: once acquired, where it means something: within this start of this kernel, and for this file. Empty on a
            mount that knows no locks.
    """

    def __init__(self, file: Path) -> None:
        self.kernel = ""
        self._file = file
        self._lock = FileLock(
            file,
            # Whoever may write in the folder may take the lock.
            mode=0o666,
            # It may be released by another thread than the one that took it.
            thread_local=False,
            # A file that is there or not is no kernel lock: it would outlive a process that is killed.
            fallback_to_soft=False,
            preserve_lock_file=True,
        )

    def acquire(self, *, wait: float = 0) -> bool:
        """Takes it; False if another one has it, and for so many seconds. True where there are no locks: see `kernel`.

        Raises:
            OSError: the file cannot be made.
        """
        try:
            self._lock.acquire(timeout=wait, poll_interval=_POLL)
        except Timeout:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return True
        stat = self._file.stat()
        self.kernel = hashlib.sha256(f"{this_boot()}/{stat.st_dev}/{stat.st_ino}".encode()).hexdigest()[:16]
        return True

    def release(self, *, remove: bool = False) -> None:
        """Gives it back; without it, does nothing.

        Args:
            remove: whether the file goes as well. One who waits to open it finds that out, and makes a new one.
        """
        if remove and os.name != "nt":
            with contextlib.suppress(OSError):
                self._file.unlink()
        self._lock.release()
        # Windows removes nothing that is open, and so nothing that another one has locked by now.
        if remove and os.name == "nt":
            with contextlib.suppress(OSError):
                self._file.unlink()


@contextmanager
def turn_on(file: Path) -> Iterator[None]:
    """Keeps others from a file of a disk for a moment, on other machines too.

    Raises:
        OutputError: the turn did not come, or the folder cannot be used.
    """
    lock = KernelLock(file.with_name(f".{file.name}.lock"))
    # Where locks do not reach all, a file that is there or not does. It may outlive its maker, but the moment is short.
    marker = SoftFileLock(file.with_name(f".{file.name}.turn"), timeout=_TURN, poll_interval=_POLL)
    with ExitStack() as stack:
        try:
            if not lock.acquire(wait=_TURN):
                raise Timeout(str(file))
            stack.callback(lock.release, remove=True)
            if not lock.kernel or mount_of(file.parent).keeps_locks_to_itself:
                stack.enter_context(marker)
        except Timeout:
            raise OutputError(
                f"{file} is being written by another for {_TURN} s; if nothing runs, remove {marker.lock_file}"
            ) from None
        except OSError as error:
            raise OutputError(
                f"{file} could not be written: {error.strerror or error}; choose another folder"
            ) from error
        yield


def mount_of(folder: Path, table: str | None = None) -> Mount:
    """The mounted file system that a folder is on, or will be once it is made.

    Args:
        table: what ``/proc/self/mountinfo`` says; read if not given. Where there is no such file, nothing is known.
    """
    if table is None:
        try:
            table = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return Mount(folder.anchor, "", frozenset())
    path = folder.resolve()
    found = Mount("/", "", frozenset())
    for line in table.splitlines():
        mount = _read_mount(line)
        # Of those that are mounted over each other, the last is seen.
        if path.is_relative_to(mount.point) and len(mount.point) >= len(found.point):
            found = mount
    return found


def _read_mount(line: str) -> Mount:
    """A line such as ``36 35 0:52 / /data rw,noatime shared:1 - nfs4 server:/maps rw,local_lock=none``."""
    before, _, after = line.partition(" - ")
    _, _, _, _, point, options, *_ = before.split(" ")
    kind, _, more = after.split(" ")
    named = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), point)
    return Mount(named, kind, frozenset(f"{options},{more}".split(",")))


def warn_of_reach(folder: Path, lock: KernelLock) -> None:
    """Logs, once for each mount, what a lock in a folder does not reach."""
    device = folder.stat().st_dev
    if device in _warned:
        return
    _warned.add(device)
    mount = mount_of(folder)
    if not lock.kernel:
        logger.warning(
            "the disk at %s knows no locks: a lease there goes by its note alone, and holds until it expires",
            mount.point,
        )
    elif mount.keeps_locks_to_itself:
        logger.warning(
            "the disk at %s (%s) may keep locks to each machine: between machines a lease there goes by its note "
            "alone, and holds until it expires",
            mount.point,
            mount.kind,
        )


@cache
def this_boot() -> str:
    """Names this start of this kernel.

    A host's name alone would not do: two machines, or two containers, may share one.
    """
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{socket.gethostname()}/{uuid.getnode()}"
