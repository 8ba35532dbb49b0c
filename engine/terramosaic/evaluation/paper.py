"""What TerraMind's paper reports of TerraMind-B (Jakubik et al., arXiv 2504.11171, Tables 3, 10 and 14): RMSE and PSNR.

In dB, metres and reflectance. The paper gives no data range; it follows from the rows themselves, for
``RMSE * 10 ** (PSNR / 20)`` is one number per target and collection of samples in all three tables: what the references
of the evaluated set span. So PSNR is of the error of the whole set, and only figures with the same range compare.

The tables were not at hand when this was written down. What was: the ranges, which somebody computed from all rows of
the paper, the RMSE of 0.116 in Table 3, and Table 4's figure. A test holds the two figures of every row to the ranges,
and so to each other: one that is wrong by itself would not pass, and NDVI's row of Table 10, which did not, is not
here, nor are MAE and SSIM, which nothing could confirm. So it is said that they are to be looked up before one cites
them.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Ranges by target, in the unit of its figures; and where the input is S1GRD, which one collection alone has.
_RANGES = {"S1GRD": 105.3, "S1RTC": 95.5, "NDVI": 2.0, "DEM": 8001.0, "S2L2A": 3.16}
_RANGES_FROM_S1GRD = {**_RANGES, "DEM": 3475.0, "S2L2A": 2.37}


@dataclass(frozen=True)
class PaperRow:
    """A row: what was made of what, and how well.

    Attributes:
        table: the paper's number.
        source: the input; in Table 10 the target itself, in Table 14 tokenised.
    """

    table: int
    source: str
    target: str
    rmse: float
    psnr: float

    @property
    def data_range(self) -> float:
        """The range that its PSNR is of."""
        return float(self.rmse * 10 ** (self.psnr / 20))


#: Table 4: intersection over union of water that TerraMind-B finds on Sen1Floods11 without being trained for it.
WATER_IOU = 0.454

ROWS = (
    PaperRow(3, "S1GRD", "S2L2A", 0.116, 26.210),
    PaperRow(3, "S1GRD", "DEM", 320.8, 20.694),
    PaperRow(3, "S1GRD", "NDVI", 0.225, 18.990),
    PaperRow(3, "S1RTC", "S2L2A", 0.194, 24.251),
    PaperRow(3, "S1RTC", "DEM", 799.2, 20.009),
    PaperRow(3, "S1RTC", "NDVI", 0.211, 19.529),
    PaperRow(3, "S2L2A", "S1GRD", 3.877, 28.678),
    PaperRow(3, "S2L2A", "S1RTC", 3.391, 28.993),
    PaperRow(3, "S2L2A", "DEM", 745.5, 20.616),
    PaperRow(10, "S1GRD", "S1GRD", 3.220, 30.291),
    PaperRow(10, "S1RTC", "S1RTC", 2.888, 30.389),
    PaperRow(10, "S2L2A", "S2L2A", 0.134, 27.439),
    PaperRow(10, "DEM", "DEM", 737.2, 20.712),
    PaperRow(14, "S1GRD", "S2L2A", 0.1238, 25.630),
    PaperRow(14, "S1GRD", "NDVI", 0.2425, 18.324),
    PaperRow(14, "S1GRD", "DEM", 550.3, 16.008),
    PaperRow(14, "S1RTC", "S2L2A", 0.1935, 24.266),
    PaperRow(14, "S1RTC", "NDVI", 0.2348, 18.606),
    PaperRow(14, "S1RTC", "DEM", 851.6, 19.457),
    PaperRow(14, "S2L2A", "S1GRD", 4.3309, 27.715),
    PaperRow(14, "S2L2A", "S1RTC", 3.9178, 27.739),
    PaperRow(14, "S2L2A", "DEM", 1040.6, 17.718),
)


def row_of(table: int, source: str, target: str) -> PaperRow | None:
    """The paper's row, if it has it."""
    return next((row for row in ROWS if (row.table, row.source, row.target) == (table, source, target)), None)


def range_of(source: str, target: str) -> float | None:
    """The range of the paper's PSNR of a target that was made of an input; None of targets that it has not."""
    return (_RANGES_FROM_S1GRD if source == "S1GRD" else _RANGES).get(target)
