"""Batches that blocks fill together: what comes out, how full they are, and that nobody waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import terramosaic.model.shared_batches
from terramosaic.errors import ModelError
from terramosaic.model.bundle import load_bundle
from terramosaic.model.generator import BATCH_SIZES, GenerationOptions, Needs, WindowRandomness
from terramosaic.model.opening import open_generator
from terramosaic.model.shared_batches import BatchQueue, SharedBatches
from terramosaic.model.sharing import depends_on_others, with_shared_batches
from tests.support.services import wait_for
from tests.unit.model.toy_terramind import make_toy

BATCH = 8


class Model:
    """Adds noise to windows, batch after batch, and remembers how many windows each had and what was wanted."""

    targets = ("NDVI", "LULC")
    batch_size = BATCH

    def __init__(self, before: Callable[[], None] = lambda: None, after=lambda values: values) -> None:
        self.needs = {"NDVI": Needs(1, True), "LULC": Needs(0, True)}
        self.runs: list[tuple[int, tuple[str, ...]]] = []
        self._before, self._after = before, after
        self._guard = threading.Lock()

    def generate_with_tokens(self, windows, randomness, chain=None, wanted=None):
        self._before()
        given = windows["S2L2A"]
        with self._guard:
            self.runs.append((len(given), tuple(wanted or self.targets)))
        tokens = {name: (randomness[name].uniform * 10).astype(np.int64) for name in self.targets}
        values = {"NDVI": given + randomness["NDVI"].noise if "NDVI" in (wanted or ["NDVI"]) else None}
        values["LULC"] = given * tokens["LULC"][:, None]
        return self._after({name: values[name] for name in wanted or self.targets}), tokens

    def generate(self, windows, randomness, wanted=None):
        return self.generate_with_tokens(windows, randomness, None, wanted)[0]


def windows_of(count: int, seed: int):
    rng = np.random.default_rng(seed)
    noise, uniform = rng.random((count, 1, 2, 2), np.float32), rng.random((count, 2, 2), np.float32)
    windows = {"S2L2A": rng.random((count, 1, 2, 2), np.float32)}
    return windows, {"NDVI": WindowRandomness(noise, uniform), "LULC": WindowRandomness(None, uniform)}


def compute_blocks(model, sizes: list[list[int]], *, wanted=None, at_once: int = 4) -> list:
    """Blocks side by side, each with batches of so many windows; returns what each got."""
    queue = BatchQueue()

    def block(number: int):
        shared = SharedBatches(model, queue)
        with shared.taking_part():
            return [
                shared.generate_with_tokens(*windows_of(count, 100 * number + index), wanted=wanted)
                for index, count in enumerate(sizes[number])
            ]

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(block, range(len(sizes))))


SIZES = [[8, 8, 3], [8, 5], [1], [8, 8, 8, 8, 7], [6], [8, 2], [3, 3, 3], [8, 4]]


def test_each_block_gets_what_it_would_get_alone():
    found = compute_blocks(Model(), SIZES)
    for number, batches in enumerate(found):
        for index, (values, tokens) in enumerate(batches):
            alone = Model().generate_with_tokens(*windows_of(SIZES[number][index], 100 * number + index))
            for ours, theirs in ((values, alone[0]), (tokens, alone[1])):
                assert ours.keys() == theirs.keys()
                for name in ours:
                    np.testing.assert_array_equal(ours[name], theirs[name])


def test_each_window_is_computed_once():
    model = Model()
    compute_blocks(model, SIZES)
    assert sum(count for count, _ in model.runs) == sum(map(sum, SIZES))
    assert max(count for count, _ in model.runs) == BATCH


class TestWhenABatchRuns:
    """Two blocks take part, and nothing is due to how fast this machine is: nobody's patience ends."""

    @pytest.fixture
    def queue(self, monkeypatch):
        monkeypatch.setattr(terramosaic.model.shared_batches, "_FIRST_PATIENCE", 600)
        monkeypatch.setattr(terramosaic.model.shared_batches, "_LEAST_PATIENCE", 600)
        return BatchQueue()

    def order(self, model, queue, count):
        """A block that wants so many windows, and computes what it is given, in a thread of its own."""
        has_begun = threading.Event()

        def block():
            with queue.taking_part():
                has_begun.set()
                SharedBatches(model, queue).generate(*windows_of(count, count))

        thread = threading.Thread(target=block, daemon=True)
        thread.start()
        assert has_begun.wait(60)
        return thread

    def test_it_is_full(self, queue):
        model = Model()
        with queue.taking_part():
            waits = self.order(model, queue, 11)
            wait_for("a full batch", lambda: model.runs)
            SharedBatches(model, queue).generate(*windows_of(5, 1))
            waits.join(30)
        assert [count for count, _ in model.runs] == [8, 8]

    def test_the_last_block_reads_no_more(self, queue):
        model = Model()
        with queue.taking_part():
            waits = self.order(model, queue, 11)
            wait_for("a full batch", lambda: model.runs)
            assert waits.is_alive()
            assert [count for count, _ in model.runs] == [8]
        waits.join(30)
        assert [count for count, _ in model.runs] == [8, 3]

    def test_all_blocks_wait(self, queue):
        model = Model()
        with queue.taking_part():
            waits = self.order(model, queue, 3)
            SharedBatches(model, queue).generate(*windows_of(2, 1))
            waits.join(30)
        assert [count for count, _ in model.runs] == [5]


def test_windows_of_which_other_targets_are_wanted_are_not_mixed():
    model, queue = Model(), BatchQueue()

    def block(wanted):
        shared = SharedBatches(model, queue)
        with shared.taking_part():
            return shared.generate(*windows_of(5, 1), wanted=wanted)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(block, [("NDVI",), ("LULC",)]))
    assert [tuple(values) for values in found] == [("NDVI",), ("LULC",)]
    assert sorted(model.runs) == [(5, ("LULC",)), (5, ("NDVI",))]


def test_a_block_that_reads_for_long_is_not_waited_for():
    model, queue = Model(), BatchQueue()
    shared, reading = SharedBatches(model, queue), threading.Event()

    def slow():
        with shared.taking_part():
            reading.wait(30)

    other = threading.Thread(target=slow)
    other.start()
    with shared.taking_part():
        shared.generate(*windows_of(3, 1))
    assert model.runs == [(3, model.targets)]
    reading.set()
    other.join()


def test_more_windows_than_a_batch_are_several():
    model = Model()
    shared = SharedBatches(model, BatchQueue())
    values = shared.generate(*windows_of(19, 1))
    assert [count for count, _ in model.runs] == [8, 8, 3]
    np.testing.assert_array_equal(values["NDVI"], Model().generate(*windows_of(19, 1))["NDVI"])


def test_an_error_reaches_all_blocks_of_the_batch_each_with_its_own():
    together = threading.Barrier(2, timeout=30)

    def fails():
        raise ModelError("it failed")

    model, queue = Model(before=fails), BatchQueue()

    def block(name: str) -> str:
        shared = SharedBatches(model, queue)
        with shared.taking_part():
            together.wait()
            try:
                shared.generate(*windows_of(4, 1))
            except ModelError as error:
                return str(error.within(name))
        return "no error"

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(block, ["a", "b"])) == ["a: it failed", "b: it failed"]


class TestWhoShares:
    def test_one_that_computes_each_window_by_itself(self):
        assert not depends_on_others(Model(), *windows_of(3, 1))

    @pytest.mark.parametrize(
        "wrong",
        [
            pytest.param(lambda values: {"NDVI": values["NDVI"] + values["NDVI"].mean()}, id="the others"),
            pytest.param(
                lambda values: {"NDVI": values["NDVI"] + np.arange(len(values["NDVI"]))[:, None, None, None]},
                id="the place",
            ),
            pytest.param(lambda values: {"NDVI": values["NDVI"] + len(values["NDVI"])}, id="how many"),
        ],
    )
    def test_none_whose_numbers_hang_on(self, wrong):
        assert depends_on_others(Model(after=wrong), *windows_of(3, 1))

    def test_one_that_never_repeats_itself_loses_nothing(self):
        rng = np.random.default_rng(1)
        noisy = Model(after=lambda values: {"NDVI": values["NDVI"] + rng.random()})
        assert not depends_on_others(noisy, *windows_of(3, 1))

    @pytest.mark.parametrize(("batch_size", "is_shared"), [(4, True), (1, False)])
    def test_terramind_of_several_windows_a_run(self, batch_size, is_shared, tmp_path):
        toy = load_bundle(make_toy(tmp_path / "toy"))
        model = open_generator(
            toy, ("NDVI", "LULC"), options=GenerationOptions(steps=2), batch_size=batch_size, threads=1
        )
        found = [with_shared_batches(model, toy, ("S2L2A",)) for _ in range(2)]
        assert [isinstance(each, SharedBatches) for each in found] == [is_shared] * 2
        if is_shared:
            assert found[0]._queue is found[1]._queue


def test_a_gpu_computes_as_many_windows_as_a_block_hands_over():
    assert BATCH_SIZES["cuda"].call == BATCH_SIZES["cuda"].terramind
