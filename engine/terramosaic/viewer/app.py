"""The web application: a page, and what it asks for. It only ever reads, and answers GET and HEAD alone.

    /                               the page
    /runs.json                      all runs in short
    /runs/RUN.json                  one with its layers, legends and downloads
    /legends/RUN/LAYER.json         the legend of a layer of a run in a store, which is fetched for it
    /tiles/RUN/LAYER/Z/X/Y.png      a layer as tiles in web mercator
    /point/RUN?lon=&lat=            what the layers hold at a place
    /items.json                     all runs' items, with URLs: for programs that take no relative hrefs
    /files/...                      files of runs and catalog; also without ``/files``, so that links in STAC hold

Errors are a line of JSON. Tiles and values are made in threads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from terramosaic.block.preview import PREVIEW
from terramosaic.errors import OutputError, RequestError, TerramosaicError, one_line
from terramosaic.settings import PUBLIC_URL
from terramosaic.storage.files import facts_of
from terramosaic.viewer.layers import Layers
from terramosaic.viewer.serving_files import etag, file_response, is_known
from terramosaic.viewer.shelf import Shelf, ShelvedRun
from terramosaic.viewer.tiles import DEEPEST, empty_tile, tile
from terramosaic.viewer.told import items_told, layer_told, run_in_full, shelf_told
from terramosaic.viewer.values import value_at

logger = logging.getLogger(__name__)

_PAGE = Path(__file__).parent / "page"
#: What the page is made of, by the names that it is asked for.
_PARTS = {
    "": ("index.html", "text/html; charset=utf-8"),
    "viewer.js": ("viewer.js", "text/javascript; charset=utf-8"),
    "viewer.css": ("viewer.css", "text/css; charset=utf-8"),
    "ol.js": ("vendor/ol.js.gz", "text/javascript; charset=utf-8"),
    "ol.css": ("vendor/ol.css", "text/css; charset=utf-8"),
}

_Route = TypeVar("_Route", bound=Callable[..., Response])

_METHODS = ["GET", "HEAD"]
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

#: What the page may load: its own parts alone, and pictures that it draws itself.
_OF_PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: A report has its script and pictures in it. It may show these, and is a stranger to all else that is served here.
_OF_FILES = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "sandbox allow-scripts allow-popups allow-downloads"
)


def make_app(shelf: Shelf, *, host: str = "127.0.0.1") -> FastAPI:
    """The application over the runs on a shelf.

    Args:
        shelf: what may be looked at.
        host: that it will listen on. Where that is loopback, only requests to names of loopback, and to that of
            TERRAMOSAIC_PUBLIC_URL, are answered: pages of others cannot read maps by a name that they let point here.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    layers = Layers(shelf, version("terramosaic"))
    app.add_middleware(_Guard, hosts=_hosts(host))

    async def refused(_: Request, error: Exception) -> Response:
        """An error that is the asker's, or a file's, as a line of JSON."""
        if isinstance(error, RequestValidationError):
            first = error.errors()[0]
            return _error(400, f"{'.'.join(str(part) for part in first['loc'][1:])}: {first['msg']}")
        if isinstance(error, HTTPException):
            return _error(error.status_code, str(error.detail))
        return _error(404 if isinstance(error, RequestError) else 500, shelf.told(error))

    for kind in (TerramosaicError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, refused)
    app.add_exception_handler(Exception, _broken)

    def get(path: str) -> Callable[[_Route], _Route]:
        return app.api_route(path, methods=_METHODS, response_model=None)

    @get("/runs.json")
    def runs() -> Response:
        return _json(shelf_told(shelf))

    @get("/items.json")
    def items(request: Request) -> Response:
        return _json(items_told(shelf, PUBLIC_URL.text.rstrip("/") or str(request.base_url).rstrip("/")))

    @get("/runs/{name:path}.json")
    def run(name: str) -> Response:
        return _json(run_in_full(layers, shelf.run(name)))

    @get("/legends/{name:path}/{layer}.json")
    def legend(name: str, layer: str) -> Response:
        return _json(layer_told(layers, shelf.run(name), layer))

    @get("/tiles/{name:path}/{layer}/{z}/{x}/{y}.png")
    def tile_of(request: Request, name: str, layer: str, z: int, x: int, y: int) -> Response:
        if not (0 <= z <= DEEPEST and 0 <= x < 2**z and 0 <= y < 2**z):
            raise RequestError(
                f"tiles: there is no tile {z}/{x}/{y}; z is 0 to {DEEPEST}, and x and y are below 2 to the power of z"
            )
        opened = layers.get(shelf.run(name), layer)
        tag = etag(opened.version, z, x, y)
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if is_known(request, tag):
            return Response(status_code=304, headers=headers)
        content = tile(opened, z, x, y)
        if content is empty_tile():
            headers["X-Empty"] = "1"
        return Response(content, media_type="image/png", headers=headers)

    @get("/point/{name:path}")
    def point(
        name: str,
        lon: Annotated[float, Query(ge=-540, le=540)],
        lat: Annotated[float, Query(ge=-90, le=90)],
        layer: Annotated[list[str] | None, Query(max_length=64)] = None,
    ) -> Response:
        found = shelf.run(name)
        wanted = layer or [
            one for one in layers.names(found) if one != PREVIEW and layers.is_cheap(found, one)
        ]
        lon = (lon + 180) % 360 - 180
        return _json(
            {"lon": lon, "lat": lat, "layers": [_value(layers, found, one, lon, lat) for one in wanted]}
        )

    def files(request: Request, path: str) -> Response:
        return file_response(request, *shelf.file(path))

    @get("/{path:path}")
    def part_or_file(request: Request, path: str) -> Response:
        if path in _PARTS:
            name, kind = _PARTS[path]
            facts = facts_of(_PAGE / name)
            if facts is None:
                raise OutputError(f"{name} is missing in this installation; install terramosaic again")
            response = file_response(request, _PAGE / name, facts)
            response.headers["Content-Type"] = kind
            if name.endswith(".gz"):  # as it lies in the package; every browser takes it so
                response.headers["Content-Encoding"] = "gzip"
            return response
        response = files(request, path.removeprefix("files/"))
        response.headers["Content-Security-Policy"] = _OF_FILES
        return response

    return app


def _value(layers: Layers, run: ShelvedRun, name: str, lon: float, lat: float) -> dict[str, Any]:
    """What a layer holds; where it cannot be read, why."""
    try:
        if name == PREVIEW:
            return {"layer": name, "unit": "", "bands": [], "text": "a picture, without values"}
        return value_at(layers.plan(run), layers.get(run, name), lon, lat)
    except TerramosaicError as error:
        return {"layer": name, "error": layers.shelf.told(error)}


def _json(content: object) -> Response:
    return JSONResponse(content, headers={"Cache-Control": "no-cache"})


async def _broken(_: Request, error: Exception) -> Response:
    return _error(500, f"this should not happen: {type(error).__name__}; the server's log says more")


def _error(status: int, text: str) -> Response:
    return JSONResponse({"error": one_line(text)}, status_code=status, headers={"Cache-Control": "no-store"})


def _hosts(host: str) -> frozenset[str] | None:
    """Names that requests may be sent to; None for all."""
    if host not in _LOOPBACK:
        return None
    public = urlsplit(PUBLIC_URL.text).hostname
    return frozenset((*_LOOPBACK, *([public] if public else [])))


class _Guard:
    """Refuses what is no question, or is asked of another host's name; says to browsers what the page may do."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                had = {name.lower() for name, _ in message["headers"]}
                more = [
                    (b"content-security-policy", _OF_PAGE.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                    (b"cross-origin-resource-policy", b"same-origin"),
                ]
                message["headers"] = [*message["headers"], *(one for one in more if one[0] not in had)]
            await send(message)

        request = Request(scope)
        if scope["method"] not in _METHODS:
            refusal = _error(405, f"{scope['method']}: nothing is changed here; ask with GET")
            refusal.headers["Allow"] = ", ".join(_METHODS)
            await refusal(scope, receive, with_headers)
        elif self._hosts is not None and _host_of(request) not in self._hosts:
            text = (
                "host: this server answers under names of loopback alone, and under TERRAMOSAIC_PUBLIC_URL's"
            )
            await _error(421, text)(scope, receive, with_headers)
        else:
            await self._app(scope, receive, with_headers)


def _host_of(request: Request) -> str | None:
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:
        return None
