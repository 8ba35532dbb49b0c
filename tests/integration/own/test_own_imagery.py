"""Maps from imagery that users have: files of bands, stacks, arrays, SAFE folders give what a catalog of them gives."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401  (adds `.rio`)
import xarray as xr
from rasterio.enums import ColorInterp

from terramosaic import map_region, plan, run_block, verify
from terramosaic.bands import GSD, S2L2A_BANDS
from terramosaic.errors import RequestError
from terramosaic.ground.grid import Rect
from terramosaic.mosaic.result import MapResult
from terramosaic.own import write_imagery
from terramosaic.request.request import RegionRequest
from terramosaic.request.request import request_of as request_from_fields
from tests.integration.conftest import Catalog
from tests.support.pixels import read
from tests.support.scenes import dn_of, write_scene

GROUND = Rect(490_002, 50_004, 480, 480)
PLACE = Rect(GROUND.row + 130, GROUND.col + 140, 150, 160)
NAME = "T33TWL_20230815T100031"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file for each band and the scene classification."""
    folder = tmp_path_factory.mktemp("files")
    write_scene(folder, GROUND, name=NAME)
    return folder


@pytest.fixture(scope="module")
def mapped(files: Path, tmp_path_factory: pytest.TempPathFactory) -> MapResult:
    """The map of the same files by a catalog."""
    folder = tmp_path_factory.mktemp("catalog")
    catalog = Catalog(folder)
    catalog.add(write_scene(folder / "a", GROUND, name=NAME))
    return map_region(catalog.request(PLACE, folder / "out"))


def request_of(imagery: Any, out: Path, place: Rect = PLACE, **fields: Any) -> RegionRequest:
    # Of a catalog no file is read here.
    made = Catalog(out).request(place, out, **fields)
    kept = made.model_dump(exclude={"catalog"}, exclude_defaults=True)
    return RegionRequest.model_validate(kept | {"imagery": imagery})


def stack(path: Path, bands: Any = S2L2A_BANDS, *, described: bool = True, **profile: Any) -> Path:
    """All bands at 10 m in one file, those of 20 and 60 m repeated, as the engine reads them."""
    planes = [_at_ten_metres(band) for band in bands]
    dtype = profile.get("dtype", "uint16")
    scale, offset = profile.pop("scale", None), profile.pop("offset", None)
    profile = {
        "crs": "EPSG:32633", "transform": GROUND.transform, "dtype": dtype, "width": GROUND.width,
        "height": GROUND.height,
    } | profile  # fmt: skip
    with rasterio.open(path, "w", driver="GTiff", count=len(planes), **profile) as file:
        for index, (band, plane) in enumerate(zip(bands, planes, strict=True), start=1):
            file.write(plane.astype(float) * 1e-4 if np.dtype(dtype).kind == "f" else plane, index)
            if described:
                file.set_band_description(index, band)
        if scale is not None:
            file.scales, file.offsets = (scale,) * len(planes), (offset,) * len(planes)
    return path


def _at_ten_metres(band: str) -> np.ndarray:
    factor = GSD[band] // 10
    return dn_of(band, GROUND.height // factor, GROUND.width // factor).repeat(factor, 0).repeat(factor, 1)


def same_maps(one: MapResult, other: MapResult) -> bool:
    """Whether two runs have the same pixels in all layers, but for the number of the pass: files do not tell it."""
    return all(
        np.array_equal(
            read(one.mosaics[name])[0][: 1 if name == "acquired" else None],
            read(other.mosaics[name])[0][: 1 if name == "acquired" else None],
        )
        for name in one.mosaics
    )


def test_files_of_bands_are_read_where_they_are(files: Path, mapped: MapResult, tmp_path: Path) -> None:
    result = map_region(request_of(str(files), tmp_path))
    assert same_maps(mapped, result)
    assert not list(tmp_path.glob("imagery/*/*/*.tif"))
    (scene,) = result.plan.scenes.values()
    assert scene.assets["B02"].href == str(files / f"{NAME}_B02.tif")
    assert scene.datetime.isoformat() == "2023-08-15T10:00:31+00:00"
    assert not any("imagery:" in line for line in result.plan.warnings)


def test_a_run_is_the_same_until_a_file_changes(files: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(files, tmp_path / "files"))
    first = map_region(request_of([str(moved)], tmp_path / "out"))
    again = map_region(request_of([str(moved / "*.tif")], tmp_path / "out"))
    assert again.was_done and again.folder == first.folder
    assert verify(first, write=False).passed
    with rasterio.open(moved / f"{NAME}_B04.tif", "r+") as file:
        file.write(file.read(1) + np.uint16(1), 1)
    other = map_region(request_of([str(moved)], tmp_path / "out"))
    assert not other.was_done and other.plan.run_id != first.plan.run_id


def test_a_stack_is_read_by_its_descriptions(mapped: MapResult, tmp_path: Path) -> None:
    path = stack(tmp_path / "stack_20230815.tif")
    result = map_region(request_of(str(path), tmp_path / "out"))
    assert same_maps(mapped, result)
    assert any(
        "has no scene classification: all of it is taken for clear" in line for line in result.plan.warnings
    )
    report = result.report.read_text()
    assert "taken for clear" in report


@pytest.mark.parametrize("said", [list(S2L2A_BANDS), {band: n for n, band in enumerate(S2L2A_BANDS, start=1)},
                                  ",".join(f"{band}={n}" for n, band in enumerate(S2L2A_BANDS, start=1))])  # fmt: skip
def test_a_stack_that_says_nothing_is_read_by_numbers(mapped: MapResult, said: Any, tmp_path: Path) -> None:
    path = stack(tmp_path / "stack.tif", described=False)
    with pytest.raises(RequestError, match=r"no file tells its band: stack\.tif"):
        plan(request_of(str(path), tmp_path / "out"))
    result = map_region(request_of(str(path), tmp_path / "out", imagery_bands=said))
    for name in ("NDVI", "LULC"):
        np.testing.assert_array_equal(read(mapped.mosaics[name])[0], read(result.mosaics[name])[0])
    assert any("tells no date: it is taken for 2023-08-01" in line for line in result.plan.warnings)


def test_reflectance_is_what_the_request_or_the_tags_say(mapped: MapResult, tmp_path: Path) -> None:
    floats = stack(tmp_path / "floats_20230815.tif", dtype="float32", nodata=np.nan)
    with pytest.raises(RequestError, match="holds float32 and no tag says what of it is reflectance"):
        plan(request_of(str(floats), tmp_path / "out"))
    assert same_maps(mapped, map_region(request_of(str(floats), tmp_path / "out", imagery_scale=1)))
    tagged = stack(tmp_path / "tagged_20230815.tif", scale=1e-4, offset=0.0)
    assert same_maps(mapped, map_region(request_of(str(tagged), tmp_path / "out")))
    # With the +1000 in it, which its tags tell.
    with rasterio.open(tagged, "r+") as file:
        file.write(file.read() + np.uint16(1000))
        file.offsets = (-0.1,) * file.count
    assert same_maps(mapped, map_region(request_of(str(tagged), tmp_path / "out")))


def test_gaps_stay_gaps(tmp_path: Path) -> None:
    hole = (slice(150, 200), slice(160, 260))
    for name, dtype, nothing, fields in (
        ("zero", "uint16", 0, {}),
        ("nan", "float32", np.nan, {"imagery_scale": 1}),
        ("minus", "float32", -9999.0, {"imagery_scale": 1, "nodata": -9999.0}),
    ):
        profile = {"nodata": fields.pop("nodata")} if "nodata" in fields else {}
        path = stack(tmp_path / f"{name}_20230815.tif", dtype=dtype, **profile)
        with rasterio.open(path, "r+") as file:
            pixels = file.read()
            pixels[:, *hole] = nothing
            file.write(pixels)
        result = map_region(request_of(str(path), tmp_path / "out", **fields))
        ndvi, rect = read(result.mosaics["NDVI"])
        inside = Rect(GROUND.row + 150, GROUND.col + 160, 50, 100).intersection(rect)
        assert (
            (ndvi[0] == -32768).sum()
            == (ndvi[0][inside.slices(rect)] == -32768).sum()
            == inside.height * inside.width
        )


def test_a_grid_that_lies_off_by_a_fraction_is_moved_and_another_one_resampled(
    mapped: MapResult, tmp_path: Path
) -> None:
    off = GROUND.transform @ rasterio.Affine.translation(0.3, -0.2)
    path = stack(tmp_path / "off_20230815.tif", transform=off)
    result = map_region(request_of(str(path), tmp_path / "out"))
    assert same_maps(mapped, result)
    assert any(
        "lay 0.3 of a pixel off the grid and was moved to the nearest" in w for w in result.plan.warnings
    )
    coarse = stack(tmp_path / "coarse_20230815.tif", transform=GROUND.transform @ rasterio.Affine.scale(1.5))
    with pytest.raises(
        RequestError,
        match=r"is on another grid than the map.s: EPSG:32633, pixels of 15 m",
    ):
        plan(request_of(str(coarse), tmp_path / "out"))
    result = map_region(request_of(str(coarse), tmp_path / "out", resample="nearest", keep_imagery=True))
    assert any("was resampled (nearest)" in line for line in result.plan.warnings)
    _, rect = read(result.mosaics["NDVI"])
    pixels, whole = read(result.mosaics["imagery"])
    shown = pixels[3][rect.slices(whole)]
    starts = (rect.height, rect.row - GROUND.row), (rect.width, rect.col - GROUND.col)
    rows, cols = (np.floor((np.arange(n) + start + 0.5) / 1.5).astype(int) for n, start in starts)
    np.testing.assert_array_equal(shown, _at_ten_metres("B04")[np.ix_(rows, cols)])


def copied(out: Path, band: str = "B04") -> np.ndarray:
    """The pixels of a band that was converted."""
    with rasterio.open(next(out.glob(f"imagery/*/0000/{band}.tif"))) as file:
        pixels: np.ndarray = file.read(1)
    return pixels


@pytest.mark.parametrize("resample", ["no", "nearest", "bilinear", "cubic"])
@pytest.mark.parametrize("hidden_by", ["mask", "alpha", "nodata"])
def test_what_a_stack_hides_is_no_data_and_mixes_with_nothing(
    hidden_by: str, resample: str, tmp_path: Path
) -> None:
    hole = np.zeros(GROUND.shape, bool)
    hole[100:200, 100:200] = True
    path, bands = tmp_path / "stack_20230815.tif", ("B02", "B03", "B04", "B08")
    count = len(bands) + (hidden_by == "alpha")
    transform = GROUND.transform @ rasterio.Affine.scale(1.0 if resample == "no" else 1.5)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(
        path, "w", driver="GTiff", count=count, dtype="uint16", crs="EPSG:32633", transform=transform,
        width=GROUND.width, height=GROUND.height, nodata=65_535 if hidden_by == "nodata" else None,
    ) as file:  # fmt: skip
        for index, band in enumerate(bands, start=1):
            hidden = 65_535 if hidden_by == "nodata" else 9_000
            file.write(np.where(hole, hidden, 3_000).astype(np.uint16), index)
            file.set_band_description(index, band)
        if hidden_by == "alpha":
            file.write(np.where(hole, 0, 65_535).astype(np.uint16), count)
            file.colorinterp = [ColorInterp.gray] * len(bands) + [ColorInterp.alpha]
        if hidden_by == "mask":
            file.write_mask(~hole)
    with pytest.raises(Exception, match="lacks B01"):  # it is converted all the same
        plan(request_of(str(path), tmp_path / "out", resample=resample))
    pixels = copied(tmp_path / "out")
    assert set(np.unique(pixels)) == {0, 3_000}
    if resample == "no":
        np.testing.assert_array_equal(pixels == 0, hole)


def test_whether_a_stack_carries_the_offset_is_found_as_in_any_catalog(
    mapped: MapResult, tmp_path: Path
) -> None:
    path = stack(tmp_path / "S2A_MSIL2A_20230815T100031_N0509_R122_T33TWL_20230815T143201.tif")
    with rasterio.open(path, "r+") as file:
        file.write(file.read() + np.uint16(1000))
    result = map_region(request_of(str(path), tmp_path / "out"))
    for name in ("NDVI", "LULC"):
        np.testing.assert_array_equal(read(mapped.mosaics[name])[0], read(result.mosaics[name])[0])
    untold = stack(tmp_path / "untold_20230815.tif")
    made = plan(request_of(str(untold), tmp_path / "out"))
    assert any("no item says whether these carry the +1000" in line for line in made.warnings)


def test_an_array_is_written_once_and_mapped(mapped: MapResult, tmp_path: Path) -> None:
    planes = np.stack([_at_ten_metres(band) for band in S2L2A_BANDS])
    rows, cols = (np.arange(480) + 0.5 for _ in range(2))
    transform = GROUND.transform
    array = xr.DataArray(
        planes, dims=("band", "y", "x"),
        coords={"band": list(S2L2A_BANDS), "y": transform.f - 10 * rows, "x": transform.c + 10 * cols},
    ).rio.write_crs(32633)  # fmt: skip
    path = write_imagery(array, tmp_path / "kept", sensed="2023-08-15")
    assert same_maps(mapped, map_region(request_of(path, tmp_path / "out")))
    assert write_imagery(array.to_dataset("band"), tmp_path / "kept", sensed="2023-08-15") == path
    assert len(list((tmp_path / "kept").iterdir())) == 1
    for wrong, told in (
        (array.assign_coords(band=[*S2L2A_BANDS[:-1], "heat"]), "heat is no band of Sentinel-2"),
        (array.isel(band=0), "an array of bands, rows and columns is wanted"),
        (array.drop_vars("spatial_ref"), "has no CRS"),
    ):
        with pytest.raises(RequestError, match=told):
            write_imagery(wrong, tmp_path / "wrong")


def _array(planes: np.ndarray) -> xr.DataArray:
    rows, cols = (np.arange(480) + 0.5 for _ in range(2))
    y, x = GROUND.transform.f - 10 * rows, GROUND.transform.c + 10 * cols
    coords = {"band": list(S2L2A_BANDS), "y": y, "x": x}
    return xr.DataArray(planes, dims=("band", "y", "x"), coords=coords).rio.write_crs(32633)


@pytest.mark.parametrize(
    ("kind", "nodata", "scale"), [("int16", -9999, 1e-4), ("float32", -9999, 1.0), ("float32", None, 1.0)]
)
def test_what_an_array_says_of_no_data_scale_and_offset_counts(
    kind: str, nodata: float | None, scale: float, tmp_path: Path
) -> None:
    dn = np.stack([_at_ten_metres(band) for band in S2L2A_BANDS])
    planes = (np.round((dn * 1e-4 + 0.1) / scale) if kind == "int16" else dn * 1e-4 + 0.1).astype(kind)
    planes[:, :50, :50] = np.nan if nodata is None else nodata
    array = _array(planes)
    array = array if nodata is None else array.rio.write_nodata(nodata)
    array.attrs |= {"scale_factor": scale, "add_offset": -0.1}
    # From south to north, as netCDF has it.
    path = write_imagery(array.isel(y=slice(None, None, -1)), tmp_path / "kept", sensed="2023-08-15")
    plan(request_of(path, tmp_path / "out"))
    pixels = copied(tmp_path / "out")
    assert (pixels[:50, :50] == 0).all()
    np.testing.assert_array_equal(pixels[50:], dn[3][50:])


def test_bands_of_an_array_may_have_numbers_of_their_own_for_no_data(tmp_path: Path) -> None:
    array = _array(np.stack([_at_ten_metres(band) for band in S2L2A_BANDS])).to_dataset("band")
    for band, gap in (("B03", 65_535), ("B04", 9_999)):
        array[band] = array[band].copy()
        array[band].values[:50, :50] = gap
        array[band] = array[band].rio.write_nodata(gap)
    plan(request_of(write_imagery(array, tmp_path / "kept", sensed="2023-08-15"), tmp_path / "out"))
    assert (copied(tmp_path / "out")[:50, :50] == 0).all() and (copied(tmp_path / "out") != 0).any()
    with pytest.raises(RequestError, match="sensed is 15/08/2023, which is no day"):
        write_imagery(array, tmp_path / "kept", sensed="15/08/2023")


def test_files_that_move_are_read_where_they_are_now(files: Path, tmp_path: Path) -> None:
    moved = tmp_path / "one"
    shutil.copytree(files, moved)
    plan(request_of(str(moved), tmp_path / "out"))
    moved.rename(tmp_path / "two")
    (scene,) = plan(request_of(str(tmp_path / "two"), tmp_path / "out")).scenes.values()
    assert scene.assets["B02"].href == str(tmp_path / "two" / f"{NAME}_B02.tif")


def test_a_folder_tells_the_day_of_files_that_do_not(tmp_path: Path) -> None:
    for day in ("2023-08-10", "2023-08-15"):
        folder = tmp_path / "imagery" / day / "33TWL"
        folder.mkdir(parents=True)
        stack(folder / "stack.tif")
    made = plan(request_of(str(tmp_path / "imagery"), tmp_path / "out"))
    assert sorted(str(scene.datetime.date()) for scene in made.scenes.values()) == [
        "2023-08-10",
        "2023-08-15",
    ]
    assert "imagery: stack is of 2023-08-10 by the name of the folder 2023-08-10" in made.warnings


def test_a_link_to_beyond_the_roots_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link_20230815.tif").symlink_to(stack(tmp_path / "beyond.tif"))
    monkeypatch.setenv("TERRAMOSAIC_ROOTS", str(inside))
    with pytest.raises(
        RequestError, match=r"imagery: .*link_20230815\.tif is beyond what TERRAMOSAIC_ROOTS allows"
    ):
        plan(request_of(str(inside), inside / "out"))


def test_two_bands_in_a_file_are_two_whatever_its_name_says(tmp_path: Path) -> None:
    path = stack(tmp_path / "index_B02_B08.tif", ("B02", "B08"))
    with pytest.raises(Exception, match="its assets are B02, B08, SCL"):
        plan(request_of(str(path), tmp_path / "out"))


def test_a_safe_folder_as_it_is_downloaded(files: Path, mapped: MapResult, tmp_path: Path) -> None:
    safe = tmp_path / "S2A_MSIL2A_20230815T100031_N0214_R122_T33TWL_20230815T143201.SAFE"
    granule = safe / "GRANULE" / "L2A_T33TWL" / "IMG_DATA"
    for band in (*S2L2A_BANDS, "SCL"):
        own = files / f"{NAME}_{band}.tif"
        for metres in (10, 20, 60):
            if metres >= GSD[band]:
                folder = granule / f"R{metres}m"
                folder.mkdir(parents=True, exist_ok=True)
                with rasterio.open(own) as file:
                    size = file.height * GSD[band] // metres
                    coarser = file.read(1, out_shape=(size, size))
                    transform = file.transform @ rasterio.Affine.scale(metres / GSD[band])
                    profile = {"crs": file.crs, "dtype": coarser.dtype, "transform": transform}
                with rasterio.open(
                    folder / f"{NAME}_{band}_{metres}m.jp2", "w", driver="JP2OpenJPEG", count=1, width=size,
                    height=size, QUALITY="100", REVERSIBLE="YES", **profile,
                ) as file:  # fmt: skip
                    file.write(coarser, 1)
    quality = safe / "GRANULE" / "L2A_T33TWL" / "QI_DATA"
    quality.mkdir()
    shutil.copy(files / f"{NAME}_B02.tif", quality / "MSK_DETFOO_B02.tif")
    result = map_region(request_of(str(safe), tmp_path / "out"))
    assert same_maps(mapped, result)
    (scene,) = result.plan.scenes.values()
    assert scene.id.startswith(safe.stem) and scene.processing_baseline == "02.14"
    renamed = Path(shutil.copytree(safe, tmp_path / "my scene.SAFE"))
    product = f"<n1:Product><PRODUCT_URI>{safe.name}</PRODUCT_URI></n1:Product>"
    (renamed / "MTD_MSIL2A.xml").write_text(product)
    (scene,) = plan(request_of(str(renamed), tmp_path / "out")).scenes.values()
    assert scene.id.startswith(safe.stem) and scene.processing_baseline == "02.14"
    assert scene.relative_orbit == 122 and scene.assets["B05"].href.endswith("_B05_20m.jp2")


def test_clouds_of_a_scene_classification_count(tmp_path: Path) -> None:
    scl = np.full((240, 240), 4, np.uint8)
    scl[:60] = 9
    write_scene(tmp_path / "files", GROUND, name=NAME, scl=scl)
    made = plan(request_of(str(tmp_path / "files"), tmp_path))
    assert made.acquisitions[0].cloud == pytest.approx(25)
    items = json.loads(next(tmp_path.glob("imagery/*/items.json")).read_text())
    assert items["features"][0]["properties"]["eo:cloud_cover"] == pytest.approx(25)


@pytest.mark.parametrize(("fields", "told"), [
    ({"imagery": "nowhere"}, "imagery: there is no file or folder nowhere"),
    ({"imagery": "FILES", "imagery_bands": {"B2": "1"}}, "imagery_bands: B2 is no band of Sentinel-2"),
    ({"imagery": "STACK", "imagery_bands": {"B02": "20"}}, "imagery_bands: B02=20: one.tif has 12 bands"),
    ({"imagery": "EMPTY"}, "holds no GeoTIFF and no JPEG 2000"),
    ({"imagery": "TEXT"}, "note.tif cannot be read"),
    ({"imagery": "FILES", "out": "memory://maps"}, "imagery: own imagery is kept below out, which must be a folder"),
    ({"imagery": (), "resample": "cubic"}, "resample: is of own imagery, and imagery names none"),
    ({"imagery": (), "imagery_scale": 1}, "imagery_scale: is of own imagery, and imagery names none"),
    ({"imagery": "STACK", "imagery_offset": -0.1}, "imagery_offset: counts where imagery_scale is given; say both"),
])  # fmt: skip
def test_what_cannot_be_mapped_from(files: Path, fields: dict[str, Any], told: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.tif").write_text("no picture")
    places = {"FILES": str(files), "STACK": str(stack(tmp_path / "one.tif")), "EMPTY": str(tmp_path / "empty"),
              "TEXT": str(tmp_path / "note.tif")}  # fmt: skip
    given = {
        name: places.get(value, value) if isinstance(value, str) else value for name, value in fields.items()
    }
    made = request_of("here", tmp_path / "out").model_dump(exclude_defaults=True)
    with pytest.raises(RequestError) as error:
        plan(request_from_fields(**made | given))
    assert told in str(error.value)


@pytest.mark.parametrize("what", ["bytes", "time"])
def test_a_file_that_changes_between_plan_and_block_is_not_read(
    files: Path, tmp_path: Path, what: str
) -> None:
    some = Path(shutil.copytree(files, tmp_path / "files"))
    made = plan(request_of(str(some), tmp_path / "out"))
    first, second, *_ = made.blocks
    run_block(made, first)
    changed = some / f"{NAME}_B04.tif"
    if what == "bytes":
        changed.write_bytes(changed.read_bytes() + b"more")
    else:
        os.utime(changed, (1, 1))
    with pytest.raises(
        RequestError, match=r"B04.tif is not the file that was planned with: it .*; plan the request again"
    ):
        run_block(made, second)
    assert plan(request_of(str(some), tmp_path / "out")).run_id != made.run_id


def test_a_file_that_ends_too_early_is_told(tmp_path: Path) -> None:
    whole = stack(tmp_path / "stack_20230815.tif").read_bytes()
    (tmp_path / "stack_20230815.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        RequestError, match=r"stack_20230815.tif cannot be read to its end \(.*\); is it whole\?"
    ):
        plan(request_of(str(tmp_path / "stack_20230815.tif"), tmp_path / "out"))


def test_names_of_files_may_hold_commas(files: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(files, tmp_path / "one, two"))
    other = stack(tmp_path / "c,d_20230816.tif")
    made = request_of(f"{folder}, {other},x.tif", tmp_path / "out")
    assert made.imagery == (str(folder), str(other), "x.tif")
    assert request_of("a.tif, b.tif", tmp_path / "out").imagery == ("a.tif", "b.tif")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda array: array.drop_vars(["x", "y"]),
            "has no coordinates x, and so does not say where it lies",
        ),
        (lambda array: array.assign_coords(x=array.x.values**2), "coordinates x are not evenly spaced"),
        (lambda array: array > 3, "holds bool, which is no number"),
        (lambda array: array.astype(complex), "holds complex128, which is no number"),
        (
            lambda array: array.assign_coords(band=["red", *S2L2A_BANDS[1:]]),
            "two of the array's names are the same",
        ),
        (lambda array: array.expand_dims(time=2), "of several moments choose one"),
        (lambda array: xr.Dataset(), "a Dataset with a variable a band"),
    ],
)
def test_an_array_that_is_no_imagery_is_told(tmp_path: Path, change: Any, told: str) -> None:
    planes = np.ones((len(S2L2A_BANDS), 480, 480), np.uint16)
    with pytest.raises(RequestError, match=told):
        write_imagery(change(_array(planes)), tmp_path)


def test_an_array_is_the_same_whatever_its_order(tmp_path: Path) -> None:
    array = _array(np.stack([_at_ten_metres(band) for band in S2L2A_BANDS]))
    with rasterio.open(write_imagery(array, tmp_path)) as file:
        pixels, transform = file.read(), file.transform
    for other in (
        array.transpose("y", "x", "band"),
        array.isel(x=slice(None, None, -1)),
        array.isel(y=slice(None, None, -1)),
        array.expand_dims(time=1),
    ):
        with rasterio.open(write_imagery(other, tmp_path)) as file:
            np.testing.assert_array_equal(file.read(), pixels)
            assert file.transform.almost_equals(transform)
    half = (array * 1e-4).astype(np.float16)
    with rasterio.open(write_imagery(half, tmp_path)) as file:
        assert file.dtypes[0] == "float32"


def test_l1c_is_not_taken_for_l2a(files: Path, tmp_path: Path) -> None:
    safe = tmp_path / "S2A_MSIL1C_20230815T100031_N0509_R122_T33TWL_20230815T143201.SAFE"
    shutil.copytree(files, safe / "GRANULE" / "L1C_T33TWL" / "IMG_DATA")
    with pytest.raises(RequestError, match="is of the top of the atmosphere"):
        plan(request_of(str(safe), tmp_path / "out"))


def test_a_scene_that_lacks_a_band_is_told(files: Path, tmp_path: Path) -> None:
    some = Path(shutil.copytree(files, tmp_path / "files"))
    (some / f"{NAME}_B11.tif").unlink()
    with pytest.raises(Exception, match="lacks B11"):
        plan(request_of(str(some), tmp_path / "out"))
