"""``python -m flows.service``: pool, deployments and automations on the server that PREFECT_API_URL names.

What ``terramosaic up`` does on its own server, for one that runs elsewhere. Say it as often as you like.
"""

from __future__ import annotations

import asyncio
import os
import sys

from prefect.client.orchestration import get_client

from engine.errors import RequestError, TerramosaicError
from flows.service import setup
from flows.service.settings import OUT_SETTING

#: Flow runs that the pool lets work at the same time, on all its workers together.
RUNS_SETTING = "TERRAMOSAIC_POOL_RUNS"


def main() -> None:
    """Sets up the server; ends with one line and the error's code if it cannot."""
    try:
        if not os.environ.get("PREFECT_API_URL"):
            raise RequestError("PREFECT_API_URL: name the server, such as http://127.0.0.1:4200/api")
        if not os.environ.get(OUT_SETTING, "").startswith("/"):
            raise RequestError(
                f"{OUT_SETTING}: name the folder for runs, an absolute path that every worker sees"
            )
        folder = setup.deployments_folder()
        asyncio.run(_pool_and_automations())
        setup.deploy(folder, os.environ)
    except TerramosaicError as error:
        print(f"terramosaic: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


async def _pool_and_automations() -> None:
    async with get_client() as client:
        await setup.make_pool(client, int(os.environ.get(RUNS_SETTING, "2")))
        await setup.apply_automations(client, setup.deployments_folder())


if __name__ == "__main__":
    main()
