"""Every limit on trying again, in one table. docs/operations.md shows it to operators; a test holds that page to this.

Tries do not multiply: who has tried to the end says so with an error that nobody above tries again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """How often something is tried, and how long.

    Attributes:
        tries: the first included.
        pause: seconds before the second try, at most; where many may fail at once, a part of it drawn by lot.
        growth: factor from pause to pause.
        silence: seconds that one try may wait for an answer.
        within: seconds for all tries and pauses together, however slowly something comes.
    """

    tries: int
    pause: float = 0.0
    growth: float = 2.0
    silence: float = 0.0
    within: float = math.inf

    @property
    def pauses(self) -> tuple[float, ...]:
        """The longest pauses between the tries."""
        return tuple(self.pause * self.growth**index for index in range(self.tries - 1))

    @property
    def longest(self) -> float:
        """Seconds until it is given up, where no try is answered."""
        return min(self.within, sum(self.pauses) + self.tries * self.silence)


#: Answers of a server that may be others a moment later.
PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})

#: A scene's file, in each process of a run. A glitch is over at once, an outage takes longer: hence the steep growth.
ASSET = Limit(4, pause=1, growth=6, silence=18, within=110)
#: What a server says is not there is asked for once more: stores and their caches err.
MISSING = Limit(2, pause=1)
#: A file that is refused, with a fresh signature if its catalog signs; other refusals are final.
REFUSED = Limit(2, pause=1)

#: A page of a STAC API, a document by URL, a token that signs.
HTTP = Limit(5, pause=1, silence=45, within=100)
#: Of these, those without any answer: connection refused or cut, or silence.
UNANSWERED = Limit(3, pause=1, silence=45, within=100)

#: A request to an object store, by its client; AWS_MAX_ATTEMPTS sets it.
STORE = Limit(5, pause=1, silence=60)
#: An object to create of which S3 says that another one creates it at this moment.
CREATE_CONFLICT = Limit(5, pause=0.1, growth=1)

#: The catalog of an output folder, while other runs write it: they take moments.
CATALOG_LEASE = Limit(8, pause=0.25)

#: A block whose worker died or hung, by another worker.
LOST_WORKER = Limit(2)
#: A block whose rasters are not as they were written, found when mosaics are made of them.
DAMAGED_BLOCK = Limit(3)
#: A task of blocks in a flow, where the store of the outputs did not answer.
BLOCK_TASK = Limit(3, pause=10)
#: A task whose worker a cluster lost, by the cluster: Dask's allowed-failures, Ray's max_retries.
CLUSTER_TASK = Limit(4)
#: A temporary Dask cluster whose worker dies while it starts.
DASK_START = Limit(3, pause=1, growth=1)
#: A flow run that crashes and is started again.
FLOW_START = Limit(10, pause=15, growth=1)
