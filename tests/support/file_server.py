"""A loopback server of files with byte ranges that can be told to fail: what a bad day of a cloud store looks like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from tests.support.loopback import guarded_by, serving


class FileServer:
    """Serves a folder; ``fail[name] = (status, times)`` makes it fail so many times, HEAD too unless `heads_pass`.

    What fails has ``headers``.
    """

    def __init__(self, folder: Path) -> None:
        self.fail: dict[str, tuple[int, int]] = {}
        self.heads_pass = False
        self.headers: dict[str, str] = {}
        self.requests: Counter[str] = Counter()
        self._folder = folder
        self.port = 0

    def url(self, name: str) -> str:
        """Address of a file."""
        return f"http://127.0.0.1:{self.port}/{name}"

    async def answer(self, request: Request) -> Response:
        """A file, or the failure that was asked for."""
        name = request.path_params["name"]
        self.requests[name] += 1
        status, times = self.fail.get(name, (0, 0))
        if times > 0 and not (self.heads_pass and request.method == "HEAD"):
            self.fail[name] = (status, times - 1)
            return Response(status_code=status, headers=self.headers)
        path = self._folder / name
        return FileResponse(path) if path.is_file() else Response(status_code=404)


@contextmanager
def serve_files(folder: Path, allows: Callable[[Request], bool] | None = None) -> Iterator[FileServer]:
    """Serves a folder on loopback until the context ends, to requests that are allowed."""
    files = FileServer(folder)
    app = Starlette(
        routes=[Route("/{name:path}", files.answer, methods=["GET", "HEAD"])], middleware=guarded_by(allows)
    )
    with serving(app) as files.port:
        yield files
