"""The command line as a person uses it: real processes, exit codes, one line for each mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from shapely.geometry import shape

from terramosaic.ground.grid import Rect
from tests.integration.conftest import LAND

COMMAND = [str(Path(sys.executable).with_name("terramosaic"))]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def selection(land, tmp_path) -> list[str]:
    """Options that select a corner of the land."""
    region = tmp_path / "region.geojson"
    request = land.request(Rect(LAND.row, LAND.col, 500, 500), tmp_path)
    region.write_text(json.dumps(request.region.geojson))
    return [
        "--region",
        str(region),
        "--datetime",
        "2023-08",
        "--catalog",
        str(land.folder),
        "--out",
        str(tmp_path / "out"),
    ]


def test_plan_then_map_then_map_again(run_here, selection, tmp_path):
    shown = run_here("plan", *selection)
    assert shown.returncode == 0, shown.stderr
    for words in ("S2A_33TWL_20230815", "windows", "Covered", "MB"):
        assert words in shown.stdout
    assert not (tmp_path / "out").exists()
    as_json = json.loads(run_here("plan", *selection, "--json").stdout)
    assert as_json["figures"]["scenes"] == 2
    assert shape(as_json["region"]).area > 0
    mapped = run("map", *selection, "--targets", "NDVI,LULC", "--json")
    assert mapped.returncode == 0, mapped.stderr
    result = json.loads(mapped.stdout)
    assert (
        Path(result["mosaics"]["NDVI"]).exists()
        and Path(result["report"]).exists()
        and not result["was_done"]
    )
    again = run_here("map", *selection, "--targets", "NDVI,LULC")
    assert again.returncode == 0 and "everything was done before" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["map", "--bbox", "14", "45", "13", "46", "--datetime", "2023"], 2, "region: bbox is inverted"),
        (["plan", "--mgrs", "33TZZ", "--datetime", "2023"], 2, "region: MGRS tile '33TZZ'"),
        (["plan", "--mgrs", "33TWL"], 2, "datetime: give the period"),
        (["plan", "--datetime", "2023"], 2, "region: give one of"),
        (["plan", "--mgrs", "33TWL", "--datetime", "2023", "--catalog", "nowhere"], 2, "nowhere"),
        (
            ["plan", "--mgrs", "33TWL", "--datetime", "2023", "--catalog", "http://127.0.0.1:9/"],
            4,
            "127.0.0.1:9",
        ),
        (
            ["plan", "--mgrs", "33TWL", "--datetime", "2023", "--model", "/nowhere"],
            2,
            "model: there is no folder",
        ),
        (
            ["plan", "--bbox", "13", "45", "13.00001", "45.00001", "--datetime", "2023"],
            2,
            "region: no pixel of 10 m has its centre in it",
        ),
        (
            ["map", "--mgrs", "33TWL", "--datetime", "2023", "--prefect", "--workers", "2"],
            2,
            "--workers, --batch-size, --devices and --check-files go without --prefect",
        ),
        (["model", "info", "/nowhere"], 2, "model: there is no folder"),
    ],
)
def test_mistakes_get_one_line_and_their_exit_code(run_here, arguments, code, line):
    done = run_here(*arguments)
    assert done.returncode == code, done.stderr
    assert line in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and not done.stdout


def test_three_numbers_of_a_rectangle_are_told_from_four(run_here):
    done = run_here("map", "--bbox", "14", "45", "13", "--datetime", "2023")
    told = "'--datetime' is no number; give four, with spaces between: west south east north"
    assert done.returncode == 2 and told in done.stderr


def test_a_mistake_ends_the_process_with_its_line_and_code():
    done = run("map", "--bbox", "14", "45", "13", "46", "--datetime", "2023")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("terramosaic: region: bbox is inverted")


def test_nothing_found_says_what_was_searched_and_what_would_match(run_here, selection):
    other_date = [*selection[:3], "2022-01", *selection[4:]]
    done = run_here("plan", *other_date)
    assert done.returncode == 3
    assert "no scene found in" in done.stderr and "2023-08-15" in done.stderr
    clearer = run_here("plan", *selection, "--max-cloud", "0.5")
    assert clearer.returncode == 3 and "--max-cloud" in clearer.stderr


#: In a hole of both acquisitions, and at its edge.
IN_HOLE = Rect(LAND.row + 620, LAND.col + 420, 100, 200)
AT_HOLE = Rect(LAND.row + 620, LAND.col + 300, 100, 200)


class TestWithoutData:
    """What stays without data is told; nothing but that ends with code 3, though its files are written."""

    @pytest.fixture
    def options(self, land, tmp_path):
        def options(**rects: Rect) -> list[str]:
            features = [
                {
                    "type": "Feature",
                    "properties": {"name": name},
                    "geometry": land.request(rect, tmp_path).region.geojson,
                }
                for name, rect in rects.items()
            ]
            file = tmp_path / f"{'-'.join(rects)}.geojson"
            file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
            out = str(tmp_path / "out")
            return ["--region", str(file), "--datetime", "2023-08", "--catalog", str(land.folder), "--targets", "NDVI",
                    "--out", out]  # fmt: skip

        return options

    def test_a_map_without_a_pixel_has_its_files_and_code_3_each_time(self, run_here, options, tmp_path):
        for _ in range(2):
            done = run_here("map", *options(hole=IN_HOLE))
            assert done.returncode == 3
            assert (
                "terramosaic: nothing to map: 100.0% of the pixels to map are without data: 100.0% where the "
                in (done.stderr)
            )
        item = tmp_path / "out" / "latest" / "item.json"
        told = json.loads(item.read_text())["properties"]
        assert told["terramosaic:gaps"] == {"in the files": 1.0} and told["terramosaic:valid_pixels"] == 0
        assert (item.parent / "NDVI.tif").exists() and "100.0% of the pixels" in (
            item.parent / "report.html"
        ).read_text()

    def test_the_share_without_data_is_told_of_a_map_with_a_hole(self, run_here, options):
        line = (
            "warning: 50.0% of the pixels to map are without data: 50.0% where the scenes' files hold no data"
        )
        done = run_here("map", *options(edge=AT_HOLE))
        assert done.returncode == 0 and line in done.stdout.replace("\n", " ")

    def test_of_several_regions_an_empty_one_is_a_warning(self, run_here, options, caplog):
        done = run_here("map", *options(hole=IN_HOLE, edge=AT_HOLE))
        assert done.returncode == 0 and "/edge/" in done.stdout
        assert "region hole: nothing to map: 100.0%" in caplog.text


def test_output_that_cannot_be_written(run_here, selection, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = run_here("map", *selection[:-1], str(blocked))
    assert done.returncode == 6
    assert "could not be written" in done.stderr and "Traceback" not in done.stderr


def test_model_info_describes_the_demo_bundle_plainly(run_here):
    done = run_here("model", "info", "demo")
    assert done.returncode == 0
    assert "NOT TerraMind" in done.stdout and "NDVI" in done.stdout


def test_help_lists_the_options_with_their_defaults(run_here):
    done = run_here("map", "--help")
    words = " ".join(done.stdout.split())
    assert "--max-cloud" in words and "[default: 0]" in words and "--bbox W S E N" in words


def test_engine_imports_neither_prefect_nor_torch():
    code = "import terramosaic, terramosaic.cli, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"prefect", "torch", "terratorch", "onnx"} & set(done.stdout.split())


def test_the_device_was_called_provider(run_here, selection):
    done = run_here("plan", *selection, "--provider", "cpu", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["request"]["device"] == "cpu"
    assert "--provider" not in run_here("map", "--help").stdout
