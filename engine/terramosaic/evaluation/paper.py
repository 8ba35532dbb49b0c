"""What TerraMind's paper reports of TerraMind-B (Jakubik et al., arXiv 2504.11171, Tables 3, 10 and 14).

MAE and RMSE are in dB, metres and reflectance. The paper gives no data range; it follows from the rows themselves, for
``RMSE * 10 ** (PSNR / 20)`` is one number per target and collection of samples in all three tables: what the
references of the evaluated set span. So PSNR is of the error of the whole set, and only figures with the same range
compare. A test holds each row's RMSE and PSNR to that, and so to each other; MAE and SSIM were compared with nothing,
so look at the paper before you lean on them. The window and range of the paper's SSIM are not known.
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
    mae: float
    rmse: float
    ssim: float
    psnr: float

    @property
    def data_range(self) -> float:
        """The range that its PSNR is of."""
        return float(self.rmse * 10 ** (self.psnr / 20))


ROWS = (
    PaperRow(3, "S1GRD", "S2L2A", 0.074, 0.116, 0.750, 26.210),
    PaperRow(3, "S1GRD", "DEM", 163.0, 320.8, 0.878, 20.694),
    PaperRow(3, "S1GRD", "NDVI", 0.180, 0.225, 0.438, 18.990),
    PaperRow(3, "S1RTC", "S2L2A", 0.113, 0.194, 0.695, 24.251),
    PaperRow(3, "S1RTC", "DEM", 298.8, 799.2, 0.873, 20.009),
    PaperRow(3, "S1RTC", "NDVI", 0.172, 0.211, 0.465, 19.529),
    PaperRow(3, "S2L2A", "S1GRD", 2.942, 3.877, 0.531, 28.678),
    PaperRow(3, "S2L2A", "S1RTC", 2.636, 3.391, 0.430, 28.993),
    PaperRow(3, "S2L2A", "DEM", 215.8, 745.5, 0.942, 20.616),
    PaperRow(10, "S1GRD", "S1GRD", 2.403, 3.220, 0.565, 30.291),
    PaperRow(10, "S1RTC", "S1RTC", 2.216, 2.888, 0.466, 30.389),
    PaperRow(10, "S2L2A", "S2L2A", 0.055, 0.134, 0.851, 27.439),
    PaperRow(10, "DEM", "DEM", 170.7, 737.2, 0.974, 20.712),
    PaperRow(10, "NDVI", "NDVI", 0.091, 0.168, 0.647, 21.517),
    PaperRow(14, "S1GRD", "S2L2A", 0.0820, 0.1238, 0.7182, 25.630),
    PaperRow(14, "S1GRD", "NDVI", 0.1949, 0.2425, 0.4124, 18.324),
    PaperRow(14, "S1GRD", "DEM", 327.4, 550.3, 0.7271, 16.008),
    PaperRow(14, "S1RTC", "S2L2A", 0.1195, 0.1935, 0.6638, 24.266),
    PaperRow(14, "S1RTC", "NDVI", 0.1895, 0.2348, 0.4500, 18.606),
    PaperRow(14, "S1RTC", "DEM", 457.9, 851.6, 0.7095, 19.457),
    PaperRow(14, "S2L2A", "S1GRD", 3.3180, 4.3309, 0.5131, 27.715),
    PaperRow(14, "S2L2A", "S1RTC", 3.0544, 3.9178, 0.4131, 27.739),
    PaperRow(14, "S2L2A", "DEM", 572.5, 1040.6, 0.5728, 17.718),
)


def row_of(table: int, source: str, target: str) -> PaperRow | None:
    """The paper's row, if it has it."""
    return next((row for row in ROWS if (row.table, row.source, row.target) == (table, source, target)), None)


def range_of(source: str, target: str) -> float:
    """The range of the paper's PSNR of a target that was made of an input."""
    return (_RANGES_FROM_S1GRD if source == "S1GRD" else _RANGES)[target]
