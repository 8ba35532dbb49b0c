"""What a run is quoted to take: it follows the windows, the steps and the imagery, and decides nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from terramosaic.model.bundle import Bundle, load_bundle
from terramosaic.model.devices import Device
from terramosaic.model.speed import Speed, TargetSpeed, keep_speed, now
from terramosaic.planning.folder import as_begun, read_plan, write_plan
from terramosaic.planning.plan import Plan
from terramosaic.planning.planning import plan
from terramosaic.publishing.facts import PlanFacts
from tests.unit.model.toy_terramind import make_toy
from tests.unit.planning.test_identity import planned


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERRAMOSAIC_CACHE", str(tmp_path / "cache"))


def keep(bundle: Bundle, once: float, step: float = 0.0) -> None:
    speed = Speed(
        device="cpu",
        targets={target: TargetSpeed(once=once, step=step) for target in bundle.targets},
        measured=now(),
    )
    keep_speed(bundle, Device("cpu"), speed)


def minutes(made: Plan) -> dict[str, float]:
    return made.figures.device_minutes


def test_device_minutes_are_there_measured_or_not(tmp_path: Path) -> None:
    made = planned(tmp_path)
    assert list(minutes(made)) == list(made.request.targets) and min(minutes(made).values()) > 0
    quote = made.figures.quote
    assert quote is not None and quote.measured is None
    assert "by a table; not measured here" in PlanFacts(plan=made).figures["Time"]
    keep(load_bundle("demo"), once=6)
    again = planned(tmp_path)
    assert again.run_id == made.run_id  # a machine that is faster makes the same map
    assert minutes(again) == dict.fromkeys(made.request.targets, pytest.approx(made.figures.windows / 10))
    assert "as measured on cpu" in PlanFacts(plan=again).figures["Time"]


def test_minutes_follow_steps_strides_and_the_chain(tmp_path: Path) -> None:
    toy = make_toy(tmp_path / "toy")
    bundle, fields = load_bundle(str(toy)), {"model": str(toy), "targets": ("NDVI", "LULC")}
    keep(bundle, once=1, step=10)
    few, many = (planned(tmp_path, **fields, steps=steps) for steps in (1, 10))
    windows = few.figures.windows
    assert minutes(few)["NDVI"] == pytest.approx(windows * 11 / 60)
    assert minutes(many)["NDVI"] == pytest.approx(windows * 101 / 60)
    alone = planned(tmp_path, **fields, steps=1, conditioning="independent")
    assert minutes(few)["LULC"] > minutes(alone)["LULC"] and minutes(few)["NDVI"] == minutes(alone)["NDVI"]
    # Classes on a lattice of their own draw the NDVI's tokens there too, and make nothing of them.
    own = planned(tmp_path, **fields, steps=1, strides={"LULC": 112})
    wide, fine = own.figures.windows_by_stride.values()
    assert minutes(own)["NDVI"] == pytest.approx((wide * 11 + fine) / 60)
    shared = planned(tmp_path, **fields, steps=1, consensus="tokens")
    assert minutes(shared)["NDVI"] == pytest.approx((windows * 11 + shared.figures.windows_around) / 60)


def test_the_network_is_what_does_not_lie_on_a_disk(tmp_path: Path) -> None:
    made = planned(tmp_path)  # whose scenes are on a server
    quote = made.figures.quote
    assert quote is not None and quote.network_gigabytes > made.figures.read_gigabytes > 0
    assert quote.peak_gigabytes > quote.mosaics_gigabytes > sum(made.figures.output_gigabytes.values())


def test_a_gpu_has_minutes_of_its_own(tmp_path: Path) -> None:
    quote = (made := planned(tmp_path, device="cuda")).figures.quote
    assert quote is not None and not quote.is_cpu
    assert made.figures.minutes == sum(minutes(made).values())
    assert "beside it" in PlanFacts(plan=made).figures["Time"]


def test_a_run_keeps_what_it_was_first_quoted(tmp_path: Path) -> None:
    made = planned(tmp_path)
    write_plan(made)
    keep(load_bundle("demo"), once=6)
    later = plan(made.request)
    assert later.figures.quote != made.figures.quote
    later = later.model_copy(update={"bundle": made.bundle, "run_id": made.run_id})
    folder = write_plan(as_begun(later))
    assert as_begun(later).figures == made.figures == read_plan(folder.path).figures
