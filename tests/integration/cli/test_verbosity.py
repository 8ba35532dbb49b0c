"""--quiet, --verbose and --debug, wherever they stand; -V; what a shell offers."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest

from terramosaic.cli import consoles, verbosity
from terramosaic.ground.grid import Rect

RECT = Rect(490_902, 50_304, 200, 200)


@pytest.fixture(autouse=True)
def as_before():
    """Logging as pytest has it."""
    engine = logging.getLogger("terramosaic")
    before = engine.level
    yield
    engine.setLevel(before)
    consoles.ERR.quiet = False


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    program = "import sys; sys.argv[0] = 'terramosaic'; from terramosaic.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("given", "sorted_"),
    [
        (["map", "-q", "--json"], ["--quiet", "map", "--json"]),
        (["-v", "plan", "--verbose"], ["--verbose", "plan"]),
        (["plan", "--debug", "-v"], ["--debug", "--verbose", "plan"]),
        (["verify", "--", "-q"], ["verify", "--", "-q"]),
        (["map", "--quick"], ["map", "--quick"]),
    ],
)
def test_they_may_stand_anywhere_before_two_dashes(given, sorted_):
    assert verbosity.to_the_front(given) == sorted_


def test_less_and_more_at_once_is_refused_in_a_line():
    done = command("plan", "-q", "-v")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("terramosaic: --quiet: ")


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(option):
    done = command(option)
    assert done.returncode == 0 and done.stdout.startswith("terramosaic, version ")


@pytest.fixture(scope="module")
def words(land, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    bbox = [f"{number:.7f}" for number in land.request(RECT, out).region.area().outline.bounds]
    return ["map", "--bbox", *bbox, "--datetime", "2023-08", "--catalog", str(land.folder), "--out", str(out)]


@pytest.fixture(scope="module")
def told(words):
    """What `map` says of the same run: as it is made, and twice when it is there."""
    return [command(*words, option) for option in ("-q", "-v", "--debug")]


def test_results_are_the_same(told):
    quiet, verbose, debug = told
    assert quiet.returncode == verbose.returncode == debug.returncode == 0
    assert quiet.stdout.splitlines()[-1].endswith("item.json")
    assert set(quiet.stdout.splitlines()) < set(verbose.stdout.splitlines())


def test_quiet_leaves_stderr_to_errors(told):
    quiet, _, _ = told
    assert quiet.stderr == "" and "warning" not in quiet.stdout


def test_verbose_tells_what_the_engine_does(told):
    _, verbose, _ = told
    assert "INFO terramosaic.planning.planning: planned: " in verbose.stderr


def test_the_log_is_json_where_the_environment_says_so(words, told):
    done = command(*words, "--seed=5", "-v", TERRAMOSAIC_LOG="json")
    assert done.returncode == 0 and done.stdout.splitlines()[-1].endswith("item.json")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    (block,) = (line for line in lines if line["logger"] == "terramosaic.block.block")
    (published,) = (line for line in lines if line["logger"] == "terramosaic.publishing.publish")
    assert published["run"] == block["run"] in done.stdout and block["block"] in block["message"]
    wrong = command("runs", ".", TERRAMOSAIC_LOG="xml")
    assert (
        wrong.returncode == 2
        and wrong.stderr == "terramosaic: TERRAMOSAIC_LOG: 'xml' is neither text nor json\n"
    )


def test_errors_and_exit_codes_are_the_same(words):
    wrong = [command(*words, option, "--targets", "ndvi") for option in ("-q", "--seed=1", "-v")]
    assert {done.returncode for done in wrong} == {2}
    (line,) = {done.stderr.splitlines()[-1] for done in wrong}
    assert line.startswith("terramosaic: targets")


def test_quiet_is_over_with_the_command():
    verbosity.set_up(quiet=True, verbose=False, debug=False)
    assert consoles.ERR.quiet and logging.getLogger("terramosaic").level == logging.ERROR
    verbosity.set_up(quiet=False, verbose=False, debug=False)
    assert not consoles.ERR.quiet and logging.getLogger("terramosaic").level == logging.WARNING


@pytest.mark.parametrize(
    ("words", "offered"), [("mo", "model"), ("map --composite m", "median"), ("-v model pa", "pack")]
)
def test_a_shell_is_offered_commands_options_and_choices(words, offered):
    line = f"terramosaic {words}"
    done = command(
        COMP_WORDS=line, COMP_CWORD=str(len(line.split()) - 1), _TERRAMOSAIC_COMPLETE="bash_complete"
    )
    assert done.stdout.split() == [f"plain,{offered}"]
