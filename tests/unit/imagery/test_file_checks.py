"""A file is held against its item: used, used with what it declares, or refused by name."""

from dataclasses import replace

import pytest
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from terramosaic.imagery.file_checks import FileFacts, FileVerdict, check_file

ZONE = CRS.from_epsg(32633)
TEN = Affine(10, 0, 499980, 0, -10, 5000040)


def facts(**changes):
    return replace(FileFacts("uint16", ZONE, TEN), **changes)


def verdict(band="B04", **changes):
    return check_file(facts(**changes), band=band, epsg=32633)


def pixels(size):
    return Affine(size, 0, 499980, 0, -size, 5000040)


def test_a_file_that_declares_nothing_is_read_as_it_is():
    assert verdict() == verdict(nodata=0) == FileVerdict()


def test_a_crs_without_a_code_is_known_by_what_it_is():
    assert verdict(crs=CRS.from_string("+proj=utm +zone=33 +datum=WGS84 +units=m +no_defs")) == FileVerdict()


@pytest.mark.parametrize(
    ("band", "changes", "problem"),
    [
        ("B04", {"crs": None}, "has no CRS"),
        ("B04", {"crs": CRS.from_epsg(32632)}, "comes in EPSG:32632, and its item says EPSG:32633"),
        ("B04", {"crs": CRS.from_epsg(4326)}, "comes in EPSG:4326, and its item says EPSG:32633"),
        ("B04", {"crs": CRS.from_string("+proj=laea +lat_0=50 +units=m")}, "comes in another CRS, and its item says"),
        ("B04", {"transform": Affine(10, 0, 0, 0, 10, 0)}, "is not north-up"),
        ("B04", {"transform": Affine(10, 1, 0, 1, -10, 0)}, "is not north-up"),
        ("B02", {"transform": pixels(20)}, "has pixels of 20 m, and B02 comes at 10 m"),
        ("B08", {"transform": pixels(60)}, "has pixels of 60 m, and B08 comes at 10 m"),
        ("B11", {"transform": pixels(60)}, "has pixels of 60 m, and B11 comes at 20 m"),
        ("SCL", {"dtype": "uint8", "transform": pixels(60)}, "has pixels of 60 m, and SCL comes at 20 m"),
        ("B04", {"transform": pixels(20.0000001)}, "has pixels of 20 m, and B04 comes at 10 m"),
        ("B04", {"transform": Affine(10, 0, 499980, 0, -20, 5000040)}, "has pixels of 20 m, and B04 comes at 10 m"),
        ("B04", {"others": (ColorInterp.green, ColorInterp.blue)}, "holds 3 bands, not B04 alone"),
        ("B04", {"others": (ColorInterp.undefined,)}, "holds 2 bands, not B04 alone"),
        ("B04", {"dtype": "uint8"}, "holds uint8, not digital numbers as uint16"),
        ("B04", {"dtype": "int16"}, "holds int16, not digital numbers as uint16"),
        ("B04", {"dtype": "float32"}, "holds float32, not digital numbers as uint16"),
        ("SCL", {"dtype": "int8"}, "holds int8, not classes as uint8"),
        ("B04", {"scale": 1e-4, "offset": -0.2}, "has the tags scale 0.0001 and offset -0.2, not Sentinel-2's"),
        ("B04", {"scale": 1.0, "offset": -0.2}, "has the tags scale 1 and offset -0.2, not Sentinel-2's"),
        ("B04", {"scale": 0.01}, "has the tags scale 0.01 and offset 0, not Sentinel-2's"),
    ],
)  # fmt: skip
def test_what_contradicts_makes_a_file_unusable(band, changes, problem):
    assert verdict(band, **changes).problem.startswith(problem)


@pytest.mark.parametrize(
    ("band", "changes"),
    [
        ("B05", {"transform": pixels(10)}),
        ("B05", {"transform": pixels(20)}),
        ("B01", {"transform": pixels(20)}),
        ("SCL", {"dtype": "uint8", "transform": pixels(20)}),
        ("SCL", {"dtype": "uint16"}),
        ("SCL", {"dtype": "uint8", "scale": 0.5}),
        ("B04", {"nodata": -9999.0}),
        ("B04", {"nodata": float("nan")}),
        ("B04", {"nodata": 0.5}),
    ],
)
def test_what_does_not_contradict_changes_nothing(band, changes):
    assert verdict(band, **changes) == FileVerdict()


def test_an_overview_of_a_scene_is_read_and_told():
    assert verdict(transform=pixels(120)) == FileVerdict(note="has pixels of 120 m, not of 10 m")


@pytest.mark.parametrize("nodata", [1, 255, 65_535.0])
def test_declared_no_data_and_masks_are_used(nodata):
    assert verdict(nodata=nodata) == FileVerdict(nodata=int(nodata))
    assert verdict("SCL", dtype="uint8", nodata=nodata).nodata == nodata
    assert verdict(has_mask=True) == FileVerdict(has_mask=True)
    assert verdict(others=(ColorInterp.alpha,), nodata=0) == FileVerdict(has_alpha=True)


@pytest.mark.parametrize(
    ("scale", "offset", "tagged"),
    [(1, 0, None), (1e-4, 0, 0), (1e-4, -0.1, 1000), (9.99999974e-5, -0.100000001, 1000), (1, -1000, 1000),
     (1, -0.1, 1000)],
)  # fmt: skip
def test_tags_say_what_is_to_be_subtracted(scale, offset, tagged):
    assert verdict(scale=scale, offset=offset).tagged_offset == tagged


@pytest.mark.parametrize(
    ("band", "transform", "problem"),
    [
        ("B04", TEN, ""),
        ("B8A", pixels(20), ""),
        ("B8A", Affine(20, 0, 499990, 0, -20, 5000030), ""),  # cut to whole pixels of its own
        ("B04", Affine(10, 0, 499970, 0, -10, 5000040), "begins -10 m east and 0 m south of where the file of B03"),
        ("B8A", Affine(20, 0, 499980, 0, -20, 4999976), "begins 0 m east and 64 m south of where the file of B03 does"),
        ("B04", Affine(10, 0, 1e300, 0, -10, float("nan")), "begins 1e+300 m east and nan m south"),
    ],
)  # fmt: skip
def test_a_file_that_begins_elsewhere_than_the_others_of_its_scene_shows_another_ground(
    band, transform, problem
):
    found = check_file(
        facts(transform=transform), band=band, epsg=32633, others={"B03": TEN, "B11": pixels(20)}
    )
    assert found.problem.startswith(problem) and bool(found.problem) == bool(problem)
