"""``terramosaic up`` for real: server and worker on loopback, on SQLite and PostgreSQL, stopped and started again."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from terramosaic.ground.grid import Rect
from tests.integration.conftest import LAND
from tests.support.postgres import postgres_server
from tests.support.services import UP, Service, environment, processes_of, service, wait_for


def updates(service: Service) -> list[tuple[str, str]]:
    """The server's automations by name, with when they were changed."""
    return sorted((each["name"], each["updated"]) for each in service.call("/automations/filter", {}))


def up(home: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*UP, "--home", str(home), *arguments],
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
    )


def test_check_proves_a_set_up_on_sqlite(tmp_path):
    done = up(tmp_path / "home", "--check")
    assert done.returncode == 0, done.stderr
    assert "triggered through the API" in done.stderr and "made by the schedule" in done.stderr
    assert done.stderr.count(": Completed after") == 2 and "all is well" in done.stderr
    assert processes_of(tmp_path / "home") == []


def test_check_proves_a_set_up_on_postgresql(tmp_path):
    with postgres_server() as url:
        done = up(tmp_path / "home", "--check", PREFECT_SERVER_DATABASE_CONNECTION_URL=url)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(": Completed after") == 2
    assert not (tmp_path / "home" / "prefect.db").exists()


def test_a_stopped_run_goes_on_at_the_next_start(land, tmp_path):
    home = tmp_path / "home"
    request = land.request(Rect(LAND.row, LAND.col, 1500, 1500), tmp_path / "out").model_dump(mode="json")
    with service(home) as first:
        another = up(home)
        assert another.returncode == 2 and "in use by another" in another.stderr
        refused = first.trigger(request | {"out": "maps"})
        state = wait_for("the refusal", lambda: first.ended(refused))["state"]
        assert state["type"] == "FAILED" and state["message"].startswith("out: 'maps' is relative")
        of_this = {"logs": {"flow_run_id": {"any_": [refused]}, "level": {"ge_": 40}}}
        (line,) = wait_for("its log", lambda: first.call("/logs/filter", of_this))
        assert line["message"] == state["message"]
        run = first.trigger(request)
        wait_for("a block", lambda: list((tmp_path / "out").glob("*/blocks/*/block.json")))
        assert first.call(f"/flow_runs/{run}")["state_name"] == "Running"
        automations = updates(first)
        said = first.stop(signal.SIGTERM)
    assert "waiting for the next" in said
    # The line for Prefect's own commands does what it says, and does not show the login.
    (line,) = re.findall("export PREFECT_API_URL=.*", "".join(first.said))
    shown = subprocess.check_output(["sh", "-c", f"{line}; printenv PREFECT_API_AUTH_STRING"], text=True)
    assert shown.strip() == first.login and first.login not in said + "".join(first.said)
    assert processes_of(home) == []
    receipts = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/blocks/*/block.json")}
    assert not list((tmp_path / "out").glob("*/item.json"))
    with service(home) as second:
        assert first.login is not None and second.login == first.login
        ended = wait_for("the end", lambda: second.ended(run))
        assert (ended["state_type"], ended["run_count"]) == ("COMPLETED", 2), ended["state"]["message"]
        lines = {each["message"] for each in second.call("/logs/filter", {"limit": 200, "offset": 0})}
        assert any(re.fullmatch(r"block \w+: \d+ windows in .* s", line) for line in lines), lines
        # Applied twice, changed once: what an automation has counted so far is not forgotten.
        assert updates(second) == automations
        second.stop(signal.SIGINT)
    assert [name for name, _ in automations] == ["crash-zombie-runs", "resume-crashed-runs"]
    assert list((tmp_path / "out").glob("*/item.json"))
    assert all(path.stat().st_mtime_ns == before for path, before in receipts.items())
    assert processes_of(home) == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--port", "{taken}"], "port: {taken} is taken"),
        (["--home", "{file}/home"], "home: {file}/home cannot be written"),
    ],
)
def test_what_cannot_be_started_is_said_in_one_line(arguments, line, tmp_path):
    (tmp_path / "file").write_text("")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        names = {"taken": str(holder.getsockname()[1]), "file": str(tmp_path / "file")}
        done = up(tmp_path / "home", *(word.format(**names) for word in arguments))
    assert done.returncode in (2, 6)
    assert line.format(**names) in done.stderr and len(done.stderr.strip().splitlines()) == 1
