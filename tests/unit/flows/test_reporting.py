"""What a run shows: said rarely, in keys that Prefect takes, and never at the run's cost."""

from __future__ import annotations

import logging
from uuid import uuid4

import pytest
from prefect.artifacts import Artifact

from terramosaic.block.receipt import BlockReceipt
from terramosaic.planning.plan import Block
from terramosaic_flows import reporting
from terramosaic_flows.reporting import RunProgress


def receipt(windows: int = 10, **seconds: float) -> BlockReceipt:
    return BlockReceipt(
        run_id="r", block="b", windows=windows, valid_pixels=1, cloudy_pixels=0, scenes=(), files={},
        seconds={"total": sum(seconds.values()), **seconds}, device="cpu",
    )  # fmt: skip


@pytest.fixture
def said(monkeypatch):
    """What the server is told, on a clock that stands still, with a line that has not failed yet."""
    calls = []

    def create(share, *, key, description):
        calls.append((share, description))
        return uuid4()

    monkeypatch.setattr(reporting, "create_progress_artifact", create)
    monkeypatch.setattr(
        reporting,
        "update_progress_artifact",
        lambda _, progress, description: calls.append((progress, description)),
    )
    monkeypatch.setattr(reporting, "_LINE", reporting._Line())
    monkeypatch.setattr(reporting.time, "monotonic", lambda: reporting_clock[0])
    reporting_clock[0] = 1000.0
    return calls


reporting_clock = [0.0]
BLOCK = Block(id="33N_r0_c0", epsg=32633, row=0, col=0, height=1, width=1, acquisitions=(), windows=1)


def test_progress_tells_blocks_pace_and_what_is_waited_for(said):
    progress = RunProgress(10, 2)
    reporting_clock[0] += 10
    progress.block_done(BLOCK, receipt(data=3, model=6, other=1))
    progress.block_failed()
    progress.stage("assemble")
    reporting_clock[0] += 100
    progress.close()
    shares, texts = zip(*said, strict=True)
    assert shares == (20.0, 30.0, 30.0, 30.0)
    assert "Stage: **blocks**" in texts[0] and "2 of 10 blocks done, 2 of them before" in texts[0]
    assert "1 windows a second, about 1\u00a0min 10\u00a0s left" in texts[1]
    assert "30% waiting for imagery, 60% in the model, 10% everything else" in texts[1]
    assert "Stage: **assemble**" in texts[2] and "**1 failed**" in texts[2] and "left" not in texts[2]
    # Assembling takes nothing off the pace.
    assert "Stage: **ended**" in texts[3] and "1 windows a second" in texts[3]


def test_a_thousand_blocks_in_a_minute_are_twenty_updates(said):
    progress = RunProgress(1000, 0)
    for _ in range(1000):
        reporting_clock[0] += 0.06
        progress.block_done(BLOCK, receipt(model=1))
    assert 15 <= len(said) <= 22


def test_a_server_that_is_away_costs_one_line_and_is_asked_again_later(said, monkeypatch, caplog):
    tries = []

    def refuse(*_, **__):
        tries.append(1)
        raise ConnectionError("All connection attempts failed")

    create = reporting.create_progress_artifact
    monkeypatch.setattr(reporting, "create_progress_artifact", refuse)
    with caplog.at_level(logging.WARNING, "terramosaic.flows"):
        progress = RunProgress(10, 0)
        for _ in range(8):
            reporting_clock[0] += 10
            progress.block_done(BLOCK, receipt(model=1))
    assert len(tries) == 2 and len(caplog.records) == 1
    assert "the run goes on without: ConnectionError: All connection" in caplog.text
    monkeypatch.setattr(reporting, "create_progress_artifact", create)
    reporting_clock[0] += 100
    progress.close()
    assert [share for share, _ in said] == [80.0]


@pytest.mark.parametrize("region", ["", "Südtirol / 2", "A_b"])
def test_keys_are_such_that_prefect_takes_them(region):
    key = reporting._key("plan", region)
    assert Artifact(type="table", key=key).key == key and key.startswith("plan")
