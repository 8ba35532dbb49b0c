"""The COG writer: pixels of every level, layout to the byte, metadata, and that failures leave nothing."""

from __future__ import annotations

import errno
import os
import struct
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from rio_cogeo import cog_validate

from terramosaic.errors import OutputError
from terramosaic.mosaic.cog import RasterProfile, halve_average, halve_mode, tiff, write_cog

GDAL_METADATA = 42112
TRANSFORM = Affine(10, 0, 600000, 0, -10, 5300040)
CLASSES = {0: (0, 0, 0, 0), 1: (65, 155, 223, 255), 2: (57, 125, 73, 255)}


def geobox(height: int, width: int) -> GeoBox:
    return GeoBox((height, width), TRANSFORM, "EPSG:32633")


def noise(count: int, height: int, width: int, dtype: str = "int16") -> np.ndarray:
    rng = np.random.default_rng(7)
    if dtype in ("float16", "float32"):
        return rng.normal(-12, 3, (count, height, width)).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(max(limits.min + 1, -3000), min(limits.max, 3000), (count, height, width)).astype(
        dtype
    )


def profile(height: int, width: int, dtype: str = "int16", **fields: Any) -> RasterProfile:
    return RasterProfile(geobox=geobox(height, width), dtype=np.dtype(dtype), **fields)


def write(
    path: Path, pixels: np.ndarray, *, chunk: int = 100, level: int = 1, threads: int = 2, **fields: Any
) -> None:
    rows = (pixels[:, row : row + chunk] for row in range(0, pixels.shape[1], chunk))
    made = profile(*pixels.shape[1:], pixels.dtype.name, count=pixels.shape[0], **fields)
    write_cog(path, rows, made, level=level, threads=threads)


def cells(pixels: np.ndarray) -> Iterator[tuple[tuple[int, int], list[Any]]]:
    """Each cell of 2 x 2 pixels (fewer at an odd edge): its place and its pixels in reading order."""
    for row in range(0, pixels.shape[0], 2):
        for col in range(0, pixels.shape[1], 2):
            yield (row // 2, col // 2), pixels[row : row + 2, col : col + 2].ravel().tolist()


# Few different values, so that nodata, ties and halves all occur.
small_ints = hnp.arrays(
    np.int16,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=5),
    elements=st.one_of(st.integers(-3, 3), st.sampled_from([-32768, -32767, 32767])),
)


class TestHalveAverage:
    @given(small_ints, st.sampled_from([None, -32768, 0, 1]))
    def test_is_the_rounded_mean_of_valid_pixels(self, pixels: np.ndarray, nodata: int | None) -> None:
        half = halve_average(pixels, nodata)
        assert half.shape == (-(-pixels.shape[0] // 2), -(-pixels.shape[1] // 2))
        assert half.dtype == pixels.dtype
        for place, values in cells(pixels):
            valid = [value for value in values if value != nodata]
            if not valid:
                assert half[place] == nodata
            else:
                mean = round(Fraction(sum(valid), len(valid)))  # Python rounds a half to even
                assert half[place] == (mean if mean != nodata else nodata + 1)

    def test_extremes_do_not_overflow(self) -> None:
        assert halve_average(np.full((2, 2), 65535, np.uint16), None).tolist() == [[65535]]
        assert halve_average(np.full((2, 2), -32768, np.int16), None).tolist() == [[-32768]]
        assert halve_average(np.full((2, 2), 3e38, np.float32), None) == np.float32(3e38)

    def test_floats_with_nan_as_nodata(self) -> None:
        nan = np.nan
        pixels = np.array([[1, 2, nan, nan, nan], [4, nan, nan, nan, 0.5]], np.float32)
        np.testing.assert_array_equal(halve_average(pixels, nan), np.array([[7 / 3, nan, 0.5]], np.float32))

    def test_a_float_mean_never_becomes_nodata(self) -> None:
        half = halve_average(np.array([[-1, 1], [-2, 2]], np.float32), 0.0)
        assert half[0, 0] == np.nextafter(np.float32(0), np.float32(1))

    def test_bands_are_apart(self) -> None:
        pixels = noise(3, 6, 8)
        np.testing.assert_array_equal(
            halve_average(pixels, -32768), np.stack([halve_average(band, -32768) for band in pixels])
        )


class TestHalveMode:
    @given(
        hnp.arrays(
            np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=5), elements=st.integers(0, 4)
        ),
        st.sampled_from([None, 0, 2]),
    )
    def test_is_the_most_frequent_class_and_of_equals_the_first(
        self, pixels: np.ndarray, nodata: int | None
    ) -> None:
        half = halve_mode(pixels, nodata)
        for place, values in cells(pixels):
            valid = [value for value in values if value != nodata]
            # Counter keeps the order in which it met the values, and of equal counts gives the first.
            assert half[place] == (Counter(valid).most_common(1)[0][0] if valid else nodata)

    def test_one_valid_pixel_outweighs_three_without_data(self) -> None:
        assert halve_mode(np.array([[0, 0], [0, 5]], np.uint8), 0).tolist() == [[5]]


class TestPixels:
    @pytest.mark.parametrize(
        ("dtype", "count", "nodata"),
        [
            ("uint8", 1, 0),
            ("int16", 2, -32768),
            ("uint16", 3, None),
            ("float16", 5, -32768.0),
            ("float32", 1, -9999.0),
            ("float32", 2, np.nan),
        ],
    )
    @pytest.mark.parametrize("shape", [(1, 1), (1, 150), (64, 64), (65, 64), (130, 259)])
    @pytest.mark.parametrize("overviews", ["average", "mode"])
    def test_every_level_reads_back(
        self,
        *,
        tmp_path: Path,
        dtype: str,
        count: int,
        nodata: float | None,
        shape: tuple[int, int],
        overviews: Any,
    ) -> None:
        pixels = noise(count, *shape, dtype)
        if nodata is not None:
            pixels[:, : shape[0] // 3, : shape[1] // 2] = nodata
            pixels[:, ::5, ::3] = nodata
        path = tmp_path / "out.tif"
        write(path, pixels, nodata=nodata, overviews=overviews, tile=64, chunk=37)

        assert cog_validate(path, strict=True, quiet=True) == (True, [], [])
        expected, level = pixels, 0
        with rasterio.open(path) as file:
            np.testing.assert_array_equal(file.read(), expected)
            assert file.block_shapes == [(64, 64)] * count
            levels = len(file.overviews(1))
        while max(expected.shape[1:]) > 64:
            expected = {"average": halve_average, "mode": halve_mode}[overviews](expected, nodata)
            with rasterio.open(path, overview_level=level) as file:
                np.testing.assert_array_equal(file.read(), expected)
                np.testing.assert_equal(file.nodata, nodata)
            level += 1
        assert level == levels

    def test_bytes_do_not_depend_on_threads_or_on_how_rows_are_cut(self, tmp_path: Path) -> None:
        pixels = noise(2, 500, 300)
        variants = [{"threads": 1, "chunk": 500}, {"threads": 4, "chunk": 1}, {"threads": 4, "chunk": 64}]
        for index, variant in enumerate(variants):
            write(tmp_path / f"{index}.tif", pixels, nodata=-32768, tile=64, **variant)
        assert len({(tmp_path / f"{index}.tif").read_bytes() for index in range(len(variants))}) == 1

    def test_the_producer_may_reuse_its_array(self, tmp_path: Path) -> None:
        pixels = noise(1, 256, 64)

        def rows() -> Iterator[np.ndarray]:
            buffer = np.empty((1, 64, 64), np.int16)
            for row in range(0, 256, 64):
                buffer[:] = pixels[:, row : row + 64]
                yield buffer

        write_cog(tmp_path / "out.tif", rows(), profile(256, 64, tile=64))
        with rasterio.open(tmp_path / "out.tif") as file:
            np.testing.assert_array_equal(file.read(), pixels)

    def test_memory_does_not_grow_with_height(self, tmp_path: Path) -> None:
        chunk = noise(1, 64, 1024)

        def peak(height: int) -> int:
            tracemalloc.start()
            rows = (chunk for _ in range(height // 64))
            write_cog(tmp_path / "out.tif", rows, profile(height, 1024, tile=64))
            size = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return size

        peak(512)  # the first use of GDAL and of each thread's compressor
        assert peak(4096) < 1.3 * peak(1024) < 4096 * 1024 * 2 / 2


class TestLayout:
    @pytest.mark.parametrize("limit", [2**32, 1000])
    def test_structure_is_what_the_header_claims(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
    ) -> None:
        monkeypatch.setattr(tiff, "CLASSIC_LIMIT", limit)
        pixels = noise(2, 300, 200)
        pixels[:, :70, :140] = -32768  # sparse tiles, the first of all among them
        path = tmp_path / "out.tif"
        write(path, pixels, nodata=-32768, tile=64)

        assert cog_validate(path, strict=True, quiet=True) == (True, [], [])
        data = path.read_bytes()
        assert data[:4] == (b"II+\0" if limit == 1000 else b"II*\0")
        with rasterio.open(path) as file:
            np.testing.assert_array_equal(file.read(), pixels)
            assert file.tags(ns="IMAGE_STRUCTURE") == {
                "LAYOUT": "COG", "COMPRESSION": "ZSTD", "INTERLEAVE": "PIXEL", "PREDICTOR": "2",
            }  # fmt: skip
            assert file.get_tag_item("GDAL_STRUCTURAL_METADATA", "TIFF").startswith(
                "GDAL_STRUCTURAL_METADATA_SIZE=000140 bytes\nLAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\n"
                "BLOCK_LEADER=SIZE_AS_UINT4\n"
                "BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION=NO\n "
            )
            position = max(
                int(file.get_tag_item("IFD_OFFSET", "TIFF", bidx=1, ovr=ovr)) for ovr in (None, 0, 1, 2)
            )
            ends: list[int] = []
            for ovr, (down, across) in ((2, (1, 1)), (1, (2, 1)), (0, (3, 2)), (None, (5, 4))):
                for y, x in np.ndindex(down, across):
                    offset = file.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=1, ovr=ovr)
                    if offset is None:
                        assert (ovr, y) == (None, 0) and x == 1  # of the two empty tiles the first is written
                        continue
                    start, size = (
                        int(offset),
                        int(file.get_tag_item(f"BLOCK_SIZE_{x}_{y}", "TIFF", bidx=1, ovr=ovr)),
                    )
                    assert start - 4 == ends[-1] if ends else start > position
                    assert struct.unpack_from("<I", data, start - 4) == (size,)
                    assert data[start + size - 4 : start + size] == data[start + size : start + size + 4]
                    ends.append(start + size + 4)
            assert ends[-1] == len(data)

    def test_a_raster_without_data_takes_no_space(self, tmp_path: Path) -> None:
        path = tmp_path / "out.tif"
        write(path, np.full((2, 2000, 1500), -32768, np.int16), nodata=-32768)
        assert path.stat().st_size < 3000
        assert cog_validate(path, strict=True, quiet=True) == (True, [], [])
        for options in ({}, {"overview_level": 0}, {"overview_level": 1}):
            with rasterio.open(path, **options) as file:
                assert (file.read() == -32768).all()


def assert_same_tags(ours: Path, gdal: Path, *, overview: int | None) -> None:
    """The directory of a level holds the same tags in both files, but for the places of tiles."""
    tags = []
    for path in (ours, gdal):
        with rasterio.open(path) as file:
            directory = int(file.get_tag_item("IFD_OFFSET", "TIFF", bidx=1, ovr=overview))
        data = path.read_bytes()
        # As if this directory were the file's first.
        tags.append(
            {tag.code: tag for tag in tiff.read_directory(b"II*\0" + struct.pack("<I", directory) + data[8:])}
        )
    assert tags[0].keys() == tags[1].keys()
    # GDAL writes sizes as SHORT where they fit; the order of items in the XML is free.
    free = {tiff.WIDTH, tiff.HEIGHT, tiff.TILE_OFFSETS, tiff.TILE_BYTE_COUNTS, GDAL_METADATA}
    for code in tags[0].keys() - free:
        assert tags[0][code] == tags[1][code]


class TestMetadata:
    def test_is_what_gdals_own_driver_writes(self, tmp_path: Path) -> None:
        pixels = noise(2, 700, 600)
        write(
            tmp_path / "ours.tif",
            pixels,
            nodata=-32768,
            descriptions=["VV", "VH"],
            units=["dB", "dB"],
            scale=0.01,
            offset=0.5,
            tags={"MODEL": "demo & <co>", "TIFFTAG_SOFTWARE": "terramosaic"},
        )
        with rasterio.open(tmp_path / "ours.tif") as ours:
            with rasterio.open(tmp_path / "plain.tif", "w", **{**ours.profile, "driver": "GTiff"}) as plain:
                plain.write(pixels)
                plain.descriptions, plain.units = ours.descriptions, ours.units
                plain.scales, plain.offsets = ours.scales, ours.offsets
                plain.update_tags(**ours.tags())
            rasterio.shutil.copy(
                tmp_path / "plain.tif", tmp_path / "gdal.tif", driver="COG", compress="ZSTD", predictor="YES"
            )
            assert ours.crs.to_epsg() == 32633
            assert ours.transform == TRANSFORM
            assert ours.nodata == -32768
            assert ours.descriptions == ("VV", "VH")
            assert ours.units == ("dB", "dB")
            assert ours.scales == (0.01, 0.01)
            assert ours.offsets == (0.5, 0.5)
            assert ours.tags() == {
                "AREA_OR_POINT": "Area", "MODEL": "demo & <co>", "TIFFTAG_SOFTWARE": "terramosaic",
            }  # fmt: skip
            with rasterio.open(tmp_path / "gdal.tif") as gdal:
                assert ours.profile == gdal.profile
                assert ours.colorinterp == gdal.colorinterp
                assert ours.tag_namespaces() == gdal.tag_namespaces()
                told = gdal.tags(ns="IMAGE_STRUCTURE")
                told.pop("OVERVIEW_RESAMPLING", None)  # from GDAL 3.12 on
                assert ours.tags(ns="IMAGE_STRUCTURE") == told
                assert ours.overviews(1) == gdal.overviews(1)

        assert_same_tags(tmp_path / "ours.tif", tmp_path / "gdal.tif", overview=None)
        assert_same_tags(tmp_path / "ours.tif", tmp_path / "gdal.tif", overview=0)

    def test_colours_reach_every_level(self, tmp_path: Path) -> None:
        path = tmp_path / "out.tif"
        pixels = np.random.default_rng(0).integers(0, 3, (1, 600, 520)).astype(np.uint8)
        write(path, pixels, nodata=0, overviews="mode", colormap=CLASSES)
        assert cog_validate(path, strict=True, quiet=True) == (True, [], [])
        for options in ({}, {"overview_level": 0}):
            with rasterio.open(path, **options) as file:
                colormap = file.colormap(1)
                assert {value: colormap[value][:3] for value in CLASSES} == {
                    value: colour[:3] for value, colour in CLASSES.items()
                }
                assert file.colorinterp == (ColorInterp.palette,)


class TestFailures:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"dtype": "int32"}, "dtype int32 is none of"),
            ({"nodata": 1e6}, "GDAL refuses"),
            ({"nodata": np.nan}, "nodata nan is no value of int16"),
            ({"nodata": 0.5}, "nodata 0.5 is no value of int16"),
            ({"descriptions": ["VV", "VH"]}, "descriptions must be a list of 1"),
            ({"units": "m"}, "units must be a list of 1"),
            ({"overviews": "median"}, "overviews 'median' is none of average, mode"),
            ({"tile": 100}, "tile 100 is not a multiple of 16"),
            ({"colormap": CLASSES}, "a colormap needs one band of uint8"),
        ],
    )
    def test_a_profile_that_does_not_fit(self, tmp_path: Path, options: dict[str, Any], message: str) -> None:
        with pytest.raises(OutputError, match=message):
            write_cog(tmp_path / "out.tif", [noise(1, 4, 4)], profile(4, 4, **options))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ([noise(1, 3, 4)], "got 3 rows, but the raster has 4"),
            ([noise(1, 3, 4), noise(1, 2, 4)], "got 5 rows or more, but the raster has 4"),
            ([noise(1, 4, 5)], r"rows from 0 on are int16 \(1, 4, 5\), not int16 \(1, rows, 4\)"),
            ([noise(1, 2, 4), noise(2, 2, 4)], r"rows from 2 on are int16 \(2, 2, 4\)"),
            ([noise(1, 4, 4, "float32")], "rows from 0 on are float32"),
            ([noise(1, 4, 4)[0]], r"rows from 0 on are int16 \(4, 4\)"),
            ([], "got 0 rows"),
        ],
    )
    def test_rows_that_do_not_fit(self, tmp_path: Path, rows: list[np.ndarray], message: str) -> None:
        with pytest.raises(OutputError, match=message):
            write_cog(tmp_path / "out.tif", rows, profile(4, 4))
        assert list(tmp_path.iterdir()) == []

    def test_a_producers_error_passes_and_leaves_the_old_file(self, tmp_path: Path) -> None:
        path = tmp_path / "out.tif"
        path.write_bytes(b"old")
        seen: list[list[str]] = []

        def rows() -> Iterator[np.ndarray]:
            yield noise(1, 200, 100)
            seen.append([entry.name for entry in tmp_path.iterdir()])
            raise FileNotFoundError("block 3 is gone")

        with pytest.raises(FileNotFoundError, match="block 3 is gone"):
            write_cog(path, rows(), profile(400, 100, tile=64))
        assert path.read_bytes() == b"old"
        assert [entry.name for entry in tmp_path.iterdir()] == ["out.tif"]
        assert "out.tif" in seen[0] and not any(name.endswith(".partial") for name in seen[0])

    def test_a_full_disk_leaves_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "out.tif"
        path.write_bytes(b"old")

        def full(descriptor: int) -> None:
            (partial,) = tmp_path.glob(".out.tif.*.partial")
            assert partial.stat().st_size > 0
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(
            OutputError, match=r"out\.tif could not be written: No space left on device; make room"
        ):
            write(path, noise(1, 100, 100))
        assert path.read_bytes() == b"old"
        assert [entry.name for entry in tmp_path.iterdir()] == ["out.tif"]

    def test_a_folder_that_does_not_exist(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="No such file or directory"):
            write(tmp_path / "none" / "out.tif", noise(1, 4, 4))
