"""A kernel lock on a folder of a disk: free at once when its holder dies, however it dies.

The lock is on a file ``lock`` in the folder, which is never removed: a process that waits to open it and one that
comes later would hold two files of one name. Threads of one process exclude each other as processes do, since each
opens the file for itself.

How far a lock reaches, the mount decides. All processes of a kernel that see the same mounted file system share it,
those in containers too. Between machines NFS and CephFS carry it to the server; other mounts keep it to themselves,
and some know no locks at all. Nobody can be asked which, so what is known of a mount is told once, in the log, and
the notes beside the lock (`terramosaic.storage.lease_notes`) hold without it.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from terramosaic.errors import OutputError
from terramosaic.storage.lease_notes import this_boot

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


class DiskLock:
    """The kernel lock of one holder.

    Args:
        folder: what is locked; it is made.

    Attributes:
        kernel: once acquired, where it means something: within this start of this kernel, and this mounted file system.
            Empty on a mount that knows no locks.
    """

    def __init__(self, folder: Path) -> None:
        self.kernel = ""
        self._folder = folder
        self._file = FileLock(
            folder / "lock",
            # Whoever may write in the folder may take the lock.
            mode=0o666,
            # A lease may be released by another thread than the one that took it.
            thread_local=False,
            # A file that is there or not is no kernel lock: it would outlive a process that is killed.
            fallback_to_soft=False,
            preserve_lock_file=True,
        )

    def acquire(self) -> bool:
        """Takes it without waiting; False if another one has it. True where there are no locks: see `kernel`.

        Raises:
            OutputError: the folder cannot be used.
        """
        try:
            self._file.acquire(blocking=False)
        except Timeout:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS or not self._folder.is_dir():
                raise OutputError(
                    f"{self._file.lock_file} could not be written: {error.strerror or error}; choose another folder"
                ) from error
            _warn(self._folder, f"{error.strerror}")
            return True
        _warn(self._folder)
        self.kernel = hashlib.sha256(f"{this_boot()}/{_device(self._folder)}".encode()).hexdigest()[:16]
        return True

    def release(self) -> None:
        """Gives it back; without it, does nothing."""
        self._file.release()


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


def _warn(folder: Path, refusal: str = "") -> None:
    """Logs, once for each mount, what its locks do not reach."""
    device = _device(folder)
    if device in _warned:
        return
    _warned.add(device)
    mount = mount_of(folder)
    if refusal:
        logger.warning(
            "the disk at %s knows no locks (%s): a lease there goes by its note alone, so the clocks of those who "
            "share it must agree",
            mount.point,
            refusal,
        )
    elif mount.keeps_locks_to_itself:
        logger.warning(
            "the disk at %s (%s) may keep locks to each machine: between machines a lease there goes by its note "
            "alone, so their clocks must agree",
            mount.point,
            mount.kind,
        )


def _device(folder: Path) -> int:
    """The kernel's number of a mounted file system."""
    return folder.stat().st_dev
