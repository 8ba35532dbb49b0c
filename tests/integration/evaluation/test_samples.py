"""Samples as TerraMesh stores them, and what is none."""

import io
import zipfile

import numpy as np
import pytest

from terramosaic.evaluation.samples import DamagedSampleError, centre_of, pixels_of

pytest.importorskip("zarr", reason="the extra terramesh is not installed")

from tests.support.terramesh import DTYPES, example, sample_zip


def test_the_middle_of_a_sample_is_the_published_patch(shared_data):
    patch = example(shared_data, "637U_59R_1_3")
    for modality, pixels in patch.items():
        read = pixels_of(sample_zip(modality, pixels))
        assert read.shape == (len(pixels), 264, 264) and read.dtype == np.dtype(DTYPES[modality])
        np.testing.assert_array_equal(centre_of(read, 224), pixels.astype(DTYPES[modality]))


def rezipped(content, change):
    """The zip with some of its files changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            if (text := change(name, old.read(name))) is not None:
                new.writestr(name, text)
    return out.getvalue()


WHOLE = sample_zip("NDVI", np.random.default_rng(0).random((1, 224, 224)))
FLIPPED = bytearray(WHOLE)
FLIPPED[50_000] ^= 1


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(WHOLE[:40_000], id="cut"),
        pytest.param(bytes(FLIPPED), id="flipped byte"),
        pytest.param(rezipped(WHOLE, lambda n, t: None if n.startswith("bands/") else t), id="no bands"),
        pytest.param(rezipped(WHOLE, lambda n, t: None if n == "bands/.zarray" else t), id="no header"),
        pytest.param(rezipped(WHOLE, lambda n, t: None if n == "bands/0.0.0.0" else t), id="no chunk"),
        pytest.param(rezipped(WHOLE, lambda n, t: b"{}" if n == "bands/.zarray" else t), id="empty header"),
        pytest.param(rezipped(WHOLE, lambda n, t: t[:100] if n == "bands/0.0.0.0" else t), id="cut chunk"),
        pytest.param(
            rezipped(WHOLE, lambda n, t: t.replace(b'"blosc"', b'"none"') if n == "bands/.zarray" else t),
            id="unknown codec",
        ),
    ],
)
def test_what_is_no_sample_is_told_in_a_line(content):
    with pytest.raises(DamagedSampleError) as told:
        pixels_of(content)
    assert "\n" not in str(told.value)


def test_a_sample_that_is_too_small():
    with pytest.raises(DamagedSampleError, match="200 x 264 pixels"):
        centre_of(np.zeros((1, 200, 264)), 224)


def test_a_sample_that_claims_to_be_huge_is_not_unpacked():
    claims = rezipped(WHOLE, lambda n, t: t.replace(b"264", b"99264") if n == "bands/.zarray" else t)
    with pytest.raises(DamagedSampleError, match="99264"):
        pixels_of(claims)
