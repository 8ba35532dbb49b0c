"""What a verification says of itself, and which error it amounts to."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from terramosaic.errors import CheckFailedError, NotVerifiableError
from terramosaic.trust.verification import DifferingWindow, FileFlaw, Verification, largest_share


def verification(**fields) -> Verification:
    """All is well with 300 windows of 5000."""
    told = {
        "run_id": "0123456789abcdef", "created": datetime(2024, 1, 1, tzinfo=UTC), "versions": {}, "device": "cpu",
        "processor": "", "seed": 1, "whole": False, "files": 9, "windows": 5000, "drawn": 300, "blocks": 40,
        "blocks_seen": 40, "verified": 300, "pixels": 300 * 160**2, "mosaics": {}, "seconds": 1.0, **fields,
    }  # fmt: skip
    return Verification.model_validate(told)


DIFFERING = DifferingWindow(block="33N_r1_c2", i=7, j=9, mosaics={"NDVI": 12}, compared=25600, first=(3, 4))


@pytest.mark.parametrize(("windows", "share"), [(300, 0.0100), (59, 0.0496), (1, 0.95)])
def test_the_rule_of_three(windows, share):
    assert largest_share(windows) == pytest.approx(share, rel=0.02)
    # Were so many wrong, so many good ones in a row would come up once in twenty times.
    assert (1 - largest_share(windows)) ** windows == pytest.approx(0.05)


def test_good_windows_bound_what_may_be_wrong():
    found = verification()
    assert found.passed and found.failure is None
    assert "with 95% confidence fewer than 1 % of all windows are wrong." in found.confidence
    assert "can still be computed" in verification(not_verifiable={"gone": 3}).confidence
    assert verification(windows=300).confidence.startswith("All 300 windows (their cores) are")


def test_windows_that_cannot_be_drawn_are_explained_and_a_seed_is_told_where_it_decided():
    found = verification(windows=97, planned=116, drawn=97, verified=97)
    assert (
        found.is_all
        and "counts 116 windows" in found.uncounted
        and "; 19 of these have no core" in found.uncounted
    )
    assert verification(planned=5000).uncounted == verification().uncounted == ""
    assert "; 1 of these has" in verification(planned=5001).uncounted
    assert not verification().is_all
    # What is gone was drawn too; what the time did not suffice for was not.
    assert verification(windows=300, drawn=300, verified=290, not_verifiable={"gone": 10}).is_all
    assert not verification(windows=300, drawn=300, verified=290).is_all


def test_kept_imagery_is_told_from_sources():
    some = verification(from_imagery={"its scene is gone": 20})
    assert some.passed and some.confidence.endswith("What was kept does not prove what the sources held.")
    assert (
        "are what their sources give, or for 20 of them the imagery that the run kept gives, bit"
        in some.confidence
    )
    assert "from kept imagery: 20 windows: its scene is gone" in some.details
    every = verification(from_imagery={"its scene is gone": 299, "another": 1})
    assert "are what the imagery that the run kept gives, bit for bit:" in every.confidence
    bad = verification(from_imagery={"gone": 300}, verified=299, differing=[DIFFERING])
    assert "differ from what the imagery that the run kept gives." in bad.confidence


def test_it_says_how_windows_were_compared():
    assert "are what their sources give, bit for bit:" in verification(elsewhere={"x": 9}).confidence
    told = {"close": 200, "tolerance": "a step", "elsewhere": {"onnxruntime 1.2, here 1.3": 250}}
    found = verification(**told)
    assert found.passed and (
        "give, 100 bit for bit and 200 within the tolerance for what was computed elsewhere (a step): with 95%"
        in found.confidence
    )
    assert "bits may differ in 250 windows: onnxruntime 1.2, here 1.3" in found.details
    assert "give, 300 within the tolerance for" in verification(**{**told, "close": 300}).confidence
    drawn = verification(**told, tokens_drawn=392, tokens_same=390)
    assert "tokens drawn again for these: 392, of which 2 are others" in drawn.details


def test_what_is_beyond_tolerance_is_called_so():
    beyond = DIFFERING.model_copy(update={"beyond_tolerance": True, "tokens": 100, "tokens_drawn": 392})
    assert str(beyond) == (
        "block 33N_r1_c2, window (7, 9): of 25600 pixels differ beyond tolerance 12 in NDVI, from row 3, column 4 "
        "on; of 392 tokens differ 100"
    )
    assert str(beyond.model_copy(update={"mosaics": {}})).endswith("(7, 9): of 392 tokens differ 100")


def test_what_differs_is_named():
    found = verification(verified=299, differing=(DIFFERING,))
    assert isinstance(found.failure, CheckFailedError) and found.failure.exit_code == 7
    assert "block 33N_r1_c2, window (7, 9): of 25600 pixels differ 12 in NDVI" in str(found.failure)
    assert "1 of 300" in found.confidence
    flawed = verification(flaws=(FileFlaw(file="NDVI.tif", reason="it is missing"),))
    assert "NDVI.tif: it is missing" in str(flawed.failure)
    assert isinstance(verification(model="the model is another one").failure, CheckFailedError)


def test_nothing_to_compare_is_an_error_only_where_that_was_tried():
    gone = verification(verified=0, blocks_seen=0, pixels=0, not_verifiable={"asset B02 of a is gone": 300})
    assert isinstance(gone.failure, NotVerifiableError) and gone.failure.exit_code == 4
    assert "asset B02 of a is gone" in str(gone.failure)
    files_alone = verification(verified=0, blocks_seen=0, pixels=0, drawn=0)
    assert files_alone.passed and "nothing is known of the pixels" in files_alone.confidence


def test_a_kept_verification_is_read_as_it_was():
    found = verification(differing=(DIFFERING,), changed={"a": ("B02 has another size",)})
    assert Verification.model_validate_json(found.model_dump_json()) == found
