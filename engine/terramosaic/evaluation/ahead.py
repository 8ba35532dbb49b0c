"""Streams: prepared by threads in order, a bounded number ahead, unlike `ThreadPoolExecutor.map`; and in batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def ahead(
    pool: ThreadPoolExecutor, prepare: Callable[[_Key], _Value], keys: Iterable[_Key], width: int
) -> Iterator[tuple[_Key, Future[_Value]]]:
    """Each key with what is made of it, in order; so many more are begun before the first is handed on."""
    waiting: deque[tuple[_Key, Future[_Value]]] = deque()
    for key in keys:
        waiting.append((key, pool.submit(prepare, key)))
        if len(waiting) > width:
            yield waiting.popleft()
    yield from waiting


def batched(values: Iterable[_Value], size: int) -> Iterator[list[_Value]]:
    """All values, so many at a time; the last ones may be fewer."""
    batch: list[_Value] = []
    for value in values:
        batch.append(value)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
