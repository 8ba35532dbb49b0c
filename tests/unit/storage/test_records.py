"""Records know whether they are as they were written; damaged ones count as not there."""

from __future__ import annotations

import json

import pytest

from terramosaic.storage.files import read_json, read_jsons, write_json
from terramosaic.storage.records import sealed, unsealed

CONTENT = {"run_id": "1f3a", "pixels": 12, "share": 1e-5, "scenes": ["ä", None]}


def test_a_record_comes_back_however_it_is_laid_out():
    assert unsealed(sealed(CONTENT)) == CONTENT
    assert unsealed(json.dumps(json.loads(sealed(CONTENT)), sort_keys=True, indent=4)) == CONTENT


def test_one_without_a_checksum_is_taken():
    assert unsealed(json.dumps(CONTENT)) == CONTENT


def test_no_bit_can_be_flipped_without_being_seen():
    whole = sealed(CONTENT).encode()
    for place in range(len(whole)):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            try:
                found = unsealed(bytes(flipped))
            except ValueError:
                continue
            # In the name "checksum", or in a blank: nothing of what is told has changed.
            assert {name: found[name] for name in CONTENT} == CONTENT


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"3", b"null", b"\0" * 90, b"\xfc\x80", b"[" * 200_000, b'{"a": 1']
)
def test_what_is_no_record_counts_as_not_there(tmp_path, caplog, text):
    (tmp_path / "a.json").write_bytes(text)
    write_json(tmp_path / "b.json", CONTENT)
    places = [tmp_path / name for name in ("a.json", "b.json", "c.json")]
    assert read_jsons(places) == [None, CONTENT, None]
    assert caplog.text.count("counts as not there") == 1 and "a.json is damaged" in caplog.text


def test_a_folder_in_its_place_is_told_in_a_line(tmp_path):
    from terramosaic.errors import OutputError

    (tmp_path / "a.json").mkdir()
    with pytest.raises(OutputError, match=r"a\.json could not be read: Is a directory"):
        read_json(tmp_path / "a.json")
    assert read_json(tmp_path / "a.json" / "b.json") is None
