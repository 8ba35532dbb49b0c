"""Two passes of one day over the same ground: two items of the collection, and in the newest mosaics the later one."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import rasterio

from terramosaic.catalog import labels_of
from terramosaic.ground.grid import Rect
from tests.integration.conftest import LAND, Catalog
from tests.integration.watch.newest_region import newest, watch
from tests.support.earlier import without_passes
from tests.support.scenes import write_scene

PLACE = Rect(LAND.row, LAND.col, 300, 300)
DAY = "2023-08-15"

#: Cloud over the western third, and over the eastern.
WEST, EAST = np.full((150, 150), 4), np.full((150, 150), 4)
WEST[:, :50] = EAST[:, 100:] = 9


@pytest.fixture
def catalog(tmp_path) -> Catalog:
    """A catalog that grows."""
    (tmp_path / "catalog").mkdir()
    return Catalog(tmp_path / "catalog")


def put(catalog, platform, time, orbit, **options):
    """A scene of one of the passes."""
    name = f"S2{platform.upper()}_33TWL_20230815"
    item = write_scene(catalog.folder / name, PLACE, name=name, day=DAY, **options)
    item["properties"] |= {
        "platform": f"sentinel-2{platform}", "datetime": f"{DAY}T{time}:00Z", "sat:relative_orbit": orbit,
    }  # fmt: skip
    catalog.add(item)
    return catalog.folder / f"{name}.json"


def put_both(catalog):
    first = put(catalog, "a", "09:50", 79, scl=WEST)
    second = put(catalog, "b", "11:30", 122, scl=EAST, level=500)
    return first, second


def request_for(catalog, out):
    return catalog.request(PLACE, out, datetime="2023-08-01/..", targets=("NDVI",))


def held(out):
    """Links of the collection by platform, and which of their items are deprecated."""
    links = json.loads((out / "collection.json").read_text())["links"]
    links = [link for link in links if "terramosaic:run_id" in link]
    items = [json.loads((out / link["href"]).read_text()) for link in links]
    return links, [item["properties"].get("deprecated", False) for item in items]


def test_a_second_pass_deprecates_nothing_however_the_passes_arrive(catalog, tmp_path):
    files, seen = put_both(catalog), {}
    for name, order in (("at once", ()), ("forward", (0, 1)), ("late", (1, 0))):
        out = tmp_path / name
        for hidden, file in enumerate(files):
            file.rename(tmp_path / f"{hidden}.json")
        for number in order:
            (tmp_path / f"{number}.json").rename(files[number])
            found = watch(request_for(catalog, out), "2023-08-16")
            assert (len(found.new), found.again) == (1, frozenset())
        if not order:
            for number, file in enumerate(files):
                (tmp_path / f"{number}.json").rename(file)
            found = watch(request_for(catalog, out), "2023-08-16")
            assert str(found) == (
                f"2 of 2 acquisitions since 2023-08-01: {DAY} sentinel-2a R079, {DAY} sentinel-2b R122"
            )
        links, deprecated = held(out)
        assert [(link["terramosaic:platform"], link["terramosaic:relative_orbit"]) for link in links] == [
            ("sentinel-2a", 79), ("sentinel-2b", 122),
        ]  # fmt: skip
        assert deprecated == [False, False]
        assert not watch(request_for(catalog, out), "2023-08-16").new
        seen[name] = newest(out)
        with rasterio.open(out / "newest" / "acquired.tif") as dataset:
            seen[name]["pass"] = dataset.read(2)
            assert dataset.tags()["ACQUISITION_19584_2122"].startswith("2023-08-15: run ")
    assert not (seen["at once"]["quality"] & 1).any()
    # Of one day both, and told apart.
    assert (seen["late"]["pass"][:, :190] == 2122).all() and (seen["late"]["pass"][:, 210:] == 1079).all()
    for one, other in itertools.combinations(seen.values(), 2):
        for layer, pixels in one.items():
            np.testing.assert_array_equal(pixels, other[layer], err_msg=layer)


@pytest.mark.slow
def test_what_was_mapped_before_passes_were_told_apart_is_read(catalog, tmp_path):
    first, _ = put_both(catalog)
    out, kept = tmp_path / "maps", tmp_path / "kept.json"
    second_alone = tmp_path / "second"
    first.rename(kept)
    watch(request_for(catalog, out), "2023-08-16")
    watch(request_for(catalog, second_alone), "2023-08-16")
    without_passes(out)
    assert str(watch(request_for(catalog, out), "2023-08-16")).startswith("nothing new: 1 acquisitions")
    pixels = newest(out)
    np.testing.assert_array_equal(pixels["NDVI"], newest(second_alone)["NDVI"])
    # The other pass of that day is new, and the one that was mapped stays.
    kept.rename(first)
    found = watch(request_for(catalog, out), "2023-08-16")
    assert labels_of(list(found.new)) == [DAY] and not found.again
    links, deprecated = held(out)
    assert [link["terramosaic:platform"] for link in links] == ["sentinel-2a", ""]
    assert deprecated == [False, False]
    assert not (newest(out)["quality"] & 1).any()


@pytest.mark.slow
def test_a_day_of_two_passes_that_was_one_acquisition_becomes_two(catalog, tmp_path, monkeypatch):
    put_both(catalog)
    out = tmp_path / "maps"
    with monkeypatch.context() as earlier:
        # One acquisition for the whole day, as it was.
        earlier.setattr("terramosaic.catalog.acquisitions.passes_of", lambda scenes: [list(scenes)])
        watch(request_for(catalog, out), "2023-08-16")
    without_passes(out)
    (before,), _ = held(out)
    found = watch(request_for(catalog, out), "2023-08-16")
    assert (len(found.new), len(found.again)) == (2, 1)
    links, deprecated = held(out)
    assert [link["terramosaic:platform"] for link in links] == ["sentinel-2a", "sentinel-2b"]
    assert deprecated == [False, False]
    item = json.loads((out / before["href"]).read_text())
    assert item["properties"]["deprecated"] is True
    assert not watch(request_for(catalog, out), "2023-08-16").new
