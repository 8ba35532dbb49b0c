"""The +1000: decided per item and asset."""

import pytest

from terramosaic.catalog.metadata import processing_baseline
from terramosaic.catalog.offset import GUESSED, decide_offset
from terramosaic.catalog.profiles import (
    COPERNICUS,
    EARTH_SEARCH,
    EARTH_SEARCH_V0,
    GENERIC,
    PLANETARY_COMPUTER,
)
from terramosaic.errors import CatalogError

DECLARED_1000 = {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]}
DECLARED_0 = {"raster:bands": [{"scale": 0.0001, "offset": 0}]}
IN_STAC_11 = {"raster:scale": 0.0001, "raster:offset": -0.1}
IN_BANDS = {"bands": [{"name": "B04", "raster:scale": 0.0001, "raster:offset": -0.1}]}
GDAL_DEFAULTS = {"raster:bands": [{"scale": 1.0, "offset": 0.0}]}

PB0214, PB0509 = ({"s2:processing_baseline": number} for number in ("02.14", "05.09"))
PB0400_V0 = {"sentinel:processing_baseline": "04.00"}
PRODUCT_N0001 = {"sentinel:product_id": "S2B_MSIL2A_20181004T210519_N0001_R071_T01CCV_20200307T115707"}
APPLIED, NOT_APPLIED = ({"earthsearch:boa_offset_applied": flag} for flag in (True, False))


def decided(profile, properties, asset=None, *, key="red", band="B04", collection="sentinel-2-l2a"):
    item = {"id": "x", "collection": collection, "properties": properties, "assets": {key: asset or {}}}
    return decide_offset(item, key, band=band, baseline=processing_baseline(item), profile=profile).offset


@pytest.mark.parametrize(
    ("profile", "properties", "asset", "options", "offset"),
    [
        # Planetary Computer: the baseline, and nothing else.
        (PLANETARY_COMPUTER, PB0509, None, {}, 1000),
        (PLANETARY_COMPUTER, {"s2:processing_baseline": "04.00"}, None, {}, 1000),
        (PLANETARY_COMPUTER, {"s2:processing_baseline": "03.01"}, None, {}, 0),
        (PLANETARY_COMPUTER, PB0214, None, {}, 0),
        (PLANETARY_COMPUTER, PB0509, None, {"band": "SCL"}, 0),
        # Earth Search's COGs: the flag; the declared -0.1 stays even where it is taken off.
        (EARTH_SEARCH, PB0509 | APPLIED, DECLARED_1000, {}, 0),
        (EARTH_SEARCH, PB0509 | NOT_APPLIED, DECLARED_1000, {}, 1000),
        (EARTH_SEARCH, PB0509 | NOT_APPLIED, DECLARED_0, {}, 1000),
        (EARTH_SEARCH, PB0509, DECLARED_1000, {}, 1000),
        (EARTH_SEARCH, PB0214 | NOT_APPLIED, DECLARED_1000, {}, 0),
        (EARTH_SEARCH, PB0214 | APPLIED, DECLARED_0, {}, 0),
        # Their JPEG 2000 twins are ESA's files, whatever the flag says.
        (EARTH_SEARCH, PB0509 | APPLIED, DECLARED_1000, {"key": "red-jp2"}, 1000),
        (EARTH_SEARCH, PB0214 | APPLIED, DECLARED_0, {"key": "red-jp2"}, 0),
        (EARTH_SEARCH, PB0509 | APPLIED, None, {"key": "scl-jp2", "band": "SCL"}, 0),
        # Its Collection 1 declares honestly.
        (EARTH_SEARCH, PB0509, DECLARED_1000, {"collection": "sentinel-2-c1-l2a"}, 1000),
        (EARTH_SEARCH, PB0509, DECLARED_0, {"collection": "sentinel-2-c1-l2a"}, 0),
        (EARTH_SEARCH, PB0509, None, {"collection": "sentinel-2-c1-l2a"}, 1000),
        (EARTH_SEARCH_V0, PB0400_V0 | {"sentinel:boa_offset_applied": True}, None, {}, 0),
        (EARTH_SEARCH_V0, PB0400_V0, None, {}, 1000),
        (EARTH_SEARCH_V0, PRODUCT_N0001, None, {}, 0),
        # Copernicus declares; so may anybody.
        (COPERNICUS, {"processing:version": "05.12"}, IN_STAC_11, {"key": "B04_10m"}, 1000),
        (COPERNICUS, {"processing:version": "02.14"}, {"raster:scale": 1e-4, "raster:offset": 0}, {}, 0),
        (COPERNICUS, {"processing:version": "05.12"}, None, {}, 1000),
        (GENERIC, PB0509, IN_BANDS, {}, 1000),
        (GENERIC, PB0509, DECLARED_0, {}, 0),
        (GENERIC, PB0509, GDAL_DEFAULTS, {}, 1000),
        (GENERIC, PB0509, None, {}, 1000),
        (GENERIC, {}, DECLARED_1000, {}, 1000),
        (GENERIC, {}, None, {}, 0),
    ],
)  # fmt: skip
def test_rule(profile, properties, asset, options, offset):
    assert decided(profile, properties, asset, **options) == offset


@pytest.mark.parametrize("told", ["05.10", "5.10", "5.1", 5.1, " 05.10 ", "0510", "N0510", "05.1"])
def test_a_baseline_is_read_however_it_is_written(told):
    item = {"id": "x", "properties": {"s2:processing_baseline": told}}
    assert processing_baseline(item) == "05.10"
    assert decided(PLANETARY_COMPUTER, item["properties"]) == 1000


@pytest.mark.parametrize(
    ("told", "baseline"), [(5, "05.00"), (5.09, "05.09"), (2.14, "02.14"), (4.0, "04.00"), ("3.01", "03.01")]
)
def test_a_baseline_that_is_a_number(told, baseline):
    assert processing_baseline({"id": "x", "properties": {"s2:processing_baseline": told}}) == baseline


@pytest.mark.parametrize(
    "told", ["99.99", 99.99, "N9999", "", "latest", None, True, [5, 9], {}, float("nan"), 509]
)
def test_what_tells_no_baseline_is_unknown_and_so_is_its_offset(told):
    item = {"id": "x", "properties": {"s2:processing_baseline": told}, "assets": {"B04": {}}}
    assert processing_baseline(item) is None
    assert decide_offset(item, "B04", band="B04", baseline=None, profile=PLANETARY_COMPUTER).rule.startswith(
        GUESSED
    )
    # Somebody who declares it knows.
    assert decided(GENERIC, item["properties"], DECLARED_1000) == 1000


def test_a_baseline_that_the_products_name_contradicts_is_unknown():
    product = "S2B_MSIL2A_20240828T174909_N0511_R141_T13TEF_20240828T214916"
    assert processing_baseline({"id": product, "properties": {"s2:processing_baseline": "05.10"}}) == "05.10"
    assert processing_baseline({"id": product, "properties": {"s2:processing_baseline": "99.99"}}) == "05.11"
    assert processing_baseline({"id": product, "properties": {"s2:processing_baseline": "02.14"}}) is None


@pytest.mark.parametrize(
    ("flag", "offset"),
    [
        ("true", 0),
        ("True ", 0),
        ("1", 0),
        (1, 0),
        ("false", 1000),
        ("False", 1000),
        (0, 1000),
        (None, 1000),
        ("?", 1000),
    ],
)
def test_a_flag_may_be_text(flag, offset):
    assert decided(EARTH_SEARCH, PB0509 | {"earthsearch:boa_offset_applied": flag}, DECLARED_1000) == offset


def test_an_unknown_size_of_offset_is_refused():
    with pytest.raises(CatalogError, match=r"asset red of x declares offset -0\.2 at scale 0\.0001"):
        decided(GENERIC, PB0509, {"raster:bands": [{"scale": 0.0001, "offset": -0.2}]})
