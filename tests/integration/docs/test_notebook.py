"""The notebook in docs/ runs as it is, from an empty folder, and shows what it promises."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient", reason="notebooks are executed with nbclient, of the extra dev")
nbformat = pytest.importorskip("nbformat", reason="notebooks are read with nbformat, of the extra dev")
pytest.importorskip("ipykernel", reason="a notebook's kernel is ipykernel, of the extra notebook")

NOTEBOOK = Path(__file__).parents[3] / "docs" / "ad_hoc_region.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook after a run in a folder of its own."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        nbclient.NotebookClient(
            notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        ).execute()
    return notebook


def test_is_kept_without_what_a_run_leaves():
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert cell.cell_type == "markdown" or (cell.outputs == [] and cell.execution_count is None)


@pytest.mark.slow
def test_shows_request_plan_result_and_mosaics(executed):
    shown = [
        output.data["text/html"]
        for cell in executed.cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    kinds = [re.search(r"<b>(\w+)</b>", text) for text in shown if 'class="terramosaic"' in text]
    assert [kind[1] for kind in kinds if kind] == ["Request", "Plan", "Mapped", "Mosaic", "Mosaic", "Mosaic"]
    assert any("xarray.DataArray" in text for text in shown)


@pytest.mark.slow
def test_stays_small_where_outputs_are_kept(executed):
    # The plain text beside each picture counts too: a plan's would fill megabytes.
    assert len(nbformat.writes(executed)) < 600_000
    for cell in executed.cells:
        for output in cell.get("outputs", []):
            assert len(output.get("data", {}).get("text/plain", "")) < 3000


@pytest.mark.slow
def test_says_what_a_wrong_name_is(executed):
    printed = [
        output.text for cell in executed.cells for output in cell.get("outputs", []) if "text" in output
    ]
    assert any("mosaic: there is no 'DEM'; this run made S1GRD, NDVI, LULC" in text for text in printed)


@pytest.mark.slow
def test_says_how_far_to_trust_it(executed):
    printed = [
        output.text for cell in executed.cells for output in cell.get("outputs", []) if "text" in output
    ]
    assert any("12 windows (their cores)" in text and "bit for bit" in text for text in printed)


@pytest.mark.slow
def test_vegetation_is_greener_than_water(executed):
    (means,) = [
        ast.literal_eval(output.data["text/plain"])
        for cell in executed.cells
        if "means" in cell.source
        for output in cell.outputs
    ]
    assert means["water"] < means["built_area"] < means["trees"]
