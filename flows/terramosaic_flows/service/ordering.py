"""How long the server's automations wait for an event that another one follows: a minute, not a quarter of an hour.

Prefect handles events in the order in which they caused each other, and remembers in memory alone what it has handled.
A server that was restarted therefore holds back what happens to the runs from before, a crash included: with Prefect's
own bound a run that crashes minutes after `terramosaic up` was started again would lie there for 15 minutes.
"""

from __future__ import annotations

from datetime import timedelta

from prefect.server.events.ordering import memory

memory.PRECEDING_EVENT_LOOKBACK = timedelta(minutes=1)

#: What PREFECT_SERVER_EVENTS_CAUSAL_ORDERING looks for in the module that it names.
CausalOrdering = memory.CausalOrdering
