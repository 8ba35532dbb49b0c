"""What a text says of a place, and what it must not say."""

import pytest

from terramosaic.errors import OutputError
from terramosaic.storage.location import location


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3://AKIA:Pa55word@bucket/maps", "'s3://bucket/maps' was given a login"),
        ("abfs://maps:Pa55word@account/a", "'abfs://account/a' was given a login"),
        ("sftp://user:Pa55word@host/maps", "'sftp://host/maps' is in no store that is known"),
        ("s3://[bucket/maps", r"'s3://\[bucket/maps' is no URL"),
        ("s3:///maps", "'s3:///maps' names no bucket"),
    ],
)
def test_what_no_place_can_be_is_said_in_a_line_without_its_login(text, said):
    with pytest.raises(OutputError, match=f"^out: {said}") as error:
        location(text)
    assert "\n" not in str(error.value) and "Pa55word" not in str(error.value)


def test_a_container_is_no_login():
    assert str(location("abfs://maps@account/a")) == "abfs://maps@account/a"
