"""One value of facts feeds command line, notebook, report, Prefect and item: they say the same, and only as text."""

from __future__ import annotations

import html
import io
import json
from dataclasses import replace

import pytest
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from rich.console import Console

from terramosaic import MapResult
from terramosaic.cli import consoles
from terramosaic.cli.show import show_result
from terramosaic.cli.show_plan import show_plan
from terramosaic.mosaic.result import result_of
from terramosaic.planning.plan import DroppedScene
from terramosaic.publishing.facts import PlanFacts
from terramosaic.publishing.publish import publish
from terramosaic.publishing.record import gather
from terramosaic_flows import reporting
from tests.integration.publishing.small_run import HOSTILE_ID, polygon_run
from tests.integration.publishing.test_report import Page, plain

CLOUD = "6.2% of the mapped area lies under cloud; the quality layer tells where"


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> MapResult:
    plan = polygon_run(tmp_path_factory.mktemp("facts"))
    publish(plan)
    return result_of(plan)


@pytest.fixture
def artifacts(monkeypatch) -> dict[str, dict]:
    """What Prefect is told, by the name of what would tell it."""
    told: dict[str, dict] = {}
    for make in (create_table_artifact, create_markdown_artifact):
        monkeypatch.setattr(
            reporting, make.__name__, lambda name=make.__name__, **said: told.setdefault(name, said)
        )
    return told


def printed(show, value) -> str:
    console = Console(file=io.StringIO(), width=300, markup=consoles.OUT._markup, emoji=consoles.OUT._emoji)
    show(console, value)
    return plain(console.file.getvalue())


def test_a_plan_is_told_alike_everywhere(result, artifacts):
    facts, notebook = PlanFacts(plan=result.plan), Page(result.plan._repr_html_()).text
    terminal = printed(show_plan, result.plan)
    reporting.report_plan(result.plan)
    description = plain(artifacts["create_table_artifact"]["description"])
    for name, value in facts.figures.items():
        assert f"{name} {plain(value)}" in terminal and f"{name} {plain(value)}" in notebook
    for name in ("Imagery", "Covered", "Work", "Time", "Network", "Disk", "Model"):
        assert plain(facts.figures[name]) in description
    assert facts.warnings[0] in terminal and facts.warnings[0] in notebook


def test_scenes_and_their_offsets_are_told_alike_everywhere(result, artifacts):
    run = gather(result.plan)
    page = Page(result.report.read_text(encoding="utf-8")).text
    item = json.loads(result.item.read_text(encoding="utf-8"))["properties"]["terramosaic:offsets"]
    terminal = printed(show_plan, result.plan)
    reporting.report_plan(result.plan)
    rows = artifacts["create_table_artifact"]["table"]
    for scene, row in zip(run.scenes, rows, strict=True):
        assert scene.rule in terminal and row["decided by"] == scene.rule and row["offset"] == scene.planned
        assert item[scene.id] == {"rule": scene.rule, "subtracted": scene.subtracted, "pixels": scene.verdict}
        assert f"{scene.rule} {scene.subtracted} {plain(scene.pixels)}" in page
    assert {scene.planned for scene in run.scenes} == {"0", "1000"}


def test_what_decided_an_offset_in_the_end_is_told(result):
    run = gather(result.plan)
    key, decision = next((key, one) for key, one in run.decisions.items() if max(one.offsets.values()) == 0)
    offsets = dict.fromkeys(decision.offsets, 1000)
    told = decision.model_copy(update={"offset_rule": "the files' own tags", "offsets": offsets})
    run = replace(run, decisions={**run.decisions, key: told})
    (scene,) = [scene for scene in run.scenes if scene.id == key]
    assert (scene.rule, scene.planned, scene.subtracted) == ("the files' own tags", "0", 1000)
    assert f"{key}: 1000 was subtracted, not 0, by the files' own tags" in run.warnings


def test_what_only_the_run_could_tell_is_told_by_all_that_show_it(result, artifacts):
    reporting.report_outputs(result.plan)
    assert f"> {CLOUD}" in artifacts["create_markdown_artifact"]["markdown"]
    for text in (result._repr_html_(), result.report.read_text(encoding="utf-8")):
        assert CLOUD in Page(text).text
    assert CLOUD in json.loads(result.item.read_text(encoding="utf-8"))["properties"]["terramosaic:warnings"]


def test_what_catalogs_say_is_only_text(result, artifacts):
    said = f"[red]| `{HOSTILE_ID}` :smile: [here](https://a.example)"
    plan = result.plan.model_copy(
        update={"dropped": (DroppedScene(id=said, reason=said),), "warnings": (said,), "searched": said}
    )
    assert printed(show_plan, plan).count(said) == 4 and HOSTILE_ID in printed(show_plan, plan)
    assert "<img" not in plan._repr_html_() and said in html.unescape(plan._repr_html_())
    reporting.report_plan(plan)
    *_, scene, dropped = artifacts["create_table_artifact"]["table"]
    assert scene["scene"] == "S2A_33TWL\\_\\<img src=x onerror=alert(1)\\>\\&'\""
    assert (
        dropped["scene"].startswith("\\[red\\]\\| \\`S2A_33TWL\\_\\<img")
        and "https://" not in dropped["scene"]
    )


def test_paths_are_printed_as_they_are(result, tmp_path):
    folder = tmp_path / "[bold] :smile:"
    elsewhere = MapResult(result.plan, folder, {"NDVI": folder / "NDVI.tif"}, False)
    assert str(folder / "NDVI.tif") in printed(show_result, elsewhere)
