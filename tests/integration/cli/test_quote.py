"""The command line quotes, measures what it quotes by, and refuses what is above a limit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from terramosaic.cli.app import cli
from terramosaic.errors import RequestError
from terramosaic.ground.grid import Rect
from tests.integration.conftest import LAND, Catalog

PRICES = "currency: CHF\ndevice_hours: {cpu: 3600}\nwatts: {cpu: 10}\n"


@pytest.fixture
def run(land: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERRAMOSAIC_CACHE", str(tmp_path / "cache"))
    (tmp_path / "prices.yaml").write_text(PRICES)
    request = land.request(Rect(LAND.row + 300, LAND.col + 300, 200, 200), tmp_path / "out")
    (tmp_path / "region.json").write_text(json.dumps(request.region.geojson))
    selection = [
        "--region",
        str(tmp_path / "region.json"),
        "--datetime",
        "2023-08",
        "--catalog",
        request.catalog,
    ]
    selection += ["--out", request.out]

    def run(command: str, *options: str) -> Result:
        return CliRunner().invoke(cli, [command, *selection, *options])

    return run


def test_plan_quotes_by_what_model_check_measured(run) -> None:
    assert "by a table; not measured" in run("plan").output
    before = json.loads(run("plan", "--json").output)["figures"]
    assert (
        before["device_minutes"] and before["quote"]["measured"] is None and before["quote"]["cost"] is None
    )
    done = CliRunner().invoke(cli, ["model", "check", "demo", "--json"])
    speed = json.loads(done.stdout)
    assert done.exit_code == 0 and set(before["device_minutes"]) <= set(speed["targets"])
    figures = json.loads(run("plan", "--json").output)["figures"]
    assert figures["quote"]["measured"] == speed["measured"]
    for target, minutes in figures["device_minutes"].items():
        taken = figures["windows"] * speed["targets"][target]["once"] / 60
        assert minutes == pytest.approx(taken)
    assert "ms of one processor a window" in CliRunner().invoke(cli, ["model", "check", "demo"]).output


def test_limits_refuse_with_the_quote(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = run("map", "--max-cost", "0.01")
    assert isinstance(refused.exception, RequestError)
    assert "name a file of them in TERRAMOSAIC_PRICES" in refused.exception.text
    monkeypatch.setenv("TERRAMOSAIC_PRICES", str(tmp_path / "prices.yaml"))
    assert " CHF (device " in run("plan").output
    for option, quoted in (("--max-cost", "CHF"), ("--max-minutes", "minutes of one processor")):
        refused = run("map", option, "0.001")
        assert isinstance(refused.exception, RequestError) and refused.exception.exit_code == 2
        assert quoted in refused.exception.text and "above the limit of 0.001" in refused.exception.text
    assert not (tmp_path / "out").exists()
