"""Choosing pixels: a five-pixel world in which each pixel tells one story."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terramosaic.imagery.composite import Composite, Observation, best, clear_mask, fused, median


def observation(values, clear, valid=None):
    """One band and a copy of it times ten, one row of pixels."""
    valid = np.array(valid if valid is not None else [v > 0 for v in values], bool)[None]
    dn = np.where(valid, np.array([values], np.uint16), 0).astype(np.uint16)
    return Observation(np.stack([dn, dn * 10]), valid, np.array([clear], bool) & valid, np.zeros_like(valid))


#                     clear first | cloudy first, clear second | cloudy in both | gap, then cloudy | gap in both
def first():
    return observation([100, 101, 102, 0, 0], [1, 0, 0, 0, 0])


def second():
    return observation([200, 201, 202, 203, 0], [1, 1, 0, 0, 0])


ALL = np.ones((1, 5), bool)


def run(combine, observations, wanted=ALL):
    asked = []

    def observation(index):
        def seen(open_, missing):
            asked.append((index, open_.copy(), missing.copy()))
            return observations[index]

        return seen

    composite = Composite.empty(2, (1, 5))
    combine(composite, wanted, [observation(index) for index in range(len(observations))])
    return composite, asked


def test_best_takes_the_first_clear_then_the_first_valid():
    composite, _ = run(best, [first(), second()])
    assert composite.dn[0, 0].tolist() == [100, 201, 102, 203, 0]
    assert composite.valid[0].tolist() == [True, True, True, True, False]
    assert composite.cloudy[0].tolist() == [False, False, True, True, False]


@pytest.mark.parametrize("combine", [best, median])
def test_spectra_are_never_mixed_by_best_nor_bands_left_behind(combine):
    composite, _ = run(combine, [first(), second()])
    np.testing.assert_array_equal(composite.dn[1], composite.dn[0] * 10)


def test_best_asks_only_for_what_is_open_and_stops_when_nothing_is():
    clear = observation([9] * 5, [1] * 5)
    _, asked = run(best, [first(), clear, second()])
    assert [index for index, *_ in asked] == [0, 1]
    assert asked[1][1][0].tolist() == [False, True, True, True, True]
    assert asked[1][2][0].tolist() == [False, False, False, True, True]


def test_unwanted_pixels_stay_empty():
    wanted = np.array([[True, False, True, False, True]])
    composite, _ = run(best, [first(), second()], wanted)
    assert composite.dn[0, 0].tolist() == [100, 0, 102, 0, 0]


def test_an_acquisition_that_has_nothing_is_passed_over():
    composite, _ = run(best, [None, second()])
    assert composite.dn[0, 0].tolist() == [200, 201, 202, 203, 0]


def test_median_of_clear_observations():
    third = observation([310, 301, 302, 303, 304], [1, 1, 0, 1, 1])
    composite, _ = run(median, [first(), second(), third])
    # 100 200 310 -> 200; 201 301 -> 251; none clear -> best valid; only the third -> 303 and 304
    assert composite.dn[0, 0].tolist() == [200, 251, 102, 303, 304]
    assert composite.cloudy[0].tolist() == [False, False, True, False, False]


def test_scl_classes_that_hide_the_ground():
    scl = np.arange(12)
    assert scl[~clear_mask(scl)].tolist() == [0, 1, 3, 8, 9, 10]


def test_within_an_acquisition_a_clear_scene_is_not_hidden_by_a_valid_one():
    both = lambda: fused(2, (1, 5), lazy([first(), second()]))  # noqa: E731
    assert combined(median, [both()]).dn[0, 0].tolist() == [100, 201, 102, 203, 0]
    # Two scenes of one acquisition are one observation: the median of 100 and 310 it is, not of 100, 200 and 310.
    third = observation([310, 301, 302, 303, 304], [1, 1, 0, 1, 1])
    composite = combined(median, [both(), fused(2, (1, 5), lazy([third]))])
    assert composite.dn[0, 0].tolist() == [205, 251, 102, 303, 304]


def combined(combine, candidates):
    composite = Composite.empty(2, (1, 5))
    combine(composite, ALL, candidates)
    return composite


def lazy(observations):
    return [lambda *_, seen=seen: seen for seen in observations]


def test_a_repaired_spectrum_is_told_where_it_is_used():
    clear = observation([9] * 5, [1] * 5)
    clear.repaired[:] = [[1, 1, 0, 1, 0]]
    composite, _ = run(best, [first(), clear])
    assert composite.repaired[0].tolist() == [False, True, False, True, False]
    composite, _ = run(median, [first(), clear])
    assert composite.repaired[0].tolist() == [True, True, False, True, False]


#: What a scene shows of a pixel: nothing, something clouded, or the ground.
STORIES = st.sampled_from(["hole", "cloudy", "clear"])


@given(st.data())
def test_composites_are_those_of_a_plain_rule_for_each_pixel(data):
    """Scenes show parts of a rectangle and leave out what would not help; a pixel knows nothing of it."""
    shape = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    acquisitions, number = [], 0
    for _ in range(data.draw(st.integers(1, 3))):
        scenes = []
        for _ in range(data.draw(st.integers(1, 3))):
            stories = st.lists(STORIES, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])
            scenes.append((number, np.array(data.draw(stories)).reshape(shape)))
            number += 1
        acquisitions.append(scenes)

    def observer(scene, stories):
        def observe(open_, missing):
            clear, valid = stories == "clear", stories != "hole"
            helpful = open_ & (clear | missing)
            if not helpful.any():
                return None
            rows, cols = (np.flatnonzero(helpful.any(axis=axis)) for axis in (1, 0))
            inside = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
            valid = (valid & helpful)[inside]
            dn = np.where(valid, number_of(scene, shape)[:, *inside], 0).astype(np.uint16)
            repaired = valid & (scene % 2 == 0)
            return Observation(dn, valid, valid & clear[inside], repaired, inside, scene + 1)

        return observe

    for combine in (best, median):
        observers = [[observer(*scene) for scene in scenes] for scenes in acquisitions]
        if combine is median:
            candidates = [fused(2, shape, each) for each in observers]
        else:
            candidates = list(itertools.chain(*observers))
        composite = Composite.empty(2, shape)
        wanted = np.array(data.draw(st.lists(st.booleans(), min_size=shape[0] * shape[1],
                                             max_size=shape[0] * shape[1]))).reshape(shape)  # fmt: skip
        combine(composite, wanted, candidates)
        for pixel in np.ndindex(shape):
            flat = [(scene, stories[pixel]) for scenes in acquisitions for scene, stories in scenes]
            clear = [next((s for s, story in ((s, t[pixel]) for s, t in scenes) if story == "clear"), None)
                     for scenes in acquisitions]  # fmt: skip
            clear = [scene for scene in clear if scene is not None]
            used = (clear if combine is median else clear[:1]) or [s for s, story in flat if story != "hole"][
                :1
            ]
            if not wanted[pixel]:
                used = clear = []
            values = [number_of(scene, shape)[(slice(None), *pixel)] for scene in used]
            expected = np.rint(np.median(values, axis=0)).tolist() if used else [0, 0]
            assert composite.dn[(slice(None), *pixel)].tolist() == expected
            assert composite.valid[pixel] == bool(used)
            assert composite.cloudy[pixel] == (bool(used) and not clear)
            # A median is of several scenes, of which none is told.
            assert composite.acquisition[pixel] == (used[0] + 1 if used and combine is best else 0)
            assert composite.repaired[pixel] == any(scene % 2 == 0 for scene in used)


def number_of(scene, shape):
    """Digital numbers that tell scene, band and place."""
    return np.arange(2 * shape[0] * shape[1]).reshape(2, *shape) + 100 * (scene * scene % 11 + 1)
