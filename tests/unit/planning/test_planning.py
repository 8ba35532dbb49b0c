"""Planning at the size of a country: the same plans, by work that grows with the region and not with its square."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import shapely
from shapely.geometry import box

from terramosaic.errors import RequestError
from terramosaic.ground.zones import as_geojson, utm_of
from terramosaic.planning.folder import read_plan, write_plan
from terramosaic.planning.plan import Plan
from terramosaic.planning.planning import plan
from terramosaic.request.request import RegionRequest
from terramosaic.storage.files import write_json
from terramosaic.storage.records import unsealed
from tests.support.country import country, items, plain_template, write_country


def _planned(folder: Path, area_km2: float, *, longitude: float = 12.2, days: int = 20) -> Plan:
    outline = country(area_km2, longitude=longitude, vertices=400)
    write_country(folder / "items.json", outline, days=days, template=plain_template())
    return plan(
        RegionRequest(
            region=as_geojson(outline),
            datetime="2023-06",
            catalog=str(folder / "items.json"),
            out=str(folder),
        )
    )


@pytest.fixture(scope="module")
def province(tmp_path_factory) -> Plan:
    """20 000 km² of two zones."""
    return _planned(tmp_path_factory.mktemp("province"), 20_000)


def test_a_province_is_planned_as_it_was(province):
    figures = province.figures
    assert (figures.scenes, figures.blocks, figures.empty_blocks, figures.windows) == (26, 65, 25, 6126)
    # Which pixels, which windows, which scenes in which order: all integers and names, so the same on any machine.
    blocks = json.dumps([block.model_dump(mode="json") for block in province.blocks], sort_keys=True)
    assert hashlib.sha256(blocks.encode()).hexdigest()[:16] == "9919a58468445805"


def test_every_block_names_the_scenes_that_a_search_of_all_finds(province):
    for zone in province.zones:
        widened = {
            id_: utm_of(scene.geometry, zone.epsg).buffer(500) for id_, scene in province.scenes.items()
        }
        for block in zone.blocks:
            around = box(*block.rect.pad(224).bounds)
            expected = [
                tuple(id_ for id_ in day.scenes if widened[id_].intersects(around))
                for day in province.acquisitions
            ]
            assert block.acquisitions == tuple(day for day in expected if day), block.id


def test_a_footprint_is_reprojected_only_where_it_may_be_read(tmp_path, monkeypatch):
    """Three zones, and far fewer than three reprojections a scene: a plan's work grows with its region."""
    moved = []
    monkeypatch.setattr(
        "terramosaic.planning.footprints.utm_of",
        lambda geometry, epsg: moved.append(epsg) or utm_of(geometry, epsg),
    )
    made = _planned(tmp_path, 200_000, longitude=15.0, days=4)
    assert len(made.zones) == 3
    assert 0 < len(moved) < 1.7 * len(made.scenes)


def test_a_region_in_far_parts_finds_the_scenes_of_both(tmp_path):
    """A scene of the other hemisphere cannot be told in this zone's metres, and need not be."""
    parts = [box(14.0, 49.0, 14.3, 49.2), box(-165.3, -49.2, -165.0, -49.0)]
    catalog = [next(iter(items(part, days=5, template=plain_template()))) for part in parts]
    (tmp_path / "items.json").write_text(json.dumps(catalog))
    made = plan(
        RegionRequest(
            region=as_geojson(shapely.union_all(parts)), datetime="2023-06", catalog=str(tmp_path / "items.json"),
            max_cloud=100, out=str(tmp_path),
        )
    )  # fmt: skip
    assert [zone.epsg for zone in made.zones] == [32633, 32703]
    for zone, item in zip(made.zones, catalog, strict=True):
        assert {id_ for block in zone.blocks for day in block.acquisitions for id_ in day} == {item["id"]}


class TestLookingUp:
    def test_a_block_is_found_by_its_id(self, province):
        for block in province.blocks[::7]:
            assert province.block(block.id) is block

    def test_an_unknown_id_is_one_clear_line(self, province):
        with pytest.raises(
            RequestError, match=r"block: run \w{16} has no '33N_r9999'; its 65 blocks are 32N_r"
        ):
            province.block("33N_r9999")

    def test_what_is_looked_up_is_no_part_of_the_plan(self, province):
        before = province.model_dump_json()
        province.block(province.blocks[0].id)
        assert province.model_dump_json() == before
        assert province == Plan.model_validate_json(before)

    def test_a_copy_with_other_zones_has_their_blocks(self, province):
        assert province.block(province.blocks[0].id)
        part = province.model_copy(update={"zones": province.zones[1:]})
        assert part.blocks == province.zones[1].blocks
        with pytest.raises(RequestError):
            part.block(province.blocks[0].id)


class TestReadingAgain:
    def test_the_same_file_is_parsed_once(self, province):
        folder = write_plan(province)
        assert read_plan(folder.path) is read_plan(folder.plan_file)
        assert read_plan(folder.path) == province

    def test_another_text_or_another_place_is_another_plan(self, province, tmp_path):
        folder = write_plan(province)
        moved = tmp_path / "elsewhere" / province.run_id
        moved.mkdir(parents=True)
        text = folder.plan_file.read_text()
        (moved / "plan.json").write_text(text)
        assert read_plan(moved).request.out == str(moved.parent)
        write_json(moved / "plan.json", {**unsealed(text), "searched": "again"})
        assert read_plan(moved).searched == "again"

    @pytest.mark.parametrize(
        "damage",
        [lambda _: b"", lambda _: b"[]", lambda _: b"\xfc\x80\x91" * 30, lambda text: text[: len(text) // 2],
         lambda text: text.replace(b'"seed": 0', b'"seed": 8')],
    )  # fmt: skip
    def test_a_damaged_one_is_told_in_a_line_and_written_anew(self, province, caplog, damage):
        folder = write_plan(province)
        folder.plan_file.write_bytes(damage(folder.plan_file.read_bytes()))
        with pytest.raises(RequestError, match=r"plan: .*plan\.json is damaged: it") as refused:
            read_plan(folder.path)
        assert "\n" not in str(refused.value)
        write_plan(province)
        assert read_plan(folder.path) == province and "it is written anew" in caplog.text
