"""The Prefect UI as a person uses it, in a real browser, on a real server with a worker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from terramosaic.demo.world import write_world
from tests.support.browser import Screenshots, browser_page

#: A corner of the made-up world, over the seam of its tiles.
BOX = {"West": "8.990", "South": "43.785", "East": "9.024", "North": "43.800"}


def fill_form(page: Any, catalog: Path, out: Path, block_size: str) -> Any:
    """From the list of deployments to the filled form of a custom run; returns its button."""
    # The second link of that name is the flow's.
    page.get_by_role("link", name="map-region", exact=True).first.click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Custom run").click()
    for label, value in BOX.items():
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_role("tab", name="ISO 8601 interval").click()
    page.get_by_role("tabpanel", name="ISO 8601 interval").get_by_role("textbox").fill("2020-04")
    page.get_by_role("tab", name="URL or path", exact=True).click()
    page.get_by_role("tabpanel", name="URL or path", exact=True).get_by_role("textbox").fill(str(catalog))
    page.get_by_label("Output folder (Optional)").fill(str(out))
    # What few change is closed.
    assert page.get_by_label("Block size (Optional)").count() == 0
    page.get_by_role("tab", name="Other windows").click()
    page.get_by_label("Block size (Optional)").fill(block_size)
    return page.get_by_role("button", name="Submit")


def takes_its_own_examples(up: Any) -> None:
    """What the form shows as examples and choices makes runs, sent to the server as a program does it."""
    deployment = up.call("/deployments/name/map-region/map-region")
    form = deployment["parameter_openapi_schema"]["properties"]["request"]["properties"]
    region, period = form.pop("region")["examples"], form.pop("datetime")["examples"]
    fields = {
        (box, name): field.get("examples") or [field["default"]]
        for box, schema in form.items()
        for name, field in schema.get("anyOf", [schema])[-1]["properties"].items()
    }
    fields["scenes", "catalog"] = form["scenes"]["properties"]["catalog"]["anyOf"][0]["enum"]
    assert region and period and len(fields) > 30
    later = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2100-01-01T00:00:00Z"}}
    for turn in range(max(len(period), *map(len, fields.values()))):
        request: dict[str, Any] = {
            "region": region[turn % len(region)],
            "datetime": period[turn % len(period)],
        }
        for (box, name), examples in fields.items():
            request.setdefault(box, {})[name] = examples[turn % len(examples)]
        made = up.call(
            f"/deployments/{deployment['id']}/create_flow_run",
            {"parameters": {"request": request}, "state": later},
        )
        up.call(f"/flow_runs/{made['id']}", method="DELETE")


@pytest.mark.slow
def test_a_region_is_mapped_from_the_form_and_its_pictures_are_seen(request, tmp_path):
    catalog = write_world(tmp_path / "world", size=240)
    screenshots = Screenshots(tmp_path / "screenshots")
    # The browser first: where there is none, no server is started either.
    with browser_page() as page:
        up = request.getfixturevalue("up")()
        ui = f"http://127.0.0.1:{up.port}/v2"
        page.goto(f"{ui}/deployments")
        page.get_by_placeholder("admin:pass").fill(up.login)
        page.get_by_role("button", name="Login").click()
        submit = fill_form(page, catalog, tmp_path / "maps", block_size="700")
        submit.click()
        # Not started: the schema refuses it, and the page says which field.
        page.get_by_text(re.compile("windows.block_size.*700 is not a multiple of 512")).first.wait_for()
        screenshots.take(page, "refused")

        # Anew: on a busy machine Prefect's page keeps a refusal, whatever is typed after it.
        page.goto(f"{ui}/deployments")
        submit = fill_form(page, catalog, tmp_path / "maps", block_size="2048")
        screenshots.take(page, "form")
        takes_its_own_examples(up)
        for _ in range(3):
            with page.expect_response(re.compile("/create_flow_run$")) as answer:
                submit.click()
            if answer.value.status != 503:  # a database that is locked for long; who sits there clicks again
                break
        assert answer.value.status == 201, answer.value.text()
        run = answer.value.json()
        assert run["parameters"]["request"]["scenes"]["catalog"] == str(catalog)

        # Named by its region and period.
        page.goto(f"{ui}/runs")
        page.get_by_role("link", name="8.99E 43.78N to 9.02E 43.8N 2020-04").wait_for()
        screenshots.take(page, "runs")
        page.goto(f"{ui}/runs/flow-run/{run['id']}")
        page.get_by_text(re.compile("^(Completed|Failed|Crashed)$")).first.wait_for()
        ended = up.ended(run["id"])
        assert ended is not None and ended["state_name"] == "Completed", ended
        page.get_by_role("tab", name="Artifacts").click()
        page.get_by_role("link", name=re.compile("outputs")).wait_for()
        screenshots.take(page, "run")

        page.get_by_role("link", name=re.compile("outputs")).click()
        for name in ("S1GRD", "NDVI", "LULC"):
            # Asked as one question, since React may draw the page anew between two.
            page.wait_for_function(
                "name => [...document.images].some(e => e.alt === name && e.naturalWidth > 0)", arg=name
            )
        page.get_by_text("NDVI.tif").first.wait_for()
        screenshots.take(page, "outputs")

        for name, text in (("progress", "1 of 1 blocks done"), ("plan", "no gaps")):
            page.go_back()
            page.get_by_role("tab", name="Artifacts").click()
            page.get_by_role("link", name=re.compile(rf"\b{name}\b")).click()
            page.get_by_text(text).first.wait_for()
            screenshots.take(page, name)
        page.get_by_text("2020-04-19").first.wait_for()
    assert list((tmp_path / "maps").glob("*/item.json"))
