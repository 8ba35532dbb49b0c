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
    page.get_by_label("Catalog (Optional)").fill(str(catalog))
    page.get_by_label("Output folder (Optional)").fill(str(out))
    page.get_by_label("Block size (Optional)").fill(block_size)
    return page.get_by_role("button", name="Submit")


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
        # Not started: the schema refuses it, beside the field.
        page.get_by_text("700 is not a multiple of 512", exact=True).wait_for()
        screenshots.take(page, "refused")

        # Anew: on a busy machine Prefect's page keeps a refusal, whatever is typed after it.
        page.goto(f"{ui}/deployments")
        submit = fill_form(page, catalog, tmp_path / "maps", block_size="2048")
        screenshots.take(page, "form")
        for _ in range(3):
            with page.expect_response(re.compile("/create_flow_run$")) as answer:
                submit.click()
            if answer.value.status != 503:  # a database that is locked for long; who sits there clicks again
                break
        assert answer.value.status == 201, answer.value.text()
        run = answer.value.json()
        assert run["parameters"]["request"]["scenes"]["catalog"] == str(catalog)

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
