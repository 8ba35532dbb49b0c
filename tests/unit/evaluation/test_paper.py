"""The paper's figures hold together: each row's RMSE and PSNR give the range of its target."""

import pytest

from terramosaic.evaluation.paper import ROWS, range_of, row_of


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.table}-{row.source}-{row.target}")
def test_a_row_implies_its_targets_range(row):
    collection = "S1GRD" if row.source == "S1GRD" and row.table != 10 else row.source
    # Of 0.116 no third digit is known.
    assert row.data_range == pytest.approx(range_of(collection, row.target), rel=0.003)


def test_rows_are_found():
    assert row_of(3, "S2L2A", "S1RTC").rmse == 3.391
    assert row_of(3, "S2L2A", "LULC") is None
    assert len({(row.table, row.source, row.target) for row in ROWS}) == len(ROWS) == 22
