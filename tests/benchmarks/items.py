"""How fast are items understood? Real ones of Planetary Computer, one after another on one core.

    python -m tests.benchmarks.items [--rounds 5]

A country of 500 000 km² over a summer is some ten thousand items, so a thousand a second is wanted.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from terramosaic.catalog.scene import scene_from_item
from tests.conftest import SHARED_DATA

_ITEMS = SHARED_DATA / "stac-items/planetary-computer_200_items.json"


def seconds(items: list[dict[str, Any]]) -> float:
    """Processor time for all of them, so that other processes count for little."""
    start = time.process_time()
    for item in items:
        scene_from_item(item)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    items = json.loads(_ITEMS.read_text())["features"]
    fastest = min(seconds(items) for _ in range(rounds))
    print(f"{len(items)} items in {fastest:.3f} s: {len(items) / fastest:.0f} a second")


if __name__ == "__main__":
    main()
