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
            ("function", "run_nothing", "terramosaic.commands"),
            ("twice", "greet", "terramosaic.commands"),
            ("twice", "run_nothing", "terramosaic.commands"),
            ("map", "greet", "terramosaic.commands"),
            ("nothing", "run_nothing", "terramosaic.runners"),
        )
    )
    monkeypatch.setattr(plugins, "entry_points", found.select)


def test_a_command_is_listed_beside_the_engines_own_and_runs():
    shown = CliRunner().invoke(cli, ["--help"])
    assert shown.exit_code == 0, shown.output
    listed = " ".join(shown.output.split())
    assert "greet Says hello." in listed and "model Makes" in listed
    assert CliRunner().invoke(cli, ["greet"]).output == "hello\n"


def test_a_command_that_cannot_be_loaded_stops_no_other():
    shown = CliRunner().invoke(cli, ["--help"])
    assert shown.exit_code == 0 and "broken" in shown.output


@pytest.mark.parametrize("arguments", [[], ["--help"], ["--fast", "here"]])
def test_a_command_that_cannot_be_loaded_says_so_whatever_it_is_called_with(arguments):
    with pytest.raises(
        RequestError, match=r"broken: it is installed and cannot be loaded: .*no_such_command"
    ):
        CliRunner().invoke(cli, ["broken", *arguments], catch_exceptions=False)


def test_a_command_that_is_none():
    with pytest.raises(
        RequestError, match="function: it is installed and is no click command but a function"
    ):
        CliRunner().invoke(cli, ["function"], catch_exceptions=False)


def test_a_module_that_ends_the_process_stops_no_other(monkeypatch, tmp_path):
    (tmp_path / "ends_the_process.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    found = EntryPoints([EntryPoint("ends", "ends_the_process:command", "terramosaic.commands")])
    monkeypatch.setattr(plugins, "entry_points", found.select)
    with pytest.raises(RequestError, match="ends: it is installed and cannot be loaded: 3"):
        CliRunner().invoke(cli, ["ends"], catch_exceptions=False)


def test_a_name_that_two_distributions_give():
    with pytest.raises(
        RequestError, match=r"twice: several that are installed offer it \(.*greet, .*run_nothing\)"
    ):
        CliRunner().invoke(cli, ["twice"], catch_exceptions=False)


def test_the_engines_own_commands_are_not_replaced():
    assert "Maps a region" in CliRunner().invoke(cli, ["map", "--help"]).output


def test_a_command_that_nobody_offers():
    assert "No such command 'fly'" in CliRunner().invoke(cli, ["fly"]).output


def test_a_runner():
    assert plugins.load_runner("nothing") is run_nothing
    with pytest.raises(RequestError, match="prefect: nothing that is installed offers it"):
        plugins.load_runner("prefect")
