"""``terramosaic up``: a Prefect server and a worker on this machine, set up, watched and stopped together.

Importing this package does not import Prefect: which server it talks to is settled in the environment first.
"""

from collections.abc import Callable

#: Takes a line for the user.
Echo = Callable[[str], None]
