"""What is told of where a model runs: the same each time on one machine, and enough to tell others from it."""

from __future__ import annotations

from collections.abc import Iterator

import onnxruntime
import pytest

from terramosaic.model import devices
from terramosaic.model.devices import Device, device_name
from terramosaic.model.gpus import Driver, Gpu
from terramosaic.model.surroundings import Surroundings, processor


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    device_name.cache_clear()
    yield
    device_name.cache_clear()


def test_one_machine_tells_the_same_each_time():
    found = Surroundings.of(Device("cpu"), threads=3, batch=2)
    assert found == Surroundings.of(Device("cpu"), threads=3, batch=2)
    assert found != Surroundings.of(Device("cpu"), threads=4, batch=2)
    assert (found.onnxruntime, found.processor) == (onnxruntime.__version__, processor())
    assert (found.device, found.threads, found.batch) == ("cpu", 3, 2)
    assert Surroundings.model_validate_json(found.model_dump_json()) == found


def test_a_gpu_is_called_what_its_driver_calls_it(monkeypatch):
    two = tuple(Gpu(f"NVIDIA Made-Up {number}", (9, 0), "") for number in (7, 8))
    monkeypatch.setattr(devices, "driver", lambda: Driver((13, 0), two))
    assert device_name(Device("cuda", 1)) == "NVIDIA Made-Up 8"
    assert device_name(Device("cpu")) == "cpu"
    assert device_name(Device("cuda", 2)) == "cuda"


def test_without_a_driver_a_gpu_is_called_by_its_kind(monkeypatch):
    monkeypatch.setattr(devices, "driver", lambda: None)
    assert device_name(Device("cuda")) == "cuda"


def test_what_is_otherwise_is_told():
    found = Surroundings.of(Device("cpu"), threads=3, batch=2)
    assert found.repeats and found.unlike(found) == ""
    other = found.model_copy(update={"onnxruntime": "1.2", "device": "NVIDIA Made-Up 7"})
    assert (
        other.unlike(found) == f"onnxruntime 1.2, here {found.onnxruntime}, device NVIDIA Made-Up 7, here cpu"
    )
    assert not other.repeats
