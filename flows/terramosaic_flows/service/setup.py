"""Pool, deployments and automations on a server: applied as often as one likes, with the same outcome."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import yaml
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.types import SecretDict
from pydantic import SecretStr

from terramosaic.errors import RequestError, TerramosaicError, one_line
from terramosaic.settings import FAILURE_WEBHOOK
from terramosaic_flows.service.settings import POOL, PREFECT_FILE, deployments_folder

AUTOMATIONS_FILE = "automations.yaml"
NOTIFICATION_FILE = "notification.yaml"

#: The block with the URL that is told of runs that failed.
WEBHOOK = "terramosaic-failures"

#: The template of the pool's jobs, and the kind of pool that it is for.
POOL_FILE = "process-pool.json"
_PROCESS = "process"

#: Prefect's command, once the flows were imported: it succeeds on a flow that cannot be, and its runs fail later.
_PREFECT_WITH_FLOWS = (
    "from terramosaic_flows import map_region, models, watch_region; "
    "import runpy; runpy.run_module('prefect', run_name='__main__')"
)


async def prepare(runs: int) -> None:
    """Pool and automations on the server that PREFECT_API_URL names.

    Args:
        runs: flow runs that the pool lets work at the same time.
    """
    async with get_client() as client:
        await make_pool(client, runs, deployments_folder())
        await apply_automations(client, automations_of(deployments_folder() / AUTOMATIONS_FILE))
        if FAILURE_WEBHOOK.text:
            block = await keep_webhook(client, FAILURE_WEBHOOK.text)
            await apply_automations(client, notifications_of(deployments_folder(), block))


async def make_pool(client: PrefectClient, runs: int, folder: Path) -> None:
    """The process work pool, with the number of runs that it lets work at the same time.

    By Prefect's own template a run's job variables name the command that its worker starts; by ours nothing of that. A
    pool of another kind was made by hand, from a template in its own folder.
    """
    template = json.loads((folder / POOL_FILE).read_text(encoding="utf-8"))
    try:
        pool = await client.read_work_pool(POOL)
    except ObjectNotFound:
        await client.create_work_pool(
            WorkPoolCreate(name=POOL, type=_PROCESS, concurrency_limit=runs, base_job_template=template)
        )
    else:
        kept = template if pool.type == _PROCESS else pool.base_job_template
        update = WorkPoolUpdate(concurrency_limit=runs, base_job_template=kept)
        await client.update_work_pool(POOL, update)


def deploy(folder: Path, environment: Mapping[str, str]) -> None:
    """Registers every deployment of ``prefect.yaml``, by Prefect's own command.

    Raises:
        TerramosaicError: a flow cannot be imported, or Prefect refused the file.
    """
    done = subprocess.run(
        [
            sys.executable, "-c", _PREFECT_WITH_FLOWS,
            "--no-prompt", "deploy", "--all", "--prefect-file", str(folder / PREFECT_FILE),
        ],
        env=dict(environment),
        cwd=folder.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Ctrl-C is for `up`, which stops when this is done.
        start_new_session=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        said = one_line(done.stdout)[-400:]
        raise TerramosaicError(f"{folder / PREFECT_FILE} could not be deployed: {said}")


async def keep_webhook(client: PrefectClient, url: str) -> UUID:
    """The block that holds the webhook's URL, which the server keeps encrypted; made, or brought up to date.

    Raises:
        RequestError: it is no URL of a web server.
    """
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise RequestError(f"{FAILURE_WEBHOOK}: it is no URL that begins with https:// or http://")
    block = Webhook(url=SecretStr(url), headers=SecretDict({"Content-Type": "application/json"}))
    saved: UUID = await block.save(WEBHOOK, overwrite=True, client=client)
    return saved


async def apply_automations(client: PrefectClient, automations: Iterable[Mapping[str, Any]]) -> None:
    """Makes automations on the server: known by name, changed in place, never doubled."""
    for wanted in automations:
        automation = AutomationCore.model_validate(wanted)
        found = await client.read_automations_by_name(automation.name)
        if not found:
            await client.create_automation(automation)
            continue
        if _content(found[0]) != _content(automation):
            await client.update_automation(found[0].id, automation)
        for double in found[1:]:
            await client.delete_automation(double.id)


def automations_of(file: Path) -> list[dict[str, Any]]:
    """What a file of automations lists."""
    return list(yaml.safe_load(file.read_text(encoding="utf-8"))["automations"])


def notifications_of(folder: Path, webhook: UUID) -> list[dict[str, Any]]:
    """What ``notification.yaml`` lists, with the webhook's block in each action."""
    automations = automations_of(folder / NOTIFICATION_FILE)
    for automation in automations:
        automation["actions"] = [
            action | {"block_document_id": str(webhook)} for action in automation["actions"]
        ]
    return automations


def _content(automation: AutomationCore) -> dict[str, Any]:
    """What decides how an automation acts. An update resets what it has counted so far."""
    names = set(AutomationCore.model_fields)
    return automation.model_dump(mode="json", include=names, exclude={"trigger": {"id"}})
