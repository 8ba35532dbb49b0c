"""What a run is expected to take, in words: the same for the command line, a notebook and Prefect."""

from __future__ import annotations

from terramosaic.planning.plan import Figures
from terramosaic.planning.prices import Cost
from terramosaic.publishing.numbers import duration, figure, size
from terramosaic.settings import PRICES


def quote_in_words(figures: Figures) -> dict[str, str]:
    """Time, network and disk by name; nothing of plans of earlier versions, which have no quote."""
    quote = figures.quote
    if quote is None:
        return {}
    of = "of one processor" if quote.is_cpu else f"of one {quote.device}"
    whole = duration(60 * figures.minutes)
    targets = (f"{name} {duration(60 * minutes)}" for name, minutes in figures.device_minutes.items())
    beside = duration(60 * quote.beside_minutes)
    rest = f"all else {beside}" if quote.is_cpu else f"beside it {beside} of one processor"
    fetched, mosaics, blocks = (
        size(gigabytes * 1e9)
        for gigabytes in (quote.network_gigabytes, quote.mosaics_gigabytes, quote.blocks_gigabytes)
    )
    found = {
        "Time": f"about {whole} {of}: {', '.join(targets)}; {rest} ({quote.basis})",
        # The line stands without its name in the UI.
        "Network": f"about {fetched} over the network"
        if quote.network_gigabytes
        else "nothing over the network: all imagery lies on a disk",
        "Disk": f"about {mosaics} of mosaics, {blocks} of blocks until they are removed",
    }
    return found | ({"Cost": _cost_in_words(quote.cost)} if quote.cost else {})


def _cost_in_words(cost: Cost) -> str:
    power = "" if cost.kilowatt_hours is None else f", {figure(cost.kilowatt_hours)} kWh"
    if cost.total is None:
        return f"not known: {cost.lacking} ({PRICES}){power}"
    parts = (f"{name} {figure(each)}" for name, each in cost.parts.items() if each)
    return f"about {figure(cost.total)} {cost.currency} ({', '.join(parts) or 'all for nothing'}){power}"
