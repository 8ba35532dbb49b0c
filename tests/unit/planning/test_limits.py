"""Prices, what a run costs by them, and limits that refuse it before it is begun."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from terramosaic.errors import RequestError
from terramosaic.planning import limits
from terramosaic.planning.plan import Plan
from terramosaic.planning.prices import Cost, Prices
from terramosaic.publishing.facts import PlanFacts
from tests.unit.planning.test_identity import planned

PRICES: dict[str, Any] = {
    "currency": "EUR",
    "device_hours": {"cpu": 0.6, "H100": 3.0, "H100 NVL": 4.0, "gpu": 1.0},
    "watts": {"cpu": 10, "H100": 700},
    "kilowatt_hour": 0.5,
    "network_gigabyte": 0.1,
    "disk_gigabyte_month": 0.02,
}


@pytest.fixture
def prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "prices.yaml"
    file.write_text(yaml.safe_dump(PRICES))
    monkeypatch.setenv("TERRAMOSAIC_PRICES", str(file))
    return file


def cost_of(made: Plan) -> Cost:
    assert made.figures.quote is not None and made.figures.quote.cost is not None
    return made.figures.quote.cost


def test_a_cost_is_that_of_device_power_network_and_disk() -> None:
    cost = Cost.of(
        Prices(**PRICES),
        device="NVIDIA H100 80GB HBM3",
        minutes=60,
        beside_minutes=120,
        network_gigabytes=10,
        disk_gigabytes=50,
    )
    assert cost.kilowatt_hours == pytest.approx(0.7 + 0.02)
    assert cost.parts == pytest.approx({"device": 3, "power": 0.36, "network": 1, "disk": 1})
    assert cost.total == pytest.approx(5.36)


@pytest.mark.parametrize(
    ("device", "hour"),
    [("cpu", 0.6), ("NVIDIA H100 NVL", 4.0), ("NVIDIA H100 PCIe", 3.0), ("Tesla T4", 1.0)],
)
def test_a_device_has_the_price_of_its_longest_name(device: str, hour: float) -> None:
    prices = Prices(**PRICES)
    assert prices.of_device(prices.device_hours, device) == hour


def test_what_prices_do_not_say_is_no_cost() -> None:
    taken = {"minutes": 1.0, "beside_minutes": 0.0, "network_gigabytes": 0.0, "disk_gigabytes": 0.0}
    unpowered = Cost.of(Prices(**PRICES), device="Tesla T4", **taken)
    assert unpowered.total is None and unpowered.lacking == "watts say nothing of Tesla T4"
    free = Prices(**{**PRICES, "kilowatt_hour": 0})
    assert Cost.of(free, device="Tesla T4", **taken).total == pytest.approx(1 / 60)
    only_gpus = Prices(**{**PRICES, "device_hours": {"gpu": 1}})
    unknown = Cost.of(only_gpus, device="cpu", **taken)
    assert (
        unknown.total is None
        and unknown.kilowatt_hours
        and "device_hours say nothing of cpu" in unknown.lacking
    )


def test_a_plan_tells_cost_and_keeps_its_id(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    without = planned(tmp_path)
    assert "Cost" not in PlanFacts(plan=without).figures
    request.getfixturevalue("prices")
    priced = planned(tmp_path)
    assert priced.run_id == without.run_id
    assert cost_of(priced).parts["device"] == pytest.approx(priced.figures.minutes / 60 * 0.6)
    assert "EUR (device" in PlanFacts(plan=priced).figures["Cost"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"device_hours": {"cpu": "dear"}}, "device_hours.cpu: "),
        ({"device_hours": {}}, "device_hours: "),
        ({"watts": {"cpu": -1}}, "watts.cpu: "),
        ({"currency": ""}, "currency: "),
        ({"kilowat_hour": 1}, "kilowat_hour: there is no such field"),
        ({"network_gigabyte": float("inf")}, "network_gigabyte: "),
    ],
)
def test_a_wrong_price_is_named(tmp_path: Path, prices: Path, change: dict[str, Any], line: str) -> None:
    prices.write_text(yaml.safe_dump(PRICES | change))
    with pytest.raises(RequestError) as error:
        planned(tmp_path)
    assert str(error.value).startswith(f"TERRAMOSAIC_PRICES: {prices}: {line}") and "\n" not in str(
        error.value
    )


@pytest.mark.parametrize("content", [None, "[1, 2]", "a: b: c", b"\xff\xfe"])
def test_a_file_of_prices_that_is_none_is_told(
    tmp_path: Path, prices: Path, content: str | bytes | None
) -> None:
    prices.unlink() if content is None else prices.write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    with pytest.raises(RequestError, match=r"^TERRAMOSAIC_PRICES: \S+prices.yaml: ") as error:
        planned(tmp_path)
    assert "\n" not in str(error.value)


def test_a_run_above_its_limits_is_refused(
    tmp_path: Path, prices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = planned(tmp_path)
    minutes, total = made.figures.minutes, cost_of(made).total
    assert total is not None
    within = planned(tmp_path, max_minutes=minutes * 1.01, max_cost=total * 1.01)
    assert within.run_id == made.run_id
    with pytest.raises(
        RequestError, match=rf"max_minutes: run \w+ is quoted {minutes:,.1f} minutes of one processor"
    ):
        planned(tmp_path, max_minutes=minutes / 2)
    with pytest.raises(
        RequestError, match=rf"quoted {total:,.2f} EUR .*, above the limit of .* EUR; take a smaller"
    ):
        planned(tmp_path, max_cost=total / 2)
    prices.write_text(yaml.safe_dump({**PRICES, "device_hours": {"H100": 3}}))
    with pytest.raises(
        RequestError, match="max_cost: the cost is not known: device_hours say nothing of cpu"
    ):
        planned(tmp_path, max_cost=total)
    # One that is complete takes nothing any more.
    monkeypatch.setattr(limits, "is_complete", lambda plan: True)
    assert planned(tmp_path, max_minutes=minutes / 2).run_id == made.run_id


def test_a_limit_of_cost_without_prices_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(
        RequestError, match=r"max_cost: there are no prices to quote by; .* TERRAMOSAIC_PRICES"
    ):
        planned(tmp_path, max_cost=5, catalog=str(tmp_path / "nothing"))
