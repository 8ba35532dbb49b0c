"""``python -m tests.faults.outage``: the server is killed in the middle of a run, and comes back a minute later.

python -m tests.faults.outage --seconds 60 --work out/outage
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from pathlib import Path

from terramosaic.demo.world import write_world
from terramosaic_flows.service.login import keep_login
from terramosaic_flows.service.own_origin import server_command
from terramosaic_flows.service.processes import ManagedProcess, worker_command
from terramosaic_flows.service.settings import POOL, deployments_folder, service_environment
from tests.faults.__main__ import request_of_run
from tests.faults.shooting import receipts, same_pixels
from tests.support.services import call, free_port, wait_for


def main() -> None:
    """Runs, takes the server away, gives it back, and tells what became of the run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--work", type=Path, default=Path("out/outage"))
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    home = work / "home"
    home.mkdir(parents=True)
    port = free_port()
    login = keep_login(home, print)
    environment = service_environment(home, port, login) | {"TERRAMOSAIC_RUNNER": "processes:cpu,cpu"}
    # This process talks to that server as well.
    os.environ.update(environment)
    kept: list[ManagedProcess] = []

    def keep(name: str, command: list[str]) -> ManagedProcess:
        kept.append(ManagedProcess(name, command, environment, home / f"{name}.log"))
        return kept[-1]

    def serve() -> ManagedProcess:
        server = keep("server", server_command(port))
        wait_for("the server", lambda: _answers(port), 180)
        return server

    try:
        server = serve()
        _set_up()
        keep("worker", worker_command("--pool", POOL, "--type", "process"))
        request = request_of_run(write_world(work / "world"), work / "maps", seed=7)
        deployment = call(port, "/deployments/name/map-region/map-region", login=login)["id"]
        parameters = {"request": request.model_dump(mode="json")}
        run = call(port, f"/deployments/{deployment}/create_flow_run", {"parameters": parameters}, login)[
            "id"
        ]
        folder = work / "maps"
        wait_for("blocks", lambda: len(receipts(folder)) >= 3, 180)
        server.stop(0)
        before = receipts(folder)
        print(f"server killed with {len(before)} blocks done", flush=True)
        time.sleep(arguments.seconds)
        during = receipts(folder)
        print(
            f"{len(during) - len(before)} further blocks were done without it in {arguments.seconds:.0f} s",
            flush=True,
        )
        serve()
        ended = wait_for("the end", lambda: _ended(port, run, login), 400)
        last = receipts(folder)
        redone = sum(last[path] != stamp for path, stamp in during.items())
        print(f"{ended['state_name']}, started {ended['run_count']} times; {redone} finished blocks redone")
        print("pixels", "equal" if same_pixels(request, work / "unbroken") else "DIFFERENT")
    finally:
        for process in reversed(kept):
            process.stop(10)


def _set_up() -> None:
    from terramosaic_flows.service import setup

    asyncio.run(setup.prepare(2))
    setup.deploy(deployments_folder(), os.environ)


def _answers(port: int) -> bool:
    try:
        return bool(call(port, "/health"))
    except OSError:
        return False


def _ended(port: int, run: str, login: str) -> dict | None:
    try:
        found = call(port, f"/flow_runs/{run}", login=login)
    except OSError:
        return None
    return found if found["state_type"] in ("COMPLETED", "FAILED", "CANCELLED") else None


if __name__ == "__main__":
    main()
