"""Commands and runners of other distributions: found by entry points, and no harm where one is broken."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import click
import pytest
from click.testing import CliRunner

from terramosaic.cli import plugins
from terramosaic.cli.app import cli
from terramosaic.errors import RequestError


@click.command("greet")
def greet() -> None:
    """Says hello."""
    click.echo("hello")


def run_nothing(request: object, home: object = None) -> list[object]:
    return []


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """Distributions with a command that works, one that cannot be imported, and a runner."""
    found = EntryPoints(
        EntryPoint(name, f"{__name__}:{attribute}", group)
        for name, attribute, group in (
            ("greet", "greet", "terramosaic.commands"),
            ("broken", "no_such_command", "terramosaic.commands"),
            ("nothing", "run_nothing", "terramosaic.runners"),
        )
    )
    monkeypatch.setattr(plugins, "entry_points", found.select)


def test_a_command_is_listed_beside_the_engines_own_and_runs():
    shown = CliRunner().invoke(cli, ["--help"])
    assert shown.exit_code == 0, shown.output
    assert "greet   Says hello." in shown.output and "model   Makes" in shown.output
    assert CliRunner().invoke(cli, ["greet"]).output == "hello\n"


def test_a_command_that_cannot_be_loaded_stops_no_other():
    shown = CliRunner().invoke(cli, ["--help"])
    assert shown.exit_code == 0 and "broken" in shown.output
    with pytest.raises(
        RequestError, match=r"broken: it is installed and cannot be loaded: .*no_such_command"
    ):
        CliRunner().invoke(cli, ["broken"], catch_exceptions=False)


def test_a_command_that_nobody_offers():
    assert "No such command 'fly'" in CliRunner().invoke(cli, ["fly"]).output


def test_a_runner():
    assert plugins.load_runner("nothing") is run_nothing
    with pytest.raises(RequestError, match="prefect: nothing that is installed offers it"):
        plugins.load_runner("prefect")
