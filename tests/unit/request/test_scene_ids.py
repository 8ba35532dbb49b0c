"""Scenes that a request names, by ids or by files of them."""

import os

import pytest

from terramosaic.errors import RequestError
from terramosaic.request.request import RegionRequest, request_of
from terramosaic.request.scene_ids import ids_in

BOX = (14.01, 46.02, 14.2, 46.13)


@pytest.mark.parametrize("value", ["b, a,,a", ["b", "a"], ("a", "b", " a ")])
def test_they_are_told_in_any_way_and_order(value):
    request = RegionRequest(region=BOX, datetime="2023-08", exclude=value, trust=value)
    assert request.exclude == request.trust == ("a", "b")


@pytest.mark.parametrize("value", [7, [7], {"a": 1}, [["a"]], [None]])
def test_what_is_no_text_is_refused_by_field(value):
    with pytest.raises(RequestError, match=r"^exclude"):
        request_of(region=BOX, datetime="2023-08", exclude=value)


def test_a_file_has_an_id_in_each_line(tmp_path):
    file = tmp_path / "bad.txt"
    file.write_text('# seen by eye\nS2A_1\n\n  S2A_2  \n"S2A_3", clouds, 2023\n')
    assert ids_in(("S2B_9", str(file)), "exclude") == {"S2A_1", "S2A_2", "S2A_3", "S2B_9"}


def test_a_file_of_another_program_has_a_mark_before_its_first_id(tmp_path):
    file = tmp_path / "bad.csv"
    file.write_bytes(b"\xef\xbb\xbfS2A_1,clouds\r\nS2A_2,\r\n")
    assert ids_in((str(file),), "exclude") == {"S2A_1", "S2A_2"}


def test_what_would_be_read_for_ever_or_is_no_place_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    for path, said in ((tmp_path / "pipe.txt", "it is a pipe"), ("s3://[x/ids.txt", "is no URL")):
        with pytest.raises(
            RequestError, match=rf"^exclude: cannot read .*ids\.txt: .*{said}|pipe\.txt: {said}"
        ):
            ids_in((str(path),), "exclude")


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00secret"])
def test_a_file_that_cannot_be_read_is_told_without_what_is_in_it(tmp_path, content):
    file = tmp_path / "bad.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(
        RequestError, match=r"^trust: cannot read .*bad\.txt: .*an item's id in each line"
    ) as told:
        ids_in((str(file),), "trust")
    assert "secret" not in str(told.value)
