"""The policy, on a workforce of ordinary threads whose blocks do what the test says."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from terramosaic.errors import CatalogError, ModelError, RunCancelledError, WorkerLostError
from terramosaic.run.scheduling import Job, blocks_failed, carry_out, what_stopped


class Crew:
    """Two workers; by block, what its tries end in, one after the other; a block that is not named is done."""

    def __init__(self, **ends: list[BaseException]) -> None:
        self._ends = ends
        self._pool = ThreadPoolExecutor(2)
        self._guard = threading.Lock()
        self.at_work: set[str] = set()
        self.tries: list[tuple[str, frozenset[str]]] = []

    def width(self) -> int:
        return 4

    def submit(self, plan: Any, block: Any) -> Future[Any]:
        return self._pool.submit(self._compute, block.id)

    def _compute(self, name: str) -> Any:
        with self._guard:
            self.tries.append((name, frozenset(self.at_work)))
            self.at_work.add(name)
        try:
            if self._ends.get(name):
                raise self._ends[name].pop(0)
            return SimpleNamespace(block=name)
        finally:
            with self._guard:
                self.at_work.remove(name)


class Recorder:
    def __init__(self) -> None:
        self.done: list[str] = []

    def block_done(self, block: Any, receipt: Any) -> None:
        assert receipt.block == block.id
        self.done.append(block.id)


def jobs(*names: str) -> list[Job]:
    plan: Any = SimpleNamespace(run_id="r", request=SimpleNamespace(out="nowhere"), items={})
    blocks: list[Any] = [SimpleNamespace(id=name) for name in names]
    return [Job(plan, block) for block in blocks]


def names_of(failures: Any) -> list[str]:
    return [failure.job.block.id for failure in failures]


ALL = [f"b{number}" for number in range(12)]


def test_a_block_that_fails_does_not_stop_the_others():
    recorder = Recorder()
    failures = carry_out(jobs(*ALL), Crew(b3=[CatalogError("lost")]), recorder)
    assert names_of(failures) == ["b3"] and what_stopped(failures) is None
    assert sorted(recorder.done) == sorted(set(ALL) - {"b3"})


def test_a_lost_workers_block_is_tried_once_more_alone_and_after_all_others():
    crew, recorder = Crew(b0=[WorkerLostError("SIGKILL")], b1=[WorkerLostError("SIGKILL")] * 2), Recorder()
    failures = carry_out(jobs(*ALL), crew, recorder)
    assert names_of(failures) == ["b1"] and what_stopped(failures) is None
    assert str(failures[0].error) == "block b1: both workers that computed it were lost (SIGKILL, SIGKILL)"
    assert {name for name, _ in crew.tries[-2:]} == {"b0", "b1"}
    assert [beside for _, beside in crew.tries[-2:]] == [frozenset()] * 2
    assert sorted(recorder.done) == sorted(set(ALL) - {"b1"})


def test_one_that_has_cost_two_workers_by_itself_is_not_tried_again():
    crew = Crew(b0=[WorkerLostError("hangs", tries=2)])
    assert names_of(carry_out(jobs(*ALL), crew, Recorder())) == ["b0"]
    assert len(crew.tries) == len(ALL)


def test_an_error_that_cannot_pass_stops_the_run():
    many = [f"b{number}" for number in range(200)]
    crew, recorder = Crew(b0=[ModelError("no device")]), Recorder()
    failures = carry_out(jobs(*many), crew, recorder)
    assert str(what_stopped(failures)) == "no device"
    # What was in hand by then came to its end, and nothing else was begun.
    assert len(crew.tries) == len(recorder.done) + 1 < len(many)
    assert str(blocks_failed([failures[0].error], 200)) == (
        "failed, 1 of 200 blocks: no device; what is finished is kept, run the same request again to compute the rest"
    )


def test_workers_lost_one_after_the_other_stop_the_run():
    many = [f"b{number}" for number in range(200)]
    crew = Crew(**{name: [WorkerLostError("SIGKILL")] * 2 for name in many})
    failures = carry_out(jobs(*many), crew, Recorder())
    assert "one after the other" in str(what_stopped(failures))
    assert len(crew.tries) < len(many)


@pytest.mark.parametrize("error", [RunCancelledError("stopped"), KeyError("a bug")])
def test_what_is_no_blocks_failure_goes_through(error):
    with pytest.raises(type(error)):
        carry_out(jobs(*ALL), Crew(b5=[error]), Recorder())
