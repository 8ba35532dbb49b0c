"""Terramosaic's engine: maps regions with TerraMind. Knows nothing of Prefect; import it from a notebook.

request → catalog → plan → [per block: imagery → windows → model → blend → block rasters] → mosaic → publish
"""

from engine.block import run_block
from engine.bundle import load_bundle
from engine.mapping import map_region
from engine.mosaic import assemble
from engine.plan import Plan
from engine.planning import plan
from engine.publish import publish
from engine.request import RegionRequest
from engine.result import MapResult, Mosaic

__all__ = [
    "MapResult",
    "Mosaic",
    "Plan",
    "RegionRequest",
    "assemble",
    "load_bundle",
    "map_region",
    "plan",
    "publish",
    "run_block",
]
