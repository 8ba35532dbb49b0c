"""Names of what can be exported; importing them costs nothing."""

from __future__ import annotations

#: TerraMind's sizes by the name users give.
VARIANTS = ("terramind_v1_tiny", "terramind_v1_small", "terramind_v1_base", "terramind_v1_large")

#: Targets that can be exported, with the bands and unit of their mosaics.
TARGETS = {
    "S1GRD": (("VV", "VH"), "dB"),
    "S1RTC": (("VV", "VH"), "dB"),
    "NDVI": (("NDVI",), None),
    "LULC": (("LULC",), None),
    "DEM": (("DEM",), "m"),
}
