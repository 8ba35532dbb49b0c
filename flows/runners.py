"""Where block tasks run, chosen by the setting ``TERRAMOSAIC_RUNNER``: ``threads``, or ``threads:N``."""

from __future__ import annotations

import os
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from engine.errors import RequestError

SETTING = "TERRAMOSAIC_RUNNER"


def task_runner() -> TaskRunner[Any]:
    """The task runner that the setting names.

    Raises:
        RequestError: the setting names none.
    """
    setting = os.environ.get(SETTING, "threads")
    name, _, count = setting.partition(":")
    if name != "threads" or (count and not (count.isdigit() and int(count) > 0)):
        raise RequestError(f"{SETTING}: {setting!r} is not a task runner; use threads or threads:N")
    # Prefect's own default is one thread per task, however many there are.
    return ThreadPoolTaskRunner(max_workers=int(count) if count else min(4, os.cpu_count() or 1))
