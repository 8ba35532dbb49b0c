"""What the driver says of GPUs, and what is made of it: asked of a driver that the test builds."""

from __future__ import annotations

import logging
import mmap
import re
import struct
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest

from terramosaic.errors import ModelError
from terramosaic.model import device_lock, devices, gpus
from terramosaic.model.device_lock import device_to_itself
from terramosaic.model.devices import Device, require_device, resolve
from terramosaic.model.gpus import CAPABILITIES, Gpu, cuda_device_count, driver, why_unusable
from tests.support.cuda_stub import StubGpu, build_driver

H100, T4 = StubGpu(), StubGpu("Tesla T4", (7, 5), 2)
P100, B200 = StubGpu("Tesla P100", (6, 0), 3), StubGpu("NVIDIA B200", (10, 0), 4)
A10, ORIN, GB10 = StubGpu("A10", (8, 6), 5), StubGpu("Orin", (8, 7), 6), StubGpu("GB10", (12, 1), 7)


@pytest.fixture
def with_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a driver in the machine's place."""
    device_lock._lock_of.cache_clear()
    device_lock.claimed_gpu.cache_clear()
    devices.device_name.cache_clear()

    def install(*found: StubGpu, **options: int) -> None:
        folder = tmp_path / f"driver{len(list(tmp_path.iterdir()))}"  # a library is loaded once by its path
        monkeypatch.setattr(gpus, "DRIVER", str(build_driver(folder, *found, **options)))
        monkeypatch.setattr(onnxruntime, "cuda_version", "13.0", raising=False)

    return install


def test_a_driver_tells_of_its_gpus(with_driver: Callable[..., None]) -> None:
    with_driver(H100, T4, cuda=13020)
    found = driver()
    assert found is not None
    assert found.cuda == (13, 2)
    assert found.gpus == (
        Gpu("NVIDIA H100 80GB HBM3", (9, 0), H100.uuid),
        Gpu("Tesla T4", (7, 5), T4.uuid),
    )
    assert cuda_device_count() == 2
    assert devices.device_name(Device("cuda", 1)) == "Tesla T4"
    assert [why_unusable(index) for index in (0, 1)] == ["", ""]


@pytest.mark.parametrize(
    ("found", "options", "index", "reason"),
    [
        ((H100,), {"cuda": 12090}, 0, r"driver is one for CUDA 12\.9, .*needs CUDA 13; install driver 580 or newer"),
        ((), {}, 0, r"has no GPU for this process \(is CUDA_VISIBLE_DEVICES empty\?\)"),
        ((), {"failure": 803}, 0, r"does not start \(error 803\); see what nvidia-smi says"),
        ((H100, T4), {}, 2, r"there is no cuda:2, this process sees cuda:0, cuda:1"),
        ((H100, P100), {}, 1, r"no code for cuda:1, Tesla P100 with compute capability 6\.0, only for 7\.5, 8\.0"),
        ((B200,), {}, 0, r"NVIDIA B200 with compute capability 10\.0"),
        ((GB10,), {}, 0, r"GB10 with compute capability 12\.1"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_said_with_what_to_do(
    with_driver: Callable[..., None],
    found: tuple[StubGpu, ...],
    options: dict[str, int],
    index: int,
    reason: str,
) -> None:
    with_driver(*found, **options)
    with pytest.raises(
        ModelError, match=f"^device: cuda was asked for and cannot be used: .*{reason}.*; or ask for"
    ):
        require_device(Device("cuda", index))


def test_without_a_driver_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "DRIVER", "libno-such-driver.so.1")
    assert driver() is None
    assert cuda_device_count() == 0
    assert why_unusable(0) == "there is no NVIDIA driver (libno-such-driver.so.1 cannot be loaded)"
    require_device(Device("cpu"))


def test_code_for_the_first_of_a_generation_runs_on_all_of_it(with_driver: Callable[..., None]) -> None:
    with_driver(A10, ORIN)
    assert [why_unusable(index) for index in (0, 1)] == ["", ""]


@pytest.mark.parametrize(
    ("found", "options", "kind", "told"),
    [
        ((H100,), {}, "cuda", "device auto is cuda:0: the NVIDIA driver has 1"),
        ((P100,), {}, "cpu", "device auto is cpu: onnxruntime has no code for cuda:0, Tesla P100"),
        ((H100,), {"cuda": 12040}, "cpu", "device auto is cpu: the NVIDIA driver is one for CUDA 12.4"),
        ((), {}, "cpu", "device auto is cpu: there is no NVIDIA driver with a device"),
    ],
)
def test_auto_takes_a_gpu_that_can_be_used_and_says_why_not(
    with_driver: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    found: tuple[StubGpu, ...],
    options: dict[str, int],
    kind: str,
    told: str,
) -> None:
    with_driver(*found, **options)
    with caplog.at_level(logging.INFO, "terramosaic"):
        assert resolve("auto").kind == kind
    (record,) = caplog.records
    assert re.match(told, record.getMessage())
    assert record.levelno == (logging.WARNING if found and kind == "cpu" else logging.INFO)


def test_a_lock_is_called_by_the_gpu_wherever_it_is_seen(
    with_driver: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another container sees the second GPU as its first one, and has another folder for temporary files."""
    monkeypatch.setenv("TERRAMOSAIC_DEVICE_LOCKS", str(tmp_path / "shared" / "locks"))
    with_driver(H100, T4)
    with device_to_itself(Device("cuda", 1)):
        assert [file.name for file in (tmp_path / "shared" / "locks").iterdir()] == [f"cuda-{T4.uuid}.lock"]
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
        with_driver(T4)
        device_lock._lock_of.cache_clear()  # as it is in another process
        assert not device_lock._lock_of(device_lock._name_of(Device("cuda"))).try_acquire()
    assert device_lock._lock_of(device_lock._name_of(Device("cuda"))).try_acquire()


def test_a_folder_for_locks_that_cannot_be_made_is_named(
    with_driver: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TERRAMOSAIC_DEVICE_LOCKS", str(tmp_path / "file" / "locks"))
    with_driver(H100)
    with (
        pytest.raises(ModelError, match=r"locks of GPUs cannot be kept there: .*TERRAMOSAIC_DEVICE_LOCKS"),
        device_to_itself(Device("cuda")),
    ):
        pass


def test_a_worker_takes_a_free_gpu_that_can_be_used(
    with_driver: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TERRAMOSAIC_DEVICE_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setattr(device_lock, "require_device", lambda device: None)
    with_driver(P100, H100)
    assert device_lock.claimed_gpu() == Device("cuda", 1)


def test_a_worker_without_a_gpu_that_can_be_used_says_why(with_driver: Callable[..., None]) -> None:
    with_driver(P100)
    with pytest.raises(ModelError, match="no code for cuda:0, Tesla P100"):
        device_lock.claimed_gpu()


def test_code_is_what_the_installed_package_has() -> None:
    """Read off its library: of each piece of machine code the card that it is for, and whether for that one alone."""
    library = Path(onnxruntime.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"
    if not library.is_file():
        pytest.skip("this onnxruntime has no CUDA provider")
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as elf:
        kinds = _machine_code(elf)
    assert {kind for kind, _, _ in kinds} == {2}  # machine code; 1 would be PTX
    assert {divmod(card, 10) for _, card, _ in kinds} == CAPABILITIES
    assert {card for _, card, flags in kinds if flags >> 20 & 1} == {90, 120}


def _machine_code(elf: mmap.mmap) -> set[tuple[int, int, int]]:
    """Kind, card and flags of all entries of an ELF file's section of CUDA code."""
    (sections,) = struct.unpack_from("<Q", elf, 0x28)
    size, count, names = struct.unpack_from("<HHH", elf, 0x3A)
    heads = [struct.unpack_from("<IIQQQQ", elf, sections + index * size) for index in range(count)]
    strings = heads[names][4]
    begin, length = next(
        (head[4], head[5])
        for head in heads
        if elf[strings + head[0] : strings + head[0] + 11] == b".nv_fatbin\0"
    )
    found, at = set(), begin
    while at + 16 <= begin + length:
        magic, _, header, payload = struct.unpack_from("<IHHQ", elf, at)
        if magic != 0xBA55ED50:
            at += 8
            continue
        entry = at + header
        at = entry + payload
        while entry < at:
            kind, _, entry_header, entry_payload = struct.unpack_from("<HHIQ", elf, entry)
            (card,), (flags,) = (
                struct.unpack_from("<I", elf, entry + 28),
                struct.unpack_from("<Q", elf, entry + 40),
            )
            found.add((kind, card, flags))
            entry += entry_header + entry_payload
    return found
