"""What several regions come to: a failure of some, and nothing to map in others."""

from __future__ import annotations

import pytest

from terramosaic.errors import CatalogError, EmptyMapError, NoScenesError, NothingLeftError, StoreError
from terramosaic.request.features import raise_failures

EMPTY = {
    "a": NoScenesError("no scene found"),
    "b": EmptyMapError("nothing to map"),
    "c": NothingLeftError("left out"),
}


def test_a_region_with_nothing_to_map_is_a_warning_where_others_are_mapped(caplog):
    raise_failures(EMPTY, 4)
    assert [record.getMessage() for record in caplog.records] == [
        "region a: no scene found", "region b: nothing to map", "region c: left out",
    ]  # fmt: skip


@pytest.mark.parametrize(("names", "code"), [("ab", 3), ("ca", 4)])
def test_where_all_have_nothing_the_first_says_so(names, code):
    with pytest.raises((NoScenesError, NothingLeftError)) as error:
        raise_failures({name: EMPTY[name] for name in names}, 2)
    assert error.value.exit_code == code
    assert str(error.value).startswith("failed, 2 of 2 regions\nregion ")


def test_a_failure_counts_alone_and_tells_what_is_mapped(caplog):
    with pytest.raises(CatalogError) as error:
        raise_failures({**EMPTY, "d": CatalogError("no answer")}, 5)
    assert str(error.value) == "failed, 1 of 5 regions; the others are mapped\nregion d: no answer"
    assert len(caplog.records) == 3
    with pytest.raises(StoreError) as last:
        raise_failures({"a": EMPTY["a"], "e": StoreError("no answer")}, 2)
    assert str(last.value) == "failed, 1 of 2 regions\nregion e: no answer"
