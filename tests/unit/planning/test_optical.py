"""Which bands of Sentinel-2 are read for a request's inputs, and where each input finds its own."""

from __future__ import annotations

from terramosaic.bands import INPUT_BANDS, S2L2A_BANDS
from terramosaic.planning.optical import OpticalBands


def optical(*inputs: str, **taken: tuple[str, ...]) -> OpticalBands:
    found = OpticalBands.of(inputs, {**INPUT_BANDS, **taken})
    assert found is not None
    return found


def names(found: OpticalBands, name: str) -> list[str]:
    """The bands that an input finds at its planes."""
    read = [*found.bands, *(f"L1C {band}" for band in found.beside)]
    return [read[plane] for plane in found.planes(name)]


def test_each_input_alone_reads_its_own_bands() -> None:
    found = optical("S2L2A", "S1RTC")
    assert (found.level, found.lead, found.bands, found.beside) == ("L2A", "S2L2A", S2L2A_BANDS, ())
    assert found.tells_clouds
    found = optical("S2L1C", "DEM")
    assert (found.level, found.lead, found.bands, found.beside) == ("L1C", "S2L1C", INPUT_BANDS["S2L1C"], ())
    assert not found.tells_clouds
    found = optical("S2RGB")
    assert (found.lead, found.bands) == ("S2RGB", ("B02", "B03", "B04"))
    assert names(found, "S2RGB") == ["B04", "B03", "B02"]
    assert OpticalBands.of(("S1RTC", "DEM"), INPUT_BANDS) is None


def test_l2a_leads_and_what_is_read_once_serves_several() -> None:
    found = optical("S2L1C", "S2RGB", "S2L2A")
    assert (found.lead, found.bands, found.beside) == ("S2L2A", S2L2A_BANDS, INPUT_BANDS["S2L1C"])
    assert names(found, "S2L2A") == list(S2L2A_BANDS)
    assert names(found, "S2RGB") == ["B04", "B03", "B02"]
    assert names(found, "S2L1C") == [f"L1C {band}" for band in INPUT_BANDS["S2L1C"]]
    assert optical("S2L1C", "S2RGB").lead == "S2RGB"


def test_a_model_may_take_some_bands_and_in_an_order_of_its_own() -> None:
    found = optical("S2L2A", "S2RGB", S2L2A=("B08", "B04"))
    assert found.bands == ("B08", "B04", "B02", "B03")
    assert names(found, "S2L2A") == ["B08", "B04"]
    assert names(found, "S2RGB") == ["B04", "B03", "B02"]
