"""The report: one safe file that needs no network, tells the figures of the run, and shows every mosaic."""

from __future__ import annotations

import base64
import html
import io
import re
import shlex
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from PIL import Image

from terramosaic.cli import app, mapping, options
from terramosaic.errors import OutputError
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.planning import plan as make_plan
from terramosaic.publishing import large, numbers, repeat
from terramosaic.publishing.census import histogram_of_counts
from terramosaic.publishing.pictures import cropped, embedded
from terramosaic.publishing.publish import publish
from terramosaic.publishing.quicklook import Quicklook
from terramosaic.publishing.record import gather, union_length
from terramosaic.publishing.repeat import map_command, of_one_machine, takes_item
from terramosaic.publishing.report import render_report
from terramosaic.publishing.run_files import files_of
from terramosaic.publishing.taken import times_taken
from terramosaic.request.request import RegionRequest
from tests.integration.publishing.small_run import HOSTILE_ID, polygon_run

#: Elements that have no end tag.
_VOID = {"meta", "input", "img", "br", "link", "hr", "wbr"}


class Page(HTMLParser):
    """What a page holds; fails on elements that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return plain(" ".join(self.words))


def plain(text: str) -> str:
    """With ordinary spaces, and one where there are several."""
    return " ".join(text.split())


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return polygon_run(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def source(plan):
    publish(plan)
    return RunFolder.of(plan).report_file.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(source):
    return Page(source)


class TestPage:
    def test_needs_nothing_from_outside(self, source, page):
        assert "http://" not in source
        assert "https://" not in source
        assert not re.search(r"url\(\"?(?!\"?data:)", source)
        for _, attributes in page.elements:
            assert "src" not in attributes
            # What is linked to is a file beside the page, and nothing that the page shows.
            assert ":" not in (attributes.get("href") or "#") and "//" not in (attributes.get("href") or "#")

    def test_forbids_itself_the_network(self, page):
        policies = [
            attributes for tag, attributes in page.elements if tag == "meta" and "http-equiv" in attributes
        ]
        assert policies[0]["content"].startswith("default-src 'none'; img-src data:;")

    def test_what_catalogs_say_is_only_text(self, source, page):
        assert not [tag for tag, _ in page.elements if tag == "img"]
        assert "<img" not in source
        assert HOSTILE_ID in plain("".join(page.words))

    def test_says_that_the_demo_is_not_terramind(self, page):
        assert "Not TerraMind." in page.text

    def test_every_picture_is_embedded_once_and_shown(self, plan, source, page):
        record = gather(plan)
        shown = {name for _, attributes in page.elements for name in (attributes.get("class") or "").split()}
        flat = {layer.name for layer in record.layers if layer.only}
        for name in record.pictures:
            assert source.count(f".p-{name}{{background-image") == (name not in flat)
            assert (f"p-{name}" in shown) is (name not in flat)
        assert len(record.pictures) == 10 and flat == {"S1GRD_std", "NDVI_std", "LULC_disagreement"}

    def test_each_target_has_a_swipe_that_keys_can_move(self, page):
        sliders = [attributes for tag, attributes in page.elements if tag == "input"]
        assert len(sliders) == 6
        assert all(slider["type"] == "range" and slider["aria-label"] for slider in sliders)

    def test_tells_scenes_offsets_and_how_to_repeat(self, plan, page):
        for scene in plan.scenes.values():
            assert scene.offset_rule in page.text
        assert "the offset is there (0.0 % of B04 below 1000)" in page.text
        assert "terramosaic map --region 'POLYGON ((" in page.text
        assert plan.bundle.fingerprint in page.text
        assert "Contains modified Copernicus Sentinel data 2023." in page.text

    def test_each_time_says_what_it_holds(self, plan, page):
        record = gather(plan)
        for name, told, holds in times_taken(record):
            assert plain(f"{name} {told} {holds}") in page.text
        seconds = sum(receipt.seconds["total"] for receipt in record.receipts.values())
        assert plain(f"of all blocks {numbers.duration(seconds)}") in page.text
        assert plain(f"Blocks took {numbers.duration(record.busy_seconds)} by the clock") in page.text
        assert plain(f"quoted {numbers.duration(60 * plan.figures.minutes)} of one processor") in page.text

    def test_periods_are_told_in_days(self, source):
        assert "2023-08-01 to 2023-08-31, cloud up to" in source
        searched = source.partition("Searched: ")[2].partition("</p>")[0]
        assert "T00:00" not in searched

    def test_a_layer_beside_the_maps_that_says_one_thing_everywhere_is_told_and_not_drawn(self, plan, page):
        record = gather(plan)
        (layer,) = [each for each in record.layers if each.name == "LULC_disagreement"]
        (figures,) = layer.census.statistics
        told = "It is 0 % wherever it has a value, so there is nothing to draw."
        flat = replace(
            layer, census=replace(layer.census, statistics=(replace(figures, minimum=0, maximum=0),))
        )
        spread = replace(
            layer, census=replace(layer.census, statistics=(replace(figures, minimum=0, maximum=9),))
        )
        for shown, is_drawn in ((flat, False), (spread, True)):
            others = (each for each in record.layers if each is not layer)
            text = render_report(replace(record, layers=(*others, shown)))
            assert (told in Page(text).text) is not is_drawn
            assert (f".p-{layer.name}{{" in text) is is_drawn and f'href="{layer.name}.tif"' in text

    def test_counts_agree_with_the_record(self, plan, page):
        record = gather(plan)
        assert plain(numbers.percent(1 - record.gap_share)) in page.text
        assert f"{record.cloud_share:.1%} of the mapped area lies under cloud" in page.text

    def test_a_terramind_bundle_has_no_banner(self, plan):
        bundle = plan.bundle.model_copy(
            update={"title": "TerraMind 1.0 base", "family": "terramind", "is_terramind": True}
        )
        record = gather(plan)
        record = replace(record, plan=plan.model_copy(update={"bundle": bundle, "warnings": ()}))
        page = Page(render_report(record))
        assert "TerraMind 1.0 base" in page.text
        assert "Not TerraMind." not in page.text


def picture(pixels: np.ndarray) -> Quicklook:
    return Quicklook(Image.fromarray(pixels), "")


class TestPictures:
    def test_shrink_together_until_the_page_can_be_mailed(self):
        noise = np.random.default_rng(4).integers(0, 255, (2, 400, 320, 4), np.uint8)
        sizes = {}
        pictures = {"a": picture(noise[0]), "b": picture(noise[1])}
        for name, uri in embedded(pictures, budget=400_000, sides=(400, 300, 200, 100)).items():
            content = base64.b64decode(uri.partition(",")[2])
            sizes[name] = Image.open(io.BytesIO(content)).size, len(content)
        assert sum(size for _, size in sizes.values()) <= 400_000
        assert {shape for shape, _ in sizes.values()} == {(240, 300)}

    def test_classes_are_embedded_exactly(self):
        classes = np.arange(12, dtype=np.uint8).reshape(3, 4)
        uri = embedded({"LULC": Quicklook(Image.fromarray(classes).convert("P"), "")})["LULC"]
        kind, _, content = uri.partition(",")
        assert kind == "data:image/png;base64"
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))), classes)


class TestNumbers:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (numbers.number(1234567.4), "1\u202f234\u202f567"),
            (numbers.number(-0.25, 2), "\u22120.25"),
            (numbers.percent(0), "0.0\u00a0%"),
            (numbers.percent(0.0001), "<\u202f0.1\u00a0%"),
            (numbers.percent(0.1234), "12.3\u00a0%"),
            (numbers.duration(8.34), "8.3\u00a0s"),
            (numbers.duration(250), "4\u00a0min 10\u00a0s"),
            (numbers.duration(11_100), "3\u00a0h 05\u00a0min"),
            (numbers.size(6_412), "6.4\u00a0kB"),
            (numbers.size(465_000_000), "465\u00a0MB"),
            (numbers.size(12_340_000_000), "12.3\u00a0GB"),
            (numbers.degrees(-13.456, "E", "W", 2), "13.46°\u202fW"),
        ],
    )
    def test_read_well(self, text, expected):
        assert text == expected


class TestRecord:
    def test_time_is_the_union_of_spells(self):
        assert union_length([(5, 6), (0, 2), (1, 3)]) == 4
        assert union_length([(0, 10), (2, 3)]) == 10
        assert union_length([]) == 0

    def test_shares_of_classes_and_flags(self, plan):
        layers = {record.layer.name: record for record in gather(plan).layers}
        assert sum(layers["LULC"].shares().values()) == pytest.approx(1)
        quality = layers["quality"].shares()
        assert quality[4] <= quality[2]  # what is at the edge of data was also filled
        assert layers["quality"].valid_km2 == pytest.approx(gather(plan).mapped_km2)
        assert layers["NDVI"].shares() == {}


class TestCommand:
    """The printed command makes the same request again."""

    def parsed(self, command: str) -> RegionRequest:
        program, name, *words = shlex.split(command)
        assert (program, name) == ("terramosaic", "map")
        made = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                mapping, "request_from", lambda given: made.append(options.request_from(given)) or 1 / 0
            )
            CliRunner().invoke(app.cli, ["map", *words])
        return made[0]

    @pytest.mark.parametrize(
        "fields",
        [
            {"region": [-13.4, 45.5, 13.9, 45.9]},
            {"region": "33TWL", "max_cloud": 12.5, "targets": ["NDVI"], "extras": ["std", "confidence"]},
            {
                "region": [13.1, 45.123456789012, 13.2, 45.2],
                "seed": 7,
                "stride": 96,
                "strides": {"S1GRD": 224, "LULC": 112},
                "out": "a b/c",
                "dtype": "float32",
            },
            {
                "region": [13.1, 45.1, 13.2, 45.2],
                "catalog": "/data/it's here",
                "catalogs": {"S1RTC": "https://a.org/stac?ids=1,2#rtc", "DEM": "/data/old, unsorted"},
                "offset": "keep",
                "block_size": 512,
            },
        ],
    )
    def test_repeats_the_request(self, fields):
        request = RegionRequest(**{"datetime": "2023-08", "max_area_km2": 2e7, **fields})
        again = self.parsed(map_command(request, {}))
        # Where maps go to is the affair of who says it.
        assert again == request.model_copy(update={"out": again.out}) and again.out == "out"

    def test_a_polygon_is_written_out_and_gives_the_same_run(self, plan, source):
        command = map_command(plan.request, plan.region)
        assert "POLYGON" in command and not takes_item(plan.request, plan.region)
        assert make_plan(self.parsed(command)).run_id == plan.run_id

    def test_it_is_copied_from_the_page_as_it_is(self, plan, source):
        shown = source.partition('<pre id="command">')[2].partition("</pre>")[0]
        assert html.unescape(re.sub("<[^>]*>", "", shown)) == map_command(plan.request, plan.region)

    def test_one_of_many_corners_is_found_in_the_item_beside_the_page(self, plan, source, monkeypatch):
        monkeypatch.setattr(repeat, "_LONGEST", 10)
        command = map_command(plan.request, plan.region)
        assert "--region item.json " in command and takes_item(plan.request, plan.region)
        monkeypatch.chdir(RunFolder.of(plan).path)
        assert make_plan(self.parsed(command)).run_id == plan.run_id

    def test_what_names_folders_of_one_machine_is_told(self, plan):
        assert of_one_machine(plan.request) == ["--catalog"]
        elsewhere = {"catalog": "earth-search", "model": "/models/a", "imagery": ("s2/a",)}
        told = of_one_machine(plan.request.model_copy(update=elsewhere))
        assert sorted(told) == ["--imagery", "--model"]
        assert (
            of_one_machine(RegionRequest(region="33TWL", datetime="2023", catalog="https://a.example/b"))
            == []
        )


@pytest.fixture(scope="module")
def links(page):
    """What the page links to, but for its own parts."""
    found = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    return [link for link in found if not link.startswith("#")]


class TestFiles:
    def test_each_link_leads_to_a_file_of_the_run(self, plan, source, links):
        publish(plan)
        folder = RunFolder.of(plan).path
        assert len(set(links)) > 20
        assert [link for link in links if not (folder / unquote(link)).exists()] == []
        for name in (
            "NDVI.tif",
            "NDVI.qml",
            "S1GRD_composite.vrt",
            "LULC.tif.aux.xml",
            "item.json",
            "../catalog.json",
        ):
            assert name in links

    def test_sizes_are_those_on_disk(self, plan, source):
        publish(plan)
        folder = RunFolder.of(plan).path
        told = {file.href: file.size for file in files_of(gather(plan)) if file.size is not None}
        assert len(told) > 15
        assert told == {name: (folder / name).stat().st_size for name in told}


class TestHistograms:
    def test_all_pixels_are_in_it(self, plan):
        for record in gather(plan).layers:
            for band, spread in record.histograms.items():
                assert sum(spread.shares) + spread.outside == pytest.approx(1), (record.name, band)
                assert spread.outside < 0.005 and len(spread.shares) <= 64 and spread.low < spread.high

    def test_counts_fall_into_equal_bins(self, plan):
        (layer,) = [record.layer for record in gather(plan).layers if record.name == "NDVI"]
        counts = np.zeros(len(layer.numbers), np.int64)
        counts[layer.numbers == layer.nodata] = 10**6
        counts[(layer.numbers >= 0) & (layer.numbers < 1280)] = 5
        spread = histogram_of_counts(counts, layer, bins=64)
        assert len(spread.shares) == 64 and spread.outside < 0.005
        assert np.ptp(spread.shares[:-1]) < 1e-12 and spread.low == pytest.approx(0.0001)
        assert histogram_of_counts(counts * (layer.numbers == layer.nodata), layer) is None


class TestLarge:
    def test_strips_are_drawn_as_the_whole_is(self, plan, tmp_path, monkeypatch):
        monkeypatch.setattr(large, "_ROWS", 37)
        drawn = []
        for record in gather(plan).layers:
            with rasterio.open(record.path) as dataset:
                image = large._stitched(dataset, record.layer, record.quicklook, 1)
            if image is None:
                continue
            drawn.append(record.name)
            assert image.mode == record.quicklook.image.mode
            np.testing.assert_array_equal(np.asarray(image), np.asarray(record.quicklook.image))
            assert image.info.get("transparency") == record.quicklook.image.info.get("transparency")
        assert {"NDVI", "S1GRD", "LULC", "quality", "acquired", "LULC_confidence"} <= set(drawn)

    def test_they_are_written_where_they_tell_more(self, plan, tmp_path):
        for record in gather(plan).layers:
            large.write_large(record, 1, tmp_path)
        assert list(tmp_path.iterdir()) == []
        for record in gather(plan).layers:
            large.write_large(record, 2, tmp_path)
        names = {path.name for path in tmp_path.iterdir()}
        assert {"NDVI_large.webp", "LULC_large.png", "acquired_large.webp"} <= names
        with Image.open(tmp_path / "NDVI_large.webp") as picture:
            assert picture.size == tuple(reversed(plan.zones[0].rect.shape))

    def test_no_side_is_longer_than_4096(self, plan):
        (record,) = [record for record in gather(plan).layers if record.name == "NDVI"]
        for side, factor in ((4096, 1), (4097, 2), (8192, 2), (8193, 4), (100_000, 32)):
            zone = record.zone.model_copy(update={"height": side, "width": 10})
            assert large._factor(replace(record, zone=zone)) == factor


class TestCropping:
    def test_pictures_of_a_frame_are_cut_alike_to_where_any_has_data(self):
        one, other = Image.new("RGBA", (200, 100)), Image.new("P", (200, 100), 255)
        one.paste((255, 0, 0, 255), (50, 20, 60, 30))
        other.info["transparency"] = 255
        other.putpalette([0] * 768)
        other.paste(7, (80, 40, 90, 70))
        cut = cropped({"a": Quicklook(one, ""), "b": Quicklook(other, "")})
        assert {picture.image.size for picture in cut.values()} == {(42, 52)}
        assert cut["a"].image.getpixel((1, 1)) == (255, 0, 0, 255) and cut["b"].image.getpixel((31, 21)) == 7
        assert cut["b"].image.info["transparency"] == 255

    def test_pictures_without_data_stay(self):
        empty = {"a": Quicklook(Image.new("RGBA", (20, 10)), "")}
        assert cropped(empty)["a"].image.size == (20, 10)


def test_a_record_needs_all_blocks(plan, tmp_path):
    folder = RunFolder.of(plan)
    receipt = folder.receipt_file(plan.blocks[0])
    hidden = receipt.rename(tmp_path / "hidden.json")
    try:
        with pytest.raises(OutputError, match="1 of 2 blocks are not done"):
            gather(plan)
    finally:
        hidden.rename(receipt)
