"""The notebooks in docs/ run as they are, from an empty folder, and show what they promise; what is stored is whole."""

from __future__ import annotations

import ast
import re

import pytest

from tools import notebooks

nbclient = pytest.importorskip("nbclient", reason="notebooks are executed with nbclient, of the extra dev")
nbformat = pytest.importorskip("nbformat", reason="notebooks are read with nbformat, of the extra dev")
pytest.importorskip("ipykernel", reason="a notebook's kernel is ipykernel, of the extra notebook")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a notebook once in a folder of its own."""
    done = {}

    def once(name):
        if name not in done:
            folder = tmp_path_factory.mktemp(name)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("IPYTHONDIR", str(folder / "ipython"))
                done[name] = notebooks.executed(notebooks.FOLDER / f"{name}.ipynb", folder)
        return done[name]

    return once


@pytest.fixture
def executed(run):
    return run("ad_hoc_region")


def _printed(notebook):
    return [output.text for cell in notebook.cells for output in cell.get("outputs", []) if "text" in output]


@pytest.mark.parametrize("path", notebooks.notebooks(), ids=lambda path: path.stem)
def test_is_stored_with_what_it_shows_and_nothing_of_a_machine(path):
    text = path.read_text()
    assert len(text) < 400_000
    assert not re.search(r"/tmp/|/home/|/Users/|/work/|/root/|\\u001b", text)
    cells = [cell for cell in nbformat.reads(text, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)
    assert sum(bool(cell.outputs) for cell in cells) >= len(cells) / 2


@pytest.mark.slow
def test_a_model_of_your_own_finds_water(run):
    printed = _printed(run("a_model_of_your_own"))
    hectares = next(int(text.split()[0]) for text in printed if "hectares of water" in text)
    assert 150 < hectares < 300
    assert any("bit for bit" in text for text in printed)


@pytest.mark.slow
def test_a_season_goes_over_months_and_tells_the_one_without_imagery(run):
    printed = "".join(_printed(run("a_season")))
    assert "2023-04 2023-05 2023-06 2023-08 2023-09\nno imagery: 2023-07" in printed
    means = [float(mean) for mean in re.findall(r"^2023-\d\d-15 +(\d\.\d\d)", printed, re.M)]
    assert len(means) == 5 and max(means) == means[2] and min(means) == means[4]
    assert re.search(r"^crops +\d", printed, re.M) and "% sure" in printed


@pytest.mark.slow
def test_is_it_right_finds_what_was_edited(run):
    printed = "".join(_printed(run("is_it_right")))
    assert "NDVI.tif: its hash is not the one that its item says" in printed
    assert re.search(r"^1 of \d+ windows are not what their scenes give", printed, re.M)
    assert re.search(r"^8\d% of 300 points agree", printed, re.M)
    assert re.search(r"^rangeland +user's 100% +producer's +\d\d%", printed, re.M)


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
    assert any(
        "mosaic: there is no 'DEM'; this run made S1GRD, NDVI, LULC" in text for text in _printed(executed)
    )


@pytest.mark.slow
def test_says_how_far_to_trust_it(executed):
    assert any("12 windows (their cores)" in text and "bit for bit" in text for text in _printed(executed))


@pytest.mark.slow
def test_vegetation_is_greener_than_water(executed):
    (means,) = [
        ast.literal_eval(output.data["text/plain"])
        for cell in executed.cells
        if "means" in cell.source
        for output in cell.outputs
    ]
    assert means["water"] < means["built_area"] < means["trees"]
