"""What is known of a mount: whether machines that share it see each other's locks."""

from __future__ import annotations

from pathlib import Path

import pytest

from terramosaic.errors import OutputError
from terramosaic.storage.locks import KernelLock, mount_of, turn_on, warn_of_reach

TABLE = """\
21 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw
40 21 0:50 / /data rw,relatime - nfs4 server:/maps rw,vers=4.2,local_lock=none,addr=10.0.0.1
41 21 0:51 / /old rw,relatime shared:2 master:1 - nfs server:/old rw,vers=3,nolock,local_lock=all
42 40 0:52 / /data/flock rw - nfs server:/flock rw,vers=3,local_lock=flock
43 21 0:53 / /ceph rw - ceph 10.0.0.1:6789:/ rw,name=admin
44 21 0:54 / /bucket rw,nosuid - fuse.s3fs s3fs rw,user_id=0
45 21 0:55 / /gluster rw - fuse.glusterfs server:/volume rw
46 21 0:56 / /host rw - 9p share rw,trans=virtio
47 21 0:57 / /share rw - cifs //server/share rw,nobrl
48 21 0:58 / /with\\040space rw - lustre server:/scratch rw,localflock
49 21 259:2 / /covered rw - nfs server:/covered rw,nolock
50 21 259:3 / /covered rw - xfs /dev/sdb rw
"""


@pytest.mark.parametrize(
    ("folder", "kind", "is_kept"),
    [
        ("/maps/lease", "ext4", False),
        ("/data/maps/lease", "nfs4", False),
        ("/data2/maps", "ext4", False),
        ("/data/flock/lease", "nfs", True),
        ("/old", "nfs", True),
        ("/ceph/maps", "ceph", False),
        ("/bucket/maps", "fuse.s3fs", True),
        ("/gluster/maps", "fuse.glusterfs", False),
        ("/host/maps", "9p", True),
        ("/share/maps", "cifs", True),
        ("/with space/maps", "lustre", True),
        ("/covered/maps", "xfs", False),
    ],
)
def test_a_mount_says_whether_it_keeps_locks_to_itself(folder, kind, is_kept):
    mount = mount_of(Path(folder), TABLE)
    assert (mount.kind, mount.keeps_locks_to_itself) == (kind, is_kept)


@pytest.fixture
def kept(monkeypatch):
    """As on a mount that keeps locks to each machine."""
    monkeypatch.setattr("terramosaic.storage.locks._warned", set())
    monkeypatch.setattr("terramosaic.storage.locks.mount_of", lambda _: mount_of(Path("/old"), TABLE))


def test_a_mount_that_keeps_locks_to_itself_is_told_once(tmp_path, kept, caplog):
    for number in range(2):
        lock = KernelLock(tmp_path / f"{number}" / "lock")
        assert lock.acquire() and lock.kernel
        warn_of_reach(tmp_path / f"{number}", lock)
        lock.release()
    assert len(caplog.records) == 1
    assert "the disk at /old (nfs) may keep locks to each machine" in caplog.text


def test_a_lock_means_something_for_its_file_alone(tmp_path):
    locks = [KernelLock(tmp_path / name) for name in ("a", "b", "a")]
    assert [lock.acquire() for lock in locks] == [True, True, False]
    kernel = locks[0].kernel
    assert kernel and kernel != locks[1].kernel
    locks[0].release()
    assert locks[2].acquire() and locks[2].kernel == kernel


def test_a_lock_whose_file_was_removed_with_it_is_made_anew(tmp_path):
    for _ in range(2):
        lock = KernelLock(tmp_path / "lock")
        assert lock.acquire()
        lock.release(remove=True)
        assert not list(tmp_path.iterdir())


def test_a_turn_keeps_machines_out_that_locks_do_not_reach(tmp_path, kept, monkeypatch):
    monkeypatch.setattr("terramosaic.storage.locks._TURN", 0.05)
    with turn_on(tmp_path / "a.json"):
        monkeypatch.setattr("fcntl.flock", lambda *_: None)
        with pytest.raises(
            OutputError, match=r"a\.json is being written by another .* remove .*\.turn"
        ) as refused:
            turn_on(tmp_path / "a.json").__enter__()
    assert "\n" not in str(refused.value)
    with turn_on(tmp_path / "a.json"):
        pass
