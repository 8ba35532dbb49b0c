"""Compose refuses passwords that stand in documentation, in a line, before anything starts."""

import re
from pathlib import Path

import pytest

from terramosaic.errors import RequestError
from terramosaic_flows.service import passwords
from terramosaic_flows.service.passwords import require_own_passwords

OWN = {
    "TERRAMOSAIC_AUTH": "ada:5e884898da28047151d0e56f8dc62927",
    "TERRAMOSAIC_DATABASE_PASSWORD": "9f86d081884c7d659a2feaa0c55ad015",
}
README = Path(__file__).resolve().parents[3] / "deployments" / "README.md"


def test_own_passwords_are_taken(monkeypatch):
    require_own_passwords(OWN)
    for name, value in OWN.items():
        monkeypatch.setenv(name, value)
    passwords.main()


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("TERRAMOSAIC_AUTH", "admin:pass", "everybody knows"),
        ("TERRAMOSAIC_AUTH", "ada:Change-Me", "everybody knows"),
        ("TERRAMOSAIC_AUTH", "ada:a1b2c3", "less than 12 characters"),
        ("TERRAMOSAIC_AUTH", "5e884898da28047151d0e56f8dc62927", "is not user:password"),
        ("TERRAMOSAIC_AUTH", "", "is not user:password"),
        ("TERRAMOSAIC_DATABASE_PASSWORD", "postgres", "everybody knows"),
        ("TERRAMOSAIC_DATABASE_PASSWORD", "", "less than 12 characters"),
    ],
)
def test_examples_and_what_is_as_good_as_one_are_refused(setting, value, reason, monkeypatch, capsys):
    for name, own in (OWN | {setting: value}).items():
        monkeypatch.setenv(name, own)
    with pytest.raises(SystemExit, match="2"):
        passwords.main()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith(f"terramosaic: {setting}: it ") and reason in said


def test_the_logins_that_the_readme_shows_are_refused():
    shown = set(re.findall(r"AUTH_STRING=(\w+:\w+)|--user (\w+:\w+)", README.read_text()))
    assert shown
    for login in (login for found in shown for login in found if login):
        with pytest.raises(RequestError, match="everybody knows"):
            require_own_passwords(OWN | {"TERRAMOSAIC_AUTH": login})
