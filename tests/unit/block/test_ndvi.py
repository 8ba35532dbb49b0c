"""The imagery's own NDVI against the generated one: figures as numpy's, whatever way the rows were cut."""

from __future__ import annotations

import numpy as np
import pytest

from terramosaic.block.ndvi import NdviAgreement, NdviTally

BANDS = ("B04", "B03", "B02", "B08")


def rows(seed: int = 0, height: int = 64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Digital numbers, what is valid, and an NDVI that is a bit off."""
    rng = np.random.default_rng(seed)
    dn = rng.integers(400, 6000, (4, height, 80)).astype(np.uint16)
    valid = rng.random((height, 80)) > 0.2
    return dn, valid, (ndvi(dn) * 0.8 + 0.05 + 0.1 * rng.normal(size=valid.shape)).astype(np.float32)


def ndvi(dn: np.ndarray) -> np.ndarray:
    red, infrared = dn[0].astype(float), dn[3].astype(float)
    return (infrared - red) / (infrared + red)


def total(*parts, bands=BANDS) -> NdviAgreement:
    tally = NdviTally(BANDS, bands)
    for row, dn, valid, generated in parts:
        tally.add(row, dn, valid, generated)
    return tally.total


def test_figures_are_those_of_every_fourth_pixel():
    dn, valid, generated = rows()
    found = total((100, dn, valid, generated))
    held = valid[::4, ::4]
    shown, made = ndvi(dn)[::4, ::4][held], generated[::4, ::4][held].astype(float)
    assert found.pixels == held.sum()
    assert found.bias == pytest.approx((made - shown).mean())
    assert found.mean_absolute_error == pytest.approx(np.abs(made - shown).mean())
    assert found.correlation == pytest.approx(np.corrcoef(made, shown)[0, 1])
    assert found.shown_std == pytest.approx(shown.std())


@pytest.mark.parametrize("cut", [1, 4, 30])
def test_it_does_not_matter_how_rows_come(cut):
    dn, valid, generated = rows()
    parts = [
        (100 + part.start, dn[:, part], valid[part], generated[part])
        for part in (slice(0, cut), slice(cut, 64))
    ]
    one, several = total((100, dn, valid, generated)), total(*parts)
    assert several.pixels == one.pixels
    assert several.correlation == pytest.approx(one.correlation)
    assert several.bias == pytest.approx(one.bias)


def test_without_the_target_the_imagery_alone_is_told():
    dn, valid, _ = rows()
    found = total((0, dn, valid, None))
    assert found.pixels > 0
    assert not found.is_compared


def test_a_model_without_the_bands_is_not_compared():
    dn, valid, generated = rows()
    assert total((0, dn, valid, generated), bands=("B02", "B03", "B04")) == NdviAgreement()


def test_what_was_not_seen_does_not_count():
    dn, valid, generated = rows()
    dn[:, :32] = 0
    assert total((0, dn, valid, generated)).pixels == valid[32::4, ::4].sum()


def test_open_water_does_not_count_whose_ndvi_is_noise():
    dn, valid, generated = rows()
    dn[:, :32] = np.random.default_rng(1).integers(20, 110, dn[:, :32].shape)
    assert total((0, dn, valid, generated)).pixels == valid[32::4, ::4].sum()


def test_of_what_does_not_vary_there_is_no_correlation():
    dn, valid, generated = rows()
    assert total((0, dn, valid, np.full_like(generated, 0.3))).correlation is None


def test_it_is_written_as_json():
    dn, valid, generated = rows()
    found = total((0, dn, valid, generated))
    assert NdviAgreement.model_validate_json(found.model_dump_json()) == found
