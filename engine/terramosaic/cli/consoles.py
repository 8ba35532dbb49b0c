"""Where the commands write."""

from __future__ import annotations

import sys

from rich.console import Console

#: A pipe has no width of its own; tables are not to be folded for it. What catalogs call their scenes is no markup.
OUT = Console(width=None if sys.stdout.isatty() else 200, markup=False, emoji=False)

#: Progress and errors go to stderr, so that --json leaves stdout to the JSON alone.
ERR = Console(stderr=True, markup=False, emoji=False)
