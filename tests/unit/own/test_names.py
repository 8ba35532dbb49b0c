"""Which band and day names tell."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from terramosaic.bands import band_called
from terramosaic.own.names import band_in, day_in


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("T33TWL_20230815T100031_B02_10m", ("B02", "T33TWL_20230815T100031", 10)),
        ("T33TWL_20230815T100031_SCL_20m", ("SCL", "T33TWL_20230815T100031", 20)),
        ("B8A", ("B8A", "", 0)),
        ("b8a-summer", ("B8A", "summer", 0)),
        ("site.B2.2023", ("B02", "site_2023", 0)),
        ("S2B_B12_B11", ("B11", "S2B_B12", 0)),
        ("B13_image", None),
        ("B8_image", ("B08", "image", 0)),
        ("SUB02_image", None),
        ("image", None),
    ],
)
def test_a_files_name(name: str, told: tuple[str, str, int] | None) -> None:
    assert band_in(name) == told


def test_a_bands_description() -> None:
    words = (
        "B02",
        "b2",
        "B8A",
        "blue",
        "Red",
        "nir08",
        "swir1",
        "B02 (blue)",
        "",
        "temperature",
        "b8a_20m",
        "RED_EDGE_1",
    )
    assert [band_called(word) for word in words] == [
        "B02", "B02", "B8A", "B02", "B04", "B8A", "B11", None, None, None, "B8A", "B05",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("T33TWL_20230815T100031_B02", datetime(2023, 8, 15, 10, 0, 31, tzinfo=UTC)),
        ("stack 2023-08-15", datetime(2023, 8, 15, 12, tzinfo=UTC)),
        ("2023_08_15_site", datetime(2023, 8, 15, 12, tzinfo=UTC)),
        ("orbit_12345678", None),
        ("20230231", None),
        ("site7", None),
    ],
)
def test_a_day(name: str, moment: datetime | None) -> None:
    assert day_in(name) == moment
