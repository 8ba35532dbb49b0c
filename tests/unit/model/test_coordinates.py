"""Words of coordinates, and a model in miniature that draws them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from terramosaic.errors import ModelError, RequestError
from terramosaic.model.bundle import Bundle, load_bundle
from terramosaic.model.coordinates import (
    LATITUDES,
    LONGITUDES,
    Vocabulary,
    places_on_grid,
    read_vocabulary,
    write_vocabulary,
)
from terramosaic.model.generator import GenerationOptions, Needs, WindowRandomness, drawn_for
from terramosaic.model.mlm.writing import item_of
from terramosaic.model.opening import open_generator
from terramosaic.model.selftest import check_bundle
from terramosaic.model.terramind import TerraMindGenerator
from tests.unit.model.toy_terramind import VOCABULARY, expected, make_toy

#: Numbers that are in no order, as a tokenizer may have them.
SHUFFLED = np.random.default_rng(5).permutation(30_000)[: LATITUDES + LONGITUDES + 2].tolist()
OTHER = Vocabulary(
    tuple(SHUFFLED[:LATITUDES]), tuple(SHUFFLED[LATITUDES:-2]), start=SHUFFLED[-2], end=SHUFFLED[-1]
)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(make_toy(tmp_path_factory.mktemp("toy") / "bundle", locates=True))


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(make_toy(tmp_path_factory.mktemp("placed") / "bundle", placed=True))


def windows_of(count: int) -> np.ndarray:
    rng = np.random.default_rng(8)
    return 800 * rng.standard_gamma(2.0, (count, 12, 224, 224), np.float32)


class TestWords:
    def test_places_come_back_from_their_words(self):
        lonlat = np.array([(-180, -90), (180, 90), (0, 0), (7.25, -45.5), (-0.25, 89.75)])
        latitude, longitude = places_on_grid(lonlat).T
        words = np.stack([np.array(OTHER.latitudes)[latitude], np.array(OTHER.longitudes)[longitude]], axis=1)
        found = OTHER.degrees(words)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, lonlat[:, ::-1])

    def test_places_between_go_to_the_nearest_and_halves_to_the_even(self):
        lonlat = np.array([(7.1, 45.4), (7.125, 45.375), (7.375, 45.125), (-7.125, -45.375)])
        latitude, longitude = places_on_grid(lonlat).T
        assert (latitude / 4 - 90).tolist() == [45.5, 45.5, 45.0, -45.5]
        assert (longitude / 4 - 180).tolist() == [7.0, 7.0, 7.5, -7.0]

    @pytest.mark.parametrize(
        "words", [(OTHER.longitudes[0], OTHER.longitudes[0]), (OTHER.latitudes[0], 30_001), (-1, 0)]
    )
    def test_what_is_no_place_is_none(self, words):
        right = OTHER.latitudes[720], OTHER.longitudes[1440]
        found = OTHER.degrees(np.array([words, right]))
        assert np.isnan(found[0]).all()
        assert found[1].tolist() == [90, 180]

    def test_a_table_is_read_as_it_was_written(self, tmp_path):
        write_vocabulary(OTHER, tmp_path / "a.json")
        assert read_vocabulary(tmp_path / "a.json") == OTHER

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"latitudes": [1, 2]}, "latitudes: are 2 words, and not 721"),
            ({"start": OTHER.end}, "two words have the same number"),
            ({"longitudes": None}, "is no vocabulary of coordinates"),
        ],
    )
    def test_a_broken_table_is_told(self, tmp_path, change, message):
        path = tmp_path / "a.json"
        write_vocabulary(OTHER, path)
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(ModelError, match=message) as caught:
            read_vocabulary(path)
        assert "export the bundle anew" in str(caught.value)


@pytest.mark.parametrize(
    ("targets", "options"),
    [
        (("coordinates",), GenerationOptions(steps=1)),
        (("NDVI", "LULC", "coordinates"), GenerationOptions(steps=1)),
        (("NDVI", "coordinates", "embedding"), GenerationOptions(steps=1, sampling="greedy")),
        (("LULC", "NDVI", "coordinates"), GenerationOptions(steps=1, conditioning="independent")),
    ],
    ids=["alone", "chained", "greedy", "independent"],
)
@pytest.mark.parametrize("batch_size", [1, 4])
def test_places_are_drawn_of_all_that_came_before(
    toy: Bundle, targets: tuple[str, ...], options: GenerationOptions, batch_size: int
) -> None:
    windows, rng = windows_of(6), np.random.default_rng(2)
    noise = {"NDVI": rng.standard_normal((6, 1, 224, 224), np.float32)}
    uniform = {target: rng.random((6, 14, 14), np.float32) for target in targets}
    uniform["coordinates"][:2] = 0.999  # which draws words that are no place
    wanted, words = expected({"S2L2A": windows}, targets, noise, uniform, options)
    generator = open_generator(toy, targets, options=options, batch_size=batch_size)
    assert isinstance(generator, TerraMindGenerator)
    given = {name: WindowRandomness(noise.get(name), uniform[name]) for name in targets}
    found, drawn = generator.generate_with_tokens({"S2L2A": windows}, given)
    np.testing.assert_array_equal(drawn["coordinates"], words["coordinates"])
    np.testing.assert_array_equal(found["coordinates"], wanted["coordinates"])
    assert found["coordinates"].shape == (6, 2)
    assert list(found) == list(targets)
    if options.sampling == "nucleus":
        assert 0 < np.isnan(found["coordinates"]).mean() < 1


def test_earlier_targets_and_their_order_count(toy: Bundle) -> None:
    """And they are as if it were not made."""
    windows, rng = windows_of(4), np.random.default_rng(2)
    uniform = {name: rng.random((4, 14, 14), np.float32) for name in ("NDVI", "LULC", "coordinates")}
    noise = rng.standard_normal((4, 1, 224, 224), np.float32)
    given = {
        name: WindowRandomness(noise if name == "NDVI" else None, each) for name, each in uniform.items()
    }

    def words(*targets: str) -> np.ndarray:
        model = open_generator(toy, targets, options=GenerationOptions(steps=1))
        assert isinstance(model, TerraMindGenerator)
        values, tokens = model.generate_with_tokens({"S2L2A": windows}, given)
        if "NDVI" in targets[:1]:
            model = open_generator(toy, ("NDVI",), options=GenerationOptions(steps=1))
            np.testing.assert_array_equal(values["NDVI"], model.generate({"S2L2A": windows}, given)["NDVI"])
        return tokens["coordinates"]

    found = [words("coordinates"), words("NDVI", "coordinates"), words("NDVI", "LULC", "coordinates")]
    assert (found[0] != found[1]).any() and (found[1] != found[2]).any()


def test_only_what_is_wanted_is_made(toy: Bundle) -> None:
    """Coordinates alone still see all that the run draws before."""
    targets = ("NDVI", "coordinates")
    windows, rng = windows_of(2), np.random.default_rng(2)
    model = open_generator(toy, targets, options=GenerationOptions(steps=1))
    assert isinstance(model, TerraMindGenerator)
    given = {name: WindowRandomness(None, rng.random((2, 14, 14), np.float32)) for name in targets}
    found, tokens = model.generate_with_tokens({"S2L2A": windows}, given, wanted=("coordinates",))
    assert list(found) == ["coordinates"]
    assert list(tokens) == ["NDVI", "coordinates"]
    given["NDVI"] = replace(given["NDVI"], noise=np.zeros((2, 1, 224, 224), np.float32))
    np.testing.assert_array_equal(
        found["coordinates"], model.generate({"S2L2A": windows}, given)["coordinates"]
    )
    assert model.needs["coordinates"] == Needs(0, True)


def test_whose_tokens_are_drawn() -> None:
    targets = ("S1GRD", "embedding", "NDVI", "coordinates")
    assert drawn_for(("coordinates",), targets, "chained") == ("S1GRD", "NDVI")
    assert drawn_for(("coordinates",), targets, "independent") == ()
    assert drawn_for(("NDVI", "coordinates"), targets, "independent") == ("NDVI",)


@pytest.mark.parametrize(
    ("targets", "fields", "message"),
    [
        (("coordinates", "NDVI"), {}, "coordinates are made last"),
        (
            ("NDVI", "coordinates"),
            {"consensus": True},
            "draws no tokens of coordinates that windows could share",
        ),
        (("coordinates",), {"reconstruct": True}, "reconstruct: coordinates is not among the inputs"),
    ],
)
def test_what_cannot_be_is_refused(
    toy: Bundle, targets: tuple[str, ...], fields: dict[str, bool], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        open_generator(toy, targets, options=GenerationOptions(**fields))


def test_the_selftest_compares_them(toy: Bundle) -> None:
    check = check_bundle(toy)
    assert check.failures == ()
    assert check.targets[-1].target == "coordinates" and check.targets[-1].tokens == 1


def test_a_bundle_without_a_vocabulary_is_broken(tmp_path: Path) -> None:
    folder = make_toy(tmp_path / "toy", locates=True)
    manifest = json.loads((folder / "bundle.json").read_text())
    del manifest["vocabulary"]
    (folder / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="coordinates need a vocabulary"):
        load_bundle(folder)


def test_the_toys_words_are_a_vocabulary() -> None:
    assert VOCABULARY.latitudes[542:546] == (0, 1, 2, 3)


class TestAsInput:
    """Where a window lies, beside what it shows."""

    @pytest.mark.parametrize("batch_size", [1, 4])
    @pytest.mark.parametrize("inputs", [("S2L2A",), ("S2L2A", "coordinates"), ("coordinates", "S2L2A")])
    def test_tokens_hang_on_it_where_it_is_put_in(self, placed, inputs, batch_size):
        windows = {
            "S2L2A": windows_of(3),
            "coordinates": np.array([(14.9, 46), (-3.1, 7), (2, -80)], np.float32),
        }
        uniform = {"LULC": np.random.default_rng(1).random((3, 14, 14), np.float32)}
        options = GenerationOptions(steps=1, inputs=inputs)
        given = {name: windows[name] for name in inputs}
        wanted, tokens = expected(given, ("LULC",), {}, uniform, options)
        generator = open_generator(placed, ("LULC",), options=options, batch_size=batch_size)
        found, drawn = generator.generate_with_tokens(
            given, {"LULC": WindowRandomness(None, uniform["LULC"])}
        )
        np.testing.assert_array_equal(drawn["LULC"], tokens["LULC"])
        np.testing.assert_allclose(found["LULC"], wanted["LULC"], atol=1e-5)

    def test_logits_hang_on_it_too(self, placed):
        windows = {"S2L2A": windows_of(2), "coordinates": np.array([(14.9, 46), (-3.1, 7)], np.float32)}
        options = GenerationOptions(steps=1, sampling="greedy", inputs=tuple(windows), consensus=True)
        generator = open_generator(placed, ("LULC",), options=options)
        here = generator.logits(windows, "LULC", {})
        there = generator.logits(windows | {"coordinates": windows["coordinates"][::-1]}, "LULC", {})
        assert (here != there).any()

    def test_the_selftest_runs_it(self, placed):
        assert check_bundle(placed).failures == ()

    def test_it_is_a_pair_of_numbers(self, placed):
        options = GenerationOptions(inputs=("S2L2A", "coordinates"))
        generator = open_generator(placed, ("LULC",), options=options)
        windows = {"S2L2A": windows_of(1), "coordinates": np.zeros((1, 3), np.float32)}
        with pytest.raises(ModelError, match=r"windows of coordinates must be float32 \(1, 2\)"):
            generator.generate(windows, {"LULC": WindowRandomness(None, np.zeros((1, 14, 14), np.float32))})

    def test_the_item_tells_it(self, placed):
        (told,) = (
            each for each in item_of(placed)["properties"]["mlm:input"] if each["name"] == "coordinates"
        )
        assert told["input"]["shape"] == [-1, 2] and told["input"]["dim_order"] == ["batch", "bands"]


def test_the_item_tells_where_windows_are_said_to_lie(toy: Bundle) -> None:
    (told,) = (each for each in item_of(toy)["properties"]["mlm:output"] if each["name"] == "coordinates")
    assert told["result"]["shape"] == [-1, 2] and told["description"] == "latitude, longitude, in degree"
