"""What is no picture of the ground is told from its overviews; what is one never is, however odd it looks."""

from collections.abc import Callable

import numpy as np
import pytest

from terramosaic.bands import GSD, S2L2A_BANDS
from terramosaic.imagery.plausibility import LEAST_LOOKED_AT, LOOKED_AT, plausibility

#: Digital numbers of grounds without the offset, in the bands' order.
GROUNDS = {
    "crops": (300, 400, 600, 500, 1000, 2000, 2500, 3000, 3100, 3100, 1800, 1000),
    "sand": (1400, 1700, 2400, 3400, 3700, 3800, 3800, 3900, 3850, 3900, 4800, 4600),
    "snow": (9800, 9900, 9700, 9500, 9300, 9000, 8700, 8400, 8000, 7000, 700, 600),
    "cloud": (9000, 9100, 9000, 8900, 9000, 9000, 9000, 9000, 9000, 5000, 5500, 4000),
    "water": (250, 220, 180, 90, 60, 50, 45, 40, 35, 30, 1, 1),
}
SCL = {"crops": 4, "sand": 5, "snow": 11, "cloud": 9, "water": 6}
Overviews = dict[str, np.ndarray]


def overviews(ground: str = "crops", side: int = 120, offset: int = 0) -> Overviews:
    """A picture of one ground with relief and a little noise: 10, 20 and 60 m bands have shapes of their own."""
    random = np.random.default_rng(5)
    relief = np.kron(random.uniform(0.8, 1.2, (side // 6, side // 6)), np.ones((6, 6)))
    made = {}
    for band, level in zip(S2L2A_BANDS, GROUNDS[ground], strict=True):
        step = GSD[band] // 10
        dn = relief[::step, ::step] * level
        dn += random.normal(0, 5, dn.shape)
        made[band] = (dn.clip(1) + offset).astype(np.uint16)
    return made | {"SCL": np.full((side // 2, side // 2), SCL[ground], np.uint8)}


def rows(share: float, value: int) -> Callable[[np.ndarray], np.ndarray]:
    """Sets the upper share of a band."""
    return lambda layer: np.where(np.arange(len(layer))[:, None] < share * len(layer), value, layer).astype(
        layer.dtype
    )


def shuffled(layer: np.ndarray) -> np.ndarray:
    return np.random.default_rng(2).permuted(layer * 2)


def noisy(layer: np.ndarray) -> np.ndarray:
    return np.random.default_rng(2).normal(layer, 150).astype(np.uint16)


@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize("ground", GROUNDS)
def test_no_ground_is_accused(ground, offset):
    found = plausibility(overviews(ground, 240, offset))
    assert found.reasons == ()
    assert found.figures["pixels"] == 1600


@pytest.mark.parametrize("value", [1, 1000, 1001])
def test_bands_that_dark_water_cuts_off_are_no_flat_ones(value):
    water = overviews("water", 240)
    for band in ("B8A", "B09", "B11", "B12"):
        water[band] = np.full_like(water[band], value)
    assert plausibility(water).reasons == ()


def test_clouds_may_be_saturated_and_said_to_be():
    cloud = overviews("cloud", 240)
    for band in S2L2A_BANDS:
        cloud[band] = rows(0.95, 65_535)(cloud[band])
    cloud["SCL"] = rows(0.95, 1)(cloud["SCL"])
    assert plausibility(cloud).reasons == ()


def test_the_archetype():
    """Element84/earth-search 78: the 10 m bands alone are broken, and SCL knows."""
    scene = overviews(side=240)
    noise = np.random.default_rng(1).integers(64_000, 65_000, (240, 240)).astype(np.uint16)
    scene |= {band: noise for band in S2L2A_BANDS if GSD[band] == 10}
    scene["SCL"] = rows(0.92, 0)(scene["SCL"])
    least = {band: scene[band] for band in LEAST_LOOKED_AT}
    for looked_at in (scene, least):
        found = plausibility(looked_at)
        assert found.reasons[0] == "SCL calls 92% of the pixels that have imagery no data or defective"
        assert "no reflectance is above 30000, as 100% of " in found.reasons[1]
    assert found.figures["against_scl"] == pytest.approx(0.92, abs=0.01)


@pytest.mark.parametrize(
    ("bands", "change", "reason"),
    [
        (["SCL"], rows(0.15, 0), None),
        (["SCL"], rows(0.25, 0), "SCL calls 25% of the pixels"),
        (["SCL"], rows(0.25, 1), "SCL calls 25% of the pixels"),
        (["SCL"], rows(0.025, 200), None),
        (["SCL"], rows(0.1, 200), "SCL is above 11 in 10% of its pixels"),
        (["B08"], rows(0.025, 40_000), None),
        (["B08"], rows(0.075, 40_000), "no reflectance is above 30000, as 8% of B08 are"),
        (["B02", "B03"], rows(0.2, 20_000), "no clear land is brighter than 18000, as 20% of it are in B02 and B03"),
        (["B02"], rows(0.2, 65_535), "no clear land is brighter than 18000, as 20% of it are in B02"),
        (["B02"], rows(0.05, 20_000), None),
        (S2L2A_BANDS, lambda dn: dn // 16, "no band holds numbers above 255 over land"),
        (S2L2A_BANDS, lambda dn: dn // 8, None),
        (["B05"], rows(0.95, 1200), "95% of B05 are one and the same number"),
        (["B05"], rows(0.75, 1200), None),
        (["B05", "B11"], rows(0.6, 0), "over 60% of the ground that other bands show there is nothing in B05 and B11"),
        (["B12"], rows(1, 1), "over 100% of the ground that other bands show there is nothing in B12"),
        (["B05"], rows(0.4, 0), None),
        (["B05"], shuffled, "nothing of what the neighbouring bands show is in B05"),
        (["B12"], shuffled, "nothing of what the neighbouring bands show is in B12"),
        (["B05"], noisy, None),
        (["B08"], rows(0.6, 1000), "over 60% of the ground that other bands show there is nothing in B08"),
        (["B11"], rows(0.4, 1001), None),
        (["B03"], rows(0.6, 1000), None),
    ],
)  # fmt: skip
def test_thresholds_each_way(bands, change, reason):
    scene = overviews(side=240)
    scene |= {band: change(scene[band]) for band in bands}
    reasons = plausibility(scene).reasons
    assert any(text.startswith(reason) for text in reasons) if reason else reasons == ()


def test_one_bands_file_in_anothers_place():
    for ground in GROUNDS:
        scene = overviews(ground, 240)
        assert plausibility(scene | {"B08": scene["B04"]}).reasons == ("B04 and B08 hold the same numbers",)
    scene = overviews(side=240)
    scene["B07"] = rows(0.4, 2000)(scene["B06"])
    assert plausibility(scene).reasons == ("B06 and B07 hold the same numbers",)
    scene["B07"] = rows(0.6, 2000)(scene["B06"])
    assert plausibility(scene).reasons == ()


@pytest.mark.parametrize("value", [1, 1000, 1001])
def test_no_ground_is_cut_off_in_all_bands(value):
    water = overviews("water", 240)
    for band in S2L2A_BANDS:
        water[band] = np.full_like(water[band], value)
    assert plausibility(water).reasons[0].startswith("100% of B01, B02,")


def broken(scene: Overviews) -> Overviews:
    """Everything that is wrong at once."""
    return {band: np.full_like(layer, 64_500 if band != "SCL" else 0) for band, layer in scene.items()}


def test_too_little_to_judge_by_accuses_nobody():
    few = overviews(side=240)
    for band, layer in broken(few).items():
        sliver = np.arange(layer.shape[1]) < 0.3 * layer.shape[1]
        few[band] = np.where(sliver, layer, 0).astype(layer.dtype)
    found = plausibility(few)
    assert (found.reasons, found.figures) == ((), {"pixels": 440.0, "land_pixels": 0.0} | found.figures)
    assert plausibility(broken(overviews(side=240))).reasons
    assert plausibility({}).reasons == plausibility({"SCL": few["SCL"]}).reasons == ()


def test_a_swath_whose_bands_and_classes_end_at_different_pixels():
    scene = overviews(side=1200)
    for index, band in enumerate(S2L2A_BANDS):
        layer = scene[band]
        ends = 0.1 + 0.0005 * index
        scene[band] = np.where(np.arange(layer.shape[1]) < ends * layer.shape[1], layer, 0).astype(np.uint16)
    scene["SCL"] = np.where(np.arange(600) < 0.09 * 600, 4, 0).astype(np.uint8) * np.ones((600, 1), np.uint8)
    found = plausibility(scene)
    assert found.reasons == () and found.figures["pixels"] > 1000


def test_without_a_classification_the_bands_alone_are_judged():
    scene = overviews(side=240)
    del scene["SCL"]
    assert plausibility(scene).reasons == ()
    scene["B04"] = rows(0.5, 64_000)(scene["B04"])
    assert plausibility(scene).reasons == ("no reflectance is above 30000, as 50% of B04 are",)


def test_a_band_is_not_accused_of_what_its_file_declares_to_be_no_data():
    scene = overviews(side=240)
    scene["B04"] = rows(0.6, 0)(scene["B04"])
    assert plausibility(scene).reasons and plausibility(scene, ["B05"]).reasons
    assert plausibility(scene, ["B04"]).reasons == ()
    scene["B04"] = rows(0.6, 1)(scene["B04"])
    assert plausibility(scene, ["B04"]).reasons


def test_every_band_can_be_looked_at():
    assert set(LOOKED_AT) == {*S2L2A_BANDS, "SCL"}
