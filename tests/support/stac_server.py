"""A small STAC API on loopback that can be told to behave like the worse ones."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shapely.geometry import box, shape
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.loopback import guarded_by, serving

CORE = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]
QUERY = "https://api.stacspec.org/v1.0.0/item-search#query"


@dataclass
class StacServer:
    """Items behind a landing page, collections and a search with pages.

    Attributes:
        items: what it holds.
        conforms_to: the classes that it declares.
        methods: how it can be searched.
        ignores: parameters of a search that it takes and does not heed.
        most: items in a page, whatever limit is asked for.
        failing: how many of the next searches answer ``failure``.
        stuck: answers its own next links with the first page.
        worse: makes another answer of a page, by its number from 1 on: a document, or a response.
        greets: makes another landing page of the good one.
        searches: the parameters of each search that it answered or failed.
        logins: user and password of each request for the landing page.
    """

    items: list[dict[str, Any]]
    conforms_to: list[str] = field(default_factory=lambda: [*CORE, QUERY])
    methods: tuple[str, ...] = ("GET", "POST")
    ignores: tuple[str, ...] = ()
    most: int = 1000
    failing: int = 0
    failure: int = 503
    stuck: bool = False
    worse: Callable[[int, dict[str, Any]], Any] = lambda _, page: page
    greets: Callable[[dict[str, Any]], dict[str, Any]] = lambda page: page
    searches: list[dict[str, Any]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        """The landing page."""
        return f"http://127.0.0.1:{self.port}"

    async def landing(self, request: Request) -> Response:
        """Links and conformance."""
        login = request.headers.get("authorization", "").removeprefix("Basic ")
        self.logins.append(b64decode(login).decode())
        kind = "application/geo+json"
        links = [
            {"rel": "search", "href": f"{self.url}/search", "type": kind, "method": how}
            for how in self.methods
        ]
        links += [{"rel": "data", "href": f"{self.url}/collections"}, {"rel": "self", "href": self.url}]
        page = {
            "type": "Catalog",
            "id": "test",
            "description": "test",
            "stac_version": "1.0.0",
            "links": links,
        }
        return JSONResponse(self.greets(page | {"conformsTo": self.conforms_to}))

    async def collections(self, _: Request) -> Response:
        """The ids of the collections that the items name."""
        return JSONResponse({"collections": [{"id": name} for name in self._names()], "links": []})

    async def collection(self, request: Request) -> Response:
        """One of them."""
        name = request.path_params["name"]
        return JSONResponse({"id": name}, status_code=200 if name in self._names() else 404)

    async def search(self, request: Request) -> Response:
        """A page of the items that match."""
        if request.method not in self.methods:
            return Response(status_code=405)
        asked = await request.json() if request.method == "POST" else _from_query(dict(request.query_params))
        self.searches.append({"method": request.method, **asked})
        if self.failing > 0:
            self.failing -= 1
            return JSONResponse({"detail": "not\nnow"}, status_code=self.failure)
        heeded = {name: value for name, value in asked.items() if name not in self.ignores}
        found = [item for item in self.items if _matches(item, heeded)]
        first, size = int(heeded.get("token", 0)), min(heeded.get("limit", 10), self.most)
        if self.stuck:
            first = 0
        page = {"type": "FeatureCollection", "features": found[first : first + size], "links": []}
        if first + size < len(found):
            link: dict[str, Any] = {"rel": "next", "href": f"{self.url}/search", "method": request.method}
            if request.method == "POST":
                link |= {"body": asked | {"token": first + size}}
            else:
                link["href"] = str(request.url.include_query_params(token=first + size))
            page["links"] = [link]
        answer = self.worse(len(self.searches), page)
        return answer if isinstance(answer, Response) else JSONResponse(answer)

    def _names(self) -> list[str]:
        return sorted({item["collection"] for item in self.items})


def _from_query(asked: dict[str, Any]) -> dict[str, Any]:
    """Parameters of a GET in the types of a POST."""
    readers: dict[str, Callable[[str], Any]] = {
        "bbox": lambda text: [float(number) for number in text.split(",")],
        "collections": lambda text: text.split(","),
        "limit": int,
        "query": json.loads,
        "intersects": json.loads,
    }
    for name, read in readers.items():
        if name in asked:
            asked[name] = read(asked[name])
    return asked


def _matches(item: dict[str, Any], asked: dict[str, Any]) -> bool:
    properties, ground = item["properties"], shape(item["geometry"])
    if "collections" in asked and item["collection"] not in asked["collections"]:
        return False
    if "bbox" in asked and not ground.intersects(box(*asked["bbox"])):
        return False
    if "intersects" in asked and not ground.intersects(shape(asked["intersects"])):
        return False
    if "datetime" in asked:
        when = datetime.fromisoformat(properties["datetime"])
        start, _, end = asked["datetime"].partition("/")
        if (start != ".." and when < datetime.fromisoformat(start)) or (
            end != ".." and when > datetime.fromisoformat(end)
        ):
            return False
    query = asked.get("query", {})
    return all(properties.get(name, 101) <= condition["lte"] for name, condition in query.items())


@contextmanager
def serve_stac(
    items: list[dict[str, Any]], allows: Callable[[Request], bool] | None = None, **options: Any
) -> Iterator[StacServer]:
    """Serves items on loopback until the context ends, to requests that are allowed."""
    stac = StacServer(items, **options)
    app = Starlette(
        routes=[
            Route("/", stac.landing),
            Route("/collections", stac.collections),
            Route("/collections/{name}", stac.collection),
            Route("/search", stac.search, methods=["GET", "POST"]),
        ],
        middleware=guarded_by(allows),
    )
    with serving(app) as stac.port:
        yield stac
