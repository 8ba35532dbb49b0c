"""Requests: what is accepted, and the one line that each mistake gets."""

import json

import pytest
from pydantic import ValidationError

from terramosaic.errors import RequestError
from terramosaic.request.complaints import lines_of
from terramosaic.request.region import BoundingBox, GeoJson, GeoJsonFile, MgrsTile
from terramosaic.request.request import RegionRequest, request_of

GOOD = {"region": [13.4, 45.5, 13.9, 45.9], "datetime": "2023-08-01/2023-08-31"}
BOWTIE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}
TRIANGLE = {"type": "Polygon", "coordinates": [[[13, 45], [14, 45], [13, 46], [13, 45]]]}


def test_defaults_are_those_of_the_design():
    request = request_of(**GOOD)
    assert (request.stride, request.block_size, request.max_cloud, request.steps) == (0, 0, 40, 10)
    assert (request.composite, request.blend, request.offset, request.conditioning) == (
        "best",
        "mean",
        "remove",
        "chained",
    )
    assert request.targets == ()  # the model's own


def test_limits_of_ndvi_are_read_as_a_person_would_write_them():
    request = request_of(**GOOD, ndvi_limits="correlation=0.7, bias=0.05")
    assert request.ndvi_limits == {"correlation": 0.7, "bias": 0.05}
    assert RegionRequest.model_validate_json(request.model_dump_json()) == request
    for wrong, line in (
        ("slope=1", "ndvi_limits.slope"), ("bias=much", "ndvi_limits.bias: "), ("bias=9", "ndvi_limits.bias: "),
        ("bias", "ndvi_limits: 'bias' is no pair of a name and what it has; write correlation=0.7"),
    ):  # fmt: skip
        with pytest.raises(RequestError, match=rf"^{line}"):
            request_of(**GOOD, ndvi_limits=wrong)


@pytest.mark.parametrize(
    ("region", "kind"),
    [
        ((13.4, 45.5, 13.9, 45.9), BoundingBox),
        ("33TWL", MgrsTile),
        ("t33twl", MgrsTile),
        (TRIANGLE, GeoJson),
        ({"type": "Feature", "geometry": TRIANGLE, "properties": {}}, GeoJson),
        ("area.geojson", GeoJsonFile),
        ({"tile": "33TWL"}, MgrsTile),
        ({"west": 1, "south": 2, "east": 3, "north": 4}, BoundingBox),
    ],
)
def test_region_is_understood_as_a_person_would_write_it(region, kind):
    request = request_of(region=region, datetime="2023")
    assert isinstance(request.region, kind)
    assert RegionRequest.model_validate_json(request.model_dump_json()) == request


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"region": (14, 45, 13, 46)}, "region: bbox is inverted or empty: west 14 is not left of east 13"),
        ({"region": (13, 46, 14, 45)}, "region: bbox is inverted or empty: south 46 is not below north 45"),
        ({"region": (13, 45, 13, 46)}, "region: bbox is inverted or empty: west 13 is not left of east 13"),
        ({"region": (400, 45, 401, 46)}, "region: west: Input should be less than or equal to 360"),
        ({"region": (13, 80, 14, 86)}, "region: latitudes 80 to 86 reach outside UTM (-80 to 84)"),
        ({"region": BOWTIE}, "region: polygon is not valid: Self-intersection"),
        ({"region": {"type": "Polygon", "coordinates": []}}, "region: polygon is empty"),
        (
            {"region": {"type": "Point", "coordinates": [0, 0]}},
            "region: a Polygon or MultiPolygon is wanted, not Point",
        ),
        ({"region": "33TZZ"}, "region: MGRS tile '33TZZ' is not of the form"),
        ({"region": "33TAA"}, "region: MGRS tile '33TAA' does not exist"),
        ({"region": [1, 2, 3]}, "region: give four numbers"),
        ({"region": (0, 0, 50, 50)}, "region has 27,805,713 km², above the limit of 1,000,000"),
        (
            {"targets": ["NDVI", "my map"]},
            "targets.1: 'my map' is no name here",
        ),
        ({"targets": "NDVI,Quality"}, "targets.1: 'Quality' is the name of a layer that every run has"),
        ({"targets": "NDVI,ndvi"}, "targets: NDVI, ndvi names one twice"),
        ({"inputs": []}, "inputs: Tuple should have at least 1 item"),
        ({"tokenised": "DEM"}, "tokenised: DEM is not among the inputs S2L2A"),
        ({"targets": "NDVI,NDVI"}, "targets: NDVI, NDVI names one twice"),
        (
            {"datetime": "2023-09-01/2023-08-01"},
            "datetime: interval is reversed: 2023-09-01 is after 2023-08-01",
        ),
        ({"datetime": "last week"}, "datetime: 'last week' is not an ISO 8601 date"),
        ({"datetime": "../.."}, "datetime: both ends are open"),
        ({"stride": -16}, "stride: Input should be greater than or equal to 0 (not -16)"),
        ({"stride": 1e9}, "stride: Input should be less than or equal to 2048 (not 1000000000.0)"),
        ({"strides": "LULC=0"}, "strides.LULC: Input should be greater than or equal to 1 (not '0')"),
        (
            {"targets": "S1GRD,NDVI,LULC", "strides": "S1RTC=112"},
            "strides: S1RTC not among the targets S1GRD, NDVI, LULC; add it there, or leave it out here",
        ),
        ({"strides": {"a b": 112}}, "strides.a b.[key]: 'a b' is no name here"),
        ({"strides": "LULC"}, "strides: 'LULC' is no pair of a name and what it has; write LULC=112"),
        (
            {"catalogs": "S1RTC="},
            "catalogs: S1RTC has no catalog; say a name, a URL or a path, or leave it out",
        ),
        (
            {"catalogs": {"DEM": " #cop-dem-glo-30"}},
            "catalogs: DEM has no catalog; say a name, a URL or a path",
        ),
        (
            {"catalogs": {"S1RTC": "/data/a,DEM=b"}},
            "catalogs: the catalog of S1RTC holds ',DEM=b', which reads as the next pair; give it another path",
        ),
        (
            {"catalogs": "a,b"},
            "catalogs: 'a,b' is no pair of a name and what it has; write S1RTC=planetary-computer",
        ),
        ({"catalogs": "DEM=a,DEM=b"}, "catalogs: DEM is said twice; say it once"),
        ({"strides": "LULC=112,LULC=96"}, "strides: LULC is said twice; say it once"),
        ({"block_size": 1000}, "block_size: Input should be a multiple of 512 (not 1000)"),
        ({"max_cloud": 101}, "max_cloud: Input should be less than or equal to 100 (not 101)"),
        ({"steps": 3}, "steps: 3 does not divide 1000"),
        ({"colour": "red"}, "colour: there is no such field"),
    ],
)
def test_a_mistake_gets_one_line_that_names_the_field(wrong, line):
    with pytest.raises(RequestError) as error:
        request_of(**{**GOOD, **wrong})
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


def test_several_mistakes_get_a_line_each():
    with pytest.raises(RequestError) as error:
        request_of(**{**GOOD, "stride": -7, "blend": "max"})
    assert len(str(error.value).splitlines()) == 2


@pytest.mark.parametrize("field", ["catalogue", "collection"])
def test_a_secret_under_another_name_is_not_repeated(field):
    with pytest.raises(RequestError) as error:
        request_of(**GOOD, **{field: "https://user:Pa55word@host.example/v1\n"})
    assert field in str(error.value) and "Pa55word" not in str(error.value)


def test_strides_of_targets_are_said_as_text_or_pairs_and_the_requests_own_is_none():
    request = request_of(**GOOD, strides="LULC=112, NDVI=192", stride=192)
    assert request.strides == {"LULC": 112} and request == request_of(
        **GOOD, strides={"LULC": 112}, stride=192
    )
    assert RegionRequest.model_validate_json(request.model_dump_json()) == request
    assert request_of(**GOOD, strides="LULC=112", stride=112) == request_of(**GOOD, stride=112)


def test_what_belongs_to_targets_and_inputs_is_said_as_text_or_pairs():
    request = request_of(
        **GOOD, x0_clips="NDVI=2.5", catalogs="DEM=earth-search, S1RTC=https://a.org/stac#rtc"
    )
    assert (request.x0_clip_of("NDVI"), request.x0_clip_of("S1GRD")) == (2.5, 1)
    assert request.catalogs == {"DEM": "earth-search", "S1RTC": "https://a.org/stac#rtc"}
    assert request_of(**GOOD, x0_clips={"NDVI": 1}) == request_of(**GOOD)
    # A comma of a path or a URL is no end of a pair; one before an input's name is.
    odd = {"S1RTC": "https://a.org/stac?ids=1,2&limit=5,x=3#rtc", "DEM": "/data/old, unsorted/dem"}
    text = ",".join(f"{name}={catalog}" for name, catalog in odd.items())
    assert request_of(**GOOD, catalogs=text).catalogs == odd
    assert request_of(**GOOD, catalogs=f"{text}, ").catalogs == odd
    with pytest.raises(
        RequestError, match="x0_clips: 'NDVI' is no pair of a name and what it has; write DEM=3"
    ):
        request_of(**GOOD, x0_clips="NDVI")
    with pytest.raises(RequestError, match=r"x0_clips\.NDVI: Input should be greater than 0"):
        request_of(**GOOD, x0_clips="NDVI=0")


def test_area_limit_is_configurable():
    big = {**GOOD, "region": (0, 0, 20, 20)}
    assert request_of(**big, max_area_km2=1e7).max_area_km2 == 1e7
    with pytest.raises(RequestError, match="above the limit"):
        request_of(**big)


def test_region_file_is_read_when_planned(tmp_path):
    file = tmp_path / "region.geojson"
    request = request_of(**{**GOOD, "region": str(file)})
    with pytest.raises(RequestError, match="cannot read"):
        request.area()
    file.write_text("{")
    with pytest.raises(RequestError, match="is not GeoJSON"):
        request.area()
    file.write_text(json.dumps(BOWTIE))
    with pytest.raises(RequestError, match="Self-intersection"):
        request.area()
    file.write_text(
        json.dumps({"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": TRIANGLE}]})
    )
    assert request.area().outline.area == pytest.approx(0.5)


def test_schema_is_a_form_with_titles_descriptions_and_bounds():
    schema = RegionRequest.model_json_schema()
    for name, field in schema["properties"].items():
        assert field.get("title"), name
        assert field.get("description"), name
        assert field.get("examples"), name
    assert schema["properties"]["stride"]["maximum"] == 2048
    assert schema["required"] == ["region", "datetime"]
    dates, text = schema["properties"]["datetime"]["anyOf"]
    assert {field["format"] for field in dates["properties"].values()} == {"date"} and text[
        "type"
    ] == "string"


def test_pydantic_errors_read_the_same_as_ours():
    with pytest.raises(ValidationError) as error:
        RegionRequest.model_validate({**GOOD, "stride": -16})
    assert lines_of(error.value) == ["stride: Input should be greater than or equal to 0 (not -16)"]


def test_no_collection_is_the_catalogs_own_however_it_is_said():
    said = [request_of(**GOOD), request_of(**GOOD, collection=""), request_of(**GOOD, collection=None)]
    assert {request.collection for request in said} == {""}
    assert request_of(**GOOD, collection="sentinel-2-c1-l2a").collection == "sentinel-2-c1-l2a"


class TestOldNames:
    """What 0.1 called things is taken until 0.3."""

    def test_provider_is_the_device_and_warned_of(self, caplog):
        assert request_of(**GOOD, provider="cuda:1").device == "cuda:1"
        assert "provider is called device now; the old name goes with version 0.3" in caplog.text

    def test_the_new_name_warns_of_nothing(self, caplog):
        assert request_of(**GOOD, device="cuda").device == "cuda"
        assert not caplog.records

    def test_what_a_file_holds_was_written_long_ago(self, caplog):
        stored = request_of(**GOOD, device="cuda").model_dump_json().replace('"device"', '"provider"')
        assert RegionRequest.model_validate_json(stored).device == "cuda"
        assert not caplog.records

    def test_both_must_say_the_same(self):
        assert request_of(**GOOD, provider="cpu", device="cpu").device == "cpu"
        with pytest.raises(RequestError, match="provider is called device now; say device alone"):
            request_of(**GOOD, provider="cpu", device="cuda")

    @pytest.mark.parametrize("extras", [["spread", "confidence"], "spread,confidence"])
    def test_spread_is_the_standard_deviation(self, extras, caplog):
        assert request_of(**GOOD, extras=extras).extras == ("std", "confidence")
        assert "spread is called std now" in caplog.text

    def test_it_may_not_be_named_twice(self):
        with pytest.raises(RequestError, match="names one twice"):
            request_of(**GOOD, extras=["spread", "std"])
