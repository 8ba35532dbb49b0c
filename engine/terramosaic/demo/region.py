"""What ``terramosaic demo`` maps: a polygon over the seam of the made-up world's two tiles."""

from __future__ import annotations

from pathlib import Path

from terramosaic.request.region import GeoJson
from terramosaic.request.request import RegionRequest

#: About 22 x 13 km: coast and town in the west, river and fields over the seam, mountains in the east.
DEMO_POLYGON = {
    "type": "Polygon",
    "coordinates": [
        [[8.925, 43.705], [8.965, 43.667], [9.09, 43.662], [9.17, 43.668], [9.197, 43.752], [9.12, 43.781],
         [8.985, 43.778], [8.925, 43.705]]
    ],
}  # fmt: skip


def demo_request(catalog: Path, out: Path) -> RegionRequest:
    """The demo's request over the world whose ``catalog.json`` is given."""
    return RegionRequest(
        region=GeoJson(geojson=DEMO_POLYGON),
        datetime="2020-04",
        catalog=str(catalog.resolve()),
        targets=("S1GRD", "S1RTC", "NDVI", "LULC"),
        block_size=1024,
        out=str(out.resolve()),
    )
