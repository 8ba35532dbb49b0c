"""What pages show to be typed can be typed: commands are there, with each option, choice and argument that is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from terramosaic.cli.app import cli
from terramosaic.cli.verbosity import to_the_front

ROOT = Path(__file__).parents[3]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for pattern in ("README.md", "CONTRIBUTING.md", "docs/*.md", "deployments/*.md")
    for path in sorted(ROOT.glob(pattern))
}

#: Options of others' commands that pages name in their prose.
OF_OTHERS = {"--resources"}


def lines(text: str) -> Iterator[str]:
    """Command lines of a page: those of its blocks, and those in its sentences."""
    fence = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
    for kind, block in fence.findall(text):
        if kind in ("", "sh", "bash"):
            yield from re.findall(r"^ *(?:\S+/)?(terramosaic .*)$", block.replace("\\\n", " "), re.M)
    yield from re.findall(r"`(terramosaic [a-z][^`]*)`", fence.sub("", text))


LINES = [(page, line) for page, text in PAGES.items() for line in lines(text)]


def commands(group: click.Group, before: str = "") -> dict[str, click.Command]:
    """Each command by its words."""
    found: dict[str, click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found[f"{before}{name}"] = command
        if isinstance(command, click.Group):
            found |= commands(command, f"{before}{name} ")
    return found


COMMANDS = commands(cli)


def parsed(line: str) -> None:
    """Takes a line apart as the command line does, files unseen.

    Raises:
        click.UsageError: it would be refused.
    """
    words = re.sub(r"[\[\]]", "", re.split(r"\s#|;", line)[0]).split()[1:]
    words = [word for word in to_the_front(words) if word not in ("--quiet", "--verbose", "--debug")]
    if words[0].startswith("-"):  # the command's own options
        return
    name = next((n for n in (" ".join(words[:2]), words[0]) if n in COMMANDS), None)
    if name is None:
        raise click.UsageError(f"no such command: {words[0]}")
    command = COMMANDS[name]
    context = click.Context(command, info_name=name)
    values, left, _ = command.make_parser(context).parse_args(words[len(name.split()) :])
    if set(left) - {"..."} and not isinstance(command, click.Group):
        raise click.UsageError(f"too many words: {left}")
    for param in command.params:
        given = values.get(param.name or "")
        one_of = choices(param)
        if one_of and given not in (None, "..."):
            for value in given if isinstance(given, list) else given.split("|"):
                if value not in one_of:
                    raise click.BadParameter(f"{value} is none of {one_of}", ctx=context, param=param)


def choices(param: click.Parameter) -> list[str]:
    """What an option takes, where it takes one of a few words: click's own, or those that its help shows."""
    if isinstance(param.type, click.Choice):
        return list(param.type.choices)
    shown = param.metavar or ""
    return shown.split("|") if re.fullmatch(r"[a-z_]+(\|[a-z_]+)+", shown) else []


def test_there_are_lines_to_look_at():
    assert len(LINES) > 80
    assert {line.split()[1] for _, line in LINES} >= {name.split()[0] for name in COMMANDS}


@pytest.mark.parametrize(("page", "line"), LINES)
def test_a_line_can_be_typed(page, line):
    try:
        parsed(line)
    except click.UsageError as error:
        pytest.fail(f"{page}: {line}: {error.format_message()}")


@pytest.mark.parametrize(
    "line",
    [
        "terramosaic paint out",
        "terramosaic map --mgrs 33TWL --colour red",
        "terramosaic map --composite mean",
        "terramosaic runs here there",
        "terramosaic model info demo --targets NDVI",
        "terramosaic map --mgrs",
    ],
)
def test_a_line_that_would_be_refused_is_found(line):
    with pytest.raises(click.UsageError):
        parsed(line)


def test_an_option_in_a_sentence_is_one_of_ours():
    every = [param for command in (cli, *COMMANDS.values()) for param in command.params]
    ours = {word for param in every for word in param.opts + param.secondary_opts} | {"--help"}
    for page, text in PAGES.items():
        prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
        for code in re.findall(r"`([^`\n]+)`", prose):
            if code.startswith("--"):
                option = re.match(r"[-\w]+", code)
                assert option and option[0] in ours | OF_OTHERS, f"{page}: `{code}`"
