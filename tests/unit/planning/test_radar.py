"""Plans of maps that are made from Sentinel-1, alone and beside Sentinel-2: from made-up items, without pixels."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from shapely.geometry import box, mapping

from terramosaic.catalog.files import FileCatalog
from terramosaic.errors import CatalogError, NoScenesError, RequestError
from terramosaic.planning.folder import read_plan, write_plan
from terramosaic.planning.identity import run_id_of
from terramosaic.planning.plan import Plan
from terramosaic.planning.planning import plan, plan_acquisitions
from terramosaic.request.request import RegionRequest
from tests.unit.model.toy_terramind import make_toy
from tests.unit.planning.test_identity import BOX, item

WEST, EAST = (13.7, 45.5, 14.12, 46.9), (13.7, 45.5, 15.2, 46.9)


def slice_of(
    orbit: int, day: int, *, direction: str = "ascending", ground: tuple[float, ...] = EAST, **more: Any
) -> dict[str, Any]:
    """An item of Sentinel-1 RTC."""
    name = f"S1A_IW_GRDH_1SDV_202308{day:02}T165200_202308{day:02}T165225_{orbit:06}_rtc"
    return {
        "type": "Feature", "id": name, "collection": "sentinel-1-rtc", "geometry": mapping(box(*ground)),
        "bbox": list(ground),
        "properties": {
            "datetime": f"2023-08-{day:02}T16:52:12Z", "platform": "SENTINEL-1A", "sat:orbit_state": direction,
            "sat:absolute_orbit": orbit, "sat:relative_orbit": orbit % 175 + 1, "proj:epsg": 32633,
            "start_datetime": f"2023-08-{day:02} 16:52:00+00:00", "sar:product_type": "GRD",
        },
        "assets": {
            key: {"href": f"https://example.com/{name}/{key}.tif"} for key in ("vv", "vh")
        },
        **more,
    }  # fmt: skip


OPTICAL = [item("clear", 15, cloud=1.5), item("cloudy", 20, cloud=20.0)]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_toy(tmp_path_factory.mktemp("toy") / "bundle"))


def planned(folder: Path, toy: str, items: list[dict[str, Any]], **fields: Any) -> Plan:
    return plan(request(folder, toy, items, **fields))


def request(folder: Path, toy: str, items: list[dict[str, Any]], **fields: Any) -> RegionRequest:
    (folder / "items.json").write_text(json.dumps(items))
    given = {"region": BOX, "datetime": "2023-08", "catalog": str(folder / "items.json"), "out": str(folder)}
    return RegionRequest.model_validate(
        given | {"model": toy, "inputs": ["S1RTC"], "targets": ["NDVI"]} | fields
    )


def test_radar_alone_leads_by_passes_of_one_direction_near_the_middle_of_the_period(
    tmp_path: Path, toy: str
) -> None:
    made = planned(
        tmp_path,
        toy,
        [
            slice_of(49700, 3),
            slice_of(49875, 15),
            slice_of(49801, 16, direction="descending", ground=WEST),
            *OPTICAL,
        ],
    )
    assert made.radar is not None
    assert [one.label for one in made.radar.passes] == [
        "2023-08-15 sentinel-1a ascending R001",
        "2023-08-03 sentinel-1a ascending R001",
    ]
    assert made.scenes == {}
    assert [ranked.scenes for ranked in made.acquisitions] == [one.scenes for one in made.radar.passes]
    assert made.blocks and all(block.acquisitions[0] == made.radar.passes[0].scenes for block in made.blocks)
    assert [one.platform for one in made.passes] == ["sentinel-1a"] * 2
    assert "scenes=2" in repr(made)
    assert any("passes are ascending; left out: 1 descending" in warning for warning in made.warnings)
    write_plan(made)
    assert read_plan(f"{made.request.out}/{made.run_id}").radar == made.radar


def test_radar_beside_optical_is_the_nearest_to_its_best_acquisition(tmp_path: Path, toy: str) -> None:
    items = [slice_of(49700, 3), slice_of(49875, 15), slice_of(50050, 27), *OPTICAL]
    made = planned(tmp_path, toy, items, inputs=["S1RTC", "S2L2A"])
    assert made.radar is not None
    assert list(made.scenes) == ["clear", "cloudy"]
    assert [round(one.days, 1) for one in made.radar.passes] == [0.3, 11.7]
    assert made.request.inputs == ("S2L2A", "S1RTC")
    wider = planned(tmp_path, toy, items, inputs=["S1RTC", "S2L2A"], max_days_apart=15)
    assert wider.radar is not None
    assert [round(one.days, 1) for one in wider.radar.passes] == [0.3, 11.7, 12.3]


def test_a_runs_id_hangs_on_the_radar_that_it_is_made_from(tmp_path: Path, toy: str) -> None:
    one, other = slice_of(49875, 15), slice_of(49876, 15)
    both = ["S2L2A", "S1RTC"]
    ids = [planned(tmp_path, toy, [radar, *OPTICAL], inputs=both).run_id for radar in (one, one, other)]
    assert ids[0] == ids[1] != ids[2]
    without = planned(tmp_path, toy, [one, *OPTICAL], inputs=["S2L2A"])
    assert without.radar is None
    assert run_id_of(without) == planned(tmp_path, toy, OPTICAL, inputs=["S2L2A"]).run_id


def test_where_there_is_no_radar_it_says_what_there_is(tmp_path: Path, toy: str) -> None:
    items = [slice_of(49700, 3), *OPTICAL]
    with pytest.raises(
        NoScenesError, match=r"inputs: no Sentinel-1 found in .*; the nearest there are ascending of"
    ):
        planned(tmp_path, toy, items, datetime="2023-08-20/2023-08-25")
    with pytest.raises(NoScenesError, match="descending; all passes there in that period are ascending"):
        planned(tmp_path, toy, items, direction="descending")
    with pytest.raises(NoScenesError, match="the nearest there are ascending of 2023-08-03"):
        planned(tmp_path, toy, items, inputs=["S2L2A", "S1RTC"], max_days_apart=3)


def test_each_pass_of_a_watched_region_is_a_map(tmp_path: Path, toy: str) -> None:
    items = [slice_of(49875, 15), slice_of(49700, 3), *OPTICAL]
    plans, errors = plan_acquisitions(request(tmp_path, toy, items))
    assert errors == []
    assert [[one.label[:10] for one in made.radar.passes] for made in plans if made.radar] == [
        ["2023-08-03"],
        ["2023-08-15"],
    ]
    beside, _ = plan_acquisitions(request(tmp_path, toy, items, inputs=["S2L2A", "S1RTC"]))
    assert [made.radar.passes[0].label[:10] for made in beside if made.radar] == ["2023-08-15", "2023-08-15"]


def test_of_an_acquisition_the_passes_count_that_its_windows_need(tmp_path: Path, toy: str) -> None:
    """So a pass that comes later, and is no better for any window, does not change what is mapped."""

    def series(*items: dict[str, Any], **how: Any) -> list[Plan]:
        given = request(tmp_path, toy, [*items, *OPTICAL], inputs=["S2L2A", "S1RTC"], max_days_apart=15)
        return plan_acquisitions(given, **how)[0]

    near, (west, _, east, north) = slice_of(49875, 17), BOX
    first = series(near)
    beside = (west, north + 0.02, east, north + 1)  # found, and beyond all windows
    for later in (slice_of(50050, 28), slice_of(49800, 15, ground=beside), slice_of(49700, 3)):
        again = series(near, later)
        assert [made.run_id for made in again] == [made.run_id for made in first]
        assert [list(made.radar.scenes) for made in again if made.radar] == [[near["id"]]] * 2
    # What is nearer is taken by whom nothing is mapped yet; a map that stands keeps what it was made from.
    nearer = slice_of(49801, 15)
    assert series(near, nearer)[0].run_id != first[0].run_id
    held = {made.passes[0].solar_day: made for made in first}
    stands = series(near, nearer, standing=lambda of_pass: held[of_pass.solar_day])
    assert [made.run_id for made in stands] == [made.run_id for made in first]
    # Processed again, or gone, it does not.
    moved = slice_of(49875, 17)
    moved["assets"]["vv"]["file:size"] = 17
    for other in ([moved, nearer], [nearer]):
        anew = series(*other, standing=lambda of_pass: held[of_pass.solar_day])
        assert anew[0].radar is not None and list(anew[0].radar.scenes) == [nearer["id"]]


def test_a_slice_that_ends_over_the_region_takes_all_passes_there(tmp_path: Path, toy: str) -> None:
    """Windows at its end may be empty, and then the next pass is taken: it is in the plan."""
    west, south, east, north = BOX
    half = (west - 0.1, south - 0.1, (west + east) / 2, north + 0.1)
    items = [slice_of(49875, 15, ground=half), slice_of(50050, 20), slice_of(50225, 22), *OPTICAL]
    plans, _ = plan_acquisitions(request(tmp_path, toy, items, inputs=["S2L2A", "S1RTC"]))
    assert plans[0].radar is not None
    assert list(plans[0].radar.scenes) == [items[1]["id"], items[0]["id"]]


def test_a_plan_counts_what_is_read_of_passes_that_cover_windows_in_part(tmp_path: Path, toy: str) -> None:
    west, south, east, north = BOX
    half = (west - 0.1, south - 0.1, (west + east) / 2, north + 0.1)
    whole, part, other = (
        slice_of(49875, 15),
        slice_of(50050, 20, ground=half),
        slice_of(50225, 22, ground=half),
    )
    alone, beside, parts = (
        planned(tmp_path, toy, items).figures.read_gigabytes
        for items in ([whole], [whole, other], [part, other])
    )
    # The second is read only where windows may be empty in the first, which no window of the whole one is.
    assert alone == beside > 0
    assert 0 < parts < 2 * alone
    assert parts != planned(tmp_path, toy, [part]).figures.read_gigabytes


def test_an_acquisition_without_radar_waits_for_it(
    tmp_path: Path, toy: str, caplog: pytest.LogCaptureFixture
) -> None:
    given = request(
        tmp_path, toy, [slice_of(49875, 17), *OPTICAL], inputs=["S2L2A", "S1RTC"], max_days_apart=2.5
    )
    plans, errors = plan_acquisitions(given)
    assert [str(made.passes[0].solar_day) for made in plans] == ["2023-08-15"] and errors == []
    assert "the acquisition of 2023-08-20 is not mapped: inputs: no Sentinel-1 found in" in caplog.text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"inputs": ["DEM"]},
            "inputs: DEM alone is of no day and no pass; name one of S2L2A, S2L1C, S2RGB, S1RTC, too",
        ),
        ({"inputs": ["S1RTC", "S1GRD"]}, "inputs: bundle 'toy' cannot take S1GRD"),
        ({"inputs": ["NDVI"]}, "inputs: NDVI cannot be read: it is what maps are made of"),
        ({"model": "demo", "targets": ["NDVI"]}, "inputs: bundle 'demo' cannot take S1RTC; it takes S2L2A"),
        ({"catalogs": {"S1RTC": "planetary-computer#sentinel-1-grd"}}, "sentinel-1-grd is Sentinel-1 GRD"),
        ({"catalogs": {"S1RTC": "earth-search"}}, "has no terrain-corrected Sentinel-1"),
        ({"catalogs": {"S2L2A": "earth-search"}}, "catalogs: where S2L2A is, catalog and collection say"),
        (
            {"catalogs": {"s1rtc": "earth-search"}},
            "catalogs: s1rtc is not read; take S2L1C, S2RGB, S1RTC, DEM",
        ),
        ({"tokenised": ["S1RTC"]}, "tokenised: bundle 'toy' makes no tokens of S1RTC; leave it out"),
    ],
)
def test_inputs_that_cannot_be_had_are_told(
    tmp_path: Path, toy: str, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        planned(tmp_path, toy, [slice_of(49875, 15), *OPTICAL], **fields)


def test_of_a_single_composite_the_best_pass_alone_is_taken(tmp_path: Path, toy: str) -> None:
    made = planned(
        tmp_path, toy, [slice_of(49875, 15), slice_of(49700, 3)], composite="single", keep_imagery=True
    )
    assert made.radar is not None
    assert [one.label[:10] for one in made.radar.passes] == ["2023-08-15"]
    assert len(made.acquisitions) == 1
    assert "imagery" not in [layer.name for layer in made.layers]
    assert any("keep_imagery keeps Sentinel-2" in warning for warning in made.warnings)


def test_ground_that_no_pass_has_seen_is_told(tmp_path: Path, toy: str) -> None:
    made = planned(tmp_path, toy, [slice_of(49875, 15, ground=WEST), *OPTICAL], inputs=["S2L2A", "S1RTC"])
    assert made.figures.covered_share == 1 and made.figures.mapped_share is not None
    assert made.figures.gaps == pytest.approx({"no radar": 1 - made.figures.mapped_share})
    told = [warning for warning in made.warnings if "stays without data" in warning]
    share = f"{made.figures.gap_share:.1%} of the region lies"
    assert told == [f"{share} where Sentinel-1 has nothing, or the edge of its swath and stays without data"]


def test_a_gap_where_radar_leads_is_told_once(tmp_path: Path, toy: str) -> None:
    made = planned(tmp_path, toy, [slice_of(49875, 15, ground=WEST)])
    assert list(made.figures.gaps) == ["no radar"]
    assert sum("without data" in warning for warning in made.warnings) == 1


def test_a_pass_can_be_excluded_by_name(tmp_path: Path, toy: str) -> None:
    items = [slice_of(49875, 15), slice_of(49700, 3), *OPTICAL]
    made = planned(tmp_path, toy, items, exclude=[items[0]["id"]])
    assert made.radar is not None
    assert [one.label[:10] for one in made.radar.passes] == ["2023-08-03"]
    assert not any("are not among the scenes" in warning for warning in made.warnings)
    # Whoever repeats the run by its request leaves it out again.
    assert made.request.exclude == (items[0]["id"],)
    named = f"sentinel-1-rtc/{items[0]['id']}"
    both = planned(tmp_path, toy, items, exclude=[named, "unheard-of"], inputs=["S2L2A", "S1RTC"])
    assert both.radar is not None and both.request.exclude == (items[0]["id"],)
    assert [one.label[:10] for one in both.radar.passes] == ["2023-08-03"]


def test_slices_beside_the_region_that_windows_reach_are_of_its_passes(tmp_path: Path, toy: str) -> None:
    """Where one ends at the region's edge, the next goes on; of a pass beside the region alone there is no map."""
    west, south, east, north = BOX
    over = (west - 0.1, south - 0.1, east + 0.1, north + 0.001)
    beside = (west - 0.1, north + 0.001, east + 0.1, north + 0.8)
    next_one = slice_of(49875, 15, ground=beside)
    next_one["id"] += "_next"
    next_one["properties"]["start_datetime"] = "2023-08-15 16:52:25+00:00"
    other = slice_of(49700, 3, ground=beside)
    made = planned(tmp_path, toy, [slice_of(49875, 15, ground=over), next_one, other])
    assert made.radar is not None
    # The other one has the better part of windows at the edge, which so are the same in a region that it touches.
    assert [(len(one.scenes), one.coverage > 0) for one in made.radar.passes] == [(2, True), (1, False)]
    assert made.radar.passes[0].scenes[1] == next_one["id"]
    plans, _ = plan_acquisitions(request(tmp_path, toy, [slice_of(49875, 15, ground=over), next_one, other]))
    assert [one.radar and tuple(one.radar.scenes) for one in plans] == [made.radar.passes[0].scenes]


@pytest.mark.parametrize("inputs", [["S1RTC"], ["S2L2A", "S1RTC"]])
def test_what_would_be_read_for_ever_is_refused(tmp_path: Path, toy: str, inputs: list[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    radar = slice_of(49875, 15)
    radar["assets"]["vh"]["href"] = str(tmp_path / "pipe")
    with pytest.raises(CatalogError, match=r"asset vh of item S1A_.* is no file"):
        planned(tmp_path, toy, [radar, *OPTICAL], inputs=inputs)


@pytest.mark.parametrize("href", ["/etc", "/dev/zero", "file:///etc/hostname"])
def test_what_an_api_names_on_this_machine_is_left_out_and_told(
    tmp_path: Path, toy: str, monkeypatch: pytest.MonkeyPatch, href: str
) -> None:
    """It ends no plan, nor is told whether it is there; see `terramosaic.catalog.hrefs` for who refuses to open it."""
    monkeypatch.setattr(FileCatalog, "origin", "public")
    radar = slice_of(49875, 15)
    radar["assets"]["vh"]["href"] = href
    made = planned(tmp_path, toy, [radar, *OPTICAL], inputs=["S2L2A", "S1RTC"])
    (told,) = (warning for warning in made.warnings if "cannot be read" in warning)
    assert told.startswith(
        "1 of 1 scenes and tiles beside them cannot be read: a catalog on the network may name"
    )


def test_a_mark_without_a_collection_names_none(tmp_path: Path, toy: str) -> None:
    items = str(tmp_path / "items.json") + "#"
    assert planned(tmp_path, toy, [slice_of(49875, 15)], catalogs={"S1RTC": items}).radar is not None
