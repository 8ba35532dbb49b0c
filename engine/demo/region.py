"""What ``terramosaic demo`` maps: a polygon over the seam of the made-up world's two tiles."""

from __future__ import annotations

from pathlib import Path

from engine.request import GeoJson, RegionRequest

#: About 16 x 14 km: coast and islands in the west, river and town on the seam, mountains in the east.
DEMO_POLYGON = {
    "type": "Polygon",
    "coordinates": [
        [[8.92, 43.70], [8.97, 43.655], [9.10, 43.645], [9.20, 43.665], [9.212, 43.755], [9.12, 43.795], [8.98, 43.785], [8.92, 43.70]]
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
