"""Which days a watched region has mapped: those whose pixels are the ones asked for, also where 0.1 has mapped them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio

from terramosaic.errors import RequestError
from terramosaic.ground.grid import Rect
from terramosaic.request.request import RegionRequest
from terramosaic.run.mapping import map_plan
from terramosaic.watch.watch import Watch, look
from tests.integration.conftest import LAND, Catalog
from tests.integration.watch.newest_region import days
from tests.support.earlier import as_0_1_wrote_it, newest_as_0_1_left_it
from tests.support.scenes import write_scene

PLACE = Rect(LAND.row, LAND.col, 300, 300)
DAYS = [date(2023, 8, 15), date(2023, 8, 20)]

#: What 0.1 called its runs, by day.
IDS = {day: f"{day:%Y%m%d}01010101" for day in DAYS}


@pytest.fixture
def catalog(tmp_path) -> Catalog:
    """Two acquisitions, whose items tell checksums."""
    (tmp_path / "catalog").mkdir()
    found = Catalog(tmp_path / "catalog")
    for day in DAYS:
        name = f"S2A_33TWL_{day:%Y%m%d}"
        item = write_scene(found.folder / name, PLACE, name=name, day=day.isoformat())
        for asset in item["assets"].values():
            asset["file:checksum"] = "1220ff"
        found.add(item)
    return found


def request_for(catalog, out, **options) -> RegionRequest:
    return catalog.request(PLACE, out, **{"datetime": "2023-08-01/..", "targets": ("NDVI",)} | options)


def looked(request: RegionRequest) -> Watch:
    return look(request, 30, datetime(2023, 8, 25, tzinfo=UTC))


def mapped(request: RegionRequest) -> Path:
    """The folder of a region whose days are mapped."""
    found = looked(request)
    for of_pass, made in found.new.items():
        map_plan(made)
        found.record(of_pass)
    found.keep_newest()
    return Path(request.out)


def read(file: Path) -> np.ndarray:
    with rasterio.open(file) as dataset:
        return dataset.read()


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def links_to_acquisitions(out: Path) -> list[dict]:
    links = json.loads((out / "collection.json").read_text())["links"]
    return [link for link in links if "terramosaic:run_id" in link]


@pytest.fixture
def pixels_of_0_1(monkeypatch) -> None:
    """As if today's pixels were those of 0.1."""
    for module in ("identity", "planning"):
        monkeypatch.setattr(f"terramosaic.planning.{module}.PIXELS", 1)


@pytest.fixture
def of_0_1(catalog, tmp_path) -> Path:
    """A region that 0.1 has mapped: its ids, its plans, its hash of the region."""
    out = mapped(request_for(catalog, tmp_path / "maps"))
    newest_as_0_1_left_it(out)
    document = json.loads((out / "collection.json").read_text())
    for link in document["links"]:
        if link["rel"] == "item":
            run_id, id_ = link["terramosaic:run_id"], IDS[date.fromisoformat(link["title"])]
            folder = (out / "acquisitions" / run_id).rename(out / "acquisitions" / id_)
            as_0_1_wrote_it(folder)
            for file in (
                folder / "plan.json",
                folder / "item.json",
                out / "collection.json",
                out / "newest/newest.json",
            ):
                change(file, run_id, id_)
    change(out / "collection.json", document["terramosaic:region"], "of all digits")
    return out


@pytest.mark.usefixtures("pixels_of_0_1")
def test_what_0_1_has_mapped_is_mapped(catalog, of_0_1):
    request = request_for(catalog, of_0_1)
    found = looked(request)
    assert str(found) == "nothing new: 2 acquisitions since 2023-08-01, all mapped"
    newest = read(of_0_1 / "newest" / "NDVI.tif")
    found.keep_newest()
    np.testing.assert_array_equal(read(of_0_1 / "newest" / "NDVI.tif"), newest)
    # What a catalog says of its item is not what is in it.
    for file in catalog.folder.glob("*.json"):
        change(file, '"properties": {', '"properties": {"updated": "2030-01-01T00:00:00Z", ')
    assert not looked(request).new


@pytest.mark.usefixtures("pixels_of_0_1")
def test_what_0_1_has_mapped_is_mapped_again_where_it_differs(catalog, of_0_1):
    again = looked(request_for(catalog, of_0_1, seed=1))
    assert days(again.new) == days(again.again) == DAYS
    change(catalog.folder / "S2A_33TWL_20230820.json", '"02.14"', '"02.15"')
    reprocessed = looked(request_for(catalog, of_0_1))
    assert days(reprocessed.new) == days(reprocessed.again) == DAYS[1:]
    (of_0_1 / "acquisitions" / IDS[DAYS[0]] / "NDVI.tif").unlink()
    lacking = looked(request_for(catalog, of_0_1))
    assert days(lacking.new) == DAYS and days(lacking.again) == DAYS[1:]
    (of_0_1 / "acquisitions" / IDS[DAYS[0]] / "plan.json").unlink()
    assert days(looked(request_for(catalog, of_0_1)).again) == DAYS


@pytest.mark.usefixtures("pixels_of_0_1")
def test_a_day_is_added_to_what_0_1_has_mapped(catalog, of_0_1):
    name = "S2A_33TWL_20230824"
    catalog.add(write_scene(catalog.folder / name, PLACE, name=name, day="2023-08-24"))
    mapped(request_for(catalog, of_0_1))
    links = links_to_acquisitions(of_0_1)
    assert [link["terramosaic:run_id"] for link in links[:2]] == list(IDS.values())
    assert [link["title"] for link in links] == ["2023-08-15", "2023-08-20", "2023-08-24"]


@pytest.mark.slow
def test_other_pixels_than_those_of_0_1_replace_them(catalog, of_0_1):
    before = links_to_acquisitions(of_0_1)
    mapped(request_for(catalog, of_0_1))
    links = links_to_acquisitions(of_0_1)
    assert [link["title"] for link in links] == [link["title"] for link in before]
    assert not {link["href"] for link in links} & {link["href"] for link in before}
    replaced = [json.loads((of_0_1 / link["href"]).read_text())["properties"] for link in before]
    assert [properties["deprecated"] for properties in replaced] == [True, True]
    # What lies before the rolling period stays, and is in the newest mosaics.
    assert looked(request_for(catalog, of_0_1)).new == {}


def test_another_region_than_that_of_0_1_is_refused(catalog, of_0_1):
    other = catalog.request(Rect(LAND.row, LAND.col, 200, 300), of_0_1, datetime="2023-08-01/..")
    with pytest.raises(RequestError, match=r"^out: .* holds the maps of another region"):
        looked(other)


def test_other_pixels_are_mapped_again(catalog, tmp_path, monkeypatch):
    request = request_for(catalog, mapped(request_for(catalog, tmp_path / "maps")))
    assert not looked(request).new
    monkeypatch.setattr("terramosaic.planning.planning.PIXELS", 3)
    found = looked(request)
    assert days(found.new) == days(found.again) == DAYS
