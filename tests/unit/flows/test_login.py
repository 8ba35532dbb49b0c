"""The login that `up` keeps."""

from __future__ import annotations

import os
import stat

import pytest

from terramosaic.errors import OutputError, RequestError
from terramosaic_flows.service.login import keep_login, login_file


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def silent(line):
    raise AssertionError(line)


def test_it_is_made_once_and_is_its_users_alone(tmp_path):
    before = os.umask(0)
    try:
        login = keep_login(tmp_path, silent)
    finally:
        os.umask(before)
    user, _, password = login.partition(":")
    assert user and len(password) >= 32
    assert mode(login_file(tmp_path)) == 0o600
    assert keep_login(tmp_path, silent) == login
    assert [path.name for path in tmp_path.iterdir()] == ["login"]
    other = tmp_path / "other"
    assert keep_login(other, silent) != login


def test_it_is_closed_before_a_byte_is_in_it(tmp_path, monkeypatch):
    made = []
    fdopen = os.fdopen

    def seen(descriptor, *arguments, **options):
        facts = os.fstat(descriptor)
        made.append((stat.S_IMODE(facts.st_mode), facts.st_size))
        return fdopen(descriptor, *arguments, **options)

    monkeypatch.setattr(os, "fdopen", seen)
    before = os.umask(0)
    try:
        keep_login(tmp_path, silent)
    finally:
        os.umask(before)
    assert made[0] == (0o600, 0)


def test_one_that_was_opened_is_closed_and_told(tmp_path):
    login = keep_login(tmp_path, silent)
    login_file(tmp_path).chmod(0o644)
    told = []
    assert keep_login(tmp_path, told.append) == login
    assert mode(login_file(tmp_path)) == 0o600
    (line,) = told
    assert "mode 644" in line and str(login_file(tmp_path)) in line and login not in line
    keep_login(tmp_path, silent)


def test_a_file_system_without_modes_is_told(tmp_path, monkeypatch):
    keep_login(tmp_path, silent)
    login_file(tmp_path).chmod(0o644)
    monkeypatch.setattr(os, "fchmod", lambda *_: None)
    with pytest.raises(OutputError, match=r"^login: .* cannot be closed"):
        keep_login(tmp_path, silent)


def test_one_that_its_user_wrote_is_used(tmp_path):
    login_file(tmp_path).touch(mode=0o600)
    login_file(tmp_path).write_text("me:p:q!\n")
    assert keep_login(tmp_path, silent) == "me:p:q!"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"me",
        b"me:",
        b":secret",
        b"me:se cret",
        b"me:secret\nand more\n",
        b"me:se\0cret",
        "me:ß".encode(),
    ],
)
def test_a_damaged_one_is_told_in_a_line_without_its_content(content, tmp_path):
    login_file(tmp_path).touch(mode=0o600)
    login_file(tmp_path).write_bytes(content)
    with pytest.raises(RequestError, match=r"^login: \S+ is damaged: [^\n]*$") as raised:
        keep_login(tmp_path, silent)
    assert "cret" not in str(raised.value)
    assert login_file(tmp_path).read_bytes() == content


def test_what_is_no_file_is_told_in_a_line(tmp_path):
    login_file(tmp_path).mkdir()
    with pytest.raises(OutputError, match=r"^login: .*cannot be read"):
        keep_login(tmp_path, silent)
    (tmp_path / "fifo").mkdir()
    os.mkfifo(login_file(tmp_path / "fifo"), 0o600)
    with pytest.raises(RequestError, match=r"^login: .* is no file"):
        keep_login(tmp_path / "fifo", silent)


def test_another_users_is_refused(tmp_path, monkeypatch):
    keep_login(tmp_path, silent)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(RequestError, match="belongs to another user"):
        keep_login(tmp_path, silent)
