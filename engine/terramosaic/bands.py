"""Bands as TerraMind orders them. The engine keeps its own table: catalogs' common names are ambiguous."""

from __future__ import annotations

import re

#: TerraMind's input order of ``S2L2A`` (terratorch, ``terramind_register.py``).
S2L2A_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")

#: Inputs that the engine knows, with all their bands in TerraMind's order. LULC has a plane for each class.
INPUT_BANDS = {
    "S2L2A": S2L2A_BANDS,
    "S2L1C": ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"),
    "S2RGB": ("B04", "B03", "B02"),
    "S1GRD": ("VV", "VH"),
    "S1RTC": ("VV", "VH"),
    "DEM": ("DEM",),
    "NDVI": ("NDVI",),
}

#: Products of Sentinel-2: reflectance of the surface, of the top of the atmosphere, and the former's true colour.
L2A, L1C, RGB = "S2L2A", "S2L1C", "S2RGB"

#: L1C's band of cirrus, under which the ground is dark: 0 in it is what a clear sky looks like.
CIRRUS = "B10"

#: The digital number of L2A that is 255 in S2RGB. How TerraMind's was made from L2A nobody tells: with this one the
#: means of B04 and B03 over what it was trained with (1 854 and 1 718) are those of its red and green (87.3 and 80.9)
#: to 2 %.
RGB_WHITE = 5500

#: What STAC calls them (eo extension 2.0.0): written into items, and never read from any.
COMMON_NAMES = {
    "B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge071", "B06": "rededge075",
    "B07": "rededge078", "B08": "nir", "B8A": "nir08", "B09": "nir09", "B10": "cirrus", "B11": "swir16",
    "B12": "swir22",
}  # fmt: skip

#: What users call them beside that: eo extension 1, Sentinel Hub's and Planet's spellings, terratorch.
_OTHER_NAMES = {
    "B01": ("coastal_aerosol",), "B05": ("rededge1", "red_edge_1"), "B06": ("rededge2", "red_edge_2"),
    "B07": ("rededge3", "red_edge_3"), "B08": ("nir_broad",), "B8A": ("nir2", "nir_narrow"), "B09": ("water_vapor",),
    "B11": ("swir1", "swir_1"), "B12": ("swir2", "swir_2"),
}  # fmt: skip
_BY_NAME = {name: band for band, name in COMMON_NAMES.items()} | {
    name: band for band, names in _OTHER_NAMES.items() for name in names
}

#: ESA's names, with or without the 0.
ESA_BAND = "B(?:0?[1-9]|1[0-2]|8A)|SCL"

#: Ground sampling distance of each band, and of the scene classification, in metres.
GSD = {
    "B01": 60, "B02": 10, "B03": 10, "B04": 10, "B05": 20, "B06": 20, "B07": 20,
    "B08": 10, "B8A": 20, "B09": 60, "B10": 60, "B11": 20, "B12": 20, "SCL": 20,
}  # fmt: skip

#: What a product of L2A holds: all bands but B10, which shows no ground, and the scene classification.
L2A_FILES = (*S2L2A_BANDS, "SCL")

#: Classes of the scene classification (SCL) under which the ground cannot be trusted: no data, saturated or
#: defective, cloud shadow, cloud of medium and high probability, thin cirrus.
SCL_UNCLEAR = (0, 1, 3, 8, 9, 10)

#: The class of pixels of which it knows nothing else.
SCL_UNCLASSIFIED = 7


def band_called(name: str) -> str | None:
    """Sentinel-2's band of a name that is nothing else: ``B2``, ``b02_10m``, ``red``, ``RED_EDGE_1``."""
    name = name.strip()
    found = re.fullmatch(rf"({ESA_BAND})(?:[_\-.][126]0m)?", name, re.IGNORECASE)
    return of_esa(found[1]) if found else _BY_NAME.get(name.lower())


def of_esa(name: str) -> str:
    """ESA's name of a band as it stands in the tables here: in capitals, of three characters."""
    upper = name.upper()
    return upper if upper in GSD else f"B{upper[1:].zfill(2)}"


def is_coarse(band: str, metres: float) -> bool:
    """Whether pixels of this size are those of another of Sentinel-2's own resolutions, coarser than the band's.

    Coarser still is no mix-up: overviews of whole scenes are read as what they are.
    """
    return any(abs(metres - own) < 0.01 and own > GSD[band] for own in (20, 60))
