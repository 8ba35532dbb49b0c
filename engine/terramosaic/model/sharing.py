"""Whose batches blocks may share: models that give a window the same bits in any place and beside any others.

No operator of TerraMind's graphs looks from one window to another, but a library may multiply the matrices of a batch
in pieces whose sums have another order here than there. What a device and its libraries do is seen, not believed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from threading import Lock
from weakref import WeakKeyDictionary

import numpy as np

from terramosaic.model.bundle import Bundle
from terramosaic.model.generator import Generator, WindowRandomness, Windows
from terramosaic.model.selftest import stored_windows
from terramosaic.model.shared_batches import BatchedGenerator, BatchQueue, SharedBatches
from terramosaic.model.terramind import TerraMindGenerator

logger = logging.getLogger(__name__)

#: By model its queue, or None where blocks share no batches. A model that is let go takes its device's memory along.
_queues: WeakKeyDictionary[Generator, BatchQueue | None] = WeakKeyDictionary()
_deciding = Lock()


def with_shared_batches(model: Generator, bundle: Bundle, inputs: Sequence[str]) -> Generator:
    """A model whose batches blocks of this process fill together, or itself where they should not.

    Args:
        model: of the process; it is looked at once.
        bundle: its.
        inputs: that it was opened for.
    """
    if not isinstance(model, TerraMindGenerator) or model.batch_size == 1:
        return model
    with _deciding:
        if model not in _queues:
            _queues[model] = BatchQueue() if _stands_alone(model, bundle, inputs) else None
        queue = _queues[model]
    return model if queue is None else SharedBatches(model, queue)


def _stands_alone(model: TerraMindGenerator, bundle: Bundle, inputs: Sequence[str]) -> bool:
    found = stored_windows(bundle, inputs, model.needs)
    if found is None:
        return False
    if depends_on_others(model, *found):
        logger.warning(
            "windows have other bits in another place of a batch or beside others on this device: no batch is shared "
            "by blocks, and the last one of each is padded"
        )
        return False
    return True


def depends_on_others(
    model: BatchedGenerator, windows: Windows, randomness: Mapping[str, WindowRandomness]
) -> bool:
    """Whether a model gives a window other bits in another place, beside others, or beside what fills a batch up.

    Where a device does not even give the same batch the same bits twice, nothing can be seen, and nothing is lost.

    Args:
        model: computes batches of a fixed size.
        windows: some, of each input.
        randomness: theirs.
    """
    count = len(next(iter(windows.values())))
    order = np.arange(model.batch_size) % count

    def computed(some: np.ndarray) -> list[np.ndarray]:
        values, tokens = model.generate_with_tokens(
            {name: array[some] for name, array in windows.items()},
            {target: random.of(some) for target, random in randomness.items()},
        )
        return [*values.values(), *tokens.values()]

    first = computed(order)
    again = computed(order)
    if not _are_equal(first, again):
        logger.info("the same windows have other bits each time on this device")
        return False
    # Each window where it was first, beside all; then in other places, beside itself alone, and beside nothing.
    place = {index: slot for slot, index in reversed(list(enumerate(order)))}
    others = (order[::-1], np.zeros_like(order), order[:1])
    runs = [(order, again), *((some, computed(some)) for some in others)]
    return not all(
        _are_equal(found, [array[[place[index] for index in some]] for array in first])
        for some, found in runs
    )


def _are_equal(ours: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> bool:
    # Of coordinates, what is no place is NaN.
    return all(
        np.array_equal(here, there, equal_nan=here.dtype.kind == "f")
        for here, there in zip(ours, others, strict=True)
    )
