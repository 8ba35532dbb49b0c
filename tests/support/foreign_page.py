"""What a page of any origin tries, to start a run by way of the browser that shows it."""

from __future__ import annotations

from typing import Any

_TRY = """
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


def try_all(
    page: Any, origin: str, deployment: str, body: dict[str, Any], headers: dict[str, str]
) -> dict[str, Any]:
    """Tries to start a run by every way that a page has, and says what became of each.

    Args:
        page: of the browser.
        origin: of the server.
        deployment: its id.
        body: of the request.
        headers: of the request, where a page may choose them.
    """
    tried: dict[str, Any] = page.evaluate(
        _TRY, {"api": f"{origin}/api", "deployment": deployment, "body": body, "headers": headers}
    )
    return tried
