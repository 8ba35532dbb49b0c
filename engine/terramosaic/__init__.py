"""Terramosaic maps large regions with TerraMind. This is its face: what is named here is public, and nothing else is.

    request → catalog → planning → [per block: imagery → windows → model → blend → block rasters] → mosaic → publishing

Names are looked up when they are first used, so that a command or a worker process pays for what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from terramosaic.block.block import run_block
    from terramosaic.errors import (
        CatalogError,
        ChangedError,
        CheckFailedError,
        DamagedBlocksError,
        DeadAssetError,
        EmptyMapError,
        ForeignItemError,
        LeaseHeldError,
        LeaseLostError,
        MissingBandError,
        ModelError,
        NoRadarError,
        NoScenesError,
        NothingLeftError,
        NotVerifiableError,
        OffsetConflictError,
        OutputError,
        RefusedHrefError,
        RequestError,
        RunCancelledError,
        StoreError,
        TerramosaicError,
        UnknownMosaicError,
        UnusableFileError,
        UnusableItemError,
        WorkerLostError,
    )
    from terramosaic.evaluation.assessment import Assessment
    from terramosaic.model.bundle import Bundle, load_bundle
    from terramosaic.mosaic.assemble import assemble
    from terramosaic.mosaic.result import MapResult, Mosaic, open_run
    from terramosaic.mosaic.series import open_series
    from terramosaic.own.arrays import write_imagery
    from terramosaic.planning.folder import read_plan
    from terramosaic.planning.plan import Plan
    from terramosaic.planning.planning import plan
    from terramosaic.publishing.publish import publish
    from terramosaic.request.request import RegionRequest
    from terramosaic.run.assessing import assess
    from terramosaic.run.mapping import Progress, map_region
    from terramosaic.run.series import MapSeries, map_series
    from terramosaic.run.verifying import verify
    from terramosaic.trust.verification import Verification
    from terramosaic.vectors.polygons import PolygonFile, polygons
    from terramosaic.vectors.zonal import zonal

__all__ = [
    "Assessment",
    "Bundle",
    "CatalogError",
    "ChangedError",
    "CheckFailedError",
    "DamagedBlocksError",
    "DeadAssetError",
    "EmptyMapError",
    "ForeignItemError",
    "LeaseHeldError",
    "LeaseLostError",
    "MapResult",
    "MapSeries",
    "MissingBandError",
    "ModelError",
    "Mosaic",
    "NoRadarError",
    "NoScenesError",
    "NotVerifiableError",
    "NothingLeftError",
    "OffsetConflictError",
    "OutputError",
    "Plan",
    "PolygonFile",
    "Progress",
    "RefusedHrefError",
    "RegionRequest",
    "RequestError",
    "RunCancelledError",
    "StoreError",
    "TerramosaicError",
    "UnknownMosaicError",
    "UnusableFileError",
    "UnusableItemError",
    "Verification",
    "WorkerLostError",
    "assemble",
    "assess",
    "load_bundle",
    "map_region",
    "map_series",
    "open_run",
    "open_series",
    "plan",
    "polygons",
    "publish",
    "read_plan",
    "run_block",
    "verify",
    "write_imagery",
    "zonal",
]

#: Where each public name is defined; whatever is not here is an error, and defined among the errors.
_HOMES = {
    "Assessment": "evaluation.assessment",
    "Bundle": "model.bundle",
    "MapResult": "mosaic.result",
    "MapSeries": "run.series",
    "Mosaic": "mosaic.result",
    "Plan": "planning.plan",
    "PolygonFile": "vectors.polygons",
    "Progress": "run.mapping",
    "RegionRequest": "request.request",
    "Verification": "trust.verification",
    "assemble": "mosaic.assemble",
    "assess": "run.assessing",
    "load_bundle": "model.bundle",
    "map_region": "run.mapping",
    "map_series": "run.series",
    "open_run": "mosaic.result",
    "open_series": "mosaic.series",
    "plan": "planning.planning",
    "polygons": "vectors.polygons",
    "publish": "publishing.publish",
    "read_plan": "planning.folder",
    "run_block": "block.block",
    "verify": "run.verifying",
    "write_imagery": "own.arrays",
    "zonal": "vectors.zonal",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
    if name in _HOMES:
        # From here on values show themselves in a notebook.
        import_module(f"{__name__}.publishing.notebook")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
