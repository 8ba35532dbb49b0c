"""Settings of a store that nobody can use: a line, whoever finds it out."""

import pytest

from terramosaic.errors import OutputError
from terramosaic.storage import objects
from terramosaic.storage.files import facts_of
from terramosaic.storage.location import location


@pytest.fixture(autouse=True)
def no_clients(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    objects._bucket.cache_clear()
    yield
    objects._bucket.cache_clear()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AWS_MAX_ATTEMPTS", "three", "AWS_MAX_ATTEMPTS: 'three' is no number of tries"),
        ("AWS_MAX_ATTEMPTS", "0", "AWS_MAX_ATTEMPTS: '0' is no number of tries"),
        (
            "AWS_ENDPOINT_URL",
            "localhost:9000",
            "s3://bucket/x could not be looked at: .*check AWS_ENDPOINT_URL",
        ),
        ("TERRAMOSAIC_STORE_COLOUR", "red", "s3://bucket/x could not be looked at: .*'colour' is not valid"),
    ],
)
def test_a_setting_that_cannot_be_used_is_said_in_a_line(monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    with pytest.raises(OutputError, match=said) as error:
        facts_of(location("s3://bucket/x"))
    assert "\n" not in str(error.value)
