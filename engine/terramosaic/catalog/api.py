"""Catalogs behind a STAC API."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urljoin

import shapely
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from terramosaic.catalog.hrefs import Origin, origin_of, refusal
from terramosaic.catalog.matching import Wanted
from terramosaic.catalog.metadata import is_href, links_of, with_hrefs
from terramosaic.catalog.pages import Distinct, PageRequest, read_pages
from terramosaic.catalog.profiles import GENERIC, Profile
from terramosaic.catalog.unusable import NONE_TOLERATED, Unusable
from terramosaic.errors import CatalogError, RequestError, one_line, printable
from terramosaic.request.interval import format_interval
from terramosaic.storage.documents import shown
from terramosaic.url_secrets import bare, whole, with_secrets_of

if TYPE_CHECKING:
    from urllib3 import PoolManager

    from terramosaic.storage.http import Answer

#: What names of collections have in them, by which those are found that may be meant.
_KINDS = ("sentinel-2", "sentinel-1", "cop-dem")

#: Items in a page. Earth Search runs in functions whose answers may not exceed 6 MB, and an item has 30 kB.
_PAGE = 100
#: Bytes that a page may have, and those of a refusal that are looked at.
_LARGEST_PAGE, _TOLD = 100_000_000, 2_000
#: Regions with more parts are searched as the hulls of their two sides, with more vertices as a hull or box.
_MOST_PARTS, _MOST_VERTICES = 4, 200

#: Items that a search can have, generously: of each tile of 100 km, which overlap where zones meet, as many a day as
#: three satellites' passes, halves by datastrip and processings come to; and so many in any case.
_ITEMS_OF_TILE_AND_DAY, _ITEMS_AT_LEAST = 12, 5_000
_TILE_DEGREES = 0.9

#: Seconds in which all answers of a search have come, and how many more there are for each item that came: servers give
#: tens of items a second, and a country has thousands.
_WITHIN, _FOR_AN_ITEM = 170.0, 1.0

#: Sentinel-2's first day, and the last second that has another one after it.
_FIRST_DAY, _LAST_SECOND = datetime(2015, 6, 23, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 58, tzinfo=UTC)


@dataclass(frozen=True)
class _Endpoint:
    """How a server wants to be searched."""

    url: str
    method: str
    knows_query: bool
    collections_url: str


class ApiCatalog:
    """A STAC API.

    Args:
        url: the API's landing page.
        collection: id of the collection to search.
        profile: the profile of its items; `GENERIC` to recognise them one by one.
    """

    def __init__(self, url: str, collection: str, profile: Profile = GENERIC) -> None:
        self.profile = profile
        self._told, self._url = whole(url), bare(url).rstrip("/")
        # Where its paths begin, and its name in messages.
        self._root = self._name = shown(self._url).rstrip("/")
        self._collection = collection
        self._collection_is_known = False
        self._until = math.inf

    @cached_property
    def origin(self) -> Origin:
        """Whether its host is of a private network."""
        return origin_of(self._url)

    def describe(self) -> str:
        """Names the catalog in messages."""
        return f"{self._name if self.profile is GENERIC else self.profile.title} ({self._collection})"

    def search(
        self,
        geometry_parts: Sequence[BaseGeometry],
        start: datetime | None,
        end: datetime | None,
        max_cloud: float | None,
        unusable: Unusable = NONE_TOLERATED,
    ) -> list[dict[str, Any]]:
        """Items that match, whatever the server makes of the filters; see `terramosaic.catalog.search.Catalog`.

        Raises:
            CatalogError: the server cannot be reached, keeps failing, or is not a STAC API.
            RequestError: the server has no such collection.
        """
        wanted = Wanted(geometry_parts, start, end, max_cloud, self._collection)
        items, found = Distinct(), []
        self._until = monotonic() + _WITHIN
        for part in _search_shapes(geometry_parts):
            for item in self._items(part, start, end, max_cloud):
                if items.add(item):
                    found.append(item)
                    self._until += _FOR_AN_ITEM
        if not found:
            self._check_collection()
        return [_with_absolute_hrefs(item) for item in wanted.among(found, unusable)]

    def stream(
        self,
        geometry_parts: Sequence[BaseGeometry],
        start: datetime | None,
        end: datetime | None,
        max_cloud: float | None,
        unusable: Unusable = NONE_TOLERATED,
    ) -> Iterator[dict[str, Any]]:
        """As `search`: of a server's items it is known when all have come whether these are all."""
        yield from self.search(geometry_parts, start, end, max_cloud, unusable)

    def _items(
        self, part: BaseGeometry, start: datetime | None, end: datetime | None, max_cloud: float | None
    ) -> Iterator[Any]:
        """One search's answer, page after page."""
        endpoint = self._endpoint
        asked: dict[str, Any] = {"limit": _PAGE, "collections": [self._collection]}
        if start or end:
            asked["datetime"] = format_interval(start, _after(end))
        # Whoever takes all clouds also takes what does not tell its own, which a server would leave out.
        if max_cloud is not None and max_cloud < 100 and endpoint.knows_query:
            asked["query"] = {"eo:cloud_cover": {"lte": max_cloud}}
        if endpoint.method == "POST":
            search = PageRequest(endpoint.url, "POST", {**asked, "intersects": mapping(part)})
        else:
            # GET has to carry the region in the URL, where a polygon may not fit.
            search = PageRequest(_with_query(endpoint.url, {**asked, "bbox": part.bounds}))
        most = _most_items(part, start, end)
        yield from read_pages(search, self._page, size=_PAGE, most=most, server=self._name)

    @cached_property
    def _endpoint(self) -> _Endpoint:
        landing, _ = self._page(PageRequest(self._url))
        if not isinstance(landing, dict) or not isinstance(landing.get("links"), list):
            raise CatalogError(f"{self._name} is not a STAC API: its landing page has no links")
        links, said = links_of(landing), landing.get("conformsTo")
        classes = [name for name in said if isinstance(name, str)] if isinstance(said, list) else []
        searches = [
            link for link in links if link["rel"] == "search" and "json" in str(link.get("type", "json"))
        ]
        if not searches and not any("item-search" in name for name in classes):
            raise CatalogError(
                f"{self._name} is not a STAC API that can be searched; "
                "a static catalog is read from disk, by its path"
            )
        # A link without a method is a GET, but the specification makes POST the usual second way.
        posts = [link for link in searches if str(link.get("method")).upper() == "POST"]
        chosen = (posts or searches or [{"href": f"{self._root}/search", "method": "POST"}])[0]
        data = next((link["href"] for link in links if link["rel"] == "data"), f"{self._root}/collections")
        try:
            return _Endpoint(
                url=urljoin(f"{self._root}/", chosen["href"]),
                method="POST" if posts or not searches else "GET",
                knows_query=any(name.endswith("item-search#query") for name in classes),
                collections_url=urljoin(f"{self._root}/", data),
            )
        except ValueError as error:
            raise CatalogError(f"{self._name} is not a STAC API: its links are no URLs ({error})") from None

    @cached_property
    def _pool(self) -> PoolManager:
        from terramosaic.storage.http import pool_for  # for start-up time: catalogs on disk do without

        return pool_for(self._url)

    def _check_collection(self) -> None:
        """An unknown collection is no error to most servers: they find nothing in it."""
        if self._collection_is_known:
            return
        asked = PageRequest(f"{self._endpoint.collections_url}/{quote(self._collection, safe='')}")
        if self._answer(asked).status == 404:
            raise RequestError(
                f"collection: {self._name} has none named {self._collection!r}{self._known_collections()}"
            )
        self._collection_is_known = True

    def _known_collections(self) -> str:
        page, _ = self._page(PageRequest(self._endpoint.collections_url))
        listed = page.get("collections") if isinstance(page, dict) else None
        names = sorted(
            one["id"]
            for one in (listed if isinstance(listed, list) else [])
            if isinstance(one, dict) and isinstance(one.get("id"), str)
        )
        kind = next(filter(self._collection.__contains__, _KINDS), _KINDS[0])
        likely = [name for name in names if kind in name] or names[:10]
        return f"; it has {printable(', '.join(likely))}" if likely else ""

    def _page(self, request: PageRequest) -> tuple[Any, str]:
        """A JSON document of the server, and where it came from."""
        answer = self._answer(request)
        if answer.status >= 400:
            said = one_line(answer.content[:_TOLD].decode(errors="replace")) or "nothing more"
            raise CatalogError(f"{self._name} answered HTTP {answer.status}: {printable(said)}{answer.later}")
        if isinstance(answer.value, ValueError):
            raise CatalogError(
                f"{self._name} is not a STAC API: its answer is not STAC JSON ({one_line(answer.value)})"
            )
        return answer.value, bare(answer.url)

    def _answer(self, request: PageRequest) -> Answer[Any]:
        from terramosaic.storage.http import ask  # for start-up time, as above

        if refused := refusal(request.url, self.origin):
            raise CatalogError(f"{self._name} leads to {shown(request.url)}: {refused}")
        left = self._until - monotonic()
        if left <= 0:
            raise CatalogError(
                f"{self._name} is too slow: its pages do not end, with less than an item a second; try again later, or "
                "take a smaller region or another catalog"
            )
        headers = {"Accept": "application/geo+json, application/json", **request.headers}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        try:
            return ask(
                with_secrets_of(self._told, request.url),
                _LARGEST_PAGE,
                read=_json_or_error,
                method=request.method,
                body=None if request.body is None else json.dumps(request.body).encode(),
                headers=headers,
                pool=self._pool,
                within=left,
                refuses=lambda url: refusal(url, self.origin),
            )
        except OSError as error:
            raise CatalogError(f"{self._name} cannot be reached: {_reason(str(error))}") from None


def _json_or_error(content: bytes) -> Any:
    """What a body says; of one that is no JSON at all, such as a page for people, the error."""
    from terramosaic.storage.http import CutShortError  # for start-up time, as above

    try:
        return json.loads(content)
    except RecursionError:
        return ValueError("it is nested too deeply")
    except ValueError as error:
        if content.lstrip()[:1] in (b"{", b"[", b""):
            raise CutShortError(f"its answer is cut in the midst ({error})") from None
        return error


def _after(end: datetime | None) -> datetime | None:
    """A second after the last one of a period, which a server takes for its first moment; more is filtered out here."""
    return end and min(end, _LAST_SECOND) + timedelta(seconds=1)


def _with_query(url: str, asked: dict[str, Any]) -> str:
    """A search's URL for GET."""
    texts = {
        name: json.dumps(value, separators=(",", ":")) if isinstance(value, dict) else _comma_separated(value)
        for name, value in asked.items()
    }
    return f"{url}{'&' if '?' in url else '?'}{urlencode(texts)}"


def _comma_separated(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _most_items(part: BaseGeometry, start: datetime | None, end: datetime | None) -> int:
    """Items that a search can have at most, by its area and period."""
    west, south, east, north = part.bounds
    nearest: float = 0 if south < 0 < north else min(abs(south), abs(north))
    # Two tiles more on either side, and as many where one UTM zone ends and the next begins.
    columns = (east - west) * math.cos(math.radians(nearest)) / _TILE_DEGREES + 4 + (east - west) / 3
    rows = (north - south) / _TILE_DEGREES + 2
    days = ((end or datetime.now(UTC)) - (start or _FIRST_DAY)).days + 1
    most: int = math.ceil(rows * columns * max(days, 1) * _ITEMS_OF_TILE_AND_DAY)
    return max(_ITEMS_AT_LEAST, most)


def _search_shapes(parts: Sequence[BaseGeometry]) -> list[BaseGeometry]:
    """Shapes that hold the parts and that a server can be asked for: few, and of few vertices."""
    shapes = list(parts)
    if len(shapes) > _MOST_PARTS:
        sides = [[part for part in shapes if (part.centroid.x < 0) == west] for west in (True, False)]
        shapes = [shapely.union_all(side).convex_hull for side in sides if side]
    return [
        next(
            around
            for around in (shape, shape.convex_hull, shape.envelope)
            if shapely.get_num_coordinates(around) <= _MOST_VERTICES
        )
        for shape in shapes
    ]


def _reason(said: str) -> str:
    for mark, reason in {
        "refused": "it refuses the connection",
        "timed out": "it does not answer in time",
        "certificate": "it has a certificate that cannot be verified",
        # As Linux (in two ways), macOS and Windows say it.
        "name or service|name resolution|no address|nodename|getaddrinfo": "it is a host that cannot be found",
    }.items():
        if re.search(mark, said.casefold()):
            return f"{reason}; try again later or check the address"
    return printable(said)


def _with_absolute_hrefs(item: dict[str, Any]) -> dict[str, Any]:
    """Relative ones start at the item's own link. A path stays one: nothing tells a server's from this machine's."""
    own = next((link["href"] for link in links_of(item) if link["rel"] == "self"), None)
    if not is_href(own):
        return item
    found: dict[str, Any] = with_hrefs(
        item, lambda href: href if "://" in href or href.startswith("/") else urljoin(own, href)
    )
    return found
