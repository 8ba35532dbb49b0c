"""An error stays the object that it is: in context, among others, copied, and in another process."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from terramosaic import errors
from terramosaic.errors import CatalogError, ModelError, TerramosaicError, UnknownMosaicError, error_of


class OutOfMemoryError(ModelError):
    """An error of somebody else's, with a constructor of its own and without a code."""

    def __init__(self, batch: int) -> None:
        super().__init__(f"no room for {batch} windows")
        self.batch = batch


def through_json(error: TerramosaicError) -> TerramosaicError:
    return error_of(json.loads(json.dumps(error.message())))


def test_context_is_put_before_the_text_and_the_first_hint_behind_it():
    error = CatalogError("asset B04 is lost", hint="try again")
    assert error.within("block 33N_r1_c2").within("failed, 1 of 4 blocks", hint="or not") is error
    assert str(error) == "failed, 1 of 4 blocks: block 33N_r1_c2: asset B04 is lost; try again"
    assert str(ModelError("broken").within("run", hint="mend it")) == "run: broken; mend it"
    assert error.text == "asset B04 is lost"


def test_one_that_stands_for_several_has_a_heading_and_their_lines():
    error = CatalogError("lost").among("2 items cannot be used", [CatalogError("lost too")])
    error.within("region a").among("failed, 2 of 3 regions", ["region b: broken"])
    assert str(error).splitlines() == [
        "failed, 2 of 3 regions",
        "2 items cannot be used",
        "region a: lost",
        "lost too",
        "region b: broken",
    ]


@pytest.mark.parametrize(
    "carried", [through_json, copy.copy, lambda error: pickle.loads(pickle.dumps(error))]
)
def test_it_is_the_same_wherever_it_arrives(carried):
    error = CatalogError("lost", hint="try again").within("block 1").among("several", ["another"])
    error.scene = "S2A_33TWL"
    error.add_note("in a worker process")
    found = carried(error)
    assert type(found) is CatalogError and str(found) == str(error) and vars(found) == vars(error)
    found.within("failed")
    assert error.context == ("block 1",)
    assert str(carried(UnknownMosaicError("run: no DEM"))) == "run: no DEM"


def test_constructors_of_ones_own_do_not_matter():
    found = pickle.loads(pickle.dumps(OutOfMemoryError(32).within("cuda:0")))
    assert type(found) is OutOfMemoryError and found.batch == 32
    # Another process may never have heard of the class; it knows what it is a kind of.
    told = through_json(OutOfMemoryError(32).within("cuda:0"))
    assert type(told) is ModelError and told.batch == 32 and str(told) == "cuda:0: no room for 32 windows"


def test_a_class_of_a_later_version_is_an_error_with_its_text():
    found = error_of(CatalogError("lost").message() | {"code": "of-tomorrow"})
    assert type(found) is TerramosaicError and str(found) == "lost"


def test_each_class_says_a_code_of_its_own():
    tree = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, TerramosaicError)
    ]
    codes = [vars(kind)["code"] for kind in tree]
    assert len(set(codes)) == len(codes) > 10
