"""A plan in terminals of 80 columns and more, and in a pipe: it fits, and nothing is broken that one would copy."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from terramosaic.cli.show_plan import show_plan
from terramosaic.ground.grid import Rect
from terramosaic.planning.plan import DroppedScene, Plan
from terramosaic.planning.planning import plan
from tests.integration.conftest import Catalog
from tests.support.radar import write_rtc
from tests.support.scenes import write_scene
from tests.unit.model.toy_terramind import make_toy

GROUND = Rect(490_002, 50_004, 300, 300)
PLACE = Rect(490_100, 50_100, 100, 100)
OPTICAL = [
    f"S2{unit}_MSIL2A_{day}T103629_N0509_R108_T33TWL_{day}T134532"
    for unit, day in (("A", "20230815"), ("B", "20230820"))
]
RADAR = "S1A_IW_GRDH_1SDV_20230808T142154_20230808T142219_049785_05FCB1_rtc"
FOLDER = "a_folder_whose_name_is_longer_than_eighty_columns_" * 2


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    folder = tmp_path_factory.mktemp("catalog")
    catalog = Catalog(folder)
    catalog.add(write_scene(folder / "a", GROUND, name="S2A_33TWL_20230815") | {"id": OPTICAL[0]})
    later = write_scene(
        folder / "b", GROUND, name="S2B_33TWL_20230820", day="2023-08-20", offset=1000, cloud=2.0
    )
    catalog.add(later | {"id": OPTICAL[1]})
    catalog.add(write_rtc(folder / "c", GROUND) | {"id": RADAR})
    return catalog


@pytest.fixture(scope="module")
def optical(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    made = plan(catalog.request(PLACE, tmp_path_factory.mktemp("optical") / FOLDER))
    dropped = DroppedScene(
        id=OPTICAL[0].replace("2A", "2C"), reason="it has no geometry, which every item has to have"
    )
    return made.model_copy(update={"dropped": (dropped,)})


@pytest.fixture(scope="module")
def radar(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("radar")
    toy = str(make_toy(folder / "toy"))
    return plan(
        catalog.request(PLACE, folder, model=toy, inputs=("S1RTC",), targets=("NDVI", "LULC"), steps=1)
    )


def shown(plan: Plan, width: int, *, terminal: bool = True, verbose: bool = False) -> list[str]:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, markup=False, emoji=False
    )
    show_plan(console, plan, verbose=verbose)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def rows(lines: list[str], start: str) -> list[list[str]]:
    """The cells of the table's rows whose scene begins so, or its own beginning where that is cut."""
    told = [line.replace(" %", "%").split() for line in lines]
    return [cells for cells in told if cells and cells[0] in ("1", "2") and cells[-1].startswith(start)]


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_has_a_row_for_each_scene_no_wider_than_it_is(optical: Plan, width: int) -> None:
    lines = shown(optical, width)
    table = rows(lines, "S2")
    assert [cells[:-1] for cells in table] == [
        ["1", "2023-08-15", "100.0%", "1.0%", "33TWL", "0?"],
        ["2", "2023-08-20", "100.0%", "2.0%", "33TWL", "1000"],
    ]
    # Paths are left to the terminal in one piece, all else fits.
    assert all(cell_len(line) <= width or FOLDER in line for line in lines)
    assert any(f"{FOLDER}/{optical.run_id}" in line for line in lines)
    for cells, name in zip(table, OPTICAL, strict=True):
        begun, cut, rest = cells[-1].partition("…")
        # Cut in the middle: both ends tell scenes apart.
        assert name.startswith(begun) and name.endswith(rest) and len(begun) + len(rest) > 20
        assert bool(cut) == (width == 80) and abs(len(begun) - len(rest)) <= (1 if cut else len(name))


def test_ids_and_what_decided_offsets_are_told_in_full_where_that_is_asked_for(optical: Plan) -> None:
    assert not any(OPTICAL[1] in line for line in shown(optical, 80))
    lines = shown(optical, 80, verbose=True)
    at = next(number for number, line in enumerate(lines) if line.startswith(OPTICAL[1]))
    rule = optical.scenes[next(key for key in optical.scenes if OPTICAL[1] in key)].offset_rule
    assert f"{' '.join(lines[at : at + 2])}" == f"{OPTICAL[1]}: {rule}"


def test_a_pipe_has_everything_in_lines_as_long_as_they_are(optical: Plan) -> None:
    lines = shown(optical, 80, terminal=False)
    for name in OPTICAL:
        (row,) = [line for line in lines if f" {name} " in line]
        assert "33TWL" in row and ("processing baseline" in row or "guessed" in row)
    assert lines.count(f"left out: {optical.dropped[0].id}: {optical.dropped[0].reason}") == 1
    assert lines == shown(optical, 300, terminal=False)


def test_scenes_left_out_for_one_reason_are_a_line_together_where_they_are_many(optical: Plan) -> None:
    others = tuple(DroppedScene(id=f"S2_{n}", reason="not of a date that was chosen") for n in range(300))
    plan = optical.model_copy(update={"dropped": (*others[:150], *optical.dropped, *others[150:])})
    told = [line for line in shown(plan, 80, terminal=False) if line.startswith("left out: ")]
    assert told == [
        "left out: 300 scenes, such as S2_0: not of a date that was chosen (-v names all)",
        f"left out: {optical.dropped[0].id}: {optical.dropped[0].reason}",
    ]
    assert sum(line.startswith("left out: ") for line in shown(plan, 80, verbose=True)) == 301


def test_radar_has_its_orbit_where_imagery_has_cloud_and_offset(radar: Plan) -> None:
    lines = shown(radar, 80)
    (row,) = rows(lines, "S1A")
    assert row[:3] == ["1", "2023-08-08", "100.0%"] and row[3].startswith("R") and "…" in row[-1]
    assert len(row[-1]) > 25 and max(map(cell_len, lines)) <= 80
    assert "orbit" in " ".join(lines) and "offset" not in " ".join(lines)
    assert any(RADAR in line for line in shown(radar, 80, terminal=False))


def test_what_is_wider_than_a_narrow_terminal_is_cut_and_not_lost(optical: Plan) -> None:
    lines = shown(optical, 60)
    assert [cells[0] for cells in rows(lines, "S2")] == ["1", "2"]


def test_the_help_of_targets_points_to_what_a_model_makes(run_here, tmp_path: Path) -> None:
    done = run_here("plan", "--help")
    assert "terramosaic model info MODEL" in " ".join(done.stdout.split())
