"""The live catalogs, for a machine with internet access: ``pytest -m online tests/online``.

Never run where this was written, which has none.
"""

import pytest

from terramosaic import RegionRequest, plan
from terramosaic.imagery.offset import check_offset
from terramosaic.imagery.reader import SceneReader

#: Ljubljana: two tiles, and scenes of each baseline.
REGION = (14.45, 46.02, 14.55, 46.08)

pytestmark = pytest.mark.online


def request(catalog: str, **options: object) -> RegionRequest:
    fields = {"region": REGION, "datetime": "2023-08", "catalog": catalog, "targets": ("NDVI",), **options}
    return RegionRequest.model_validate(fields)


@pytest.mark.parametrize("catalog", ["planetary-computer", "earth-search", "copernicus"])
def test_a_month_is_found_and_planned(catalog):
    made = plan(request(catalog))
    assert made.figures.covered_share > 0.99
    assert all(scene.processing_baseline for scene in made.scenes.values())


@pytest.mark.parametrize(
    ("catalog", "collection"),
    [
        ("planetary-computer", None),
        ("earth-search", "sentinel-2-l2a"),
        ("earth-search", "sentinel-2-c1-l2a"),
    ],
)
def test_pixels_are_read_and_agree_with_the_offset_rule(catalog, collection):
    made = plan(request(catalog, collection=collection))
    scene = made.scenes[made.acquisitions[0].scenes[0]]
    with SceneReader(scene, scene.epsg) as reader:
        overview = reader.overview("B04")
        pixels = reader.read("B04", made.zones[0].rect)
    assert pixels.any()
    decided = scene.assets["B04"].offset
    evidence = check_offset(overview, baseline=scene.processing_baseline, decided=decided)
    assert evidence.agrees is not False
