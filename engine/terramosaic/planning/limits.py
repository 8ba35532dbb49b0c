"""Limits of what a run may take, held to its quote before anything is begun."""

from __future__ import annotations

from terramosaic.errors import RequestError
from terramosaic.planning.folder import is_complete
from terramosaic.planning.plan import Plan
from terramosaic.planning.prices import Prices
from terramosaic.request.request import RegionRequest
from terramosaic.settings import PRICES

#: What makes a run take less.
_REMEDY = "take a smaller region, fewer targets or steps, or raise the limit"


def require_prices(request: RegionRequest) -> None:
    """Refuses, before a catalog is asked, a limit of cost that nothing can be held to.

    Raises:
        RequestError: there are no prices, or their file is wrong.
    """
    if Prices.known() is None and request.max_cost:
        raise RequestError(f"max_cost: there are no prices to quote by; name a file of them in {PRICES}")


def require_within_limits(plan: Plan) -> None:
    """Refuses a run that is quoted above a limit of its request. One that is complete takes nothing any more.

    Raises:
        RequestError: it is; says the quote and the limit, or which price is not known.
    """
    request, figures = plan.request, plan.figures
    quote = figures.quote
    if quote is None or not (request.max_minutes or request.max_cost):
        return
    wrong = []
    minutes = figures.minutes
    if request.max_minutes and minutes > request.max_minutes:
        of = "of one processor" if quote.is_cpu else f"of one {quote.device}"
        wrong.append(
            f"max_minutes: run {plan.run_id} is quoted {minutes:,.1f} minutes {of} ({quote.basis}), above the limit "
            f"of {request.max_minutes:,g}; {_REMEDY}"
        )
    if request.max_cost and quote.cost is not None:
        total, currency = quote.cost.total, quote.cost.currency
        if total is None:
            wrong.append(f"max_cost: the cost is not known: {quote.cost.lacking} in {PRICES}")
        elif total > request.max_cost:
            wrong.append(
                f"max_cost: run {plan.run_id} is quoted {total:,.2f} {currency} ({quote.basis}), above the limit of "
                f"{request.max_cost:,g} {currency}; {_REMEDY}"
            )
    if wrong and not is_complete(plan):
        raise RequestError("\n".join(wrong))
