"""How long a model takes: counted work, what was measured and is kept, and the table that stands in."""

from __future__ import annotations

from pathlib import Path

import pytest

from terramosaic.model import speed as speeds
from terramosaic.model.bundle import Bundle, load_bundle
from terramosaic.model.devices import Device
from terramosaic.model.speed import Speed, TargetSpeed, keep_speed, now, speed_of, table_speed
from terramosaic.model.timing import measure_speed
from terramosaic.model.work import chain_of, work_of
from tests.unit.model.toy_terramind import make_toy

CPU = Device("cpu")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERRAMOSAIC_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(str(make_toy(tmp_path_factory.mktemp("toy") / "toy")))


def of_base(toy: Bundle) -> Bundle:
    """The toy with TerraMind's own sizes, as its manifest tells them: counted work needs no graphs."""
    levels = {"S1GRD": (8, 8, 8, 6, 5), "NDVI": (8, 8, 8, 6, 5), "LULC": (7, 5, 5, 5, 5)}
    targets = {
        name: spec.model_copy(update={"codebook_levels": levels.get(name, ())})
        for name, spec in toy.targets.items()
    }
    changes = {"variant": "terramind_v1_base", "targets": targets, "window": 224, "patch": 16}
    return Bundle(toy.folder, toy.manifest.model_copy(update=changes), toy.fingerprint)


def test_counted_work_of_base_is_what_was_counted(toy: Bundle) -> None:
    """Chained, four targets at ten steps are 6 352 GFLOP a window, the transformers' part of them 627."""
    base = of_base(toy)
    targets = ("S1GRD", "NDVI", "NDVI", "LULC")
    seen = range(len(targets))
    each = [work_of(base, target, seen=place) for target, place in zip(targets, seen, strict=True)]
    assert sum(work.once for work in each) == pytest.approx(627.3 + 37.3, rel=0.01)
    assert sum(work.once + 10 * work.step for work in each) == pytest.approx(5688 + 627.3 + 37.3, rel=0.01)
    wider = Bundle(base.folder, base.manifest.model_copy(update={"window": 448}), base.fingerprint)
    assert work_of(wider, "LULC").once == pytest.approx(4 * work_of(base, "LULC").once)


def test_a_chain_counts_the_targets_before(toy: Bundle) -> None:
    assert chain_of(("NDVI", "embedding", "LULC"), "chained") == {"NDVI": 0, "LULC": 1, "embedding": 0}
    assert chain_of(("NDVI", "LULC"), "independent") == {"NDVI": 0, "LULC": 0}
    alone, third = work_of(toy, "NDVI"), work_of(toy, "NDVI", seen=2)
    assert third.once > 2 * alone.once and third.step == alone.step


def test_all_targets_take_what_each_does_in_the_chain(toy: Bundle) -> None:
    each = {target: TargetSpeed(once=0.5, step=0.1) for target in toy.targets}
    chain = chain_of(tuple(toy.targets), toy.manifest.conditioning)
    more = [
        work_of(toy, target, seen=chain[target]).once / work_of(toy, target).once for target in toy.targets
    ]
    seconds = 0.5 * sum(more) + 10 * 0.1 * len(each)
    assert 1 / Speed(device="cpu", targets=each).windows_per_second(toy) == pytest.approx(seconds)


def test_what_was_measured_goes_before_the_table(toy: Bundle) -> None:
    assert speed_of(toy, CPU) == table_speed(toy, "cpu") and speed_of(toy, CPU).measured is None
    found = Speed(
        device="cpu", targets={name: TargetSpeed(once=2, step=3) for name in toy.targets}, measured=now()
    )
    keep_speed(toy, CPU, found)
    assert speed_of(toy, CPU) == found
    assert found.seconds(toy, "NDVI", steps=10) == 32
    assert found.seconds(toy, "NDVI", steps=10, seen=1) > 32
    slow = found.model_copy(update={"opening": 8.0})
    assert slow.opening_of(toy, list(toy.targets)) == 8 > slow.opening_of(toy, ["NDVI"]) > 0
    demo = load_bundle("demo")
    assert speed_of(demo, CPU).measured is None  # another model's speed is not this one's
    keep_speed(demo, CPU, found)  # as if of a version with other targets
    assert speed_of(demo, CPU).measured is None


def test_a_planner_without_a_gpu_takes_what_was_measured_on_one(
    toy: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "NVIDIA H200"
    found = Speed(
        device=name, targets={target: TargetSpeed(once=1) for target in toy.targets}, measured=now()
    )
    monkeypatch.setattr(speeds, "device_name", lambda device: "cuda")
    assert speed_of(toy, Device("cuda")).device == "GPU like an A100"
    keep_speed(toy, Device("cuda"), found)
    assert speed_of(toy, Device("cuda")) == speed_of(toy, Device("cuda"), "fp16") == found
    single = speed_of(toy, Device("cuda"), "fp32")
    assert (
        single.measured is None
        and single.targets["NDVI"].step == 3 * table_speed(toy, "cuda").targets["NDVI"].step
    )
    monkeypatch.setattr(speeds, "device_name", lambda device: "Tesla T4")
    assert speed_of(toy, Device("cuda")).device == "Tesla T4" and not speed_of(toy, Device("cuda")).measured


@pytest.mark.parametrize(
    ("name", "slower"), [("NVIDIA H200", "NVIDIA H100 80GB HBM3"), ("NVIDIA L40S", "NVIDIA L4")]
)
def test_the_table_knows_cards_by_whole_words(toy: Bundle, name: str, slower: str) -> None:
    fast, slow = (table_speed(toy, each).targets["NDVI"].step for each in (name, slower))
    assert 0 < fast < slow


def test_a_cache_that_cannot_be_written_is_no_error(
    toy: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TERRAMOSAIC_CACHE", str(tmp_path / "file"))
    keep_speed(toy, CPU, table_speed(toy, "cpu"))
    assert "the measured speed is not kept" in caplog.text


@pytest.mark.parametrize("model", ["toy", "demo"])
def test_each_target_is_timed_and_kept(toy: Bundle, model: str) -> None:
    bundle = toy if model == "toy" else load_bundle("demo")
    speed = measure_speed(bundle, "cpu")
    assert speed.targets.keys() == bundle.targets.keys()
    assert speed_of(bundle, CPU) == speed and speed.measured is not None
    assert speed.in_words(bundle) == (
        f"{speed.windows_per_second(bundle):.3g} windows a second of one processor with all targets"
        f"{', 10 steps' if model == 'toy' else ''}, batches of 1"
    )
    for name, each in speed.targets.items():
        assert each.once + each.step > 0
        assert each.step == 0 or bundle.targets[name].kind == "diffusion"
