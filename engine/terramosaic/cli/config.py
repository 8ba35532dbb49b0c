"""``terramosaic config``: what the environment sets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import get_close_matches
from typing import NamedTuple

import click

from terramosaic.cli.consoles import OUT
from terramosaic.cli.lines import show_line
from terramosaic.settings import SETTINGS, Setting, is_secret, setting_of, variables
from terramosaic.url_secrets import bare

#: What stands for a value that nobody is to see.
HIDDEN = "***"


class Told(NamedTuple):
    """A variable as it is told: without secrets."""

    name: str
    value: str | None
    default: str
    meaning: str
    reader: str


@click.command("config")
@click.option("--json", "as_json", is_flag=True, help="Print the settings as JSON")
def config_command(as_json: bool) -> None:
    """Shows each TERRAMOSAIC_ variable of the environment: its value, and what it does.

    Values of secrets are hidden. A variable that is none of them is told, too: it may be a slip of the pen.
    """
    told, strangers = list(settings_told()), strangers_told()
    if as_json:
        click.echo(json.dumps({"settings": [one._asdict() for one in told], "unknown": strangers}, indent=1))
        return
    for one in told:
        value = f"is not set: {one.default}" if one.value is None else f"= {one.value}"
        OUT.print(f"{one.name} {value.replace('`', '')}", style="bold" if one.value else "", soft_wrap=True)
        show_line(OUT, f"{one.meaning.replace('`', '')}. Read by: {one.reader}", style="dim")
    for line in strangers:
        show_line(OUT, f"warning: {line}", style="yellow")


def settings_told() -> Iterator[Told]:
    """All settings, and what the environment says for them; of those with ``*`` each that is set."""
    found = variables()
    for setting in SETTINGS:
        names = [name for name in found if setting_of(name) is setting] or [setting.name]
        for name in names:
            yield _told(name, found.get(name), setting)


def strangers_told() -> list[str]:
    """A line for each variable that begins as settings do, and is none."""
    known = [setting.name for setting in SETTINGS]
    lines = []
    for name in variables():
        if setting_of(name) is None:
            near = get_close_matches(name, known, 1, 0.8)
            lines.append(f"{name} is set, and nothing reads it" + (f"; is {near[0]} meant?" if near else ""))
    return lines


def _told(name: str, value: str | None, setting: Setting) -> Told:
    if value is not None:
        # Several places stand in one value, and any of them may hold a login.
        value = HIDDEN if is_secret(name) else ",".join(map(bare, value.split(",")))
    return Told(name, value, setting.default, setting.meaning, setting.reader)
