"""``python -m terramosaic_flows.service.worker``: ``prefect worker start`` with an endpoint for metrics.

Arguments are those of ``prefect worker start``. TERRAMOSAIC_METRICS says where the endpoint listens; without it this is
Prefect's command and no more.
"""

from __future__ import annotations

import atexit
import logging
import os
import runpy
import shutil
import sys
import tempfile
from pathlib import Path

from terramosaic.errors import TerramosaicError
from terramosaic.settings import METRICS
from terramosaic.storage.tally import FOLDER

logger = logging.getLogger("terramosaic.flows")


def main() -> None:
    """Ends with one line and the error's code if the endpoint's address is none."""
    try:
        serve_metrics()
    except TerramosaicError as error:
        print(f"terramosaic: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    sys.argv = ["prefect", "worker", "start", *sys.argv[1:]]
    runpy.run_module("prefect", run_name="__main__")


def serve_metrics() -> None:
    """Starts the endpoint where one is asked for, and tells the processes below this one where to count.

    An address that cannot be listened on, such as another worker's of this machine, is told and stops no worker.

    Raises:
        RequestError: the setting is no address.
    """
    if not METRICS.text:
        return
    from terramosaic_flows.service.metrics import (
        address_of,
        serve,
    )  # where it is wanted alone, for start-up time

    host, port = address_of(METRICS.text)
    folder = Path(tempfile.mkdtemp(prefix="terramosaic-metrics-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        serve(folder, host, port)
    except OSError as error:
        logger.warning(
            "%s: nothing can listen on %s (%s); this worker has no metrics", METRICS, METRICS.text, error
        )
        return
    os.environ[FOLDER] = str(folder)


if __name__ == "__main__":
    main()
