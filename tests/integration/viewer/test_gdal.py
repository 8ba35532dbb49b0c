"""GDAL reads what is served: items by its driver STACIT, and all runs as one layer."""

from __future__ import annotations

import subprocess
import sys

import pytest

from terramosaic.viewer.app import make_app
from terramosaic.viewer.shelf import Shelf
from tests.integration.viewer.conftest import out_of
from tests.support.loopback import serving

#: GDAL keeps the interpreter from serving while it opens an index: it reads in a process of its own.
READ = """
import sys, rasterio
mosaic, *paths = sys.argv[1:]
with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
    pixels = rasterio.open(mosaic).read()
    for path in paths:
        with rasterio.open(path) as dataset:
            print((dataset.read() == pixels).all(), dataset.driver)
"""


@pytest.mark.parametrize("layer", ["NDVI", "S1GRD"])
def test_pixels_are_those_of_the_mosaic(kite, layer):
    with serving(make_app(Shelf(out_of(kite)))) as port:
        url = f"http://127.0.0.1:{port}"
        paths = [
            f'STACIT:"{url}/items.json":asset={layer}',
            f"/vsicurl/{url}/layers/{layer}.vrt",
            f"/vsicurl/{url}/layers/{layer}.gti.gpkg",
            f"/vsicurl/{url}/latest/{layer}.tif",
        ]
        mosaic = out_of(kite) / kite.run_id / f"{layer}.tif"
        command = [sys.executable, "-c", READ, str(mosaic), *paths]
        read = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert read.stdout.split("\n")[:4] == ["True STACIT", "True VRT", "True GTI", "True GTiff"], read.stderr
