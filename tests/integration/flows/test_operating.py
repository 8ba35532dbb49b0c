"""What who operates a worker sees: metrics at an endpoint, the log as JSON, and word of what failed."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from terramosaic.ground.grid import Rect
from tests.integration.conftest import LAND
from tests.support.loopback import serving
from tests.support.services import Service, free_port, service, wait_for


def samples(port: int) -> dict[tuple[str, ...], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def done(up: Service, request: dict[str, Any]) -> dict[str, Any]:
    run = up.trigger(request)
    return wait_for("the run's end", lambda: up.ended(run))


def logged(up: Service) -> list[dict[str, Any]]:
    """What its worker has logged; its command says a line of its own before."""
    lines = (up.home / "worker.log").read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


def is_of(run: dict[str, Any], line: dict[str, Any]) -> bool:
    """Whether a line says why a flow run failed."""
    return line.get("flow_run") == run["id"] and run["state"]["message"] in line["message"]


@pytest.mark.slow
def test_metrics_log_and_word_of_a_failure(land, tmp_path, monkeypatch):
    told: list[dict[str, Any]] = []

    async def hear(request: Request) -> Response:
        told.append(await request.json())
        return Response()

    metrics = free_port()
    monkeypatch.setenv("TERRAMOSAIC_METRICS", f"127.0.0.1:{metrics}")
    monkeypatch.setenv("TERRAMOSAIC_LOG", "json")
    request = land.request(Rect(LAND.row, LAND.col, 600, 600), tmp_path / "out", targets=("NDVI",))
    with serving(Starlette(routes=[Route("/hook", hear, methods=["POST"])])) as port:
        monkeypatch.setenv("TERRAMOSAIC_FAILURE_WEBHOOK", f"http://127.0.0.1:{port}/hook")
        with service(tmp_path / "home", runner="processes:cpu") as up:
            assert samples(metrics)["terramosaic_windows_total",] == 0
            good = done(up, request.model_dump(mode="json"))
            bad = done(up, request.model_dump(mode="json") | {"out": 'a "relative"|{{ 1 + 1 }}'})
            wait_for("word of the failure", lambda: told)
            seen = samples(metrics)
            # The last of a run's process come after its state.
            wait_for("its line", lambda: any(is_of(bad, line) for line in logged(up)))
            lines = logged(up)
            # The URL, which may hold a secret, is in no automation.
            hooks = [each for each in up.call("/automations/filter", {}) if "failed" in each["name"]]
            assert len(hooks) == 1 and "hook" not in json.dumps(hooks[0]["actions"][0]["payload"])
    assert good["state_name"] == "Completed" and bad["state_name"] == "Failed"

    # Counted in the flow's process and in that of the blocks, which have ended by now.
    receipts = [
        json.loads(file.read_text()) for file in (tmp_path / "out").glob("latest/blocks/*/block.json")
    ]
    windows = sum(receipt["windows"] for receipt in receipts)
    assert windows and seen["terramosaic_windows_total",] == seen["terramosaic_run_windows", good["id"]]
    assert seen["terramosaic_windows_total",] == windows
    assert seen["terramosaic_blocks_total", "computed"] == len(receipts)
    assert seen["terramosaic_written_bytes_total", "blocks"] == sum(
        sum(receipt["files"].values()) for receipt in receipts
    )
    # Twelve bands of two bytes; those of 20 and 60 m come to the grid as 10 m.
    assert seen["terramosaic_read_bytes_total",] >= 600 * 600 * 12 * 2
    assert seen["terramosaic_runs_total", "completed", "map-region"] == 1
    assert seen["terramosaic_failures_total", "RequestError", "run"] == 1
    assert seen["terramosaic_run_info", *sorted([good["id"], good["name"], "map-region"])] == 1

    # Who is told is told once, in the run's own words, whatever these hold.
    assert [each["run"] for each in told] == [bad["id"]]
    assert told[0]["text"].startswith(f"map-region / {bad['name']} Failed: out: ")
    assert bad["state"]["message"][:200] in told[0]["text"] and '"relative"|{{ 1 + 1 }}' in told[0]["text"]

    of_block = next(line for line in lines if line.get("block") == receipts[0]["block"])
    assert of_block["flow_run"] == good["id"] and of_block["run"] == receipts[0]["run_id"]
