"""``terramosaic up`` for real: server and worker on loopback, asked, stopped and started again; and who may ask.

What a page of another origin tries is tried by a real browser: requests that are asked for beforehand and those that
are not, a form, a WebSocket, a frame, and all of it under a name that stands for loopback. Each is tried with and
without the login on the server, and its own page then does the same, so that a refusal is not a mistake in the request.
"""

from __future__ import annotations

import base64
import http.client
import re
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from terramosaic.ground.grid import Rect
from tests.integration.conftest import LAND
from tests.support.browser import browser_page
from tests.support.foreign_page import try_all
from tests.support.loopback import serving
from tests.support.postgres import has_postgres, postgres_server
from tests.support.services import UP, Home, Service, environment, login_of, processes_of, wait_for

#: A name of the web that was pointed to loopback, as a page does that is its own DNS server.
REBOUND = "rebound.example"


def run_up(home: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*UP, "--home", str(home), *arguments],
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_check_proves_a_set_up(tmp_path):
    """On PostgreSQL where it is installed: SQLite is what all others here run on."""
    home = tmp_path / "home"
    with ExitStack() as stack:
        on_postgres = has_postgres()
        more = (
            {"PREFECT_SERVER_DATABASE_CONNECTION_URL": stack.enter_context(postgres_server())}
            if on_postgres
            else {}
        )
        done = run_up(home, "--check", "--no-login", **more)
    assert done.returncode == 0, done.stderr
    assert "triggered through the API" in done.stderr and "made by the schedule" in done.stderr
    assert done.stderr.count(": Completed after") == 2 and "all is well" in done.stderr
    assert processes_of(home) == []
    assert (home / "prefect.db").exists() is not on_postgres
    assert login_of(home) is None


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
        done = run_up(tmp_path / "home", *(word.format(**names) for word in arguments))
    assert done.returncode in (2, 6)
    assert line.format(**names) in done.stderr and len(done.stderr.strip().splitlines()) == 1


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[int]:
    """Port of a web site on this machine, which shows an empty page."""

    async def show(_: Any) -> HTMLResponse:
        return HTMLResponse("<!doctype html><title>elsewhere</title><body></body>")

    with serving(Starlette(routes=[Route("/", show)])) as port:
        yield port


def answer(up: Service, method: str, path: str, **headers: str) -> http.client.HTTPResponse:
    """The server's answer to a program, with any headers."""
    connection = http.client.HTTPConnection("127.0.0.1", up.port, timeout=60)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body=b"{}" if method == "POST" else None, headers=given)
    return connection.getresponse()


def basic(login: str | None) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}


def tries_made(up: Service) -> list[dict[str, Any]]:
    """Runs that a page has started: each is named by the way."""
    tries = {"flow_runs": {"name": {"any_": ["json", "text", "untyped", "form"]}}}
    return list(up.call("/flow_runs/filter", tries))


def ways(tries: list[dict[str, Any]]) -> list[str]:
    return sorted(run["name"] for run in tries)


def texts(paths: Iterator[Path]) -> Iterator[tuple[Path, bytes]]:
    """What is in the files that are still there when they are read."""
    for path in paths:
        with suppress(OSError):
            yield path, path.read_bytes()


class WhoMayAsk:
    """The server answers its user with the login, and no page of another origin."""

    arguments: tuple[str, ...] = ()

    @pytest.fixture
    def running(self, up: Home) -> Service:
        return up(*self.arguments)

    def test_programs_need_the_login_and_the_servers_own_name(self, running):
        own = f"127.0.0.1:{running.port}"
        asking = {"Content_Type": "application/json"}
        with_login = asking | basic(running.login)
        path = "/api/flow_runs/filter"
        assert answer(running, "POST", path, **with_login).status == 200
        assert answer(running, "POST", path, **with_login, Host=f"localhost:{running.port}").status == 200
        assert answer(running, "POST", path, **with_login, Origin=f"http://{own}").status == 200
        # Without the login, and with a wrong one.
        for wrong in ({}, basic("terramosaic:secret")):
            assert answer(running, "POST", path, **asking, **wrong).status == (401 if running.login else 200)
        # What says nothing is open: whether it is there, and the page to log in.
        assert answer(running, "GET", "/api/health").status == 200
        assert answer(running, "GET", "/v2/").status == 200
        # Another name, or another origin: nothing is answered, whoever has the login.
        for name in (f"{REBOUND}:{running.port}", REBOUND, "127.0.0.1", f"localhost:{running.port + 1}"):
            for each in ("/api/health", "/", "/ui-settings"):
                assert answer(running, "GET", each, **basic(running.login), Host=name).status == 421
        for origin in ("http://evil.example", "null", f"http://127.0.0.1:{running.port + 1}"):
            assert answer(running, "POST", path, **with_login, Origin=origin).status == 403
            preflight = answer(
                running,
                "OPTIONS",
                path,
                Origin=origin,
                Access_Control_Request_Method="POST",
                Access_Control_Request_Headers="content-type,authorization",
            )
            assert preflight.status == 403
            assert not [name for name in preflight.headers if name.lower().startswith("access-control")]

    @pytest.mark.parametrize("path", ["/api/events/in", "/api/logs/out"])
    def test_a_socket_of_another_origin_is_not_opened(self, running, path):
        wanted = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec_WebSocket_Version": "13",
            "Sec_WebSocket_Key": base64.b64encode(bytes(16)).decode(),
            # With this Prefect opens the socket, and asks for the login afterwards.
            "Sec_WebSocket_Protocol": "prefect",
        }
        assert answer(running, "GET", path, **wanted).status == 101
        assert answer(running, "GET", path, **wanted, Origin=f"http://127.0.0.1:{running.port}").status == 101
        assert answer(running, "GET", path, **wanted, Origin="http://evil.example").status == 403
        assert answer(running, "GET", path, **wanted, Host=f"{REBOUND}:{running.port}").status == 403

    def test_the_login_is_its_users_and_nowhere_else(self, running):
        said = "".join(running.said)
        if running.login is None:
            assert "--no-login: every user and program of this machine can start runs" in said
            return
        file = running.home / "login"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert f"enter the line in {file}" in said
        secrets = [running.login.partition(":")[2], basic(running.login)["Authorization"].partition(" ")[2]]
        for secret in secrets:
            assert secret not in said
            assert not [
                path for path, text in texts(Path("/proc").glob("[0-9]*/cmdline")) if secret.encode() in text
            ]
            holders = [path for path, text in texts(running.home.rglob("*")) if secret.encode() in text]
            assert holders in ([], [file])

    def test_a_page_of_another_origin_starts_nothing(self, running, elsewhere, tmp_path):
        deployment = running.call("/deployments/name/map-region/map-region")["id"]
        request = {"region": {"tile": "33TWL"}, "datetime": "2023-08", "out": str(tmp_path / "maps")}
        body = {"parameters": {"request": request}}

        def tried(page: Any, origin: str, headers: dict[str, str]) -> dict[str, Any]:
            return try_all(page, origin, deployment, body, headers)

        own = f"http://127.0.0.1:{running.port}"
        before = ways(tries_made(running))
        with browser_page({REBOUND: "127.0.0.1"}) as page:
            # Not even with the login, should a page have guessed it.
            for name in ("127.0.0.1", "localhost"):
                page.goto(f"http://{name}:{elsewhere}/")
                for headers in ({}, basic(running.login)):
                    assert tried(page, own, headers) == {
                        "json": "failed", "text": "opaque", "untyped": "opaque", "form": "sent",
                        "events": "failed", "logs": "failed",
                    }  # fmt: skip
            # A page that was loaded before its name was pointed here is of the same origin for the browser.
            rebound = f"http://{REBOUND}:{running.port}"
            page.route(
                f"{rebound}/", lambda route: route.fulfill(body="<body></body>", content_type="text/html")
            )
            page.goto(f"{rebound}/")
            page.unroute(f"{rebound}/")
            assert tried(page, rebound, basic(running.login)) == {
                "json": 421, "text": 421, "untyped": 421, "form": "sent", "events": "failed", "logs": "failed",
            }  # fmt: skip
            assert ways(tries_made(running)) == before
            # Nor is the UI shown in a frame, to have its buttons pressed.
            page.goto(f"http://127.0.0.1:{elsewhere}/")
            page.evaluate(
                "url => new Promise(done => { const frame = document.createElement('iframe');"
                "document.body.append(frame); frame.onload = done; frame.src = url; })",
                f"{own}/v2/",
            )
            assert page.frames[1].url.startswith("chrome-error:")

            # Its own page may, and so what was tried above would have started a run.
            page.goto(f"{own}/ui-settings")
            if running.login:
                refused = tried(page, own, {})
                assert (refused["json"], refused["untyped"], refused["events"]) == (401, 401, "failed")
                assert ways(tries_made(running)) == before
                assert tried(page, own, basic(running.login))["json"] == 201
                assert ways(tries_made(running)) == sorted([*before, "json"])
            else:
                assert tried(page, own, {}) == {
                    "json": 201, "text": 422, "untyped": 201, "form": "sent", "events": "open", "logs": "open",
                }  # fmt: skip
                assert ways(tries_made(running)) == sorted([*before, "json", "untyped"])
        for run in tries_made(running):
            cancelled = {"state": {"type": "CANCELLED"}, "force": True}
            running.call(f"/flow_runs/{run['id']}/set_state", cancelled)


@pytest.mark.slow
class TestWithTheLogin(WhoMayAsk):
    def test_who_starts_a_run_brings_no_command(self, running, tmp_path):
        mark = tmp_path / "a-command-was-here"
        deployment = running.call("/deployments/name/map-region/map-region")
        request = {"region": {"tile": "33TWL"}, "datetime": "2023-08", "out": "relative"}
        wanted = {
            "command": f"touch {mark}",
            "env": {"PYTHONPATH": str(tmp_path)},
            "env.PYTHONPATH": str(tmp_path),
            "working_dir": str(tmp_path),
        }
        # What Python imports by itself, were it to look there.
        (tmp_path / "sitecustomize.py").write_text(f"open({str(mark)!r}, 'w')")
        path = f"/deployments/{deployment['id']}/create_flow_run"
        for name, value in wanted.items():
            asked = {"parameters": {"request": request}, "job_variables": {name: value}}
            with pytest.raises(HTTPError, match="422"):
                running.call(path, asked)
        # Prefect checks no job variables of a run that is made without its deployment's own way. They are not heeded.
        run = running.call(
            "/flow_runs/",
            {
                "flow_id": deployment["flow_id"],
                "deployment_id": deployment["id"],
                "work_pool_name": "terramosaic",
                "parameters": {"request": request},
                "state": {"type": "SCHEDULED"},
                "job_variables": wanted,
            },
        )
        ended = wait_for("the run's end", lambda: running.ended(run["id"]))
        assert "out: 'relative' is relative" in ended["state"]["message"]
        assert not mark.exists()


def automations_of(up: Service) -> list[tuple[str, str]]:
    """The server's automations by name, with when they were changed."""
    return sorted((each["name"], each["updated"]) for each in up.call("/automations/filter", {}))


def schedule(up: Service, request: dict[str, Any]) -> str:
    """A run that a schedule makes, not we."""
    deployment = up.call("/deployments/name/map-region/map-region")["id"]
    # On a busy machine the scheduler may come too late for the first time.
    first = datetime.now(UTC) + timedelta(seconds=8)
    due = {"interval": timedelta(minutes=2).total_seconds(), "anchor_date": first.isoformat()}
    path = f"/deployments/{deployment}/schedules"
    (made,) = up.call(path, [{"schedule": due, "active": True, "parameters": {"request": request}}])

    def started() -> list[dict[str, Any]]:
        runs = up.call("/flow_runs/filter", {})
        return [run for run in runs if run["auto_scheduled"] and run["state_type"] == "RUNNING"]

    (run,) = wait_for("the schedule's run", started)
    # What it has made for later goes with it.
    up.call(f"{path}/{made['id']}", method="DELETE")
    return str(run["id"])


@pytest.mark.slow
def test_a_stopped_run_goes_on_at_the_next_start(up, land, tmp_path):
    """At first with the login, then without one, which the next tests need."""
    request = land.request(Rect(LAND.row, LAND.col, 1500, 1500), tmp_path / "out").model_dump(mode="json")
    first = up()
    home = first.home
    another = run_up(home)
    assert another.returncode == 2 and "in use by another" in another.stderr
    refused = first.trigger(request | {"out": "maps"})
    state = wait_for("the refusal", lambda: first.ended(refused))["state"]
    assert state["type"] == "FAILED" and state["message"].startswith("out: 'maps' is relative")
    of_this = {"logs": {"flow_run_id": {"any_": [refused]}, "level": {"ge_": 40}}}
    (line,) = wait_for("its log", lambda: first.call("/logs/filter", of_this))
    assert line["message"] == state["message"]
    run = schedule(first, request)
    wait_for("a block", lambda: list((tmp_path / "out").glob("*/blocks/*/block.json")))
    assert first.call(f"/flow_runs/{run}")["state_name"] == "Running"
    automations = automations_of(first)
    said = first.stop(signal.SIGTERM)
    assert "waiting for the next" in said
    # The line for Prefect's own commands does what it says, and does not show the login.
    (line,) = re.findall("export PREFECT_API_URL=.*", "".join(first.said))
    shown = subprocess.check_output(["sh", "-c", f"{line}; printenv PREFECT_API_AUTH_STRING"], text=True)
    assert shown.strip() == first.login and first.login not in said + "".join(first.said)
    assert processes_of(home) == []
    receipts = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/blocks/*/block.json")}
    assert not list((tmp_path / "out").glob("*/item.json"))
    second = up("--no-login")
    assert first.login is not None and login_of(home) == first.login

    def end() -> dict[str, Any] | None:
        # On a machine without a moment for heartbeats it is taken for lost, and goes on once more.
        ended = second.ended(run)
        return ended if ended and ended["state_type"] != "CRASHED" else None

    ended = wait_for("the end", end)
    assert ended["state_type"] == "COMPLETED" and ended["run_count"] >= 2, ended["state"]["message"]
    of_this = {"logs": {"flow_run_id": {"any_": [run]}}, "limit": 200}

    def lines() -> set[str]:
        return {each["message"] for each in second.call("/logs/filter", of_this)}

    # The engine's own; the last ones come when the run's process ends, after its state.
    wait_for("its last line", lambda: any(re.fullmatch(r"run \S+ published", line) for line in lines()))
    assert "mosaic NDVI.tif written" in lines()
    # Applied twice, changed once: what an automation has counted so far is not forgotten.
    assert automations_of(second) == automations
    assert [name for name, _ in automations] == ["crash-zombie-runs", "resume-crashed-runs"]
    assert list((tmp_path / "out").glob("*/item.json"))
    assert all(path.stat().st_mtime_ns == before for path, before in receipts.items())


@pytest.mark.slow
class TestWithoutALogin(WhoMayAsk):
    arguments = ("--no-login",)


@pytest.mark.slow
def test_ctrl_c_stops_all(up):
    running = up("--no-login")
    running.stop(signal.SIGINT)
    assert processes_of(running.home) == []
