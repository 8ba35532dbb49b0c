"""Coordinates as TerraMind says them: two words on a grid of a quarter of a degree, such as ``lat=45.25 lon=7.50``.

Which number a word has, the tokenizer of TerraMind decides; a bundle holds that as a table. Source: terratorch's
``CoordsTokenizer``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from terramosaic.errors import ModelError, one_line

#: Words for a degree, and how many there are from -90 to 90 and from -180 to 180.
PER_DEGREE = 4

#: Tokens that a place is put in as: latitude, longitude, and what ends them.
TOKENS_OF_A_PLACE = 3

LATITUDES, LONGITUDES = 180 * PER_DEGREE + 1, 360 * PER_DEGREE + 1


@dataclass(frozen=True)
class Vocabulary:
    """Numbers of the words of coordinates.

    Attributes:
        latitudes: of -90 to 90 degrees, in steps of a quarter.
        longitudes: of -180 to 180 degrees, likewise.
        start: of what stands before the first word that is drawn.
        end: of what stands behind the words that are put in.
    """

    latitudes: tuple[int, ...]
    longitudes: tuple[int, ...]
    start: int
    end: int

    def __post_init__(self) -> None:
        for name, count in (("latitudes", LATITUDES), ("longitudes", LONGITUDES)):
            if len(getattr(self, name)) != count:
                raise ValueError(f"{name}: are {len(getattr(self, name))} words, and not {count}")
        words = [*self.latitudes, *self.longitudes, self.start, self.end]
        if len(set(words)) < len(words) or min(words) < 0:
            raise ValueError("two words have the same number, or one has none")

    def degrees(self, words: np.ndarray) -> np.ndarray:
        """What pairs of words say: int64 (N, 2) to float32 (N, 2), latitude and longitude in degrees.

        Both are NaN where the first word is no latitude or the second no longitude, as terratorch has it.
        """
        found = np.stack(
            [_looked_up(self.latitudes, words[:, 0], -90), _looked_up(self.longitudes, words[:, 1], -180)]
        )
        found[:, np.isnan(found).any(axis=0)] = np.nan
        return np.ascontiguousarray(found.T)


def places_on_grid(lonlat: np.ndarray) -> np.ndarray:
    """The words for places, counted from the south pole and the date line: floats (N, 2) to int64 (N, 2).

    Args:
        lonlat: longitude from -180 to 180 and latitude in degrees, in this order.

    Returns:
        Index of the latitude, and of the longitude, each the nearest on the grid; halves to the
        even one, as torch rounds.
    """
    degrees = lonlat[:, ::-1].astype(np.float64)
    quarters: np.ndarray = np.rint((degrees + np.array([90, 180])) * PER_DEGREE).astype(np.int64)
    return quarters


def read_vocabulary(path: Path) -> Vocabulary:
    """Reads a bundle's table.

    Raises:
        ModelError: it is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        numbers = {name: tuple(map(int, content[name])) for name in ("latitudes", "longitudes")}
        return Vocabulary(**numbers, start=int(content["start"]), end=int(content["end"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path}: is no vocabulary of coordinates: {one_line(error)}; export the bundle anew"
        ) from error


def write_vocabulary(vocabulary: Vocabulary, path: Path) -> None:
    """Writes the table of a bundle."""
    content: dict[str, Any] = asdict(vocabulary)
    path.write_text(json.dumps(content) + "\n", encoding="utf-8", newline="\n")


def _looked_up(words: Sequence[int], found: np.ndarray, first: int) -> np.ndarray:
    """Degrees of words, the first of which stands for ``first``: float32 (N,); NaN for other words."""
    numbers = np.array(words)
    order = np.argsort(numbers)
    at = order[np.searchsorted(numbers, found, sorter=order).clip(max=len(numbers) - 1)]
    degrees = (first + at / PER_DEGREE).astype(np.float32)
    return np.where(numbers[at] == found, degrees, np.float32(np.nan))
