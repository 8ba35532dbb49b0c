"""What is told of where a model runs: the same each time on one machine, and enough to tell others from it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from types import SimpleNamespace

import onnxruntime
import pytest

from terramosaic.model import devices
from terramosaic.model.devices import Device, device_name
from terramosaic.model.surroundings import Surroundings, processor


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    device_name.cache_clear()
    yield
    device_name.cache_clear()


def driver() -> SimpleNamespace:
    """Answers as NVIDIA's does on a machine with two GPUs."""

    def get(handle: object, index: int) -> int:
        handle._obj.value = 7 + index
        return 0 if index < 2 else 101

    def get_name(name: ctypes.Array, length: int, handle: ctypes.c_int) -> int:
        name.value = f"NVIDIA Made-Up {handle.value}".encode()[:length]
        return 0

    return SimpleNamespace(cuInit=lambda flags: 0, cuDeviceGet=get, cuDeviceGetName=get_name)


def test_one_machine_tells_the_same_each_time():
    found = Surroundings.of(Device("cpu"), threads=3, batch=2)
    assert found == Surroundings.of(Device("cpu"), threads=3, batch=2)
    assert found != Surroundings.of(Device("cpu"), threads=4, batch=2)
    assert (found.onnxruntime, found.processor) == (onnxruntime.__version__, processor())
    assert (found.device, found.threads, found.batch) == ("cpu", 3, 2)
    assert Surroundings.model_validate_json(found.model_dump_json()) == found


def test_a_gpu_is_called_what_its_driver_calls_it(monkeypatch):
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: driver())
    assert device_name(Device("cuda", 1)) == "NVIDIA Made-Up 8"
    assert device_name(Device("cpu")) == "cpu"
    assert device_name(Device("cuda", 2)) == "cuda"


def test_without_a_driver_a_gpu_is_called_by_its_kind(monkeypatch):
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(devices.ctypes, "CDLL", missing)
    assert device_name(Device("cuda")) == "cuda"


def test_what_is_otherwise_is_told():
    found = Surroundings.of(Device("cpu"), threads=3, batch=2)
    assert found.repeats and found.unlike(found) == ""
    other = found.model_copy(update={"onnxruntime": "1.2", "device": "NVIDIA Made-Up 7"})
    assert (
        other.unlike(found) == f"onnxruntime 1.2, here {found.onnxruntime}, device NVIDIA Made-Up 7, here cpu"
    )
    assert not other.repeats
