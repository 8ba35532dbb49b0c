"""Where rounding differs values may be a step off, and few classes others; what follows from imagery may not."""

from __future__ import annotations

import numpy as np
import pytest

from terramosaic.planning.layers import ACQUIRED, NODATA, Layer
from terramosaic.trust.tolerance import TOLERANCES

CPU, CUDA = TOLERANCES["cpu"], TOLERANCES["cuda"]
NDVI = Layer("NDVI", "value", ("NDVI",), "int16", NODATA, scale=0.0001, target="NDVI", bounds=((0.25, 0.75),))
PLAIN = Layer("NDVI", "value", ("NDVI",), "float32", NODATA, target="NDVI")
CLASSES = Layer("LULC", "class", ("LULC class",), "uint8", 0, target="LULC")


def off_by(amount: float, dtype: str = "int16") -> tuple[np.ndarray, np.ndarray]:
    made = np.full((1, 20, 20), 1000, dtype)
    published = made.copy()
    published[0, 3, 4] += amount
    return made, published


@pytest.mark.parametrize(
    ("tolerance", "layer", "amount", "is_beyond"),
    [
        (CPU, NDVI, 1, False),
        (CPU, NDVI, -2, True),
        (CUDA, NDVI, 125, False),  # a fortieth of a range of 0.5
        (CUDA, NDVI, 126, True),
        (CPU, ACQUIRED, 1, True),
        (CUDA, ACQUIRED, 1, True),
    ],
)
def test_values_may_be_some_steps_off(tolerance, layer, amount, is_beyond):
    there = tolerance.beyond(layer, *off_by(amount, layer.dtype))
    assert there.sum() == is_beyond and there[3, 4] == is_beyond


@pytest.mark.parametrize(("amount", "is_beyond"), [(0.0001, False), (0.0002, True)])
def test_plain_values_may_be_what_a_step_is_where_they_are_scaled(amount, is_beyond):
    made = np.full((1, 20, 20), 0.5, np.float32)
    published = made.copy()
    published[0, 3, 4] += amount
    assert CPU.beyond(PLAIN, made, published).sum() == is_beyond


@pytest.mark.parametrize(("others", "count"), [(4, 0), (5, 5)])
def test_a_hundredth_of_classes_may_be_others(others, count):
    made = np.full((1, 20, 20), 5, np.uint8)
    published = made.copy()
    published[0, 7, :others] = 2
    assert CPU.beyond(CLASSES, made, published).sum() == count


def test_where_there_is_data_it_must_be():
    made, published = off_by(0)
    published[0, 0, 0] = NODATA
    assert CUDA.beyond(NDVI, made, published).sum() == 1
    assert CUDA.beyond(NDVI, made, None).all()


def test_it_says_what_it_is():
    assert str(CPU) == (
        "values off by no more than 1 stored step, and at least 99% of classes and tokens the same"
    )
    assert "5 stored steps, or 2.5% of their range, and at least 90% of classes" in str(CUDA)
    assert CPU.tokens_agree(99, 100) and not CPU.tokens_agree(98, 100) and CPU.tokens_agree(0, 0)
