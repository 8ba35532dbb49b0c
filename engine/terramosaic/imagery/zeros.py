"""A zero in some bands of a pixel: where nothing was seen, and where one number is missing.

Level-2A writes 0 for no data, and for a reflectance that its correction took below 0, as over lakes and in shadow; a
defective or saturated detector leaves one, too. So a pixel is no hole because of one band. At the rim of a swath, where
the detectors of some bands have ended already, most of a spectrum is missing.

Pure, and each pixel by itself: so that blocks agree.
"""

from __future__ import annotations

import numpy as np

from terramosaic.imagery.marks import Mark

#: Classes of the scene classification: no data; saturated or defective; those of dark ground: dark features or relief's
#: shadow, cloud shadow, water.
_NO_DATA, _DEFECTIVE, _DARK = 0, 1, (2, 3, 6)

#: Below this (a reflectance of 0.1) a band is dark, so that its neighbour may have been corrected to nothing.
_BRIGHT = 1000

#: Where all bands are below this, what is called defective is the border of no data, of which lossy files keep a trace.
_FAINT = 100


def mend(dn: np.ndarray, scl: np.ndarray, whole: np.ndarray, *, cirrus: int | None = None) -> np.ndarray:
    """Puts zeros of pixels right that were seen in other bands; see `mended`.

    Args:
        dn: uint16 (bands, height, width), harmonised, 0 where a band has no data; changed in place.
        scl: scene classification (height, width).
        whole: bool (height, width): pixels that have all bands, or that nobody asks for.
        cirrus: which band of L1C is that of cirrus, if it is among them: the others tell whether a pixel was seen, and
            there it is 1 where it is 0, as dark as a clear sky.

    Returns:
        Bool (height, width): pixels that were put right. They have all bands now.
    """
    repaired: np.ndarray = ~whole & (scl != _NO_DATA)
    if repaired.any():
        spectra = dn[:, repaired]
        ground = [band for band in range(len(dn)) if band != cirrus]
        spectra[ground], seen = mended(spectra[ground], scl[repaired])
        if cirrus is not None:
            spectra[cirrus] = np.where(seen, np.maximum(spectra[cirrus], 1), spectra[cirrus])
        dn[:, repaired] = spectra
        repaired[repaired] = seen
    return repaired


def marks_of_unseen(dn: np.ndarray, scl: np.ndarray, declared: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """What is known of pixels that were asked for and not seen.

    Args:
        dn: uint16 (bands, height, width), as `mend` has left it.
        scl: scene classification (height, width).
        declared: bool (height, width): a file's own mask says that a band has no data.
        unseen: bool (height, width): the pixels.

    Returns:
        Marks, uint8 (height, width): nothing in any band, a spectrum in part that is called no data, or in part without
        being called so; `Mark.NOT_READ` of all other pixels.
    """
    marks = np.full(unseen.shape, Mark.NOT_READ, np.uint8)
    if unseen.any():
        called = declared[unseen] | (scl[unseen] == _NO_DATA)
        told = np.where(called, np.uint8(Mark.NO_DATA), np.uint8(Mark.UNMARKED))
        marks[unseen] = np.where((dn[:, unseen] != 0).any(axis=0), told, np.uint8(Mark.MISSING))
    return marks


def mended(spectra: np.ndarray, scl: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Replaces zeros in spectra that have them.

    A zero beside a dark band, its nearest one towards either end that is not 0, becomes 1: the least reflectance. One
    that has bright bands on both sides, or that is called saturated, becomes the largest of the pixel's bands. A pixel
    with many of that kind was not seen, nor one with half of its bands missing, unless it is classified as dark ground;
    nor where the scene classification says no data.

    Measured at 120 m on ten scenes of tiles 33TWL and 33TWM (August 2023, four bands): of 21 963 pixels within 720 m of
    no data that lack some bands, 21 889 are not seen; of 1 023 elsewhere, in shadow mostly, 940 are.

    Args:
        spectra: uint16 (bands, pixels), harmonised, in the order of wavelengths.
        scl: scene classification (pixels,).

    Returns:
        The spectra, with zeros replaced where a pixel was seen, and bool (pixels,): where it was.
    """
    zero, largest = spectra == 0, spectra.max(axis=0, initial=0)
    defective = scl == _DEFECTIVE
    bright = zero & (defective | (_darkest_neighbour(spectra) >= _BRIGHT))
    bands, zeros = len(spectra), zero.sum(axis=0)
    seen = (
        (scl != _NO_DATA)
        & (zeros < bands)
        & ((2 * zeros < bands) | np.isin(scl, _DARK))
        & (bright.sum(axis=0) <= max(1, bands // 4))
        & ~(defective & (largest < _FAINT))
    ) | (zeros == 0)
    replaced = np.where(bright, largest, np.uint16(1))
    return np.where(zero & seen, replaced, spectra), seen


def _darkest_neighbour(spectra: np.ndarray) -> np.ndarray:
    """The smaller of the nearest numbers that are not 0 before and after each band: uint16 (bands, pixels)."""
    none = np.uint16(np.iinfo(np.uint16).max)
    before, after = np.empty_like(spectra), np.empty_like(spectra)
    for neighbours, order in ((before, range(len(spectra))), (after, range(len(spectra) - 1, -1, -1))):
        nearest = np.full(spectra.shape[1:], none)
        for band in order:
            neighbours[band] = nearest
            nearest = np.where(spectra[band] != 0, spectra[band], nearest)
    darkest: np.ndarray = np.minimum(before, after)
    return darkest
