"""What a run is expected to take, in words: the same for the command line, a notebook and Prefect."""

from __future__ import annotations

from terramosaic.planning.plan import Figures
from terramosaic.publishing.numbers import duration, size


def quote_in_words(figures: Figures) -> dict[str, str]:
    """Time, network and disk by name; nothing of plans of earlier versions, which have no quote."""
    quote = figures.quote
    if quote is None:
        return {}
    of = "of one processor" if quote.is_cpu else f"of one {quote.device}"
    whole = duration(60 * quote.minutes(figures.device_minutes))
    targets = (f"{name} {duration(60 * minutes)}" for name, minutes in figures.device_minutes.items())
    beside = duration(60 * quote.processor_minutes)
    rest = f"all else {beside}" if quote.is_cpu else f"beside it {beside} of one processor"
    fetched, mosaics, blocks = (
        size(gigabytes * 1e9)
        for gigabytes in (quote.network_gigabytes, quote.mosaics_gigabytes, quote.blocks_gigabytes)
    )
    return {
        "Time": f"about {whole} {of}: {', '.join(targets)}; {rest} ({quote.basis})",
        "Network": f"about {fetched}" if quote.network_gigabytes else "nothing: all imagery lies on a disk",
        "Disk": f"about {mosaics} of mosaics, {blocks} of blocks until they are removed",
    }
