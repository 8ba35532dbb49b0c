"""Searching a STAC API over HTTP: real items, pages, faults, and servers that ignore what they are asked."""

import itertools
import json
import socket
from datetime import UTC, datetime

import numpy as np
import pytest
from shapely.geometry import Point, Polygon, box, shape
from starlette.applications import Starlette
from starlette.responses import RedirectResponse, Response, StreamingResponse

from terramosaic.catalog.search import hint_for_nothing, open_catalog
from terramosaic.errors import CatalogError, RequestError
from terramosaic.storage.documents import read_document
from terramosaic.storage.retries import Limit
from tests.support.loopback import self_signed, serving
from tests.support.stac_server import CORE, serve_stac

#: Part of the tiles around 13TDE, which the real items cover in nine days.
REGION = box(-105.1, 40.0, -104.9, 40.2)
WORLD = box(-180, -90, 180, 90)
START, END = datetime(2024, 8, 21, tzinfo=UTC), datetime(2024, 8, 25, 23, 59, 59, tzinfo=UTC)


@pytest.fixture(scope="module")
def items(shared_data):
    """Two hundred items of Planetary Computer."""
    return json.loads((shared_data / "stac-items/planetary-computer_200_items.json").read_text())["features"]


def expected(items, region=REGION, start=START, end=END, cloud=100.0):
    return {
        item["id"]
        for item in items
        if shape(item["geometry"]).intersects(region)
        and start <= datetime.fromisoformat(item["properties"]["datetime"]) <= end
        and item["properties"]["eo:cloud_cover"] <= cloud
    }


def search(server, *parts, start=START, end=END, cloud=None):
    found = open_catalog(server.url).search(parts or [REGION], start, end, cloud)
    ids = [item["id"] for item in found]
    assert len(set(ids)) == len(ids)
    return set(ids)


@pytest.mark.parametrize("methods", [("GET", "POST"), ("POST",), ("GET",)])
def test_finds_what_lies_there_by_either_method(items, methods):
    with serve_stac(items, methods=methods) as server:
        found = search(server, cloud=30)
    assert found == expected(items, cloud=30)
    assert 0 < len(found) < len(expected(items)) < 200
    (asked,) = server.searches
    assert asked["method"] == ("POST" if "POST" in methods else "GET")
    assert asked["datetime"] == "2024-08-21T00:00:00Z/2024-08-26T00:00:00Z"
    assert asked["query"] == {"eo:cloud_cover": {"lte": 30}}
    assert asked["collections"] == ["sentinel-2-l2a"] and asked["limit"] == 100


def test_the_last_second_of_a_period_belongs_to_it_and_the_next_does_not(items):
    def at(name, moment):
        return items[0] | {"id": name, "properties": items[0]["properties"] | {"datetime": moment}}

    ends = [
        at("last", "2024-08-25T23:59:59.9Z"), at("next", "2024-08-26T00:00:00Z"), at("old", "2024-08-20T23:59:59.9Z")
    ]  # fmt: skip
    with serve_stac(ends) as server:
        assert search(server, WORLD) == {"last"}
        assert search(server, WORLD, end=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)) == {"last", "next"}


@pytest.mark.parametrize("methods", [("POST",), ("GET",)])
def test_all_pages_are_read(items, methods):
    with serve_stac(items, methods=methods) as server:
        assert len(search(server, WORLD, start=None, end=None)) == 200
        assert [asked.get("token") for asked in server.searches] in ([None, 100], [None, "100"])
        server.most = 7
        assert len(search(server, WORLD, start=None, end=None)) == 200
        assert len(server.searches) == 2 + 29


def test_a_server_that_repeats_its_first_page_for_ever_is_an_error(items):
    with serve_stac(items, most=50, stuck=True) as server:
        with pytest.raises(CatalogError, match="goes round in circles: after page 2"):
            search(server, WORLD)
        assert len(server.searches) == 2


@pytest.mark.parametrize(("method", "empty"), [("POST", 1), ("GET", 2), ("POST", 5)])
def test_an_empty_page_is_not_the_last_one_while_there_is_a_next(items, method, empty):
    shifted = [*items[: (empty - 1) * 50], *items[:50], *items[(empty - 1) * 50 :]]
    worse = lambda number, page: page | {"features": []} if number == empty else page  # noqa: E731
    with serve_stac(shifted, methods=(method,), most=50, worse=worse) as server:
        assert len(search(server, WORLD, start=None, end=None)) == 200
        assert len(server.searches) == 5


def test_a_page_that_comes_twice_is_not_the_last_one_while_there_is_a_next(items):
    with serve_stac([*items[:50], *items[:50], *items[50:]], most=50) as server:
        assert len(search(server, WORLD, start=None, end=None)) == 200
        assert len(server.searches) == 5


@pytest.mark.parametrize(
    "href", ["/search?limit=50&token={}", "search?limit=50&token={}", "?limit=50&token={}"]
)
def test_a_relative_next_starts_at_the_page(items, href):
    def relative(number, page):
        return page | {"links": [{"rel": "next", "href": href.format(number * 50)}] if number < 4 else []}

    with serve_stac(items, most=50, worse=relative) as server:
        assert len(search(server, WORLD, start=None, end=None)) == 200


def test_a_next_is_merged_into_the_search_if_it_says_so(items):
    def merged(number, page):
        link = {
            "rel": "next",
            "href": "search",
            "method": "POST",
            "merge": True,
            "body": {"token": number * 50},
        }
        return page | {"links": [link] if number < 4 else []}

    with serve_stac(items, most=50, worse=merged) as server:
        assert len(search(server, WORLD, start=None, end=None)) == 200
        assert all(asked["collections"] == ["sentinel-2-l2a"] for asked in server.searches)


@pytest.mark.parametrize("name", ["numberMatched", "context"])
def test_fewer_items_than_the_server_says_there_are_is_an_error(items, name):
    def counted(number, page):
        return page | ({name: 200} if name == "numberMatched" else {name: {"matched": 200}})

    with serve_stac(items, most=50, worse=counted) as server:
        assert len(search(server, WORLD, start=None, end=None)) == 200
        server.worse = lambda number, page: counted(number, page) | {"links": []}
        with pytest.raises(CatalogError, match=r"127.0.0.1:\d+ says that 200 items match and gave 50"):
            search(server, WORLD, start=None, end=None)
    with serve_stac(items, most=50, stuck=True, worse=lambda _, page: page | {"numberMatched": 50}) as server:
        assert len(search(server, WORLD, start=None, end=None)) == 50  # round in circles, but it is all


def test_what_a_server_holds_twice_counts_twice_where_it_says_how_many_match(items):
    twice = [*items[:50], items[49], *items[50:60]]
    with serve_stac(twice, most=51, worse=lambda _, page: page | {"numberMatched": 61}) as server:
        assert len(search(server, WORLD, start=None, end=None)) == 60
        server.items = [*items[:50], *items[50:], *items[:50]]
        server.worse = lambda number, page: page | {"numberMatched": 250}
        with pytest.raises(CatalogError, match="says that 250 items match and gave 200"):
            search(server, WORLD, start=None, end=None)


@pytest.mark.parametrize(
    ("most", "number", "links", "said"),
    [
        (50, 2, None, "answered page 2 of a search with no or broken links, so there may be more"),
        (100, 1, None, "answered page 1 of a search with no or broken links, so there may be more"),
        (
            50,
            2,
            [{"rel": None, "href": "/search?token=50"}],
            "page 2 of a search with no or broken links",
        ),
        (50, 2, "x", "names a page after page 2 in links that are no list"),
    ],
)
def test_a_full_page_whose_links_are_gone_may_not_be_the_last_one(items, most, number, links, said):
    broken = lambda at, page: page | {"links": links} if at == number else page  # noqa: E731
    with serve_stac(items, most=most, worse=broken) as server:
        with pytest.raises(CatalogError, match=said):
            search(server, WORLD, start=None, end=None)
        server.worse = lambda _, page: page | {"links": None}
        server.items = items[: most - 1]
        assert len(search(server, WORLD, start=None, end=None)) == most - 1


def test_pages_that_come_too_slowly_are_left(items, monkeypatch):
    minutes = itertools.count(step=60)
    monkeypatch.setattr("terramosaic.catalog.api.monotonic", lambda: next(minutes))
    with serve_stac(items, most=50) as server:
        assert len(search(server, WORLD, start=None, end=None)) == 200
        server.most = 2
        with pytest.raises(CatalogError, match="is too slow: its pages do not end"):
            search(server, WORLD, start=None, end=None)
        assert len(server.searches) < 10


def test_who_takes_all_clouds_also_gets_what_does_not_tell_its_own(items):
    told = items[0]["properties"]
    silent = items[0] | {"properties": {name: told[name] for name in told if name != "eo:cloud_cover"}}
    with serve_stac([silent]) as server:
        catalog, parts = open_catalog(server.url), [box(*silent["bbox"])]
        assert len(catalog.search(parts, None, None, 100)) == 1
        assert catalog.search(parts, None, None, 99) == []
        hint = hint_for_nothing(catalog, parts, None, None, 99)
        assert hint == "what lies there in that period does not tell its cloud cover: use --max-cloud 100"


def test_json_that_is_nested_too_deeply_is_none_and_asked_for_once(items):
    deep = Response("[" * 100_000 + "]" * 100_000, media_type="application/json")
    with serve_stac(items, worse=lambda *_: deep) as server:
        with pytest.raises(CatalogError, match=r"its answer is not STAC JSON \(it is nested too deeply\)"):
            search(server)
        assert len(server.searches) == 1


def test_a_public_server_redirects_to_no_private_one(items, monkeypatch):
    away = RedirectResponse("http://127.0.0.2:1/secrets", 307)
    with serve_stac(items, worse=lambda *_: away) as server:
        monkeypatch.setenv("TERRAMOSAIC_PRIVATE_HOSTS", "127.0.0.1")
        monkeypatch.setattr("terramosaic.catalog.api.origin_of", lambda url: "public")
        with pytest.raises(CatalogError, match=r"it redirects elsewhere: 127\.0\.0\.2 is a private host"):
            search(server)
        assert len(server.searches) == 1


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ({"code": "Timeout", "description": "upstream timed out"}, "without a list of items: .*upstream timed out"),
        ({"type": "FeatureCollection", "features": None, "links": []}, "without a list of items"),
        ({"type": "FeatureCollection", "features": {}, "links": []}, "without a list of items"),
        ([], "without a list of items"),
        ({"features": [], "links": [], "code": "Timeout", "description": "gone"}, "with an error: .*gone"),
        ({"features": [], "links": [], "errors": [{"message": "gone"}]}, "with an error: .*gone"),
        ({"features": [], "links": [{"rel": "next"}]}, "names a page after page 3 that cannot be asked for"),
        ({"features": [], "links": [{"rel": "next", "href": "file:///etc/passwd"}]}, "cannot be asked for"),
        ({"features": [], "links": [{"rel": "next", "href": "http://[::1/x"}]}, "cannot be asked for"),
        ({"features": [], "links": [{"rel": "next", "href": 5}]}, "cannot be asked for"),
        ({"features": [], "links": [{"rel": "next", "href": "/s", "body": [1], "method": "POST"}]}, "after page 3"),
        ({"features": [], "links": [{"rel": "next", "href": "/s", "method": "DELETE"}]}, "cannot be asked for"),
    ],
)  # fmt: skip
def test_what_is_no_page_is_named(items, page, said):
    with serve_stac(items, most=50, worse=lambda number, given: page if number == 3 else given) as server:
        with pytest.raises(CatalogError, match=rf"127.0.0.1:\d+ .*page 3.*{said}|{said}") as error:
            search(server, WORLD, start=None, end=None)
        assert "\n" not in str(error.value) and len(server.searches) == 3


def test_pages_without_end_are_left(items, monkeypatch):
    monkeypatch.setattr("terramosaic.catalog.api._ITEMS_AT_LEAST", 500)

    def endless(number, page, *, new=True):
        features = [item | {"id": f"{item['id']}_{number}"} for item in items[:100]] if new else []
        link = {"rel": "next", "href": "search", "method": "POST", "body": {"token": number}}
        return page | {"features": features, "links": [link]}

    with serve_stac(items, worse=endless) as server:
        with pytest.raises(
            CatalogError, match=r"gives ever more pages: [\d,]+ items by now, where region and period"
        ):
            search(server)
        asked = len(server.searches)
        server.worse = lambda number, page: endless(number, page, new=False)
        with pytest.raises(CatalogError, match="gives page after page with nothing new, 50 in a row"):
            search(server)
        assert len(server.searches) == asked + 50


def cut(kind, page):
    """An answer whose connection ends in the midst, or which holds half of its page."""
    whole = json.dumps(page).encode()

    async def chunks():
        yield whole[: len(whole) // 2]
        if kind == "chunks":
            raise ConnectionResetError

    if kind == "chunks":
        return StreamingResponse(chunks())
    return Response(
        whole[: len(whole) // 2] if kind != "nothing" else b"",
        headers={"Content-Length": str(len(whole))} if kind == "length" else {},
    )


@pytest.mark.parametrize("kind", ["half", "nothing", "length", "chunks"])
def test_a_page_that_is_cut_is_asked_for_again(items, quick_retries, kind):
    pages = [None, "cut", None, "cut", "cut", None, None]
    worse = lambda number, page: cut(kind, page) if pages[number - 1 : number] == ["cut"] else page  # noqa: E731
    with serve_stac(items, most=50, worse=worse) as server:
        assert len(search(server, WORLD, start=None, end=None)) == 200
        assert len(server.searches) == 7
        server.searches.clear()
        server.worse = lambda _, page: cut(kind, page)
        with pytest.raises(CatalogError, match="cannot be reached: its answer is cut in the midst"):
            search(server, WORLD)
        assert len(server.searches) == 5


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_search_that_is_redirected_keeps_what_it_asks_for(items, status):
    moved = lambda number, page: RedirectResponse("/search", status) if number == 1 else page  # noqa: E731
    with serve_stac(items, methods=("POST",), worse=moved) as server:
        if status == 303:
            with pytest.raises(CatalogError, match="it redirects a POST with 303"):
                search(server)
            return
        assert search(server, cloud=30) == expected(items, cloud=30)
        first, second = server.searches
        assert first == second and "intersects" in second


def test_user_and_password_of_the_url_or_netrc_are_sent_and_not_told(items, tmp_path, monkeypatch):
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serve_stac(items) as server:
        told = open_catalog(server.url.replace("http://", "http://me:s%2Fecret@"))
        told.search([REGION], START, END, None)
        assert "s%2F" not in told.describe() and server.url in told.describe()
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password known")
        search(server)
        (tmp_path / "netrc").write_text("no such words")
        search(server)
    assert server.logins == ["me:s/ecret", "other:known", ""]


def test_a_redirect_is_logged_without_the_secret_of_either_address(items, caplog):
    caplog.set_level("DEBUG")
    away = lambda number, page: RedirectResponse("/search?token=Pa55word", 307) if number == 1 else page  # noqa: E731
    with serve_stac(items, methods=("POST",), worse=away) as server:
        search(server)
    assert "Redirecting" in caplog.text and "Pa55word" not in caplog.text


@pytest.mark.parametrize("ignored", ["query", "datetime", "intersects", "collections"])
def test_a_filter_that_the_server_ignores_is_applied_all_the_same(items, ignored):
    others = [item | {"collection": "other", "id": f"{item['id']}_other"} for item in items[:5]]
    with serve_stac([*items, *others], ignores=(ignored,)) as server:
        assert search(server, cloud=30) == expected(items, cloud=30)


def test_the_cloud_limit_is_only_sent_to_a_server_that_knows_queries(items):
    with serve_stac(items, conforms_to=CORE) as server:
        assert search(server, cloud=30) == expected(items, cloud=30)
        assert "query" not in server.searches[0]


def test_a_server_of_version_1_1_or_without_conformance_is_searched_by_its_link(items):
    for classes in (["https://api.stacspec.org/v1.1.0/item-search"], []):
        with serve_stac(items, conforms_to=classes) as server:
            assert search(server) == expected(items)


@pytest.mark.parametrize(
    "landing",
    [
        lambda search: {"links": [search]},
        lambda search: {"conformsTo": None, "links": [search]},
        lambda search: {"conformsTo": [None, 5], "links": [search]},
        lambda search: {"links": [None, "x", {"rel": "x"}, {"href": "x"}, {"rel": 5, "href": "x"}, search]},
        lambda search: {"links": [{"rel": "root", "href": "/nowhere"}, search]},
        lambda search: {"links": [search | {"type": "application/geo+json; charset=utf-8"}]},
        lambda search: {"links": [{"rel": "search", "href": "./search", "method": "post"}]},
        lambda search: {"links": [search | {"href": "/nowhere", "method": "GET"}, search]},
        lambda search: {"links": [search | {"href": "/nowhere", "type": "text/html"}, search]},
    ],
)
def test_a_landing_page_needs_no_more_than_its_link_to_the_search(items, landing):
    with serve_stac(items, methods=("POST",), greets=lambda page: landing(page["links"][0])) as server:
        assert search(server) == expected(items)


def test_parts_are_searched_each_and_found_once(items):
    halves = box(-105.1, 40.0, -105.0, 40.2), box(-105.0, 40.0, -104.9, 40.2)
    inside_first = sorted(items, key=lambda item: not shape(item["geometry"]).intersects(REGION))
    with serve_stac(inside_first) as server:
        assert search(server, *halves) == expected(items)
        assert len(server.searches) == 2
        # The second part's first pages hold nothing new, its later ones do.
        server.most = 3
        wider = box(-107, 38, -103, 42)
        assert search(server, REGION, wider) == expected(items, wider) > expected(items)


def test_many_parts_and_vertices_become_few_and_simple(items):
    rng = np.random.default_rng(3)
    dots = [Point(x, y).buffer(0.05) for x, y in rng.uniform([-105.4, 39.8], [-104, 41], (40, 2))]
    coast = Polygon(
        [
            (-105 + length * np.cos(angle), 40.1 + length * np.sin(angle))
            for angle, length in zip(np.linspace(0, 6.28, 2000), rng.uniform(0.28, 0.32, 2000), strict=True)
        ]
    )
    with serve_stac(items) as server:
        within = set().union(*(expected(items, dot) for dot in dots))
        assert search(server, *dots) == within
        assert len(server.searches) == 1
        assert search(server, coast) == expected(items, coast)
        assert shape(server.searches[-1]["intersects"]).equals(coast.convex_hull)
        circle = Point(-105, 40.1).buffer(0.3, quad_segs=500)
        assert search(server, circle) == expected(items, circle)
        assert shape(server.searches[-1]["intersects"]).bounds == circle.bounds


def test_both_sides_of_the_antimeridian_are_searched(items):
    with serve_stac(items) as server:
        assert search(server, box(179, 60, 180, 61), box(-180, 60, -179, 61)) == set()
        assert [shape(asked["intersects"]).bounds for asked in server.searches] == [
            (179, 60, 180, 61),
            (-180, 60, -179, 61),
        ]


@pytest.mark.parametrize("failure", [503, 429])
def test_a_server_that_fails_for_a_moment_is_asked_again(items, failure):
    with serve_stac(items, failing=2, failure=failure) as server:
        assert search(server) == expected(items)
        assert len(server.searches) == 3


@pytest.mark.parametrize(("failure", "asked"), [(503, 5), (429, 5), (404, 2), (403, 1)])
def test_a_page_that_fails_for_good_is_asked_for_so_often(items, quick_retries, failure, asked):
    with serve_stac(items, failing=99, failure=failure) as server:
        with pytest.raises(CatalogError, match=f"answered HTTP {failure}"):
            search(server)
        assert len(server.searches) == asked


def test_a_bad_certificate_and_an_unknown_host_are_final(tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr("urllib3.Retry.sleep", lambda retry, _=None: tried.append(retry))
    with serving(Starlette(), **self_signed(tmp_path)) as port:
        with pytest.raises(CatalogError, match="it has a certificate that cannot be verified"):
            open_catalog(f"https://127.0.0.1:{port}").search([REGION], START, END, None)
        with pytest.raises(OSError, match="certificate verify failed"):
            read_document(f"https://127.0.0.1:{port}/region.geojson", 1000)
    with pytest.raises(CatalogError, match="it is a host that cannot be found"):
        open_catalog("HTTP://no-such-host.invalid").search([REGION], START, END, None)
    for proxy in ("no-scheme:80", "ftp://host", "http://[::1"):
        monkeypatch.setenv("HTTP_PROXY", proxy)
        with pytest.raises(CatalogError, match="cannot be reached: HTTP_PROXY says no proxy"):
            open_catalog("http://filename.example").search([REGION], START, END, None)
    assert tried == []


def test_a_refusal_is_an_error_in_a_line_at_once(items):
    with serve_stac(items, failing=99, failure=400) as server:
        with pytest.raises(
            CatalogError, match=r"http://127.0.0.1:\d+ answered HTTP 400: .*not.*now"
        ) as error:
            search(server)
        assert len(server.searches) == 1 and "\n" not in str(error.value)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_server_that_is_down_is_given_up_quickly(monkeypatch):
    pauses = []
    monkeypatch.setattr("urllib3.Retry.sleep", lambda retry, _=None: pauses.append(retry.get_backoff_time()))
    with pytest.raises(CatalogError, match="cannot be reached: it refuses the connection; try again later"):
        open_catalog(f"http://127.0.0.1:{free_port()}").search([REGION], START, END, None)
    assert 0 < len(pauses) <= 2 and sum(pauses) < 4


def test_a_server_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr("terramosaic.storage.http.HTTP", Limit(5, pause=0.001, silence=0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(CatalogError, match="cannot be reached: it does not answer in time"):
            open_catalog(url).search([REGION], START, END, None)


def test_what_is_not_a_stac_api(tmp_path, items):
    from tests.support.file_server import serve_files

    (tmp_path / "page.html").write_text("<html>hello</html>")
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "catalog.json").write_text(json.dumps({"type": "Catalog", "links": []}))
    with serve_files(tmp_path) as files:
        for name, message in {
            "page.html": "is not a STAC API: its answer is not STAC JSON",
            "list.json": "is not a STAC API: its landing page has no links",
            "catalog.json": "is not a STAC API that can be searched; a static catalog is read from disk",
            "none": "answered HTTP 404",
        }.items():
            with pytest.raises(CatalogError, match=message):
                open_catalog(files.url(name)).search([REGION], START, END, None)


def test_an_unknown_collection_is_named_with_those_there_are(items):
    with serve_stac(items) as server:
        catalog = open_catalog(server.url, "sentinel-2")
        with pytest.raises(RequestError, match="has none named 'sentinel-2'; it has sentinel-2-l2a"):
            catalog.search([REGION], START, END, None)
        server.items = [item | {"collection": f"sentinel-2\n{number}"} for number, item in enumerate(items)]
        with pytest.raises(RequestError, match="it has sentinel-2") as error:
            catalog.search([REGION], START, END, None)
        assert str(error.value).isprintable() and len(str(error.value)) < 400
        server.items = items
        # A known one in which nothing lies there is no error.
        assert search(server, box(0, 0, 1, 1)) == set()


def test_relative_hrefs_start_at_the_items_own_link(items):
    item = items[0] | {
        "links": [{"rel": "self", "href": "https://stac.example.org/items/x.json"}],
        "assets": {"B04": {"href": "./B04.tif"}, "B03": {"href": "https://example.org/B03.tif"}},
    }
    with serve_stac([item]) as server:
        (found,) = open_catalog(server.url).search([WORLD], None, None, None)
    assert [asset["href"] for asset in found["assets"].values()] == [
        "https://stac.example.org/items/B04.tif",
        "https://example.org/B03.tif",
    ]


def test_hints_come_from_the_same_server(items):
    first, last = datetime(2024, 8, 24, tzinfo=UTC), datetime(2024, 8, 24, 23, 59, 59, tzinfo=UTC)
    clouded = expected(items, start=START, end=END)
    clearest = min(item["properties"]["eo:cloud_cover"] for item in items if item["id"] in clouded)
    with serve_stac(items) as server:
        catalog = open_catalog(server.url)
        assert catalog.search([REGION], START, END, clearest / 2) == []
        hint = hint_for_nothing(catalog, [REGION], START, END, clearest / 2)
        assert hint.startswith(
            f"the clearest of {len(clouded)} scenes there in that period has {clearest:.0f} % cloud"
        )
        assert hint_for_nothing(catalog, [box(-105.1, 39.8, -105.0, 39.9)], first, last, 40).startswith(
            "the nearest there are of 2024-08-23 (1 day before"
        )
        nowhere = hint_for_nothing(catalog, [box(0, 0, 1, 1)], first, last, 40)
        assert "has nothing there within a year of that period" in nowhere
