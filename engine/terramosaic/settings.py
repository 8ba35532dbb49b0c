"""What the environment sets: each ``TERRAMOSAIC_`` variable with its meaning, said here and nowhere else.

Readers take the value from here, ``terramosaic config`` shows it, and docs/operations.md has the same table. Settings
say how and where a process works; what decides pixels is in the request.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from terramosaic.errors import RequestError

PREFIX = "TERRAMOSAIC_"

#: Who reads a setting.
Reader = Literal["all", "workers", "up, service", "compose"]

#: How names of store's settings end whose values nobody is to see.
_SECRETS = ("KEY", "KEY_ID", "TOKEN", "SECRET", "PASSWORD", "AUTH", "CREDENTIALS")


@dataclass(frozen=True)
class Setting:
    """A variable of the environment; one that is empty counts as not set.

    Attributes:
        name: of the variable. With ``*`` at its end it stands for all that begin so.
        default: what holds where it is not set, in words.
        meaning: what it does, as a line of Markdown.
        reader: who reads it: every process that plans, maps or reads; workers, in flow runs; what sets a server up; or
            the containers of ``deployments/docker``.
        is_secret: whether nobody is to see its value.
    """

    name: str
    default: str
    meaning: str
    reader: Reader = "all"
    is_secret: bool = False

    @property
    def text(self) -> str:
        """What the environment says; empty where it says nothing."""
        return os.environ.get(self.name, "")

    @property
    def names(self) -> list[str]:
        """The parts of a list with commas."""
        return [part.strip() for part in self.text.split(",") if part.strip()]

    def whole_number(self, default: int) -> int:
        """A number above 0.

        Raises:
            RequestError: it is none.
        """
        text = self.text or str(default)
        if not text.isdecimal() or int(text) < 1:
            raise RequestError(f"{self.name}: {text!r} is not a whole number above 0")
        return int(text)

    def __str__(self) -> str:
        return self.name


CACHE = Setting(
    "TERRAMOSAIC_CACHE",
    "the platform's, such as `~/.cache/terramosaic`",
    "Folder for what can be made again: models prepared for this machine, fetched bundles, catalogs of own imagery, "
    "where samples lie. May be deleted at any time",
)
SCRATCH = Setting(
    "TERRAMOSAIC_SCRATCH",
    "the system's for temporary files",
    "Local folder for what is on its way to or from a store. Room for twice the largest mosaic, and for a watch that "
    "makes its newest mosaics anew for two runs' mosaics and four of the largest; empty when nothing runs",
)
ROOTS = Setting(
    "TERRAMOSAIC_ROOTS",
    "every place",
    "Folders and URLs, separated by commas, that requests may name, and what is below them",
)
PRIVATE_HOSTS = Setting(
    "TERRAMOSAIC_PRIVATE_HOSTS",
    "none",
    "Names of private hosts, separated by commas, that catalogs of public hosts may name; `*` for all",
)
PUBLIC_URL = Setting(
    "TERRAMOSAIC_PUBLIC_URL",
    "none: documents do not name themselves",
    "The URL under which the output folder is served, as `terramosaic serve` does it; catalog, collections and items "
    "link to themselves there, reports to the map, and flow runs to both. Where `TERRAMOSAIC_OUT` is set it is that "
    "folder's: what lies below links there, and what lies elsewhere nowhere",
)
STORE = Setting(
    "TERRAMOSAIC_STORE_*",
    "what `AWS_*` says",
    "Credentials and endpoint of the outputs' store, where scenes are read from another one: "
    "`TERRAMOSAIC_STORE_ACCESS_KEY_ID`, `..._SECRET_ACCESS_KEY`, `..._ENDPOINT_URL`, and what else obstore takes",
    is_secret=True,
)
PRICES = Setting(
    "TERRAMOSAIC_PRICES",
    "none: plans tell time, network and disk, and no cost",
    "YAML file of prices that `plan` quotes cost and energy by, and that `max_cost` is held to; see docs/quote.md",
)
BLOCK_TIMEOUT = Setting(
    "TERRAMOSAIC_BLOCK_TIMEOUT",
    "86 400, a day",
    "Seconds that a block may take; one that takes longer hangs, its worker is killed and the block tried by another. "
    "In no run's id",
)
DEVICE_LOCKS = Setting(
    "TERRAMOSAIC_DEVICE_LOCKS",
    "`terramosaic-devices` in the system's for temporary files",
    "Folder for the locks by which processes take turns on a GPU; containers that see the same GPU must share it",
)
LOG = Setting(
    "TERRAMOSAIC_LOG",
    "`text`",
    "`json`: what the command line and Prefect's processes log is one JSON object a line, with the ids of run, block "
    "and flow run",
)
RUNNER = Setting(
    "TERRAMOSAIC_RUNNER",
    "`threads`",
    "Where blocks of a flow run are computed: `threads:N`, `processes:cuda:0,cuda:1`, `dask:...`, `ray:...`",
    "workers",
)
TASK_SECONDS = Setting(
    "TERRAMOSAIC_TASK_SECONDS",
    "30",
    "Work that is put together into one task of a flow run, in seconds; 0 makes each block a task",
    "workers",
)
SPLIT = Setting(
    "TERRAMOSAIC_SPLIT",
    "2 000",
    "Blocks above which a run hands them out by grid cell of 100 km, each a flow run of its own",
    "workers",
)
MAX_STARTS = Setting(
    "TERRAMOSAIC_MAX_STARTS",
    "10",
    "Starts of one flow run, resumes included, until it fails instead of being resumed once more",
    "workers",
)
METRICS = Setting(
    "TERRAMOSAIC_METRICS",
    "none",
    "Address of a worker's endpoint for Prometheus, such as `127.0.0.1:9464`: of the worker of `terramosaic up`, or "
    "one that `python -m terramosaic_flows.service.worker` starts",
    "workers",
)
MODELS = Setting(
    "TERRAMOSAIC_MODELS",
    "every name may be given",
    "Bundles, and folders of bundles, separated by commas, that the form offers; `demo` may be one",
    "up, service",
)
MODEL = Setting(
    "TERRAMOSAIC_MODEL",
    "the first of `TERRAMOSAIC_MODELS`, or `demo`",
    "The model that deployments and their form begin with",
    "up, service",
)
OUT = Setting(
    "TERRAMOSAIC_OUT",
    "`up`: the folder `maps` of its home",
    "Output folder or bucket that deployments and their form begin with: absolute, and seen by every worker. Workers "
    "read it for links of runs below it",
)
POOL_RUNS = Setting(
    "TERRAMOSAIC_POOL_RUNS",
    "2",
    "Flow runs that the work pool lets work at the same time, where `python -m terramosaic_flows.service` makes it",
    "up, service",
)
FAILURE_WEBHOOK = Setting(
    "TERRAMOSAIC_FAILURE_WEBHOOK",
    "nobody is told; one that was named before still is",
    'URL that is sent `{"text": ...}` when a flow run fails, as Slack and Mattermost take it',
    "up, service",
    is_secret=True,
)
AUTH = Setting(
    "TERRAMOSAIC_AUTH",
    "must be set",
    "`user:password` of the Prefect server in containers",
    "compose",
    is_secret=True,
)
DATABASE_PASSWORD = Setting(
    "TERRAMOSAIC_DATABASE_PASSWORD",
    "must be set",
    "Password of its PostgreSQL",
    "compose",
    is_secret=True,
)

#: All of them, in the order in which they are told.
SETTINGS = (
    CACHE,
    SCRATCH,
    ROOTS,
    PRIVATE_HOSTS,
    PUBLIC_URL,
    STORE,
    PRICES,
    BLOCK_TIMEOUT,
    DEVICE_LOCKS,
    LOG,
    RUNNER,
    TASK_SECONDS,
    SPLIT,
    MAX_STARTS,
    METRICS,
    MODELS,
    MODEL,
    OUT,
    POOL_RUNS,
    FAILURE_WEBHOOK,
    AUTH,
    DATABASE_PASSWORD,
)


def is_log_json() -> bool:
    """Whether the log is to be JSON.

    Raises:
        RequestError: the setting says neither that nor text.
    """
    if LOG.text not in ("", "text", "json"):
        raise RequestError(f"{LOG}: {LOG.text!r} is neither text nor json")
    return LOG.text == "json"


def store_options() -> dict[str, str]:
    """What `STORE` sets, by the rest of the names, in small letters."""
    begin = STORE.name.rstrip("*")
    return {name.removeprefix(begin).lower(): text for name, text in _set() if name.startswith(begin)}


def setting_of(variable: str) -> Setting | None:
    """The setting that a variable of the environment is, or is one of."""
    return next(
        (
            each
            for each in SETTINGS
            if variable == each.name or (each.name.endswith("*") and variable.startswith(each.name[:-1]))
        ),
        None,
    )


def variables() -> Mapping[str, str]:
    """All variables of the environment that begin with `PREFIX`, also those that are no settings."""
    return {name: text for name, text in _set() if name.startswith(PREFIX)}


def is_secret(variable: str) -> bool:
    """Whether nobody is to see what a variable holds; of what is no setting the name decides."""
    setting = setting_of(variable)
    if setting is None or setting is STORE:
        return variable.endswith(_SECRETS)
    return setting.is_secret


def _set() -> list[tuple[str, str]]:
    return [(name, text) for name, text in sorted(os.environ.items()) if text]
