"""Nothing that is real is held implausible; what was done to it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from scipy import ndimage

from terramosaic.bands import S2L2A_BANDS
from terramosaic.imagery.plausibility import plausibility
from terramosaic.imagery.zeros import mend
from tests.conftest import SHARED_DATA

#: Whole tiles: a desert with and without the offset; ten dates and places, of 0 to 71 % cloud.
REAL_SCENES = [
    *(SHARED_DATA / "scene-29RKH" / name for name in ("pb0214", "pb0509")),
    *sorted((SHARED_DATA / "scenes-33TWL-33TWM" / "sentinel-2-l2a").glob("S2*")),
]


def overviews(folder: Path) -> dict[str, np.ndarray]:
    found = {}
    for file in sorted(folder.glob("*.tif")):
        with rasterio.open(file) as dataset:
            scale = max(1, dataset.width / 512)
            found[file.stem] = dataset.read(
                1, out_shape=(round(dataset.height / scale), round(dataset.width / scale))
            )
    return found


@pytest.mark.parametrize("folder", REAL_SCENES, ids=lambda folder: folder.name)
def test_a_real_scene_is_plausible_and_not_with_a_broken_band(shared_data, folder):
    scene = overviews(folder)
    found = plausibility(scene)
    assert found.reasons == ()
    # Far from every threshold.
    figures = found.figures
    assert max(figures["against_scl"], figures["impossible"], figures["too_bright"], figures["empty"]) < 0.001
    assert figures["no_class"] < 0.001 and figures["same_numbers"] < 0.02
    assert figures["flat"] < 0.02 and figures["least_related"] > 0.5 and figures["highest_over_land"] > 2000

    noise = np.random.default_rng(1).integers(64_000, 65_000, (512, 512)).astype(np.uint16)
    assert plausibility(scene | {"B04": noise}).reasons
    assert plausibility(scene | {"B08": np.full_like(scene["B08"], 3000)}).reasons
    assert plausibility(scene | {"B08": scene["B04"]}).reasons
    assert plausibility(scene | {"B03": scene["B03"] * 0}).reasons
    assert plausibility(scene | {"B03": np.random.default_rng(1).permuted(scene["B03"])}).reasons
    assert plausibility(scene | {"SCL": scene["SCL"] * 0}).reasons


@pytest.mark.parametrize("classes", [(8, 9), (6,), (3,)], ids=["bright cloud", "dark water", "shadow"])
def test_a_part_of_a_real_scene_that_shows_one_thing_alone(shared_data, classes):
    scene = overviews(SHARED_DATA / "scenes-33TWL-33TWM" / "sentinel-2-l2a" / "S2B_33TWL_20230810_0_L2A")
    chosen = np.flatnonzero(np.isin(scene["SCL"], classes))
    side = int(np.sqrt(len(chosen)))
    part = {band: layer.ravel()[chosen[: side * side]].reshape(side, side) for band, layer in scene.items()}
    found = plausibility(part)
    assert found.figures["pixels"] > 1000 and found.reasons == ()


@pytest.mark.parametrize("name", ["38D_378R_2_3", "433D_629L_3_1", "637U_59R_1_3"])
def test_real_patches_at_ten_metres(shared_data, name):
    with rasterio.open(SHARED_DATA / "terramesh-examples" / "S2L2A" / f"{name}.tif") as file:
        patch = dict(zip(S2L2A_BANDS, file.read().astype(np.uint16), strict=True))
    patch["SCL"] = np.full((224, 224), 4, np.uint8)
    found = plausibility(patch)
    assert found.reasons == () and found.figures["least_related"] > 0.5
    assert plausibility(patch | {"B11": np.random.default_rng(1).permuted(patch["B11"])}).reasons


def test_what_was_seen_of_real_scenes_is_mapped_and_the_rims_of_their_swaths_are_not(shared_data):
    lacking_at_rims = mapped_at_rims = lacking_elsewhere = mapped_elsewhere = 0
    for name in ("S2A_33TWL_20230818_0_L2A", "S2B_33TWM_20230810_0_L2A", "S2B_33TWM_20230820_0_L2A"):
        folder, bands = SHARED_DATA / "scenes-33TWL-33TWM" / "sentinel-2-l2a" / name, []
        for band in ("B02", "B03", "B04", "B08", "SCL"):
            with rasterio.open(folder / f"{band}.tif") as dataset:
                bands.append(dataset.read(1))
        dn, scl = np.stack(bands[:4]), bands[4]
        zeros = (dn == 0).sum(axis=0)
        found = dn.copy()
        repaired = mend(found, scl, zeros == 0)
        # What has all bands stays as it is, and mapped.
        assert not (repaired & ((zeros == 0) | (zeros == 4))).any() and found[:, repaired].all()
        np.testing.assert_array_equal(found[:, ~repaired], dn[:, ~repaired])
        lacking, near_nothing = (zeros > 0) & (zeros < 4), ndimage.maximum_filter(zeros == 4, 13)
        lacking_at_rims += (lacking & near_nothing).sum()
        mapped_at_rims += (repaired & near_nothing).sum()
        lacking_elsewhere += (lacking & ~near_nothing & (scl != 0)).sum()
        mapped_elsewhere += (repaired & ~near_nothing).sum()
    assert lacking_at_rims > 14_000 and mapped_at_rims < 0.005 * lacking_at_rims
    assert lacking_elsewhere > 600 and mapped_elsewhere > 0.9 * lacking_elsewhere
