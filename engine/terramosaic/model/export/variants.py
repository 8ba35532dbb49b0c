"""Names of what can be exported; importing them costs nothing."""

from __future__ import annotations

from terramosaic.bands import S2L2A_BANDS
from terramosaic.model.manifest import COORDINATES, EMBEDDING

#: TerraMind's sizes by the name users give.
VARIANTS = ("terramind_v1_tiny", "terramind_v1_small", "terramind_v1_base", "terramind_v1_large")

#: Targets that can be exported, with the bands and unit of their mosaics.
TARGETS = {
    "S1GRD": (("VV", "VH"), "dB"),
    "S1RTC": (("VV", "VH"), "dB"),
    "NDVI": (("NDVI",), None),
    "LULC": (("LULC",), None),
    "DEM": (("DEM",), "m"),
    "S2L2A": (S2L2A_BANDS, None),
}

#: All that can be exported: targets, and what is no map of a modality.
MADE = (*TARGETS, EMBEDDING, COORDINATES)

#: What a target's values are multiplied by: reflectance is reflectance, not the digital numbers that are put in.
FACTORS = {"S2L2A": 1e-4}

_OPTICAL = "DN = reflectance x 10 000, offset removed, at least 1; gaps filled"

#: Inputs that can be exported as patches, with their unit and convention.
INPUTS = {
    "S2L2A": (None, f"Sentinel-2 L2A, {_OPTICAL}"),
    "S2L1C": (None, f"Sentinel-2 L1C, {_OPTICAL}"),
    "S2RGB": (None, "Sentinel-2 L2A true colour, red, green, blue from 0 to 255"),
    "S1GRD": ("dB", "Sentinel-1 GRD sigma0, 10 log10 of power; gaps filled"),
    "S1RTC": ("dB", "Sentinel-1 RTC gamma0, 10 log10 of power; gaps filled"),
    "DEM": ("m", "Copernicus DEM GLO-30, height above the geoid EGM2008; gaps filled"),
}

#: All that can be exported as inputs that are no tokens of images.
TAKEN = (*INPUTS, COORDINATES)

#: Inputs that can be exported as tokens; of NDVI and LULC there is no other form.
TOKENISED = {
    **{name: INPUTS[name] for name in ("S2L2A", "S1GRD", "S1RTC", "DEM")},
    "NDVI": (None, "NDVI of Sentinel-2 L2A, from -1 to 1; gaps filled"),
    "LULC": (None, "a plane for each class of the land cover, 1 where it is and 0 elsewhere"),
}
