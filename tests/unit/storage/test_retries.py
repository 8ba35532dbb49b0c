"""The table of limits, and the page that shows it to operators."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from terramosaic.storage import retries
from terramosaic.storage.retries import HTTP, PASSING_STATUS, Limit

ROOT = Path(__file__).resolve().parents[3]
LIMITS = {name: value for name, value in vars(retries).items() if isinstance(value, Limit)}


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "operations.md").read_text()


def test_the_page_says_of_each_limit_what_the_table_says(page):
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.partition("\n## What is tried again")[2].partition("\n## ")[0].splitlines()
        if line.startswith("| `")
    ]
    assert [row[0].strip("`") for row in rows] == list(LIMITS)
    for limit, row in zip(LIMITS.values(), rows, strict=True):
        pauses = [f"{pause:g}" for pause in limit.pauses]
        told = row[4].removesuffix(", ...").split(", ")
        assert row[3] == str(limit.tries)
        assert told == (pauses[: len(told)] if row[4].endswith("...") else pauses) or not any(limit.pauses)
        assert row[5] == (f"{limit.longest:g}" if limit.longest >= 1 else "")


def test_the_page_names_the_answers_that_may_pass(page):
    assert sorted(PASSING_STATUS) == [408, 425, 429, 500, 502, 503, 504]
    assert f"given up {HTTP.within:g} s after it was first asked for" in page


def test_the_servers_automation_pauses_as_the_table_says():
    automations = yaml.safe_load((ROOT / "deployments" / "automations.yaml").read_text())["automations"]
    (resume,) = (each for each in automations if each["name"] == "resume-crashed-runs")
    assert resume["trigger"]["within"] == retries.FLOW_START.pause
