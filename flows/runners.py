"""Where block tasks run, chosen by the setting ``TERRAMOSAIC_RUNNER``: ``threads``, or ``threads:N``."""

from __future__ import annotations

import os
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from engine.errors import RequestError
from engine.generator import available_cpus

SETTING = "TERRAMOSAIC_RUNNER"


def worker_count() -> int:
    """Blocks at the same time: the setting's N, by default one for each processor, at most 4.

    Raises:
        RequestError: the setting is not understood.
    """
    setting = os.environ.get(SETTING, "threads")
    name, _, count = setting.partition(":")
    if name != "threads" or (count and not (count.isdigit() and int(count) > 0)):
        raise RequestError(f"{SETTING}: {setting!r} is not a task runner; use threads or threads:N")
    return int(count) if count else min(4, available_cpus())


def task_runner() -> TaskRunner[Any]:
    """The task runner that the setting names; Prefect's own default would be a thread for every task there is."""
    return ThreadPoolTaskRunner(max_workers=worker_count())
