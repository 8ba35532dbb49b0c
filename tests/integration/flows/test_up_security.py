"""Who may ask the server of `terramosaic up`: its user with the login, and no page of another origin.

What such a page tries is tried by a real browser: requests that are asked for beforehand and those that are not, a
form, a WebSocket, a frame, and all of it under a name that stands for loopback. Each is tried with and without the
login on the server, and its own page then does the same, so that a refusal is not a mistake in the request.
"""

from __future__ import annotations

import base64
import http.client
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from tests.support.browser import browser_page
from tests.support.loopback import serving
from tests.support.services import Service, service, wait_for

#: A name of the web that was pointed to loopback, as a page does that is its own DNS server.
REBOUND = "rebound.example"

#: Tries to start a run by every way that a page has, and says what became of each.
TRY = """
async ({api, deployment, body, headers}) => {
  const url = `${api}/deployments/${deployment}/create_flow_run`;
  const named = way => JSON.stringify({...body, name: way});
  const asked = async (way, options) => {
    try {
      for (const wait of [1, 2, 4, 8, 0]) {
        const answer = await fetch(url, {method: "POST", body: named(way), ...options});
        if (answer.type === "opaque") return "opaque";
        // SQLite's lock was held for too long.
        if (answer.status !== 503 || !wait) return answer.status;
        await new Promise(done => setTimeout(done, 1000 * wait));
      }
    } catch (error) { return "failed"; }
  };
  const form = () => new Promise(done => {
    const frame = document.createElement("iframe");
    frame.name = "answer";
    document.body.append(frame);
    const form = document.createElement("form");
    Object.assign(form, {method: "POST", enctype: "text/plain", target: "answer", action: url});
    const input = document.createElement("input");
    // Sent as name=value: JSON with an equals sign in a string of no interest.
    input.name = named("form").slice(0, -1) + ',"labels":{"a":"';
    input.value = '"}}';
    form.append(input);
    document.body.append(form);
    frame.onload = () => { frame.remove(); form.remove(); done("sent"); };
    form.submit();
  });
  const socket = path => new Promise(done => {
    const opened = new WebSocket(`${api.replace("http", "ws")}${path}`);
    opened.onopen = () => { opened.close(); done("open"); };
    opened.onerror = () => done("failed");
  });
  return {
    json: await asked("json", {headers: {"Content-Type": "application/json", ...headers}}),
    text: await asked("text", {mode: "no-cors", headers: {"Content-Type": "text/plain"}}),
    // Without a type nobody is asked beforehand, and Prefect takes it for JSON.
    untyped: await asked("untyped", {mode: "no-cors", body: new Blob([named("untyped")])}),
    form: await form(),
    events: await socket("/events/in"),
    logs: await socket("/logs/out"),
  };
}
"""


@pytest.fixture(scope="module", params=[[], ["--no-login"]], ids=["login", "no login"])
def running(request, tmp_path_factory) -> Iterator[Service]:
    """`up` with its login, and without one."""
    with service(tmp_path_factory.mktemp("up") / "home", *request.param) as up:
        yield up


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


def runs_made(up: Service) -> set[str]:
    """Names of the runs that were started by a try."""
    return {run["name"] for run in up.call("/flow_runs/filter", {})}


def test_programs_need_the_login_and_the_servers_own_name(running):
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
def test_a_socket_of_another_origin_is_not_opened(running, path):
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


def test_the_login_is_its_users_and_nowhere_else(running):
    said = "".join(running.said)
    if running.login is None:
        assert not (running.home / "login").exists()
        assert "--no-login: every user and program of this machine can start runs" in said
        return
    file = running.home / "login"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert f"enter the line in {file}" in said
    secrets = [running.login.partition(":")[2], basic(running.login)["Authorization"].partition(" ")[2]]
    for secret in secrets:
        assert secret not in said
        lines = [path.read_text().replace("\0", " ") for path in Path("/proc").glob("[0-9]*/cmdline")]
        assert not [line for line in lines if secret in line]
        holders = [
            path
            for path in running.home.rglob("*")
            if path.is_file() and secret.encode() in path.read_bytes()
        ]
        assert holders in ([], [file])


def test_a_page_of_another_origin_starts_nothing(running, elsewhere, tmp_path):
    mark = tmp_path / "a-page-was-here"
    deployment = running.call("/deployments/name/map-region/map-region")["id"]
    request = {"region": {"tile": "33TWL"}, "datetime": "2023-08", "out": str(tmp_path / "maps")}
    body = {"parameters": {"request": request}, "job_variables": {"command": f"touch {mark}"}}

    def tried(page: Any, origin: str, headers: dict[str, str]) -> dict[str, Any]:
        api = f"{origin}/api"
        return page.evaluate(TRY, {"api": api, "deployment": deployment, "body": body, "headers": headers})

    own = f"http://127.0.0.1:{running.port}"
    before = runs_made(running)
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
        page.route(f"{rebound}/", lambda route: route.fulfill(body="<body></body>", content_type="text/html"))
        page.goto(f"{rebound}/")
        page.unroute(f"{rebound}/")
        assert tried(page, rebound, basic(running.login)) == {
            "json": 421, "text": 421, "untyped": 421, "form": "sent", "events": "failed", "logs": "failed",
        }  # fmt: skip
        assert runs_made(running) == before
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
            assert runs_made(running) == before
            assert tried(page, own, basic(running.login))["json"] == 201
            assert runs_made(running) == before | {"json"}
        else:
            assert tried(page, own, {}) == {
                "json": 201, "text": 422, "untyped": 201, "form": "sent", "events": "open", "logs": "open",
            }  # fmt: skip
            assert runs_made(running) == before | {"json", "untyped"}
    wait_for("the command that was in the job variables", mark.exists)
