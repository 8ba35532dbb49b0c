"""Each variable of the environment is said once: what reads it, what shows it and the docs have it from there."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from terramosaic import settings
from terramosaic.cli.config import config_command
from terramosaic.errors import RequestError
from terramosaic.storage.retries import FLOW_START
from terramosaic_flows import batches, execution
from tools.settings_table import PAGE, table, with_table

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"(?<![A-Z_])TERRAMOSAIC_[A-Z_]*[A-Z]")
#: Where tags of GeoTIFFs and of tables are written, which begin alike and are no settings.
TAGS = {
    ROOT / "engine" / "terramosaic" / room / module
    for room, module in (("mosaic", "assemble.py"), ("mosaic", "places.py"), ("vectors", "files.py"))
}


def sources() -> Iterator[Path]:
    for folder in ("engine", "flows", "deployments"):
        for path in (ROOT / folder).rglob("*"):
            if (
                path.suffix in (".py", ".yaml", ".json", ".env", ".md", ".jinja", ".html")
                or path.name == "Dockerfile"
            ):
                yield path


def test_whatever_is_named_anywhere_is_a_setting():
    named = {
        name
        for path in sources()
        if path not in TAGS
        for name in NAME.findall(path.read_text(encoding="utf-8"))
    }
    # Of ``TERRAMOSAIC_STORE_*`` the star is cut.
    assert {name for name in named if settings.setting_of(name) is None} <= {"TERRAMOSAIC_STORE"}
    assert len(named) > 15


def test_each_setting_is_read_somewhere():
    texts = {path: path.read_text(encoding="utf-8") for path in sources() if path.suffix == ".py"}
    own = ROOT / "engine" / "terramosaic" / "settings.py"
    constants = {name: value for name, value in vars(settings).items() if isinstance(value, settings.Setting)}
    assert set(constants.values()) == set(settings.SETTINGS)
    for name, value in constants.items():
        reads = rf"\b{name}\.(text|names|name|whole_number)\b"
        others = any(re.search(reads, text) for path, text in texts.items() if path != own)
        assert others or value is settings.STORE, f"nothing reads {value.name}"


def test_no_python_but_theirs_spells_a_variable():
    spelled = []
    for path in sources():
        if path.suffix != ".py" or path in TAGS or path.name == "settings.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value):
                spelled.append((path.name, node.value))
    assert not spelled, "take it from terramosaic.settings"


def test_the_page_has_the_table():
    page = PAGE.read_text(encoding="utf-8")
    assert table() in page and with_table(page) == page, "python -m tools.settings_table"
    assert all(each.name in table() for each in settings.SETTINGS)


def test_defaults_are_those_of_the_readers():
    assert settings.MAX_STARTS.default == str(FLOW_START.tries)
    assert settings.TASK_SECONDS.default == f"{batches._SECONDS:g}"
    assert settings.SPLIT.default.replace(" ", "") == str(execution._SPLIT)


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_a_whole_number(monkeypatch, text):
    monkeypatch.setenv("TERRAMOSAIC_SPLIT", text)
    with pytest.raises(RequestError, match=f"^TERRAMOSAIC_SPLIT: '{text}' is not a whole number above 0$"):
        settings.SPLIT.whole_number(3)
    monkeypatch.setenv("TERRAMOSAIC_SPLIT", "")
    assert settings.SPLIT.whole_number(3) == 3


def test_options_of_the_store(monkeypatch):
    monkeypatch.setenv("TERRAMOSAIC_STORE_ENDPOINT_URL", "http://a.example")
    monkeypatch.setenv("TERRAMOSAIC_STORE_REGION", "")
    assert settings.store_options() == {"endpoint_url": "http://a.example"}


class TestCommand:
    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch):
        for name in settings.variables():
            monkeypatch.delenv(name)
        for name, text in {
            "TERRAMOSAIC_ROOTS": "/data,https://me:word-of-mine@a.example/x",
            "TERRAMOSAIC_STORE_SECRET_ACCESS_KEY": "hush",
            "TERRAMOSAIC_STORE_ENDPOINT_URL": "http://store.example",
            "TERRAMOSAIC_AUTH": "me:hush",
            "TERRAMOSAIC_ROTS": "/data",
            "TERRAMOSAIC_MY_TOKEN": "hush",
        }.items():
            monkeypatch.setenv(name, text)

    def test_in_words(self):
        done = CliRunner().invoke(config_command)
        lines = done.output.splitlines()
        assert done.exit_code == 0 and "hush" not in done.output and "word-of-mine" not in done.output
        assert "TERRAMOSAIC_ROOTS = /data,https://a.example/x" in lines
        assert "TERRAMOSAIC_STORE_SECRET_ACCESS_KEY = ***" in lines and "TERRAMOSAIC_AUTH = ***" in lines
        assert "TERRAMOSAIC_STORE_ENDPOINT_URL = http://store.example" in lines
        assert "TERRAMOSAIC_SPLIT is not set: 2 000" in lines
        assert "warning: TERRAMOSAIC_ROTS is set, and nothing reads it; is TERRAMOSAIC_ROOTS meant?" in lines
        for each in settings.SETTINGS:
            assert each is settings.STORE or any(line.startswith(f"{each.name} ") for line in lines)
            assert any(line.startswith(each.meaning.replace("`", "")) for line in lines)

    def test_as_json(self):
        told = json.loads(CliRunner().invoke(config_command, ["--json"]).output)
        values = {one["name"]: one["value"] for one in told["settings"]}
        assert values["TERRAMOSAIC_AUTH"] == "***" and values["TERRAMOSAIC_CACHE"] is None
        assert len(told["unknown"]) == 2 and "hush" not in json.dumps(told)
