"""A map summed up within polygons: as a reference does that asks each pixel how much of it lies inside."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import rasterio
import shapely
from shapely.geometry import Polygon, box, mapping

from terramosaic import RequestError, map_region, open_run, publish, zonal
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import lonlat_of, utm_of
from terramosaic.vectors.zonal import _Figures
from tests.integration.conftest import LAND
from tests.integration.publishing.small_run import two_zone_run

pytest.importorskip("exactextract", reason="exactextract is of the extra vectors")

#: With a hole in the imagery, and more than one block.
RECT = Rect(LAND.row + 500, LAND.col + 250, 200, 240)
LEFT, BOTTOM, RIGHT, TOP = RECT.bounds


@pytest.fixture(scope="module")
def result(land, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return map_region(land.request(RECT, out, targets=("S1GRD", "NDVI", "LULC"), extras=("std",)))


#: In the zone's metres: a triangle off all pixels' edges, one with a hole over the edge of data, half outside, far off.
SHAPES = {
    "triangle": Polygon([(LEFT + 203, BOTTOM + 311), (LEFT + 597, BOTTOM + 402), (LEFT + 333, BOTTOM + 719)]),
    "ring": box(LEFT + 1_105, TOP - 1_333, LEFT + 1_702, TOP - 801)
    - box(LEFT + 1_300, TOP - 1_100, LEFT + 1_400, TOP - 1_000),
    "half": box(RIGHT - 203, TOP - 300, RIGHT + 203, TOP - 100),
    "within a pixel": box(LEFT + 702, TOP - 308, LEFT + 705, TOP - 303),
    "far off": box(LEFT - 90_000, BOTTOM, LEFT - 89_000, BOTTOM + 1_000),
}  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The shapes as GeoJSON in degrees."""
    path = tmp_path_factory.mktemp("polygons") / "shapes.geojson"
    features = [
        {"type": "Feature", "properties": {"name": name}, "geometry": mapping(lonlat_of(shape, 32633))}
        for name, shape in SHAPES.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def shares(dataset, shape) -> np.ndarray:
    """How much of each pixel lies in a polygon, asked one by one."""
    # As the polygon comes back from degrees.
    back = utm_of(lonlat_of(shape, 32633), 32633)
    rows, cols = np.mgrid[: dataset.height, : dataset.width]
    left, top = dataset.transform @ (cols.ravel(), rows.ravel())
    pixels = shapely.box(np.array(left), np.array(top) - 10, np.array(left) + 10, np.array(top))
    near = shapely.intersects(pixels, back)
    found = np.zeros(rows.size)
    found[near] = shapely.area(shapely.intersection(pixels[near], back)) / 100
    return found.reshape(rows.shape)


def test_values_are_those_of_a_naive_reference(result, file):
    rows = {row["name"]: row for row in zonal(result, str(file), layers=["NDVI", "S1GRD"])}
    for layer, variables in (("NDVI", ["NDVI"]), ("S1GRD", ["S1GRD_VV", "S1GRD_VH"])):
        with rasterio.open(result.mosaics[layer]) as dataset:
            bands = dataset.read(masked=True).astype(float) * dataset.scales[0]
            for name, shape in SHAPES.items():
                share = shares(dataset, shape)
                for band, variable in zip(bands, variables, strict=True):
                    row = rows[name]
                    inside = (share > 0) & ~band.mask
                    weights = share[inside]
                    assert row[f"{variable}_count"] == pytest.approx(weights.sum(), abs=1e-3)
                    valid = weights.sum() * 100 / shape.area
                    assert row[f"{variable}_valid_share"] == pytest.approx(valid, abs=1e-4)
                    if not inside.any():
                        assert row[f"{variable}_mean"] is row[f"{variable}_std"] is None
                        continue
                    values = band.data[inside]
                    mean = np.average(values, weights=weights)
                    assert row[f"{variable}_mean"] == pytest.approx(mean, rel=1e-5)
                    assert row[f"{variable}_min"] == pytest.approx(values.min())
                    assert row[f"{variable}_max"] == pytest.approx(values.max())
                    std = np.sqrt(np.average((values - mean) ** 2, weights=weights))
                    assert row[f"{variable}_std"] == pytest.approx(std, rel=1e-4, abs=1e-6)
    assert 0 < rows["ring"]["NDVI_valid_share"] < 1 and rows["triangle"]["NDVI_valid_share"] == 1
    assert rows["half"]["NDVI_valid_share"] == pytest.approx(0.5, abs=0.01)
    assert rows["far off"]["NDVI_count"] == 0


def test_classes_are_hectares_and_shares(result, file):
    rows = {row["name"]: row for row in zonal(result, str(file), layers="LULC")}
    with rasterio.open(result.mosaics["LULC"]) as dataset:
        classes = dataset.read(1)
        for name, shape in SHAPES.items():
            share, row = shares(dataset, shape), rows[name]
            valid = share[classes > 0].sum()
            for item in result["LULC"].layer.classes:
                title = item.name.replace(" ", "_")
                own = share[classes == item.value].sum()
                assert row[f"LULC_{title}_ha"] == pytest.approx(own / 100, abs=2e-4)
                told = row[f"LULC_{title}_share"]
                assert told is None if not valid else told == pytest.approx(own / valid, abs=1e-4)
            assert row["area_ha"] == pytest.approx(
                shape.area / 10_000, rel=1e-5 if name != "far off" else 0.01
            )


def test_all_layers_as_a_table(result, file, tmp_path, run_here):
    done = run_here(
        "zonal", str(result.folder), "--polygons", str(file), "--out", str(tmp_path / "table.csv"), "--json"
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    with (tmp_path / "table.csv").open(newline="") as table:
        read = list(csv.DictReader(table))
    assert [row["name"] for row in read] == list(SHAPES)
    assert float(read[0]["NDVI_mean"]) == rows[0]["NDVI_mean"] and read[-1]["NDVI_mean"] == ""
    some = {
        "LULC_water_ha",
        "LULC_confidence_mean",
        "NDVI_std_mean",
        "S1GRD_VH_max",
        "LULC_disagreement_mean",
    }
    assert some <= rows[0].keys()
    assert not any(name.startswith(("quality", "acquired")) for name in rows[0])
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", reason="pyarrow is of the extra vectors")
    zonal(str(result.folder), str(file), tmp_path / "table.parquet")
    frame = pandas.read_parquet(tmp_path / "table.parquet")
    assert list(frame.columns) == list(rows[0]) and frame["NDVI_mean"].isna().tolist()[-1]
    np.testing.assert_allclose(frame["LULC_crops_ha"], [row["LULC_crops_ha"] for row in rows])


def test_polygons_of_other_formats_and_crs(result, file, tmp_path):
    pyogrio = pytest.importorskip("pyogrio", reason="pyogrio is of the extra vectors")
    geopandas = pytest.importorskip("geopandas")
    expected = zonal(result, str(file), layers=["NDVI"])
    frame = geopandas.read_file(file).to_crs(3035)
    pyogrio.write_dataframe(frame, tmp_path / "shapes.gpkg")
    found = zonal(result, str(tmp_path / "shapes.gpkg"), layers=["NDVI"])
    for one, other in zip(found, expected, strict=True):
        assert one["name"] == other["name"]
        assert one["NDVI_count"] == pytest.approx(other["NDVI_count"], rel=1e-3, abs=1e-3)


def test_over_two_zones_the_parts_are_put_together(tmp_path):
    made = two_zone_run(tmp_path, targets=("NDVI", "LULC"))
    publish(made)
    result = open_run(f"{made.request.out}/{made.run_id}")
    west, south, east, north = shapely.from_geojson(json.dumps(made.region)).bounds
    around = box(west - 0.01, south - 0.01, east + 0.01, north + 0.01)
    (tmp_path / "all.geojson").write_text(json.dumps(mapping(around)))
    (row,) = zonal(result, str(tmp_path / "all.geojson"))
    pixels = []
    for epsg in (32632, 32633):
        with rasterio.open(result.mosaics[f"NDVI_{epsg}"]) as dataset:
            pixels.append(dataset.read(1, masked=True).compressed() * dataset.scales[0])
    values = np.concatenate(pixels)
    assert row["NDVI_count"] == pytest.approx(len(values), rel=1e-3)
    assert row["NDVI_mean"] == pytest.approx(values.mean(), rel=1e-3)
    assert row["NDVI_std"] == pytest.approx(values.std(), rel=1e-3)
    assert (row["NDVI_min"], row["NDVI_max"]) == pytest.approx((values.min(), values.max()))
    hectares = sum(value for name, value in row.items() if name.startswith("LULC_") and name.endswith("_ha"))
    assert hectares == pytest.approx(len(values) / 100, rel=1e-3)
    assert row["NDVI_valid_share"] == pytest.approx(len(values) / 100 / row["area_ha"], rel=1e-4)


def test_figures_of_parts_are_those_of_the_whole():
    rng = np.random.default_rng(3)
    values, weights = rng.normal(5, 2, 100), rng.uniform(0, 1, 100)

    def figures(part: slice) -> _Figures:
        own, by = values[part], weights[part]
        mean = np.average(own, weights=by)
        return _Figures(by.sum(), mean, own.min(), own.max(), np.average((own - mean) ** 2, weights=by))

    both, whole = figures(slice(30)) + figures(slice(30, None)), figures(slice(None))
    for name in ("count", "mean", "minimum", "maximum", "variance"):
        assert getattr(both, name) == pytest.approx(getattr(whole, name))
    assert (_Figures() + whole, whole + _Figures()) == (whole, whole)


def test_what_cannot_be_summed_up_is_said(result, file, tmp_path):
    with pytest.raises(RequestError, match=r"layer: run \w+ has no 'quality' that could be summed up"):
        zonal(result, str(file), layers=["quality"])
    with pytest.raises(RequestError, match=r"out: 'a.xlsx' says no table; end it in .csv or .parquet"):
        zonal(result, str(file), tmp_path / "a.xlsx")
    with pytest.raises(RequestError, match=r"polygons: cannot read .*none.geojson"):
        zonal(result, str(tmp_path / "none.geojson"))
    point = {"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [15, 46]}}
    shape = {"type": "Feature", "properties": {}, "geometry": mapping(box(15, 46, 15.1, 46.1))}
    (tmp_path / "p.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [shape, point]}))
    with pytest.raises(
        RequestError, match="polygons: feature 2: a Polygon or MultiPolygon is wanted, not Point"
    ):
        zonal(result, str(tmp_path / "p.geojson"))
    bow = {"type": "Polygon", "coordinates": [[[15, 46], [15.1, 46.1], [15.1, 46], [15, 46.1], [15, 46]]]}
    (tmp_path / "bow.geojson").write_text(json.dumps(bow))
    with pytest.raises(RequestError, match="polygons: feature 1 is not valid: Self-intersection"):
        zonal(result, str(tmp_path / "bow.geojson"))
