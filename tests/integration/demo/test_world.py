"""The made-up Sentinel-2 world: same pixels everywhere, on the real grid, and true to what its metadata says."""

from __future__ import annotations

import json
import shutil
import zlib
from functools import cache
from pathlib import Path
from typing import NoReturn

import numpy as np
import pystac
import pytest
import rasterio
import rasterio.warp
from click.testing import CliRunner
from pystac.validation import validate_dict
from rio_cogeo import cog_validate
from shapely.geometry import Point, shape

from terramosaic.bands import GSD, L2A_FILES, S2L2A_BANDS
from terramosaic.catalog.scene import Scene, scene_from_item
from terramosaic.cli import demo
from terramosaic.cli.app import cli
from terramosaic.demo.overpasses import overlap_of
from terramosaic.demo.texture import shrink
from terramosaic.demo.world import write_world
from terramosaic.errors import OutputError, RequestError
from terramosaic.imagery.offset import check_offset, harmonise
from terramosaic.request.request import RegionRequest

SIZE, SMALL = 600, 240
WITH_OFFSET, WITHOUT = "2020-04-11", "2020-04-19"
CLEAR = (2, 4, 5, 6, 11)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(write_world(tmp_path_factory.mktemp("world"), size=SIZE))


class World:
    """A written world, read back through pystac and the engine's own catalog code."""

    def __init__(self, catalog: Path) -> None:
        self.items = list(pystac.Catalog.from_file(str(catalog)).get_items(recursive=True))
        for item in self.items:
            item.make_asset_hrefs_absolute()
        self.scenes = [scene_from_item(item.to_dict(transform_hrefs=False)) for item in self.items]

    def scene(self, day: str, tile: str) -> Scene:
        return next(s for s in self.scenes if s.mgrs_tile == tile and str(s.solar_day) == day)

    @cache  # noqa: B019 (lives as long as the module's tests)
    def raw(self, day: str, tile: str, band: str) -> np.ndarray:
        with rasterio.open(self.scene(day, tile).assets[band].href) as source:
            return source.read(1)

    def dn(self, day: str, tile: str, band: str) -> np.ndarray:
        return harmonise(self.raw(day, tile, band), self.scene(day, tile).assets[band].offset).astype(float)

    def whole(self, day: str, band: str, *, raw: bool = False) -> np.ndarray:
        """Both tiles side by side, the western one on top."""
        read = self.raw if raw else self.dn
        west, east = (read(day, tile, band) for tile in ("32TMP", "32TNP"))
        return np.concatenate([west, east[:, overlap_of(SIZE) * 10 // GSD[band] :]], axis=1)


def pixels(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.rglob("*.tif")):
        with rasterio.open(path) as source:
            found[str(path.relative_to(folder))] = source.read(1).tobytes()
    return found


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small world, which tests read or copy."""
    return write_world(tmp_path_factory.mktemp("small"), size=SMALL).parent


@pytest.mark.slow
def test_same_seed_same_pixels_in_any_folder(small: Path, tmp_path: Path) -> None:
    again, other = (
        write_world(tmp_path / name, seed=seed, size=SMALL).parent for name, seed in (("b", 0), ("c", 6))
    )
    assert pixels(small) == pixels(again)
    assert len(pixels(small)) == 2 * 2 * 13
    others = pixels(other)
    assert all(content != others[name] for name, content in pixels(small).items())


def test_pixels_are_those_of_every_other_machine(small: Path) -> None:
    found = pixels(small)
    checksums = {
        name[-7:-4]: zlib.crc32(found[name]) for name in sorted(found) if "S2B" in name and "TNP" in name
    }
    # Change these together with GENERATOR only: a world that is there already is told apart by it.
    assert (
        checksums.items() >= {"B02": 3735994975, "B8A": 58267808, "B09": 3800872622, "SCL": 615431977}.items()
    )


def test_every_raster_has_its_items_grid(world: World) -> None:
    assert len(world.items) == 4
    for item, scene in zip(world.items, world.scenes, strict=True):
        assert set(scene.assets) == set(L2A_FILES)
        for band in L2A_FILES:
            asset, gsd = item.assets[band], GSD[band]
            with rasterio.open(asset.href) as source:
                assert source.crs.to_epsg() == scene.epsg == 32632
                assert source.res == (gsd, gsd)
                assert source.bounds == scene.grid_bounds == tuple(asset.extra_fields["proj:bbox"])
                assert list(source.shape) == asset.extra_fields["proj:shape"]
                assert list(source.transform)[:6] == asset.extra_fields["proj:transform"]
                assert source.nodata == 0
                assert source.dtypes == (("uint8",) if band == "SCL" else ("uint16",))
                assert source.overviews(1) == ([2] if gsd == 10 else [])


def test_rasters_are_cogs(world: World) -> None:
    for band in ("B04", "B12", "B01", "SCL"):
        assert cog_validate(world.items[0].assets[band].href, strict=True) == (True, [], [])


def test_items_are_valid_stac(world: World) -> None:
    root = world.items[0].get_root()
    assert root is not None
    for thing in (root, *root.get_children(), *world.items):
        # Extensions' schemas are on the network.
        validate_dict({**thing.to_dict(), "stac_extensions": []})
    assert all("Made-up" in (item.properties["title"] + item.id) for item in world.items)


def test_links_are_relative(small: Path, tmp_path: Path) -> None:
    moved = World(shutil.copytree(small, tmp_path / "after") / "catalog.json")
    files = [Path(asset.href) for scene in moved.scenes for asset in scene.assets.values()]
    assert all(file.is_file() and file.is_relative_to(tmp_path) for file in files)


def test_one_date_carries_the_offset_and_both_say_so(world: World) -> None:
    for tile in ("32TMP", "32TNP"):
        for day, offset, baseline, verdict in (
            (WITH_OFFSET, 1000, "05.09", "present"),
            (WITHOUT, 0, "02.14", "not applicable"),
        ):
            scene = world.scene(day, tile)
            assert scene.processing_baseline == baseline
            assert {scene.assets[band].offset for band in S2L2A_BANDS} == {offset}
            b04 = world.raw(day, tile, "B04")
            assert b04[b04 > 0].min() > offset
            evidence = check_offset(b04[::4, ::4], baseline=baseline, decided=offset)
            assert evidence.verdict == verdict
    assert np.percentile(world.raw(WITHOUT, "32TMP", "B04"), 5) < 200


@pytest.mark.parametrize("day", [WITH_OFFSET, WITHOUT])
def test_tiles_see_the_same_ground(world: World, day: str) -> None:
    for band in ("B04", "B8A", "B09"):
        count = overlap_of(SIZE) * 10 // GSD[band]
        west, east = world.dn(day, "32TMP", band)[:, -count:], world.dn(day, "32TNP", band)[:, :count]
        both = (west > 0) & (east > 0)
        difference = (west - east)[both]
        assert abs(difference.mean()) < 1
        # Noise of two products and nothing else; but it is there.
        assert 0 < np.abs(difference / (5 + 0.006 * west[both])).max() < 2 * 255 / 104 + 1
    count = overlap_of(SIZE) // 2
    west, east = world.raw(day, "32TMP", "SCL")[:, -count:], world.raw(day, "32TNP", "SCL")[:, :count]
    assert (west[east > 0] == east[east > 0]).all()


def test_dates_agree_on_clear_unchanged_ground(world: World) -> None:
    classes = [world.whole(day, "SCL", raw=True) for day in (WITH_OFFSET, WITHOUT)]
    clear = (classes[0] == classes[1]) & np.isin(classes[0], CLEAR)
    for band in ("B05", "B8A", "B11"):
        difference = (world.whole(WITH_OFFSET, band) - world.whole(WITHOUT, band))[clear]
        assert abs(np.median(difference)) < 5
        assert np.percentile(np.abs(difference), 60) < 40


def test_fields_grow_between_the_dates(world: World) -> None:
    ndvi = []
    clear = np.ones(world.whole(WITHOUT, "B04").shape, bool)
    for day in (WITH_OFFSET, WITHOUT):
        red, infrared = world.whole(day, "B04"), world.whole(day, "B08")
        ndvi.append((infrared - red) / np.maximum(infrared + red, 1))
        clear &= np.kron(np.isin(world.whole(day, "SCL", raw=True), (4, 5)), np.ones((2, 2), bool))
    before, after = ndvi
    change = (after - before)[clear]
    # Edges of cloud and shadow that no classifier sees make up 0.009 and 0.04 of it, as in real scenes.
    assert (change < -0.15).mean() > 0.02, "meadows are mown"
    assert (change > 0.05).mean() > 0.08, "maize comes up"
    assert np.percentile(before[clear], 5) < 0.3
    assert np.percentile(before[clear], 95) > 0.8


def test_metadata_counts_the_classes(world: World) -> None:
    for item, scene in zip(world.items, world.scenes, strict=True):
        classes = world.raw(str(scene.solar_day), scene.mgrs_tile or "", "SCL")
        valid = classes[classes > 0]
        assert scene.cloud_cover == pytest.approx(100 * np.isin(valid, (8, 9, 10)).mean(), abs=1e-4)
        for name, value in (("water", 6), ("vegetation", 4), ("cloud_shadow", 3), ("thin_cirrus", 10)):
            assert item.properties[f"s2:{name}_percentage"] == pytest.approx(
                100 * (valid == value).mean(), abs=1e-4
            )
        assert item.properties["s2:nodata_pixel_percentage"] == pytest.approx(
            100 * (classes == 0).mean(), abs=1e-4
        )


@pytest.mark.parametrize(("day", "low", "high"), [(WITH_OFFSET, 0.25, 0.35), (WITHOUT, 0.05, 0.10)])
def test_one_date_is_cloudy_and_one_nearly_clear(world: World, day: str, low: float, high: float) -> None:
    classes = world.whole(day, "SCL", raw=True)
    assert low < np.isin(classes[classes > 0], (8, 9, 10)).mean() < high


def test_classes_look_like_their_classes(world: World) -> None:
    classes = world.whole(WITHOUT, "SCL", raw=True)
    bands = {name: shrink(world.whole(WITHOUT, name).astype(np.float32), 2) for name in ("B03", "B04", "B08")}
    means = {
        k: {name: values[classes == k].mean() for name, values in bands.items()} for k in (3, 4, 5, 6, 8, 9)
    }
    assert means[4]["B08"] > 5 * means[4]["B04"]
    assert means[6]["B08"] < means[6]["B03"] < 1000
    assert means[9]["B04"] > means[8]["B04"] > 1.5 * means[5]["B04"]
    assert means[3]["B08"] < 0.6 * means[4]["B08"]
    assert set(np.unique(classes)) >= {0, 2, 3, 4, 5, 6, 7, 8, 9, 10}


@pytest.mark.parametrize(("fine", "coarse"), [("B08", "B8A"), ("B02", "B01"), ("B8A", "B09")])
def test_bands_of_all_resolutions_lie_on_each_other(world: World, fine: str, coarse: str) -> None:
    seen = world.dn(WITHOUT, "32TMP", coarse)
    mean = shrink(world.dn(WITHOUT, "32TMP", fine).astype(np.float32), GSD[coarse] // GSD[fine])
    # Clouds would agree by themselves; the ground shall.
    clear = np.isin(world.raw(WITHOUT, "32TMP", "SCL"), CLEAR).astype(np.float32)
    ground = shrink(clear, GSD[coarse] // 20) == 1
    ground[[0, -1]] = ground[:, [0, -1]] = False
    likeness = {
        (down, right): np.corrcoef(np.roll(mean, (down, right), (0, 1))[ground], seen[ground])[0, 1]
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
    }
    assert max(likeness, key=lambda shift: likeness[shift]) == (0, 0)
    assert likeness[0, 0] > 0.85


def test_the_swath_ends_inside_one_tile(world: World) -> None:
    for item in world.items:
        ends = item.properties["s2:nodata_pixel_percentage"] > 0
        assert ends == ("S2B" in item.id and "TNP" in item.id)
    assert world.scene(WITHOUT, "32TNP").footprint != world.scene(WITH_OFFSET, "32TNP").footprint
    empty = {band: world.raw(WITHOUT, "32TNP", band) == 0 for band in L2A_FILES}
    for band, gap in empty.items():
        assert 0.05 < gap.mean() < 0.09
        assert not gap[0, 0]
        assert gap[-1, -1]
        assert (gap == empty["B04" if GSD[band] == 10 else "B05" if GSD[band] == 20 else "B01"]).all()


def test_footprint_is_where_pixels_are(world: World) -> None:
    scene = world.scene(WITHOUT, "32TNP")
    footprint = shape(scene.footprint)
    with rasterio.open(scene.assets["B01"].href) as source:
        valid = source.read(1) > 0
        rows, cols = np.mgrid[1:100:7, 1:100:7]
        east, north = rasterio.transform.xy(source.transform, rows.ravel(), cols.ravel())
        lon, lat = rasterio.warp.transform(source.crs, "EPSG:4326", east, north)
    inside = np.array([footprint.contains(Point(x, y)) for x, y in zip(lon, lat, strict=True)])
    assert inside.sum() not in (0, inside.size)
    # Its sides are straight in degrees and in metres, which differ by a metre or so.
    assert (inside == valid[rows.ravel(), cols.ravel()]).mean() > 0.99


def test_a_whole_world_is_not_made_again(small: Path) -> None:
    written = {path: path.stat().st_mtime_ns for path in small.rglob("*.*")}
    assert write_world(small, size=SMALL) == small / "catalog.json"
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*.*")} == written


@pytest.mark.slow
def test_another_or_a_broken_world_is_made_again(small: Path, tmp_path: Path) -> None:
    catalog = shutil.copytree(small, tmp_path, dirs_exist_ok=True) / "catalog.json"
    before = pixels(tmp_path)
    write_world(tmp_path, seed=1, size=SMALL)
    assert json.loads(catalog.read_text())["terramosaic:demo_world"]["seed"] == 1
    assert pixels(tmp_path) != before
    next(tmp_path.rglob("B04.tif")).unlink()
    write_world(tmp_path, size=SMALL)
    assert pixels(tmp_path) == before
    assert not [path for path in tmp_path.rglob("*") if "partial" in path.name]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"size": 601}, "size: 601"), ({"size": 60}, "size: 60"), ({"seed": -1}, "seed: -1")],
)
def test_arguments_out_of_bounds(tmp_path: Path, arguments: dict[str, int], named: str) -> None:
    with pytest.raises(RequestError, match=named):
        write_world(tmp_path / "world", **arguments)
    assert not (tmp_path / "world").exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="made-up world could not be written"):
        write_world(tmp_path / "file", size=SMALL)


@pytest.mark.slow
def test_the_command_shows_its_plan_before_it_maps(tmp_path, monkeypatch):
    def stopped(request: RegionRequest, home: Path) -> NoReturn:
        raise OutputError("not mapped here")

    monkeypatch.setattr(demo, "with_prefect", stopped)
    done = CliRunner().invoke(cli, ["demo", "--out", str(tmp_path)])
    assert str(done.exception) == "not mapped here"
    assert "4 scenes of 2 acquisitions" in done.output and "in 6 blocks" in done.output
