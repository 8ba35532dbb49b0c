"""A bundle graded on shards of published patches, whose references are made so that the figures are known."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from terramosaic.bands import S2L2A_BANDS
from terramosaic.errors import CatalogError, RequestError
from terramosaic.evaluation.evaluate import evaluate
from terramosaic.evaluation.outcome import MadeOf, TargetScores
from terramosaic.evaluation.randomness import place_of, randomness_at
from terramosaic.evaluation.sampling import AS_STORED, TAKEN_OFF, read_sample
from terramosaic.evaluation.terramesh import TerraMesh
from terramosaic.model.bundle import load_bundle
from terramosaic.model.generator import GenerationOptions, WindowRandomness
from terramosaic.model.manifest import TargetSpec
from terramosaic.model.opening import open_generator

pytest.importorskip("zarr", reason="the extra terramesh is not installed")

from terramosaic.cli.app import cli
from tests.support.file_server import serve_files
from tests.support.terramesh import example, sample_zip, write_shard, write_terramesh
from tests.unit.model.toy_terramind import make_toy

MAJORTOM, SSL4EO = "majortom_shard_000001.tar", "ssl4eos12_shard_000009.tar"

#: The patches: without the offset, with it, and without it.
KEYS = {
    "38D_378R_2_3": "majortom_val_1",
    "433D_629L_3_1": "majortom_val_2",
    "637U_59R_1_3": "ssl4eos12_val_1",
}


@pytest.fixture(scope="module")
def bundle():
    return load_bundle("demo")


@pytest.fixture(scope="module")
def patches(shared_data):
    """The published patches by key; that of ssl4eos12 has its backscatter as S1GRD."""
    found = {key: example(shared_data, name) for name, key in KEYS.items()}
    found["ssl4eos12_val_1"]["S1GRD"] = found["ssl4eos12_val_1"].pop("S1RTC")
    return found


@pytest.fixture
def data(patches, tmp_path):
    """A data set of two shards."""
    shards = {
        MAJORTOM: {key: patch for key, patch in patches.items() if key.startswith("majortom")},
        SSL4EO: {key: patch for key, patch in patches.items() if key.startswith("ssl4eos12")},
    }
    return TerraMesh(str(write_terramesh(tmp_path / "terramesh", shards)))


def generated(bundle, target, dn):
    """What the demo bundle makes of a window without noise of its own."""
    order = [S2L2A_BANDS.index(band) for band in bundle.bands]
    generator = open_generator(bundle, [target])
    assert generator.needs[target].noise_channels == 0
    return generator.generate({"S2L2A": dn[None, order].astype(np.float32)}, {target: WindowRandomness()})[
        target
    ][0]


def test_each_sample_is_compared_with_what_it_has(bundle, data):
    found = evaluate(bundle, data)
    assert found.samples == 3 and not found.left_out
    assert found.offsets == {"present": 1, "removed": 2, "undecided": 0}
    counts = {name: each.samples for name, each in found.scores[TAKEN_OFF].items()}
    assert counts == {"S1GRD": 1, "S1RTC": 2, "NDVI": 3, "LULC": 3}
    assert found.scores[TAKEN_OFF]["NDVI"].values.count == 3 * 224 * 224


def test_ndvi_is_right_where_the_offset_is_taken_off_and_not_as_it_is_stored(bundle, data, patches):
    found = evaluate(bundle, data, targets=("NDVI",))
    # Stored as float16.
    assert found.scores[TAKEN_OFF]["NDVI"].values.mae < 3e-4
    # TerraMesh made its NDVI of the same numbers as it stored: wrong, and consistent.
    assert found.scores[AS_STORED]["NDVI"].values.mae < 3e-4
    spans = [found.scores[treatment]["NDVI"].values.most for treatment in (TAKEN_OFF, AS_STORED)]
    assert spans[0] == pytest.approx(0.996, abs=0.01)


def test_known_errors_are_found(bundle, patches, tmp_path):
    key = "ssl4eos12_val_1"
    dn = patches[key]["S2L2A"]
    ndvi = generated(bundle, "NDVI", dn)
    probabilities = generated(bundle, "LULC", dn)
    classes = 1 + probabilities[1:].argmax(axis=0)
    wrong = classes.copy()
    wrong[:56] = np.where(classes[:56] == 2, 1, 2)
    shard = {"S2L2A": dn, "NDVI": ndvi + 0.25, "LULC": wrong[None]}
    data = TerraMesh(str(write_terramesh(tmp_path, {SSL4EO: {key: shard}})))
    scores = evaluate(bundle, data).scores[TAKEN_OFF]
    values = scores["NDVI"].values
    assert values.bias == pytest.approx(-0.25, abs=2e-4)
    assert values.mae == pytest.approx(0.25, abs=2e-4)
    assert values.rmse == pytest.approx(0.25, abs=2e-4)
    assert values.psnr(2.0) == pytest.approx(20 * np.log10(2 / 0.25), abs=0.01)
    assert values.correlation == pytest.approx(1, abs=1e-5)
    confusion = scores["LULC"].confusion
    assert confusion.overall == pytest.approx(0.75)
    assert confusion.counts.sum() == 224 * 224
    assert confusion.counts[2 - 1].sum() == np.count_nonzero(classes == 2)


def test_figures_depend_neither_on_the_limit_nor_on_the_place(bundle, data, patches, tmp_path):
    alone = TerraMesh(
        str(write_terramesh(tmp_path / "alone", {SSL4EO: {"ssl4eos12_val_1": patches["ssl4eos12_val_1"]}}))
    )
    whole = evaluate(bundle, data).scores[TAKEN_OFF]["S1GRD"]
    assert evaluate(bundle, alone).scores[TAKEN_OFF]["S1GRD"].values == whole.values
    other = evaluate(bundle, alone, seed=7).scores[TAKEN_OFF]["S1GRD"]
    assert other.values != whole.values
    some = evaluate(bundle, data, limit=2)
    assert some.samples == 2 and some.scores[TAKEN_OFF]["S1GRD"].samples == 1


def test_terraminds_targets_are_each_made_of_the_image_alone(patches, tmp_path):
    toy = load_bundle(make_toy(tmp_path / "toy"))
    key = "ssl4eos12_val_1"
    data = TerraMesh(str(write_terramesh(tmp_path, {SSL4EO: {key: patches[key]}})))
    both = evaluate(toy, data, targets=("S1GRD", "NDVI"), steps=2)
    alone = evaluate(toy, data, targets=("NDVI",), steps=2)
    assert both.samples == 1 and both.steps == 2
    # Chained, NDVI would see the tokens of S1GRD.
    assert both.scores[TAKEN_OFF]["NDVI"] == alone.scores[TAKEN_OFF]["NDVI"]
    assert evaluate(toy, data, targets=("NDVI",)).steps == 10


def test_by_http_only_what_is_asked_for_is_read(bundle, data):
    with serve_files(Path(data.root)) as server:
        remote = TerraMesh(server.url("").rstrip("/"))
        assert remote.pairs("S2L2A", ("S1GRD",)) == {SSL4EO: ("S1GRD",)}
        found = evaluate(bundle, remote, targets=("S1GRD",), limit=1)
        asked = {name for name in server.requests if server.requests[name]}
    assert found.samples == 1
    assert asked == {f"val/S2L2A/{SSL4EO}", f"val/S1GRD/{SSL4EO}"}
    local = evaluate(bundle, data, targets=("S1GRD",)).scores[TAKEN_OFF]["S1GRD"]
    assert found.scores[TAKEN_OFF]["S1GRD"].values == local.values


def test_samples_that_cannot_be_used_are_left_out_by_name(bundle, patches, tmp_path):
    patch = patches["ssl4eos12_val_1"]
    zips = {key: sample_zip("S2L2A", patch["S2L2A"]) for key in ("a", "b", "c", "d")}
    zips["b"] = zips["b"][:-3000]
    ndvi = {key: sample_zip("NDVI", patch["NDVI"]) for key in ("a", "b", "c", "d")}
    ndvi["c"] = sample_zip("NDVI", np.full((1, 224, 224), np.nan))
    del ndvi["d"]
    write_shard(tmp_path / "val/S2L2A" / SSL4EO, zips)
    write_shard(tmp_path / "val/NDVI" / SSL4EO, ndvi)
    found = evaluate(bundle, TerraMesh(str(tmp_path)))
    assert found.left_out.keys() == {"b", "c", "d"}
    assert found.left_out["d"] == "it has no reference"
    assert found.left_out["b"].startswith("S2L2A: ") and found.left_out["c"] == "NDVI: it has gaps"
    assert found.scores[TAKEN_OFF]["NDVI"].samples == 1
    write_shard(tmp_path / "val/S2L2A" / SSL4EO, {"b": zips["b"]})
    with pytest.raises(CatalogError, match="no sample can be used: b: S2L2A"):
        evaluate(bundle, TerraMesh(str(tmp_path)))


def test_what_cannot_be_evaluated_is_said_in_a_line(bundle, data, tmp_path):
    with pytest.raises(RequestError, match="there is no folder"):
        TerraMesh(str(tmp_path / "none"))
    with pytest.raises(RequestError, match="neither a folder nor"):
        TerraMesh("s3://bucket/TerraMesh")
    with pytest.raises(RequestError, match="split: 'test' is none"):
        TerraMesh("https://example.org/TerraMesh", "test")
    with pytest.raises(RequestError, match="has no DEM; it generates"):
        evaluate(bundle, data, targets=("DEM",))
    (tmp_path / "empty/val").mkdir(parents=True)
    with pytest.raises(RequestError, match="no shard of S2L2A"):
        evaluate(bundle, TerraMesh(str(tmp_path / "empty")))


def run(*arguments):
    return CliRunner().invoke(cli, ["evaluate", *arguments])


def test_the_command_prints_the_papers_tables(data):
    done = run("demo", "--terramesh", data.root)
    assert done.exit_code == 0, done.output
    text = done.output
    assert "3 samples, S2L2A in" in text and "1 present, 2 removed" in text
    for row in ("S1RTC", "paper, Table 3", "28.99", "3.391", "95.49", "producer's accuracy", "trees"):
        assert row in text
    assert text.index(TAKEN_OFF) < text.index(AS_STORED)


def test_the_command_prints_json(data):
    told = json.loads(run("demo", "--terramesh", data.root, "--targets", "S1RTC", "--json").stdout)
    assert told["samples"] == 2 and told["steps"] == 1
    scores = told["scores"][TAKEN_OFF]["S1RTC"]
    assert scores["paper"]["psnr"] == 28.993 and scores["data_range"] == 95.5
    assert set(scores["bands"]) == {"VV", "VH"}
    assert scores["rmse"] > scores["mae"] > abs(scores["bias"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--inputs", "S1RTC"), "inputs: bundle 'demo' cannot take S1RTC; it takes S2L2A"),
        (("--tokenised",), "tokenised: bundle 'demo' makes no tokens of S2L2A"),
        (("--reconstruct",), "targets: bundle 'demo' has no S2L2A"),
        (("--reconstruct", "--targets", "NDVI"), "reconstruct: NDVI is not among the inputs S2L2A"),
        (("--inputs", ","), "inputs: name at least one"),
        (("--precision", "fp16"), "precision: a cpu computes in fp32 alone"),
        (("--precision", "fp16", "--seams"), "precision: a cpu computes in fp32 alone"),
        (("--precision", "fp16", "--device", "auto"), "precision: a cpu computes in fp32 alone"),
        (("--seams", "--inputs", "S1RTC"), "--water and --seams are of S2L2A, as pixels"),
    ],
)
def test_the_command_refuses_what_cannot_be_had(data, options, message):
    done = run("demo", "--terramesh", data.root, *options)
    assert isinstance(done.exception, RequestError) and message in str(done.exception)


@pytest.mark.parametrize("options", [(), ("--seams",)])
def test_the_model_is_opened_in_the_precision_that_is_asked_for_and_told(data, options, monkeypatch):
    opened = []

    def opening(*arguments, options):
        opened.append(options.precision)
        return open_generator(*arguments, options=options)

    for module in ("evaluate", "overlaps"):
        monkeypatch.setattr(f"terramosaic.evaluation.{module}.open_generator", opening)
    asked = ("--precision", "fp32", "--targets", "NDVI", "--limit", "1", "--json")
    told = json.loads(run("demo", "--terramesh", data.root, *asked, *options).stdout)
    assert told["precision"] == "fp32" and set(opened) == {"fp32"}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return load_bundle(make_toy(tmp_path_factory.mktemp("toy") / "bundle"))


@pytest.mark.parametrize("inputs", [("S1RTC",), ("S2L2A", "S1RTC"), ("S1RTC", "DEM")])
def test_other_inputs_are_what_the_model_sees(toy, patches, tmp_path, inputs):
    """The reference is what the model makes of the very windows, and a quarter more."""
    key = "majortom_val_1"
    seen = {
        name: patches[key][name].astype("f2" if name == "S1RTC" else "f4").astype(np.float32)
        for name in inputs
    }
    options = GenerationOptions(steps=1, conditioning="independent", inputs=inputs)
    generator = open_generator(toy, ["NDVI"], options=options)
    randomness = randomness_at(generator, 0, [place_of(key)])
    made = generator.generate({name: pixels[None] for name, pixels in seen.items()}, randomness)["NDVI"][0]
    shard = {name: patches[key][name] for name in inputs} | {"NDVI": made + 0.25}
    data = TerraMesh(str(write_terramesh(tmp_path, {MAJORTOM: {key: shard}})))
    found = evaluate(toy, data, inputs=inputs, targets=("NDVI",), steps=1)
    scores = found.scores[TAKEN_OFF]["NDVI"]
    assert scores.values.bias == pytest.approx(-0.25, abs=5e-4)
    assert scores.values.rmse == pytest.approx(0.25, abs=5e-4)
    assert found.as_dict()["inputs"] == list(inputs)
    row = found.as_dict()["scores"][TAKEN_OFF]["NDVI"]["paper"]
    assert (row and (row["table"], row["rmse"])) == ((3, 0.211) if inputs == ("S1RTC",) else None)
    assert set(found.offsets) - {"present", "removed", "undecided"} == (
        set() if "S2L2A" in inputs else {"not asked"}
    )


def test_inputs_as_tokens_are_of_table_14(toy, patches, tmp_path):
    key = "majortom_val_1"
    shard = {name: patches[key][name] for name in ("NDVI", "LULC")}
    data = TerraMesh(str(write_terramesh(tmp_path, {MAJORTOM: {key: shard}})))
    found = evaluate(toy, data, inputs=("NDVI",), tokenised=True, targets=("LULC",), steps=1)
    assert found.samples == 1 and found.made_of.table == 14
    with pytest.raises(RequestError, match="makes no tokens of S1RTC"):
        evaluate(
            toy,
            write_radar(patches, tmp_path / "radar"),
            inputs=("S1RTC",),
            tokenised=True,
            targets=("NDVI",),
        )


def test_reconstructions_are_of_table_10(toy, patches, tmp_path):
    """What the tokenizer keeps of an input, and no other input makes a difference."""
    key = "majortom_val_1"
    shard = {name: patches[key][name] for name in ("NDVI", "S1RTC")}
    seen = {"NDVI": shard["NDVI"].astype("f4")[None]}
    options = GenerationOptions(steps=2, inputs=("NDVI",), reconstruct=True)
    generator = open_generator(toy, ["NDVI"], options=options)
    made = generator.generate(seen, randomness_at(generator, 0, [place_of(key)]))["NDVI"][0]
    data = TerraMesh(str(write_terramesh(tmp_path, {MAJORTOM: {key: shard}})))
    found = evaluate(toy, data, inputs=("NDVI",), reconstruct=True, steps=2)
    assert found.samples == 1 and found.made_of.table == 10
    assert found.as_dict()["reconstructed"] is True
    error = made - seen["NDVI"][0]
    values = found.scores[TAKEN_OFF]["NDVI"].values
    assert values.bias == pytest.approx(error.mean(), abs=1e-3)
    assert values.rmse == pytest.approx(np.sqrt(np.square(error).mean()), abs=1e-3)
    with pytest.raises(RequestError, match="has no S1RTC"):
        evaluate(toy, data, inputs=("S1RTC",), reconstruct=True)


def test_the_papers_row_of_a_reconstruction_is_that_of_the_target():
    made_of = MadeOf(("S1GRD", "DEM"), reconstructed=True)
    row = made_of.row_of("DEM")
    assert row is not None and (row.table, row.source, row.rmse) == (10, "DEM", 737.2)
    assert "made again" in made_of.told


def write_radar(patches, folder):
    key = "majortom_val_1"
    shard = {name: patches[key][name] for name in ("S1RTC", "NDVI")}
    return TerraMesh(str(write_terramesh(folder, {MAJORTOM: {key: shard}})))


def test_generated_reflectance_is_compared_as_reflectance(patches, tmp_path):
    """TerraMesh holds digital numbers, and a bundle makes reflectance."""
    scores = TargetScores.empty("S2L2A", TargetSpec(
        kind="direct", output="values", channels=S2L2A_BANDS, graphs={"generate": "S2L2A.onnx"}
    ), MadeOf(("S1RTC",)))  # fmt: skip
    key = "majortom_val_1"
    data = TerraMesh(str(write_terramesh(tmp_path, {MAJORTOM: {key: patches[key]}})))
    radar, optical = (data.shard(name, MAJORTOM) for name in ("S1RTC", "S2L2A"))
    assert radar.holds([key]) and optical.holds([key])
    sample = read_sample(key, {"S1RTC": radar}, {"S2L2A": optical}, {"S2L2A": 12}, 224)
    (case,) = sample.cases
    found = scores.of_window(
        patches[key]["S2L2A"] * np.float32(1e-4) + np.float32(0.01), case.references["S2L2A"]
    )
    assert found.values.bias == pytest.approx(0.01, abs=1e-5)
    assert (found.unit, found.data_range) == ("reflectance", 3.16)
