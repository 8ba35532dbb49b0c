"""``python -m terramosaic_flows.service``: pool, deployments and automations on the server that PREFECT_API_URL names.

What ``terramosaic up`` does on its own server, for one that runs elsewhere. Say it as often as you like.
"""

from __future__ import annotations

import asyncio
import os
import sys

import httpx

from terramosaic.errors import RequestError, TerramosaicError
from terramosaic.settings import MODEL, OUT, POOL_RUNS
from terramosaic.storage.location import is_url
from terramosaic_flows.offered import first_model
from terramosaic_flows.service import setup
from terramosaic_flows.service.settings import deployments_folder


def main() -> None:
    """Sets up the server; ends with one line and the error's code if it cannot."""
    try:
        if not os.environ.get("PREFECT_API_URL"):
            raise RequestError("PREFECT_API_URL: name the server, such as http://127.0.0.1:4200/api")
        out = OUT.text
        if not (out.startswith("/") or is_url(out)):
            raise RequestError(
                f"{OUT}: {out!r} is no place for runs; name an absolute path or a bucket that every worker sees"
            )
        folder = deployments_folder()
        environment = {MODEL.name: first_model(), **os.environ}
        asyncio.run(_prepare(POOL_RUNS.whole_number(2)))
        setup.deploy(folder, environment)
    except TerramosaicError as error:
        print(f"terramosaic: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


async def _prepare(runs: int) -> None:
    server = os.environ["PREFECT_API_URL"]
    try:
        await setup.prepare(runs)
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        advice = "set PREFECT_API_AUTH_STRING" if status == 401 else "look into the server's log"
        raise TerramosaicError(f"PREFECT_API_URL: {server} answered {status}; {advice}") from error
    except httpx.HTTPError as error:
        raise TerramosaicError(
            f"PREFECT_API_URL: no server answers at {server} ({error}); start one"
        ) from error


if __name__ == "__main__":
    main()
