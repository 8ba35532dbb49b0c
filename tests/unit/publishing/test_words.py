"""What report and item say alike."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from terramosaic.bands import S2L2A_BANDS
from terramosaic.planning.layers import NODATA, Layer
from terramosaic.publishing.words import bounds_in_words, targets_in_words


def layer(name: str, bands: tuple[str, ...], unit: str, *bounds: tuple[float, float], **more: Any) -> Layer:
    return Layer(name, "value", bands, "int16", NODATA, unit=unit, bounds=bounds, **{"target": name, **more})


def told(*layers: Layer) -> str:
    return bounds_in_words(SimpleNamespace(layers=layers))  # type: ignore[arg-type]


def test_bounds_of_samples_are_told_as_what_a_map_can_hold():
    radar = layer("S1GRD", ("VV", "VH"), "dB", (-17.83, -7.41), (-26.2, -14.37))
    heights = layer("DEM", ("DEM",), "m", (-280.6, 1621.9))
    ndvi = layer("NDVI", ("NDVI",), "1", (0.00512, 0.6488))
    assert told(radar, heights, ndvi) == (
        "S1GRD VV \u221217.8 to \u22127.4 dB, VH \u221226.2 to \u221214.4 dB; "
        "DEM \u2212281 to 1\u202f622 m; NDVI 0.005 to 0.649"
    )


def test_of_many_bands_the_range_of_all_is_told():
    """Sentinel-2 made of radar is never brighter: clouds, snow and bright desert are cut."""
    optical = layer("S2L2A", S2L2A_BANDS, "1", (-0.0716, 0.35), (0.137, 0.496), *[(-0.03, 0.4)] * 10)
    assert told(optical) == "S2L2A \u22120.072 to 0.496 over all bands, most less"


def test_only_bounded_estimates_are_told():
    spread = layer("NDVI_std", ("NDVI",), "1", (0.0, 1.0), target="NDVI", measure="std")
    assert told(layer("NDVI", ("NDVI",), "1"), spread) == ""


def test_a_target_that_has_no_words_is_told_by_its_name():
    assert targets_in_words(("NDVI", "Biomass")) == "NDVI and Biomass"
