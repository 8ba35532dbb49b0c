"""The log as JSON: a line for each record, whatever it holds, and what it is about."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from terramosaic import json_log
from terramosaic.json_log import ContextPool, JsonLines, about, about_run, always_about


@pytest.fixture
def lines(monkeypatch):
    """What a logger has written, as objects."""
    monkeypatch.setattr(json_log, "_ALWAYS", {})
    log, written = logging.getLogger("terramosaic.of_a_test"), []

    class Kept(logging.Handler):
        def emit(self, record):
            text = self.format(record)
            assert "\n" not in text
            written.append(json.loads(text))

    handler = Kept()
    handler.setFormatter(JsonLines("default", None, "%"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield log, written
    log.removeHandler(handler)


def test_a_line_says_when_who_and_what(lines):
    log, written = lines
    log.warning("block %s: “%s”\nsecond line", "33N_r0", "é")
    (told,) = written
    assert told.pop("time").endswith("+00:00")
    assert told == {
        "level": "WARNING",
        "logger": "terramosaic.of_a_test",
        "message": "block 33N_r0: “é”\nsecond line",
    }


def test_a_line_says_what_it_is_about_also_from_threads_that_were_given_work(lines):
    log, written = lines
    always_about(flow_run="f")

    @about_run
    def work(plan):
        with about(block="b"), ContextPool(1) as pool:
            pool.submit(log.info, "read").result()
            list(pool.map(log.info, ["mapped"]))
        log.info("assembled")

    work(plan=type("Plan", (), {"run_id": "r"})())
    log.info("after")
    # Prefect's records, and those of other processes, say it themselves.
    log.info("of Prefect", extra={"flow_run_id": "g"})
    log.info("of another process", extra={"run": "s", "block": "c"})
    fields = [{name: told[name] for name in told if name in json_log.FIELDS} for told in written]
    read = {"flow_run": "f", "run": "r", "block": "b"}
    assert fields == [
        read, read, {"flow_run": "f", "run": "r"}, {"flow_run": "f"}, {"flow_run": "g"},
        {"flow_run": "f", "run": "s", "block": "c"},
    ]  # fmt: skip


def test_an_error_comes_with_its_traceback(lines):
    log, written = lines
    try:
        raise KeyError("a bug")
    except KeyError:
        log.error("it failed", exc_info=sys.exc_info())
    assert written[0]["error"].endswith("KeyError: 'a bug'")
