"""Which products of Sentinel-2 windows are cut from, and which bands are read for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from terramosaic.bands import INPUT_BANDS, L1C, L2A, RGB

#: The inputs that are products of Sentinel-2.
PRODUCTS = (L2A, L1C, RGB)


@dataclass(frozen=True)
class OpticalBands:
    """What is read of a scene: bands of the level that leads, and behind them those of the L1C beside it.

    L2A leads where anything is made of it, for it tells what is cloud; its true colour is made of its bands.

    Attributes:
        level: that leads.
        bands: of it: in the order in which the model takes S2L2A, else of wavelengths.
        beside: of the L1C of the same acquisition, where L2A leads.
        inputs: which are cut from them, the one that leads first, and of which bands.
    """

    level: Literal["L1C", "L2A"]
    bands: tuple[str, ...]
    beside: tuple[str, ...]
    inputs: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, inputs: Collection[str], taken: Mapping[str, Sequence[str]]) -> OpticalBands | None:
        """What is read for some inputs; None where none is a product of Sentinel-2.

        Args:
            inputs: of a request.
            taken: the bands that a model takes of each of its inputs.
        """
        asked = {name: tuple(taken[name]) for name in PRODUCTS if name in inputs}
        if not asked:
            return None
        of_l1c = _in_order(asked.get(L1C, ()), L1C)
        of_l2a = tuple(dict.fromkeys((*asked.get(L2A, ()), *_in_order(asked.get(RGB, ()), L2A))))
        if not of_l2a:
            return cls("L1C", of_l1c, (), asked)
        leading = {name: asked[name] for name in (L2A, RGB, L1C) if name in asked}
        return cls("L2A", of_l2a, of_l1c, leading)

    @property
    def lead(self) -> str:
        """The input that leads."""
        return next(iter(self.inputs))

    @property
    def tells_clouds(self) -> bool:
        """Whether there is a scene classification."""
        return self.level == "L2A"

    def planes(self, name: str) -> list[int]:
        """Where the bands of an input are among all that are read."""
        if name == L1C and self.level == "L2A":
            return [len(self.bands) + self.beside.index(band) for band in self.inputs[name]]
        return [self.bands.index(band) for band in self.inputs[name]]


def is_of_sentinel_2(inputs: Collection[str]) -> bool:
    """Whether any of some inputs is a product of Sentinel-2."""
    return not set(PRODUCTS).isdisjoint(inputs)


def _in_order(bands: Collection[str], name: str) -> tuple[str, ...]:
    return tuple(band for band in INPUT_BANDS[name] if band in bands)
