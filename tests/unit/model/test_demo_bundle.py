"""What the demo bundle computes, and that the committed one is what its script makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from terramosaic.bands import S2L2A_BANDS
from terramosaic.errors import RequestError
from terramosaic.model.bundle import DEMO_FOLDER, Bundle, load_bundle
from terramosaic.model.generator import WindowRandomness
from terramosaic.model.manifest import LULC_CLASSES
from terramosaic.model.opening import open_generator
from tools.make_demo_bundle import make_bundle

#: Surface reflectance in per cent of B02 B03 B04 B08 B11: textbook spectra, and what each must be called.
SPECTRA = {
    "water": (3.0, 2.5, 1.5, 1.0, 0.5),
    "trees": (2.0, 4.0, 2.5, 28.0, 11.0),
    "crops": (4.0, 8.0, 5.0, 42.0, 20.0),
    "built area": (12.0, 13.0, 14.0, 17.0, 19.0),
    "bare ground": (14.0, 20.0, 26.0, 33.0, 42.0),
    "snow/ice": (80.0, 80.0, 78.0, 70.0, 8.0),
    "clouds": (60.0, 58.0, 57.0, 62.0, 40.0),
    "rangeland": (7.0, 10.0, 13.0, 22.0, 30.0),
}


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle("demo")


def window_of(spectra: Mapping[str, Sequence[float]]) -> np.ndarray:
    """One window with a spectrum in each row of pixels from the top; the rows left are like the last."""
    window = np.ones((1, 12, 224, 224), np.float32)
    for row, spectrum in enumerate(spectra.values()):
        for band, percent in zip(("B02", "B03", "B04", "B08", "B11"), spectrum, strict=True):
            window[0, S2L2A_BANDS.index(band), row:] = round(percent * 100)
    return window


def random_windows(count: int, bands: int = 12) -> np.ndarray:
    """Every spectrum there is, likely or not: whole DN from 1 to 20 000, small ones more often."""
    rng = np.random.default_rng(3)
    return np.floor(np.exp(rng.uniform(0, np.log(20_000), (count, bands, 224, 224)))).astype(np.float32)


def no_speckle(count: int, target: str) -> dict[str, WindowRandomness]:
    return {target: WindowRandomness(np.zeros((count, 2, 224, 224), np.float32))}


def test_the_committed_bundle_is_what_the_script_makes(tmp_path: Path, bundle: Bundle) -> None:
    if onnx.__version__ != bundle.manifest.versions["onnx"]:
        pytest.skip(
            f"onnx {onnx.__version__} may serialise otherwise than {bundle.manifest.versions['onnx']}"
        )
    made = make_bundle(tmp_path / "demo")
    committed = {path.name: path.read_bytes() for path in DEMO_FOLDER.iterdir()}
    assert {path.name: path.read_bytes() for path in made.iterdir()} == committed
    assert sum(map(len, committed.values())) < 30_000


def test_ndvi_is_exact(bundle: Bundle) -> None:
    windows = random_windows(2)
    red, nir = windows[:, S2L2A_BANDS.index("B04")], windows[:, S2L2A_BANDS.index("B08")]
    ndvi = open_generator(bundle, ["NDVI"]).generate({"S2L2A": windows}, {})["NDVI"]
    np.testing.assert_array_equal(ndvi[:, 0], (nir - red) / (nir + red))


def test_probabilities_sum_to_one_and_no_data_is_never_likely(bundle: Bundle) -> None:
    probabilities = open_generator(bundle, ["LULC"]).generate({"S2L2A": random_windows(2)}, {})["LULC"]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert probabilities.min() >= 0
    assert probabilities[:, 0].max() < 1e-20


def test_textbook_spectra_get_their_class(bundle: Bundle) -> None:
    probabilities = open_generator(bundle, ["LULC"]).generate({"S2L2A": window_of(SPECTRA)}, {})["LULC"][0]
    names = [LULC_CLASSES[index].name for index in probabilities[:, : len(SPECTRA), 0].argmax(axis=0)]
    assert names == list(SPECTRA)


def test_classes_change_smoothly(bundle: Bundle) -> None:
    """From forest to bare soil in 223 equal steps, no class' probability ever jumps by more than a tenth."""
    window = np.ones((1, 12, 224, 224), np.float32)
    share = np.linspace(0, 1, 224, dtype=np.float32)
    for k, band in enumerate(("B02", "B03", "B04", "B08", "B11")):
        start, end = SPECTRA["trees"][k] * 100, SPECTRA["bare ground"][k] * 100
        window[0, S2L2A_BANDS.index(band)] = start + (end - start) * share
    probabilities = open_generator(bundle, ["LULC"]).generate({"S2L2A": window}, {})["LULC"][0, :, 0]
    assert np.abs(np.diff(probabilities, axis=1)).max() < 0.1
    assert probabilities.argmax(axis=0)[[0, -1]].tolist() == [2, 6]


@pytest.mark.parametrize(
    ("name", "vv", "vh"),
    [
        ("water", -20, -28),
        ("trees", -11, -16),
        ("crops", -11, -17),
        ("built area", -5, -12),
        ("bare ground", -14, -22),
    ],
)
def test_backscatter_is_what_the_ground_shows_in_c_band(
    bundle: Bundle, name: str, vv: float, vh: float
) -> None:
    window = window_of({name: SPECTRA[name]})
    for target in ("S1GRD", "S1RTC"):
        out = open_generator(bundle, [target]).generate({"S2L2A": window}, no_speckle(1, target))[target]
        np.testing.assert_allclose(out[0, :, 0, 0], (vv, vh), atol=2.5)


def test_grd_lies_a_decibel_below_rtc_and_speckle_is_the_noise_it_is_given(bundle: Bundle) -> None:
    window = window_of({"crops": SPECTRA["crops"]})
    noise = np.random.default_rng(5).standard_normal((1, 2, 224, 224), np.float32)
    quiet, loud = {}, {}
    for target in ("S1GRD", "S1RTC"):
        generator = open_generator(bundle, [target])
        quiet[target] = generator.generate({"S2L2A": window}, no_speckle(1, target))[target]
        loud[target] = generator.generate({"S2L2A": window}, {target: WindowRandomness(noise)})[target]
    np.testing.assert_allclose(quiet["S1RTC"] - quiet["S1GRD"], 1.1, atol=1e-4)
    speckle = (loud["S1GRD"] - quiet["S1GRD"]) / noise
    assert speckle.std() < 1e-3
    assert 1.0 < speckle.mean() < 1.5


def test_backscatter_stays_within_what_a_radar_records(bundle: Bundle) -> None:
    noise = np.random.default_rng(5).standard_normal((2, 2, 224, 224), np.float32) * 20
    out = open_generator(bundle, ["S1GRD"]).generate(
        {"S2L2A": random_windows(2)}, {"S1GRD": WindowRandomness(noise)}
    )["S1GRD"]
    assert (out.min(), out.max()) == (-35, 10)


def test_four_bands_are_enough_for_ndvi(tmp_path: Path, bundle: Bundle) -> None:
    four = ("B02", "B03", "B04", "B08")
    small = load_bundle(make_bundle(tmp_path / "ndvi", targets=["NDVI"], bands=four))
    assert (tuple(small.targets), small.bands) == (("NDVI",), four)
    windows = random_windows(1)
    some = np.ascontiguousarray(windows[:, [S2L2A_BANDS.index(band) for band in four]])
    np.testing.assert_array_equal(
        open_generator(small, ["NDVI"]).generate({"S2L2A": some}, {})["NDVI"],
        open_generator(bundle, ["NDVI"]).generate({"S2L2A": windows}, {})["NDVI"],
    )


def test_targets_that_cannot_be_made_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="targets: the demo bundle has no DEM"):
        make_bundle(tmp_path, targets=["DEM"])
    with pytest.raises(RequestError, match="bands: LULC needs B11, not in B02 B03 B04 B08"):
        make_bundle(tmp_path, targets=["NDVI", "LULC"], bands=("B02", "B03", "B04", "B08"))
