"""Catalogs behind a STAC API, searched with pystac-client, which neither retries nor gives up by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import shapely
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from terramosaic.catalog.matching import Wanted
from terramosaic.catalog.metadata import check_item
from terramosaic.catalog.profiles import GENERIC, Profile
from terramosaic.errors import CatalogError, RequestError, one_line
from terramosaic.request.interval import format_interval
from terramosaic.storage.http import CONNECT, Patience
from terramosaic.storage.retries import HTTP

if TYPE_CHECKING:
    from pystac_client.stac_api_io import StacApiIO

#: Seconds to connect and to wait for bytes. pystac-client has no limit of its own.
_TIMEOUT = (CONNECT, HTTP.silence)
#: Items in a page. Earth Search runs in functions whose answers may not exceed 6 MB, and an item has 30 kB.
_PAGE = 100
#: Regions with more parts are searched as the hulls of their two sides, with more vertices as a hull or box.
_MOST_PARTS, _MOST_VERTICES = 4, 200


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
        self._url, self._collection = url.rstrip("/"), collection
        self._collection_is_known = False

    def describe(self) -> str:
        """Names the catalog in messages."""
        return f"{self._url if self.profile is GENERIC else self.profile.title} ({self._collection})"

    def search(
        self,
        geometry_parts: Sequence[BaseGeometry],
        start: datetime | None,
        end: datetime | None,
        max_cloud: float | None,
    ) -> list[dict[str, Any]]:
        """Items that match, whatever the server makes of the filters; see `terramosaic.catalog.search.Catalog`.

        Raises:
            CatalogError: the server cannot be reached, keeps failing, or is not a STAC API.
            RequestError: the server has no such collection.
        """
        wanted = Wanted(geometry_parts, start, end, max_cloud, self._collection)
        found: dict[tuple[str | None, str], dict[str, Any]] = {}
        for part in _search_shapes(geometry_parts):
            for item in self._items(part, start, end, max_cloud):
                found.setdefault((item.get("collection"), item["id"]), item)
        if not found:
            self._check_collection()
        return [_with_absolute_hrefs(item) for item in found.values() if wanted.matches(item)]

    def _items(
        self, part: BaseGeometry, start: datetime | None, end: datetime | None, max_cloud: float | None
    ) -> Iterator[dict[str, Any]]:
        """One search's answer, page after page."""
        from pystac_client import ItemSearch  # for start-up time: catalogs on disk do without

        endpoint = self._endpoint
        # GET has to carry the region in the URL, where a polygon may not fit.
        where = {"intersects": mapping(part)} if endpoint.method == "POST" else {"bbox": part.bounds}
        sends_cloud = max_cloud is not None and endpoint.knows_query
        search = ItemSearch(
            endpoint.url,
            method=endpoint.method,
            stac_io=self._io,
            limit=_PAGE,
            collections=[self._collection],
            datetime=format_interval(start, end) if start or end else None,
            query={"eo:cloud_cover": {"lte": max_cloud}} if sends_cloud else None,
            **where,
        )
        pages = search.pages_as_dicts()
        seen: set[tuple[str | None, str]] = set()
        while (page := self._asked(lambda: next(pages, None))) is not None:
            for item in page["features"]:
                check_item(item)
            names = {(item.get("collection"), item["id"]) for item in page["features"]}
            if names <= seen:
                return  # a server that answers its own next link with the same page would go on for ever
            seen |= names
            yield from page["features"]

    @cached_property
    def _endpoint(self) -> _Endpoint:
        landing = self._asked(lambda: self._io.read_json(self._url))
        links = landing.get("links") if isinstance(landing, dict) else None
        if not isinstance(links, list):
            raise CatalogError(f"{self._url} is not a STAC API: its landing page has no links")
        classes = landing.get("conformsTo") or []
        searches = [
            link for link in links if link.get("rel") == "search" and "json" in link.get("type", "json")
        ]
        if not searches and not any("item-search" in name for name in classes):
            raise CatalogError(
                f"{self._url} is not a STAC API that can be searched; "
                "a static catalog is read from disk, by its path"
            )
        # A link without a method is a GET, but the specification makes POST the usual second way.
        posts = [link for link in searches if link.get("method", "").upper() == "POST"]
        chosen = (posts or searches or [{"href": f"{self._url}/search", "method": "POST"}])[0]
        data = next((link["href"] for link in links if link.get("rel") == "data"), f"{self._url}/collections")
        return _Endpoint(
            url=urljoin(f"{self._url}/", chosen["href"]),
            method=chosen.get("method", "GET").upper(),
            knows_query=any(name.endswith("item-search#query") for name in classes),
            collections_url=urljoin(f"{self._url}/", data),
        )

    @cached_property
    def _io(self) -> StacApiIO:
        from pystac_client.stac_api_io import StacApiIO  # for start-up time, as above

        return StacApiIO(timeout=_TIMEOUT, max_retries=Patience.fresh())

    def _check_collection(self) -> None:
        """An unknown collection is no error to most servers: they find nothing in it."""
        if self._collection_is_known:
            return
        from pystac_client.exceptions import APIError  # for start-up time, as above

        try:
            self._io.read_json(f"{self._endpoint.collections_url}/{self._collection}")
        except APIError as error:
            if getattr(error, "status_code", None) == 404:
                raise RequestError(
                    f"collection: {self._url} has none named {self._collection!r}{self._known_collections()}"
                ) from None
        except ValueError:
            pass  # no JSON there: the server does not tell
        self._collection_is_known = True

    def _known_collections(self) -> str:
        page = self._asked(lambda: self._io.read_json(self._endpoint.collections_url))
        names = sorted(collection["id"] for collection in page.get("collections", []))
        likely = [name for name in names if "sentinel-2" in name] or names[:10]
        return f"; it has {', '.join(likely)}" if likely else ""

    def _asked(self, question: Callable[[], Any]) -> Any:
        """An answer of the server, or the reason why there is none, in a line."""
        from pystac_client.exceptions import APIError  # for start-up time, as above

        try:
            return question()
        except APIError as error:
            status = getattr(error, "status_code", None)
            raise CatalogError(f"{self._url} {_reason(status, str(error))}") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CatalogError(
                f"{self._url} is not a STAC API: its answer is not STAC JSON ({error})"
            ) from None


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


def _reason(status: int | None, text: str) -> str:
    if status is not None:
        return f"answered HTTP {status}: {_one_line(text) or 'nothing more'}"
    for mark, reason in {
        "refused": "refuses the connection",
        "resolve": "is a host that cannot be found",
        "timed out": "does not answer in time",
        "CERTIFICATE": "has a certificate that cannot be verified",
    }.items():
        if mark in text:
            return f"cannot be reached: it {reason}; try again later or check the address"
    return f"cannot be reached: {_one_line(text)}"


def _one_line(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= 200 else f"{text[:200]} ..."


def _with_absolute_hrefs(item: dict[str, Any]) -> dict[str, Any]:
    own = next((link["href"] for link in item.get("links", []) if link.get("rel") == "self"), None)
    if own is None:
        return item
    assets = {
        key: asset | {"href": urljoin(own, asset["href"])} if _is_relative(asset.get("href")) else asset
        for key, asset in item["assets"].items()
    }
    return item | {"assets": assets}


def _is_relative(href: str | None) -> bool:
    return href is not None and "://" not in href and not href.startswith("/")
