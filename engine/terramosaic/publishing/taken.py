"""What a run took, beside what it was quoted: for the report, and as numbers for the item."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from terramosaic.planning.reading import COMPRESSED
from terramosaic.publishing.numbers import duration, size
from terramosaic.publishing.record import RunFacts

_UNKNOWN = "not measured"


def quoted_and_taken(run: RunFacts) -> Iterator[tuple[str, str, str]]:
    """Rows of a table: what it is, what the plan quoted, what the run took."""
    figures, quote = run.plan.figures, run.plan.figures.quote
    if quote is not None:
        quoted, taken = _minutes_quoted(run), _minutes_taken(run)
        for name, words in {"processor": "processor time of blocks", "device": "time of the GPU"}.items():
            if name in quoted:
                told = duration(60 * taken[name]) if name in taken else _UNKNOWN
                yield words, duration(60 * quoted[name]), told
    read = run.read_bytes
    yield (
        "imagery read, compressed",
        size(figures.read_gigabytes * 1e9),
        _UNKNOWN if read is None else f"about {size(read * COMPRESSED)}",
    )
    if quote is not None:
        yield (
            "mosaics on disk",
            size(quote.mosaics_gigabytes * 1e9),
            size(sum(each.size for each in run.layers)),
        )
        yield "blocks on disk", size(quote.blocks_gigabytes * 1e9), size(run.block_bytes)


def times_taken(run: RunFacts) -> Iterator[tuple[str, str, str]]:
    """Rows of a table: which of a run's times it is, how long, and what it holds."""
    figures, quote = run.plan.figures, run.plan.figures.quote
    yield "by the clock", duration(run.busy_seconds), "at least one block was being computed"
    yield "of all blocks", duration(run.seconds("total")), "each one's own, added up; blocks run side by side"
    if run.processor_seconds is not None:
        yield "of processors", duration(run.processor_seconds), "they worked for blocks, all added up"
    if quote is not None:
        of = "of one processor" if quote.is_cpu else f"of one {quote.device}"
        yield (
            "quoted",
            duration(60 * figures.minutes),
            f"{of} for the whole run, with mosaics and this page, which the others do not hold",
        )


def quote_and_taken(run: RunFacts) -> dict[str, dict[str, Any]]:
    """The same for the item: minutes and gigabytes by name; nothing of plans that were not quoted."""
    figures, quote = run.plan.figures, run.plan.figures.quote
    if quote is None:
        return {}
    quoted = {f"{name}_minutes": minutes for name, minutes in _minutes_quoted(run).items()}
    quoted |= {
        "read_gigabytes": figures.read_gigabytes,
        "mosaics_gigabytes": quote.mosaics_gigabytes,
        "blocks_gigabytes": quote.blocks_gigabytes,
    }
    taken = {f"{name}_minutes": minutes for name, minutes in _minutes_taken(run).items()}
    taken |= {
        "mosaics_gigabytes": sum(each.size for each in run.layers) / 1e9,
        "blocks_gigabytes": run.block_bytes / 1e9,
    }
    if run.read_bytes is not None:
        taken["read_gigabytes"] = run.read_bytes * COMPRESSED / 1e9
    rounded = {
        when: {name: round(value, 6) for name, value in each.items()}
        for when, each in (("quoted", quoted), ("taken", taken))
    }
    how = {"device": quote.device, "basis": quote.basis}
    return {"quoted": how | rounded["quoted"], "taken": rounded["taken"]}


def _minutes_quoted(run: RunFacts) -> dict[str, float]:
    """Of blocks: of one processor, and of the GPU where there is one."""
    figures, quote = run.plan.figures, run.plan.figures.quote
    if quote is None:
        return {}
    model = sum(figures.device_minutes.values())
    if quote.is_cpu:
        return {"processor": model + quote.processor_minutes}
    return {"processor": quote.processor_minutes, "device": model}


def _minutes_taken(run: RunFacts) -> dict[str, float]:
    """The same as receipts tell it; of a GPU, how long a block was on it."""
    seconds: dict[str, float] = {}
    if run.processor_seconds is not None:
        seconds["processor"] = run.processor_seconds
    if run.plan.figures.quote is not None and not run.plan.figures.quote.is_cpu:
        seconds["device"] = sum(run.busy_seconds_by_device.values())
    return {name: each / 60 for name, each in seconds.items()}
