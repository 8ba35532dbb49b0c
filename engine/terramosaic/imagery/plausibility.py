"""Whether a scene's pixels can be a picture of the ground at all: judged on coarse overviews. Pure.

Catalogs have offered tiles whose 10 m bands hold 64 000 to 65 000 everywhere, under a scene classification that says
"no data" (Element84/earth-search 78), bands of one number, and bands of another place. Such a scene maps to nonsense
without a word, so it is left out for the run. A good one must never be: every threshold lies far from what real scenes
show (the figure beside each), and where there is too little to judge by, nothing is said. Water and cloud tell little,
so most questions are asked over land alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from terramosaic.bands import S2L2A_BANDS

#: The overviews to look at, as far as a scene has them and the model reads them: any band can be broken by itself, and
#: none tells of another.
LOOKED_AT = (*S2L2A_BANDS, "SCL")

#: The fewest that show the archetype; for files whose overviews cost as much as the whole (JPEG 2000).
LEAST_LOOKED_AT = ("B04", "B08", "B8A", "SCL")

#: Pixels of a coarse picture by which anything is said.
_FEWEST_PIXELS = 500

#: Longest side of the lattice on which bands of different shapes are compared.
_SIDE = 256

#: Share of the pixels with imagery that SCL may call no data, or defective: at most 0.0001 of twelve real scenes, swath
#: rims included; 0.92 of the archetype. What is as bright as this is truly saturated, not contradicted.
_CONTRADICTED, _SATURATED = 0.2, 10_000

#: SCL's last class, and the share of it that may hold something else: at most 0.0001 of real ones, where lossy
#: compression has made a 12 of 11. Another layer in its place would be taken for clear ground.
_LAST_CLASS, _NO_CLASS = 11, 0.05

#: No reflectance is that high (with or without the +1000): the brightest cloud of twelve scenes has 19 323. It may
#: stand in this share of a band's pixels.
_IMPOSSIBLE, _IMPOSSIBLE_SHARE = 30_000, 0.05

#: What marks saturation in Sentinel-2's products. It is honest on clouds, glint and snow, never on much land.
_SPECIAL = 65_535

#: Land is never that bright: none of the real scenes' is, a Sahara tile's included.
_TOO_BRIGHT, _TOO_BRIGHT_SHARE = 18_000, 0.1

#: Land is brighter than this in some band; if not, its numbers are those of an 8-bit picture. Of real scenes' brightest
#: bands the 99th percentile over land is 4 335 at least.
_EIGHT_BIT = 255

#: A band is flat if one number fills this share of it: 0.017 of the flattest real one. Negative reflectances of dark
#: water are cut off at these numbers, which may well fill a band, but not all of them.
_FLAT, _CUT_OFF = 0.9, (1, 1000, 1001)

#: Two bands hold the same numbers in this share of the pixels if one's file stands in the other's place: 0.02 of real
#: ones at most (B07 and B8A of a desert).
_SAME = 0.5

#: A band that is cut off in this share of the land holds nothing: none of the real ones is in 0.001. Visible bands are
#: judged where another of them is brighter than this, for haze that is overrated cuts them off over forests.
_EMPTY, _BRIGHT = 0.5, 600

#: A band that goes with none of its neighbours in the spectrum has |r| of ranks below the first number with each, while
#: one of these goes with another by more than the second. Real ones: 0.60 at least. Even bands, of less than such a
#: spread, tell nothing.
_UNRELATED, _RELATED, _SPREAD = 0.1, 0.5, 100.0

_VISIBLE = ("B01", "B02", "B03", "B04")
_NEIGHBOURS = {
    "B01": ("B02",), "B02": ("B01", "B03"), "B03": ("B02", "B04"), "B04": ("B03", "B05"), "B05": ("B04", "B06"),
    "B06": ("B05", "B07"), "B07": ("B06", "B08", "B8A"), "B08": ("B07", "B8A"), "B8A": ("B08", "B07", "B09"),
    "B09": ("B8A", "B08"), "B11": ("B12",), "B12": ("B11",),
}  # fmt: skip
_NO_DATA, _DEFECTIVE, _LAND = 0, 1, (4, 5)


@dataclass(frozen=True)
class Plausibility:
    """What overviews of a scene show.

    Attributes:
        reasons: what is wrong, a line each; of a plausible scene, or one that shows too little, none.
        figures: the evidence by name, the worst band's each; shares from 0 to 1.
    """

    reasons: tuple[str, ...]
    figures: dict[str, float]


@dataclass(frozen=True)
class _Picture:
    """The bands on one lattice.

    Attributes:
        bands: band -> uint16 (height, width).
        scl: uint8 (height, width), or None.
        seen: bool (height, width): with imagery, and so are the pixels beside it.
        land: bool (height, width): seen, and vegetation or bare ground as SCL says; without SCL nothing.
        declaring: bands that are 0 only where their files say that they have no data.
    """

    bands: dict[str, np.ndarray]
    scl: np.ndarray | None
    seen: np.ndarray
    land: np.ndarray
    declaring: frozenset[str]


#: (name of a figure, its worst value, what is wrong if it is too much)
_Finding = tuple[str, float, list[str]]


def plausibility(overviews: Mapping[str, np.ndarray], declaring: Collection[str] = ()) -> Plausibility:
    """Judges a scene.

    Args:
        overviews: raw digital numbers of whole bands at a coarse scale, and ``SCL``; their shapes may differ. Of the
            bands in `LOOKED_AT` those that are at hand.
        declaring: bands whose files declare by a mask or a number of their own where they have no data, which is 0
            here: they are not accused of it.
    """
    picture = _picture(overviews, frozenset(declaring))
    figures = {"pixels": float(picture.seen.sum()), "land_pixels": float(picture.land.sum())}
    reasons: list[str] = []
    for rule in _RULES:
        for name, worst, found in rule(picture):
            figures[name] = round(worst, 6)
            reasons += found
    return Plausibility(tuple(reasons), figures)


def _picture(overviews: Mapping[str, np.ndarray], declaring: frozenset[str]) -> _Picture:
    shape = tuple(
        min(_SIDE, *sides) for sides in zip(*(layer.shape for layer in overviews.values()), strict=True)
    )
    on_lattice = {name: _sampled(layer, shape) for name, layer in overviews.items()}
    scl = on_lattice.pop("SCL", None)
    bands = {band: on_lattice[band] for band in S2L2A_BANDS if band in on_lattice}
    holes = sum(((layer == 0).astype(np.uint8) for layer in bands.values()), np.zeros(shape, np.uint8))
    # At a swath's rim, and where a datatake begins, bands and SCL end at different pixels.
    seen = _without_rim(holes * 3 <= len(bands)) if bands else np.zeros(shape, bool)
    land = seen & np.isin(scl, _LAND) if scl is not None else np.zeros(shape, bool)
    return _Picture(bands, scl, seen, land, declaring)


def _sampled(layer: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    rows, cols = (
        ((np.arange(n) + 0.5) * size / n).astype(int) for n, size in zip(shape, layer.shape, strict=True)
    )
    sampled: np.ndarray = layer[np.ix_(rows, cols)]
    return sampled


def _without_rim(mask: np.ndarray) -> np.ndarray:
    """Without the pixels beside which, in the eight directions, one is False."""
    across = mask & np.pad(mask, 1, mode="edge")[1:-1, :-2] & np.pad(mask, 1, mode="edge")[1:-1, 2:]
    both: np.ndarray = (
        across & np.pad(across, 1, mode="edge")[:-2, 1:-1] & np.pad(across, 1, mode="edge")[2:, 1:-1]
    )
    return both


def _against_scl(picture: _Picture) -> Iterator[_Finding]:
    """Pixels with imagery that SCL calls no data or, though they are not saturated, defective, or nothing at all."""
    if picture.scl is None or not _enough(picture.seen):
        return
    scl = picture.scl[picture.seen]
    brightest = np.max([layer[picture.seen] for layer in picture.bands.values()], axis=0)
    share = float(np.mean((scl == _NO_DATA) | ((scl == _DEFECTIVE) & (brightest < _SATURATED))))
    text = f"SCL calls {share:.0%} of the pixels that have imagery no data or defective"
    yield "against_scl", share, [text] if share >= _CONTRADICTED else []
    share = float(np.mean(scl > _LAST_CLASS))
    text = f"SCL is above {_LAST_CLASS} in {share:.0%} of its pixels, which is no class"
    yield "no_class", share, [text] if share >= _NO_CLASS else []


def _too_high(picture: _Picture) -> Iterator[_Finding]:
    """Numbers that no reflectance reaches anywhere, and none over land."""
    yield _per_band(
        picture,
        "impossible",
        lambda band, dn: (picture.seen, (dn > _IMPOSSIBLE) & (dn != _SPECIAL)),
        _IMPOSSIBLE_SHARE,
        "no reflectance is above 30000, as {share:.0%} of {bands} are",
    )
    yield _per_band(
        picture,
        "too_bright",
        lambda band, dn: (picture.land, dn > _TOO_BRIGHT),
        _TOO_BRIGHT_SHARE,
        "no clear land is brighter than 18000, as {share:.0%} of it are in {bands}",
    )


def _too_low(picture: _Picture) -> Iterator[_Finding]:
    """Land that is dark in every band, as an 8-bit picture's numbers would have it."""
    if not _enough(picture.land) or not {"B08", "B8A"} & picture.bands.keys():
        return
    highest = max(float(np.percentile(layer[picture.land], 99)) for layer in picture.bands.values())
    text = "no band holds numbers above 255 over land, like a picture of 8 bits"
    yield "highest_over_land", highest, [text] if highest <= _EIGHT_BIT else []


def _without_content(picture: _Picture) -> Iterator[_Finding]:
    """Bands of one number, and bands that are cut off where there is light."""
    seen = picture.seen
    same = {band: _commonest(dn, seen) for band, dn in picture.bands.items()}
    # What dark water does to some bands it does not do to all.
    are_all_flat = _enough(seen) and all(layer[seen].mean() >= _FLAT for layer in same.values())
    honest = (0, _SPECIAL) if are_all_flat else (0, _SPECIAL, *_CUT_OFF)
    yield _per_band(
        picture,
        "flat",
        lambda band, dn: (seen, same[band] & ~np.isin(dn, honest)),
        _FLAT,
        "{share:.0%} of {bands} are one and the same number",
    )
    yield _per_band(
        picture,
        "empty",
        lambda band, dn: (_lit(picture, band), _is_nothing(picture, band, dn)),
        _EMPTY,
        "over {share:.0%} of the ground that other bands show there is nothing in {bands}",
    )


def _commonest(dn: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Where a band holds its most frequent number."""
    same: np.ndarray = dn == (np.bincount(dn[seen]).argmax() if seen.any() else 0)
    return same


def _is_nothing(picture: _Picture, band: str, dn: np.ndarray) -> np.ndarray:
    """Where a band holds no reflectance above 0, other than as its file declares."""
    # Of a visible band 1000 is one where no offset was added.
    nothing: np.ndarray = (dn == 1) if band in _VISIBLE else np.isin(dn, _CUT_OFF)
    return nothing if band in picture.declaring else nothing | (dn == 0)


def _copied(picture: _Picture) -> Iterator[_Finding]:
    """Bands that hold the same numbers: one's file stands in another's place."""
    if not _enough(picture.seen):
        return
    layers = {band: layer[picture.seen] for band, layer in picture.bands.items()}
    telling = {band: ~np.isin(layer, (0, _SPECIAL, *_CUT_OFF)) for band, layer in layers.items()}
    worst, same = 0.0, []
    for band, other in combinations(layers, 2):
        share = float(((layers[band] == layers[other]) & telling[band]).mean())
        worst = max(worst, share)
        if share >= _SAME:
            same += [band, other]
    text = f"{_listed(list(dict.fromkeys(same)))} hold the same numbers"
    yield "same_numbers", worst, [text] if same else []


def _lit(picture: _Picture, band: str) -> np.ndarray:
    """Where a band must have a reflectance above 0."""
    if band not in _VISIBLE:
        return picture.land
    others = [
        picture.bands[other] > _BRIGHT for other in _VISIBLE if other in picture.bands and other != band
    ]
    lit: np.ndarray = picture.seen & (np.any(others, axis=0) if others else False)
    return lit


def _unrelated(picture: _Picture) -> Iterator[_Finding]:
    """Bands that show something else than their neighbours in the spectrum do, over land."""
    if not _enough(picture.land):
        return
    names = list(picture.bands)
    layers = [layer[picture.land] for layer in picture.bands.values()]
    spread = [float(layer.std()) for layer in layers]
    # Of ranks: a few saturated roofs would outweigh all the land.
    ranks = [_ranks(layer) for layer in layers]
    with np.errstate(divide="ignore", invalid="ignore"):
        related = np.abs(np.nan_to_num(np.atleast_2d(np.corrcoef(ranks))))
    np.fill_diagonal(related, 0)
    least, strangers = 1.0, []
    for index, band in enumerate(names):
        others = [names.index(other) for other in _NEIGHBOURS[band] if other in names]
        # One that goes with no other band, or is even, tells nothing of this one.
        sound = [
            other
            for other in others
            if spread[other] >= _SPREAD and np.delete(related[other], index).max(initial=0) > _RELATED
        ]
        if not sound or spread[index] < _SPREAD:
            continue
        closest = float(related[index, others].max())
        least = min(least, closest)
        if closest < _UNRELATED:
            strangers.append(band)
    text = f"nothing of what the neighbouring bands show is in {_listed(strangers)}"
    yield "least_related", least, [text] if strangers else []


def _ranks(numbers: np.ndarray) -> np.ndarray:
    """How many of the numbers are smaller than each."""
    counts = np.bincount(numbers)
    ranks: np.ndarray = (np.cumsum(counts) - counts)[numbers]
    return ranks


def _per_band(
    picture: _Picture,
    name: str,
    ask: Callable[[str, np.ndarray], tuple[np.ndarray, np.ndarray]],
    limit: float,
    text: str,
) -> _Finding:
    """Asks each band where it is judged and where it fails there; those whose share reaches the limit are told."""
    shares = {}
    for band, dn in picture.bands.items():
        judged, failing = ask(band, dn)
        if _enough(judged):
            shares[band] = float(np.mean(failing[judged]))
    worst = max(shares.values(), default=0.0)
    wrong = [band for band, share in shares.items() if share >= limit]
    return name, worst, [text.format(bands=_listed(wrong), share=worst)] if wrong else []


def _listed(bands: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(bands[:-1]), *bands[-1:])))


def _enough(judged: np.ndarray) -> bool:
    return int(judged.sum()) >= _FEWEST_PIXELS


_RULES = (_against_scl, _too_high, _too_low, _without_content, _copied, _unrelated)
