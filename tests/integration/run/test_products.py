"""Maps from Sentinel-2's other products, L1C and true colour, alone and beside others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from terramosaic import MapResult, map_region, open_run, plan, verify
from terramosaic.bands import INPUT_BANDS
from terramosaic.errors import NoScenesError
from terramosaic.ground.grid import Rect
from terramosaic.ground.noise import GroundNoise, GroundUniform
from terramosaic.model.bundle import load_bundle
from terramosaic.model.generator import GenerationOptions, WindowRandomness
from terramosaic.model.opening import open_generator
from terramosaic.planning.layers import day_number
from tests.integration.conftest import Catalog
from tests.support.pixels import assert_same_on_shared_pixels, read
from tests.support.radar import write_rtc
from tests.support.scenes import dn_of, write_scene
from tests.unit.model.toy_terramind import make_toy

GROUND = Rect(490_002, 50_004, 900, 900)
PLACE = Rect(GROUND.row + 250, GROUND.col + 250, 300, 320)
#: Where the first acquisition is clouded, as its L2A says; its west edge lies amid a window.
CLOUD_FROM = 500
#: What the levels of the acquisitions are brighter by, so that each tells itself apart.
LEVELS = {
    ("2023-08-15", "L2A"): 0,
    ("2023-08-15", "L1C"): 250,
    ("2023-08-20", "L2A"): 700,
    ("2023-08-20", "L1C"): 900,
}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_toy(tmp_path_factory.mktemp("toy") / "bundle"))


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Two acquisitions at both levels, in one folder; the better one is clouded in the east, where its L2A says so."""
    folder = tmp_path_factory.mktemp("ground")
    catalog = Catalog(folder)
    scl = np.full((GROUND.height // 2, GROUND.width // 2), 4)
    scl[:, CLOUD_FROM // 2 :] = 9
    for (day, level), brighter in LEVELS.items():
        is_first, l1c = day.endswith("15"), level == "L1C"
        catalog.add(
            write_scene(
                folder / f"{day}{level}",
                GROUND,
                name=f"S2A_33TWL_{day.replace('-', '')}_0_{level}",
                day=day,
                level=brighter,
                # Each as its own baseline has it.
                offset=1000 if is_first == l1c else 0,
                scl=scl if is_first else None,
                cloud=1.0 if is_first else 5.0,
                l1c=l1c,
            )
        )
    return catalog


def mapped(ground: Catalog, toy: str, out: Path, rect: Rect = PLACE, **fields: Any) -> MapResult:
    given = {"model": toy, "targets": ("NDVI", "LULC"), "steps": 1, "seed": 5}
    return map_region(ground.request(rect, out, **given | fields))


def shown(band: str, level: str, day: str = "2023-08-15") -> np.ndarray:
    """Digital numbers of a band on the ground at 10 m."""
    factor = {"B01": 6, "B09": 6, "B10": 6, "B02": 1, "B03": 1, "B04": 1, "B08": 1}.get(band, 2)
    native = dn_of(band, GROUND.height // factor, GROUND.width // factor, level=LEVELS[day, level])
    return native.repeat(factor, 0).repeat(factor, 1)


def seen_by_the_model(name: str, *, clouded_from: int | None = None) -> np.ndarray:
    """An input on all of the ground; east of a column as of the second acquisition."""
    level = "L1C" if name == "S2L1C" else "L2A"
    first, second = (
        np.stack([shown(band, level, day) for band in INPUT_BANDS[name]])
        for day in ("2023-08-15", "2023-08-20")
    )
    if clouded_from is not None:
        first[:, :, clouded_from:] = second[:, :, clouded_from:]
    return np.rint(np.clip(first * (255 / 5500), 0, 255)) if name == "S2RGB" else first


def made_of(toy: str, inputs: Sequence[str], pixels: Mapping[str, np.ndarray], window: Rect) -> np.ndarray:
    """The NDVI that the model makes of a window, as the map stores it."""
    cut = {name: pixels[name][:, *window.slices(GROUND)].astype(np.float32)[None] for name in inputs}
    generator = open_generator(
        load_bundle(toy), ("NDVI", "LULC"), options=GenerationOptions(steps=1, inputs=tuple(inputs))
    )
    randomness = {
        name: WindowRandomness(
            GroundNoise(5, name, 32633, 1).cut(window)[None] if name == "NDVI" else None,
            GroundUniform(5, name, 32633).cut(window)[None],
        )
        for name in ("NDVI", "LULC")
    }
    made: np.ndarray = np.rint(generator.generate(cut, randomness)["NDVI"][0] * 10_000).astype(np.int16)
    return made


def first_window() -> tuple[Rect, Rect]:
    """A window of the lattice, and its pixels that no other one covers."""
    window = Rect(-(-PLACE.row // 192) * 192, -(-PLACE.col // 192) * 192, 224, 224)
    return window, Rect(window.row + 40, window.col + 40, 100, 100)


@pytest.mark.parametrize("name", ["S2L1C", "S2RGB"])
def test_a_product_leads_alone_and_the_model_sees_its_pixels(
    ground: Catalog, toy: str, tmp_path: Path, name: str
) -> None:
    result = mapped(ground, toy, tmp_path / "out", inputs=(name,), max_cloud=3)
    ndvi, rect = read(result.mosaics["NDVI"])
    window, core = first_window()
    expected = made_of(toy, [name], {name: seen_by_the_model(name)}, window)[:, *core.slices(window)]
    np.testing.assert_allclose(ndvi[:, *core.slices(rect)], expected, atol=1)
    assert expected.std() > 1


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [("S2L1C",), ("S2RGB",), ("S2L2A", "S2L1C")])
def test_overlapping_regions_agree_and_can_be_verified(
    ground: Catalog, toy: str, tmp_path: Path, inputs: tuple[str, ...]
) -> None:
    result = mapped(ground, toy, tmp_path / "one", inputs=inputs)
    other = mapped(
        ground, toy, tmp_path / "two", Rect(PLACE.row + 90, PLACE.col - 60, 260, 300), inputs=inputs
    )
    assert_same_on_shared_pixels(result, other)
    assert verify(result.folder, windows=10, write=False).passed


def test_of_l1c_alone_clouds_are_not_known_and_that_is_told(
    ground: Catalog, toy: str, tmp_path: Path
) -> None:
    result = mapped(ground, toy, tmp_path, inputs=("S2L1C",))
    # Where L2A knows of clouds, L1C takes the first acquisition all the same.
    assert np.unique(read(result.mosaics["acquired"])[0][0]).tolist() == [day_number(date(2023, 8, 15))]
    assert sorted(result.plan.scenes) == ["S2A_33TWL_20230815_0_L1C", "S2A_33TWL_20230820_0_L1C"]
    assert any("L1C has no scene classification" in line for line in result.plan.warnings)
    item = json.loads((result.folder / "item.json").read_text())["properties"]
    assert "terramosaic:cloud_share" not in item
    assert item["processing:lineage"].startswith("Sentinel-2 L1C (best composite")
    assert item["terramosaic:offsets"]["S2A_33TWL_20230815_0_L1C"]["subtracted"] == 1000
    report = result.report.read_text()
    assert "not known<small>L1C does not tell" in report
    assert "NDVI against the imagery" not in report


@pytest.mark.parametrize("name", ["S2L2A", "S2L1C"])
def test_what_the_cloud_limit_keeps_out_is_of_the_level_that_leads(
    toy: str, tmp_path: Path, name: str
) -> None:
    catalog, half = Catalog(tmp_path), GROUND.width // 2
    for number, cloud in enumerate((1.0, 90.0)):
        rect = Rect(GROUND.row, GROUND.col + number * half, GROUND.height, half)
        l1c = name == "S2L1C"
        scene = f"S2A_33TWL_20230815_{number}_{name[2:]}"
        catalog.add(write_scene(tmp_path / scene, rect, name=scene, cloud=cloud, l1c=l1c))
    made = plan(
        catalog.request(PLACE, tmp_path / "out", model=toy, targets=("NDVI",), steps=1, inputs=(name,))
    )
    assert made.figures.gaps["cloud limit"] == pytest.approx(0.375, abs=0.02)
    assert "no scene" not in made.figures.gaps


def test_levels_side_by_side_are_of_one_acquisition_at_each_pixel(
    ground: Catalog, toy: str, tmp_path: Path
) -> None:
    """Where L2A sees a cloud both levels are of the next acquisition, and in no pixel of two."""
    inputs = ("S2L2A", "S2L1C", "S2RGB")
    result = mapped(ground, toy, tmp_path / "out", inputs=inputs, keep_imagery=True)
    ndvi, rect = read(result.mosaics["NDVI"])
    window, core = first_window()
    assert window.col < GROUND.col + CLOUD_FROM < window.col_end
    pixels = {name: seen_by_the_model(name, clouded_from=CLOUD_FROM) for name in inputs}
    expected = made_of(toy, inputs, pixels, window)[:, *core.slices(window)]
    np.testing.assert_allclose(ndvi[:, *core.slices(rect)], expected, atol=1)
    days = read(result.mosaics["acquired"])[0][0]
    assert np.unique(days).tolist() == [day_number(date(2023, 8, day)) for day in (15, 20)]
    imagery, place = read(result.mosaics["imagery"])
    np.testing.assert_array_equal(
        imagery[:, *PLACE.slices(place)], pixels["S2L2A"][:, *PLACE.slices(GROUND)].astype(np.uint16)
    )
    assert verify(result.folder, windows=5, write=False).passed
    plan = open_run(result.folder).plan
    assert [scene.l1c and scene.l1c.id for scene in plan.scenes.values()] == [
        "S2A_33TWL_20230815_0_L1C", "S2A_33TWL_20230820_0_L1C",
    ]  # fmt: skip
    item = json.loads((result.folder / "item.json").read_text())
    titles = {link["title"] for link in item["links"] if link["rel"] == "derived_from"}
    assert titles == {f"S2A_33TWL_202308{day}_0_{level}" for day in (15, 20) for level in ("L2A", "L1C")}
    assert item["properties"]["terramosaic:cloud_share"] == 0
    assert "S2A_<wbr>33TWL_<wbr>20230815_<wbr>0_<wbr>L1C" in result.report.read_text()


@pytest.mark.parametrize("name", ["S2L1C", "S2RGB"])
def test_windows_are_cut_from_kept_imagery_where_the_sources_are_gone(
    toy: str, tmp_path: Path, name: str
) -> None:
    catalog = Catalog(tmp_path / "items")
    catalog.folder.mkdir()
    level = "L1C" if name == "S2L1C" else "L2A"
    catalog.add(
        write_scene(tmp_path / "files", GROUND, name=f"S2A_33TWL_20230815_0_{level}", l1c=level == "L1C")
    )
    result = mapped(catalog, toy, tmp_path / "out", inputs=(name,), keep_imagery=True)
    for file in (tmp_path / "files").iterdir():
        file.unlink()
    found = verify(result.folder, windows=5, write=False)
    assert found.failure is None
    assert found.verified == found.drawn > 0


def test_an_l1c_that_is_gone_takes_its_l2a_along(ground: Catalog, toy: str, tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "items")
    catalog.folder.mkdir()
    for file in ground.folder.glob("*.json"):
        item = json.loads(file.read_text())
        if item["id"] == "S2A_33TWL_20230815_0_L1C":
            item["assets"]["cirrus"]["href"] = str(tmp_path / "gone.tif")
        catalog.add(item)
    result = mapped(catalog, toy, tmp_path / "out", inputs=("S2L2A", "S2L1C"))
    assert np.unique(read(result.mosaics["acquired"])[0][0]).tolist() == [day_number(date(2023, 8, 20))]
    properties = json.loads((result.folder / "item.json").read_text())["properties"]
    assert list(properties["terramosaic:left_out"]) == ["S2A_33TWL_20230815_0_L1C"]
    assert verify(result.folder, windows=5, write=False).passed


def test_scenes_without_l1c_are_left_out_and_where_none_has_one_it_is_told(
    ground: Catalog, toy: str, tmp_path: Path
) -> None:
    catalog = Catalog(tmp_path / "items")
    catalog.folder.mkdir()
    for file in ground.folder.glob("*.json"):
        if not file.stem.endswith("20230815_0_L1C"):
            catalog.add(json.loads(file.read_text()))
    result = mapped(catalog, toy, tmp_path / "out", inputs=("S2L2A", "S2L1C"))
    assert sorted(result.plan.scenes) == ["S2A_33TWL_20230820_0_L2A"]
    reasons = {scene.id: scene.reason for scene in result.plan.dropped}
    assert reasons == {"S2A_33TWL_20230815_0_L2A": "no L1C of the same acquisition was found"}
    with pytest.raises(NoScenesError, match="there are scenes of L2A, but no L1C of the same acquisitions"):
        mapped(catalog, toy, tmp_path / "out", inputs=("S2L2A", "S2L1C"), datetime="2023-08-15")
    # The one of the other level is nothing that a search for L2A has to tell of.
    alone = mapped(catalog, toy, tmp_path / "out", inputs=("S2L2A",))
    assert not any("left out" in line for line in alone.plan.warnings)


def test_products_stand_beside_radar(ground: Catalog, toy: str, tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "items")
    catalog.folder.mkdir()
    for file in ground.folder.glob("*.json"):
        catalog.add(json.loads(file.read_text()))
    catalog.add(
        write_rtc(
            tmp_path / "s1", GROUND, name="S1A_near_rtc", start="2023-08-14 05:00:00+00:00", orbit=49863
        )
    )
    result = mapped(catalog, toy, tmp_path / "out", inputs=("S1RTC", "S2RGB", "S2L1C"))
    assert result.plan.request.inputs == ("S2L1C", "S2RGB", "S1RTC")
    assert result.plan.optical is not None
    assert result.plan.optical.lead == "S2RGB"
    assert (read(result.mosaics["NDVI"])[0] != -32768).mean() > 0.5
    assert verify(result.folder, windows=10, write=False).passed
