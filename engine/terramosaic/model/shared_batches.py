"""Batches that blocks fill together: a GPU computes as many windows at once as it was opened for, or pads.

Alone, a block ends with a batch of few windows, and of each of its lattices. Blocks that are computed side by side
hand their windows to the same queue instead, and whoever finds a batch's worth there runs it, whosever they are.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from terramosaic.errors import TerramosaicError
from terramosaic.model.generator import GeneratorWithTokens, Needs, WindowRandomness, Windows

#: Batches in hand at once: one that is computed, and one that is copied meanwhile.
_AT_ONCE = 2

#: Seconds that windows wait for others: before anything is known of a batch's own, and at least.
_FIRST_PATIENCE, _LEAST_PATIENCE = 0.5, 0.01

_Made = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


class BatchedGenerator(GeneratorWithTokens, Protocol):
    """A model that computes so many windows at once, however few there are."""

    @property
    def batch_size(self) -> int:
        """Windows at once; fewer later, where the device has no room for them."""


@dataclass(eq=False)
class _Order:
    """Windows that one block wants, and what is made of them so far."""

    windows: Windows
    randomness: Mapping[str, WindowRandomness]
    wanted: tuple[str, ...]
    since: float
    taken: int = 0
    made: dict[int, _Made] = field(default_factory=dict)
    done: int = 0
    error: BaseException | None = None

    @property
    def count(self) -> int:
        return len(next(iter(self.windows.values())))

    @property
    def left(self) -> int:
        """Windows that no batch has yet."""
        return 0 if self.error else self.count - self.taken

    @property
    def is_over(self) -> bool:
        return self.error is not None or self.done == self.count

    def outcome(self) -> _Made:
        """What was made of all its windows, in their order."""
        if isinstance(self.error, TerramosaicError):
            # Each block adds to it what it happened in.
            raise copy.copy(self.error) from self.error
        if self.error is not None:
            raise self.error
        parts = [self.made[start] for start in sorted(self.made)]
        values, tokens = (_joined([part[kind] for part in parts]) for kind in (0, 1))
        return values, tokens


@dataclass(frozen=True)
class _Part:
    """Windows of an order that one batch takes."""

    order: _Order
    rows: slice

    @property
    def count(self) -> int:
        return int(self.rows.stop - self.rows.start)

    def settle(self, made: _Made | BaseException) -> None:
        if isinstance(made, BaseException):
            self.order.error = made
        else:
            self.order.made[self.rows.start] = made
            self.order.done += self.count


class BatchQueue:
    """Windows that blocks of this process want of a model, and which of them are its next batch."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._orders: list[_Order] = []
        self._members = 0
        self._running = 0
        self._patience = _FIRST_PATIENCE

    @contextmanager
    def taking_part(self) -> Iterator[None]:
        """A block is computed by this thread: its windows are waited for, as long as it lasts."""
        with self._changed:
            self._members += 1
        try:
            yield
        finally:
            with self._changed:
                self._members -= 1
                self._changed.notify_all()

    def put(self, order: _Order) -> None:
        with self._changed:
            self._orders.append(order)
            self._changed.notify_all()

    def next_batch(self, order: _Order, size: int) -> list[_Part]:
        """Windows for this thread to compute, as soon as there are any; none once its own order is over.

        Whatever it is given, it tells the outcome of: `took_in`.
        """
        with self._changed:
            while not order.is_over:
                if self._running < _AT_ONCE and (parts := self._full_batch(size) or self._what_is_left(size)):
                    self._running += 1
                    for part in parts:
                        part.order.taken = part.rows.stop
                    return parts
                # Nothing changes while the other blocks read their imagery.
                self._changed.wait(self._patience)
            self._orders.remove(order)
            return []

    def took_in(self, parts: Sequence[_Part], made: _Made | BaseException, seconds: float) -> None:
        """A batch was computed, or could not be."""
        with self._changed:
            self._running -= 1
            self._patience = max(_LEAST_PATIENCE, seconds)
            start = 0
            for part in parts:
                part.settle(made if isinstance(made, BaseException) else _cut(made, start, part.count))
                start += part.count
            self._changed.notify_all()

    def _full_batch(self, size: int) -> list[_Part]:
        """Windows of those that want the same, the oldest first, if they fill a batch."""
        for wanted in dict.fromkeys(order.wanted for order in self._orders if order.left):
            orders = [order for order in self._orders if order.wanted == wanted]
            if sum(order.left for order in orders) >= size:
                return _taken(orders, size)
        return []

    def _what_is_left(self, size: int) -> list[_Part]:
        """The same of a batch that does not become full, if it is time for it."""
        oldest = next((order for order in self._orders if order.left), None)
        if oldest is None or self._running:
            return []
        all_wait = sum(not order.is_over for order in self._orders) >= self._members
        if not all_wait and time.monotonic() - oldest.since < self._patience:
            return []
        return _taken([order for order in self._orders if order.wanted == oldest.wanted], size)


class SharedBatches:
    """A model whose batches hold windows of several blocks; only for one that computes each window by itself.

    A batch runs as soon as it is full. One that is not runs when no other windows can come: all blocks that take part
    wait, or none came for as long as a batch takes, while the device had nothing to do.

    Args:
        model: what computes. Its numbers of a window must not depend on the others; see `with_shared_batches`.
        queue: the model's, in all blocks the same one.
    """

    def __init__(self, model: BatchedGenerator, queue: BatchQueue) -> None:
        self._model, self._queue = model, queue

    @property
    def targets(self) -> tuple[str, ...]:
        return self._model.targets

    @property
    def needs(self) -> Mapping[str, Needs]:
        return self._model.needs

    def taking_part(self) -> AbstractContextManager[None]:
        """For as long as this thread computes a block: its windows are waited for."""
        return self._queue.taking_part()

    def generate(
        self,
        windows: Windows,
        randomness: Mapping[str, WindowRandomness],
        wanted: Collection[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """Generates targets for a batch of windows; see `terramosaic.model.generator.Generator`."""
        return self.generate_with_tokens(windows, randomness, wanted=wanted)[0]

    def generate_with_tokens(
        self,
        windows: Windows,
        randomness: Mapping[str, WindowRandomness],
        chain: Mapping[str, np.ndarray] | None = None,
        wanted: Collection[str] | None = None,
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """As `generate`, with tokens; see `terramosaic.model.generator.GeneratorWithTokens`."""
        if chain is not None:  # as where a map is verified: few windows
            return self._model.generate_with_tokens(windows, randomness, chain, wanted)
        made = tuple(target for target in self.targets if wanted is None or target in wanted)
        order = _Order(windows, randomness, made, time.monotonic())
        self._queue.put(order)
        while parts := self._queue.next_batch(order, self._model.batch_size):
            started = time.monotonic()
            outcome: _Made | BaseException
            try:
                outcome = self._computed(parts)
            except BaseException as error:  # for all whose windows these are
                outcome = error
            self._queue.took_in(parts, outcome, time.monotonic() - started)
        return order.outcome()

    def _computed(self, parts: Sequence[_Part]) -> _Made:
        first = parts[0].order
        windows, randomness = first.windows, first.randomness
        if len(parts) > 1 or parts[0].count < first.count:
            windows = {
                name: np.concatenate([part.order.windows[name][part.rows] for part in parts])
                for name in first.windows
            }
            randomness = {name: _random_of(name, parts) for name in first.randomness}
        return self._model.generate_with_tokens(windows, randomness, None, first.wanted)


def _taken(orders: Sequence[_Order], most: int) -> list[_Part]:
    """The next windows of some orders, one after the other, up to so many."""
    parts = []
    for order in orders:
        if count := min(order.left, most):
            parts.append(_Part(order, slice(order.taken, order.taken + count)))
            most -= count
    return parts


def _random_of(target: str, parts: Sequence[_Part]) -> WindowRandomness:
    """A target's randomness for the windows of a batch; orders that want the same have the same kinds of it."""
    given = [part.order.randomness[target].of(part.rows) for part in parts]
    noise = [random.noise for random in given if random.noise is not None]
    uniform = [random.uniform for random in given if random.uniform is not None]
    return WindowRandomness(
        np.concatenate(noise) if noise else None, np.concatenate(uniform) if uniform else None
    )


def _cut(made: _Made, start: int, count: int) -> _Made:
    values, tokens = ({name: array[start : start + count] for name, array in kind.items()} for kind in made)
    return values, tokens


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    if len(parts) == 1:
        return dict(parts[0])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
