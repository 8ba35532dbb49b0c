"""Two overlapping windows of each sample of TerraMesh, by a model of pixels and by one that looks around."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from terramosaic.errors import CatalogError, RequestError
from terramosaic.evaluation.overlaps import evaluate_overlaps
from terramosaic.evaluation.terramesh import TerraMesh
from terramosaic.model.bundle import load_bundle

pytest.importorskip("zarr", reason="the extra terramesh is not installed")

from terramosaic.cli.app import cli
from tests.support.terramesh import example, sample_zip, write_shard
from tests.unit.model.toy_terramind import make_toy

SHARD = "majortom_shard_000001.tar"


@pytest.fixture
def data(shared_data, tmp_path) -> TerraMesh:
    """Two samples of Sentinel-2 alone, one with the offset; and one that is too small."""
    root = tmp_path / "terramesh"
    zips = {
        key: sample_zip("S2L2A", example(shared_data, name)["S2L2A"])
        for key, name in (("a", "38D_378R_2_3"), ("b", "433D_629L_3_1"))
    }
    zips["c"] = sample_zip("S2L2A", np.zeros((12, 200, 200)))
    write_shard(root / "val/S2L2A" / SHARD, zips)
    return TerraMesh(str(root))


def test_a_model_of_pixels_shows_no_seam(data):
    found = evaluate_overlaps(load_bundle("demo"), data)
    assert found.samples == 2 and found.left_out == {
        "c": "it has 240 x 240 pixels, and two windows need 224 x 256"
    }
    for scores in found.scores.values():
        assert scores.at_rims == scores.in_middle == 0
    assert found.scores["NDVI"].seam is not None


def test_a_model_that_looks_around_disagrees_with_itself_and_the_same_each_time(data, tmp_path):
    toy = load_bundle(make_toy(tmp_path / "toy"))
    both = evaluate_overlaps(toy, data, targets=("S1GRD",), steps=2)
    one = evaluate_overlaps(toy, data, targets=("S1GRD",), steps=2, limit=1)
    with pytest.raises(RequestError, match="embedding has no pixels to compare"):
        evaluate_overlaps(toy, data, targets=("embedding",))
    assert both.scores["S1GRD"].in_middle > 0
    np.testing.assert_array_equal(both.scores["S1GRD"].disagreement[0], one.scores["S1GRD"].disagreement[0])
    assert one.samples == 1 and one.steps == 2


def run(*arguments):
    return CliRunner().invoke(cli, ["evaluate", *arguments])


def test_the_command(data, tmp_path):
    done = run("demo", "--terramesh", data.root, "--seams", "--targets", "NDVI,LULC")
    assert done.exit_code == 0, done.output
    assert "2 samples, two windows each, 32 pixels apart" in done.output.replace("\n", " ")
    assert "pixels of another" in done.output and "1 were left out" in done.output
    told = json.loads(run("demo", "--terramesh", data.root, "--seams", "--targets", "NDVI", "--json").stdout)
    assert told["seams"]["NDVI"]["at_rims"] == 0 and told["shift"] == 32
    for arguments, said in (
        ((), "either --terramesh or --water"),
        (("--terramesh", data.root, "--water", str(tmp_path)), "either --terramesh or --water"),
        (("--water", str(tmp_path), "--seams"), "go with --terramesh"),
    ):
        assert said in str(run("demo", *arguments).exception)


def test_what_cannot_be_used_is_said(data, tmp_path):
    (tmp_path / "empty/val").mkdir(parents=True)
    with pytest.raises(RequestError, match="no shard of S2L2A"):
        evaluate_overlaps(load_bundle("demo"), TerraMesh(str(tmp_path / "empty")))
    zips = {"c": sample_zip("S2L2A", np.zeros((12, 200, 200)))}
    write_shard(Path(data.root) / "val/S2L2A" / SHARD, zips)
    with pytest.raises(CatalogError, match="no sample can be used: c: it has 240"):
        evaluate_overlaps(load_bundle("demo"), data)
