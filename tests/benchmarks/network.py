"""What a run asks of a server of imagery: requests, bytes, and how much of the line it uses; beside odc-stac's load.

    python -m tests.benchmarks.network --work DIR [--size 5490] [--latency 0 20 60] [--cap 100] [--fails N] [--odc]

Serves a made-up full-size scene (12 bands and SCL as COGs; see ``throughput``) on loopback from a process of its own,
which answers after a while and sends no more megabytes a second than the cap, all connections together. Maps a region
in its midst with the demo bundle, NDVI alone, and prints requests a block, bytes fetched over the
bytes of the tiles that its windows touch, megapixels of ground a second, and the share of the cap. odc-stac loads the
same pixels of the same files.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.request import urlopen

import numpy as np
import rasterio
from shapely.geometry import box

from terramosaic.bands import GSD
from terramosaic.block.windows import pixels_under, region_mask, windows_by_row
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import as_geojson, lonlat_of
from terramosaic.planning.plan import Plan
from terramosaic.request.area import area_from_tile
from tests.benchmarks.throughput import TILE, make_scene

_CHUNK = 65536


class Line:
    """A line of so many bytes a second, for all that use it."""

    def __init__(self, cap: float) -> None:
        self._cap, self._free = cap, 0.0
        self._guard = threading.Lock()

    def wait(self, count: int) -> None:
        """Until so many bytes have gone through."""
        with self._guard:
            self._free = max(self._free, time.monotonic()) + count / self._cap
            until = self._free
        time.sleep(max(0.0, until - time.monotonic()))


class Traffic:
    """How many requests are answered at a time: for how long none, and how many on the whole."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._now, self._since = 0, time.monotonic()
        self._seconds: defaultdict[int, float] = defaultdict(float)

    @contextmanager
    def one(self) -> Iterator[None]:
        """A request is answered."""
        self._change(1)
        try:
            yield
        finally:
            self._change(-1)

    def seconds(self) -> dict[int, float]:
        """Seconds with so many requests at a time, since it was asked last."""
        self._change(0)
        with self._guard:
            found, self._seconds = dict(self._seconds), defaultdict(float)
        return found

    def _change(self, by: int) -> None:
        with self._guard:
            now = time.monotonic()
            self._seconds[self._now] += now - self._since
            self._now, self._since = self._now + by, now


class Handler(BaseHTTPRequestHandler):
    """Files by ranges, late and slowly, and what was asked of them."""

    protocol_version = "HTTP/1.1"
    folder: ClassVar[Path]
    line: ClassVar[Line]
    latency: ClassVar[float]
    asked: ClassVar[Counter[str]] = Counter()
    guard: ClassVar[threading.Lock] = threading.Lock()
    traffic: ClassVar[Traffic] = Traffic()
    fails: ClassVar[int] = 0
    seen: ClassVar[list[int]] = [0]

    def do_HEAD(self) -> None:
        """Headers alone."""
        self._answer("HEAD")

    def do_GET(self) -> None:
        """A range, or the whole; what was asked so far is at ``/asked``, and is forgotten."""
        if self.path == "/asked":
            with self.guard:
                told = json.dumps(self.asked | {"at once": self.traffic.seconds()}).encode()
                self.asked.clear()
            self.send_response(200)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)
            return
        self._answer("GET")

    def is_to_fail(self) -> bool:
        """Whether this is one of those requests that a busy server turns away."""
        with self.guard:
            self.seen[0] += 1
            return bool(self.fails) and self.seen[0] % self.fails == 0

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def _answer(self, method: str) -> None:
        with self.traffic.one():
            self._send(method)

    def _send(self, method: str) -> None:
        time.sleep(self.latency)
        if method == "GET" and self.is_to_fail():
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path = self.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        size = path.stat().st_size
        start, end, wanted = 0, size, self.headers.get("Range")
        if wanted:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), min(size, int(last or size - 1) + 1)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(end - start))
        self.send_header("Accept-Ranges", "bytes")
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.end_headers()
        with self.guard:
            self.asked[method] += 1
        if method == "HEAD":
            return
        try:
            with path.open("rb") as file:
                file.seek(start)
                while start < end and (content := file.read(min(_CHUNK, end - start))):
                    self.line.wait(len(content))
                    self.wfile.write(content)
                    start += len(content)
                    with self.guard:
                        self.asked["bytes"] += len(content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


class Server:
    """A server in a process of its own."""

    def __init__(self, folder: Path, latency: float, cap: float, fails: int = 0) -> None:
        command = [
            sys.executable,
            "-m",
            "tests.benchmarks.network",
            "--serve",
            str(folder),
            "--fails",
            str(fails),
        ]
        self._process = subprocess.Popen(
            [*command, "--latency", str(latency), "--cap", str(cap)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def asked(self) -> dict[str, Any]:
        """Requests and bytes since the last time, and for how long so many were at once."""
        with urlopen(f"{self.url}/asked") as answer:
            found: dict[str, Any] = json.load(answer)
        return {"GET": 0, "HEAD": 0, "bytes": 0} | found

    def close(self) -> None:
        """Ends it."""
        self._process.terminate()
        self._process.wait()


def serve(folder: Path, latency: float, cap: float, fails: int) -> None:
    """Serves until it is ended; prints its port."""
    Handler.folder, Handler.latency, Handler.line, Handler.fails = folder, latency, Line(cap), fails
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()


def catalog_of(scene: Path, url: str, work: Path) -> Path:
    """The scene's item, with its files behind the server."""
    folder = work / "catalog"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    item = json.loads((scene / "item.json").read_text())
    for asset in item["assets"].values():
        asset["href"] = asset["href"].replace("./", f"{url}/")
    (folder / "item.json").write_text(json.dumps(item))
    return folder


def bytes_needed(made: Plan, scene: Path) -> int:
    """Bytes of the files' tiles that windows of a plan touch, each once, and of their headers."""
    covers = []
    for block in made.blocks:
        lattices = [each.lattice for each in made.lattices]
        covers.append(
            pixels_under(windows_by_row(lattices, block.rect, region_mask(made, block)), block.rect)[0]
        )
    total = 0
    assert made.optical
    for band in (*made.optical.bands, "SCL"):
        with rasterio.open(scene / f"{band}.tif") as file:
            height, width = file.block_shapes[0]
            tiles: set[tuple[int, int]] = set()
            for cover in covers:
                left, bottom, right, top = cover.bounds
                row_0, col_0 = file.index(left + 1, top - 1)
                row_1, col_1 = file.index(right - 1, bottom + 1)
                rows = range(max(0, row_0) // height, min(file.height - 1, row_1) // height + 1)
                cols = range(max(0, col_0) // width, min(file.width - 1, col_1) // width + 1)
                tiles |= {(row, col) for row in rows for col in cols}
            sizes = (file.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=1) for row, col in tiles)
            total += sum(int(size) for size in sizes if size)
    return total


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, help="folder for the scene and the outputs")
    parser.add_argument("--size", type=int, default=5490, help="side of the scene, a multiple of 6")
    parser.add_argument("--latency", type=float, nargs="+", default=[0, 20, 60], help="of an answer, in ms")
    parser.add_argument("--cap", type=float, default=100, help="megabytes a second")
    parser.add_argument("--blocks", type=int, default=2048, help="their side, in pixels")
    parser.add_argument("--workers", type=int, help="blocks at the same time")
    parser.add_argument(
        "--fails", type=int, default=0, metavar="N", help="every so manyth GET is turned away (503)"
    )
    parser.add_argument("--odc", action="store_true", help="load the same pixels with odc-stac, too")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve(options.serve, options.latency[0] / 1000, options.cap * 1e6, options.fails)
        return
    scene = make_scene(options.work, options.size)
    for latency in options.latency:
        server = Server(scene, latency, options.cap, options.fails)
        try:
            measure(options, scene, server, latency)
        finally:
            server.close()


def measure(options: argparse.Namespace, scene: Path, server: Server, latency: float) -> None:
    """One latency's lines of the table."""
    from terramosaic.model.devices import Device
    from terramosaic.planning.planning import plan
    from terramosaic.request.request import RegionRequest
    from terramosaic.run.mapping import Quiet
    from terramosaic.run.scheduling import carry_out, jobs_left
    from terramosaic.run.threads import Threads

    catalog, out = catalog_of(scene, server.url, options.work), options.work / "out"
    _, tile = area_from_tile(TILE).tile or (0, Rect(0, 0, 0, 0))
    side = options.size - 2 * 500
    rect = Rect(tile.row + 500, tile.col + 500, side, side)
    left, bottom, right, top = rect.bounds
    outline = lonlat_of(box(left + 1, bottom + 1, right - 1, top - 1), 32633)
    request = RegionRequest(
        region=as_geojson(outline), datetime="2023-08-15", catalog=str(catalog), out=str(out),
        block_size=options.blocks, targets=("NDVI",), steps=1,
    )  # fmt: skip
    shutil.rmtree(out, ignore_errors=True)
    made = plan(request)
    server.asked()
    started = time.perf_counter()
    with Threads(Device("cpu"), options.workers) as force:
        assert not carry_out(jobs_left([made]), force, Quiet())
    seconds, asked = time.perf_counter() - started, server.asked()
    needed, blocks = bytes_needed(made, scene), len(made.blocks)
    print(
        f"{latency:g} ms, cap {options.cap:g} MB/s: terramosaic, {blocks} blocks: {asked['GET'] / blocks:.0f} GETs and "
        f"{asked['HEAD'] / blocks:.1f} HEADs a block, {asked['bytes'] / 1e6:.0f} MB, {asked['bytes'] / needed:.2f} of "
        f"what is needed, {seconds:.1f} s, {rect.height * rect.width / 1e6 / seconds:.2f} megapixels/s, "
        f"{asked['bytes'] / seconds / options.cap / 1e6:.0%} of the cap; {at_once(asked)}",
        flush=True,
    )
    if options.odc:
        load_with_odc(catalog, rect, server, latency, options.cap, needed)


def at_once(asked: dict[str, Any]) -> str:
    """How the line is used, in words."""
    seconds = {int(count): taken for count, taken in asked["at once"].items()}
    whole = sum(seconds.values())
    return (
        f"{sum(count * taken for count, taken in seconds.items()) / whole:.1f} requests at once, "
        f"none for {seconds.get(0, 0.0) / whole:.0%} of the time, one for {seconds.get(1, 0.0) / whole:.0%}"
    )


def load_with_odc(catalog: Path, rect: Rect, server: Server, latency: float, cap: float, needed: int) -> None:
    """The same pixels as an array, by odc-stac with threads of its own."""
    import odc.stac
    from odc.geo.geobox import GeoBox
    from pystac import Item

    item = Item.from_file(str(catalog / "item.json"))
    bands = [name for name in item.assets if name in GSD]
    geobox = GeoBox(rect.shape, rect.transform, "EPSG:32633")
    server.asked()
    started = time.perf_counter()
    loaded = odc.stac.load([item], bands=bands, geobox=geobox, resampling="nearest", pool=8, dtype="uint16")
    count = sum(int(np.count_nonzero(loaded[band].values)) for band in bands[:1])
    seconds, asked = time.perf_counter() - started, server.asked()
    assert count
    print(
        f"{latency:g} ms, cap {cap:g} MB/s: odc-stac, one array: {asked['GET']} GETs and {asked['HEAD']} HEADs, "
        f"{asked['bytes'] / 1e6:.0f} MB, {asked['bytes'] / needed:.2f} of what is needed, {seconds:.1f} s, "
        f"{rect.height * rect.width / 1e6 / seconds:.2f} megapixels/s, "
        f"{asked['bytes'] / seconds / cap / 1e6:.0%} of the cap; {at_once(asked)}",
        flush=True,
    )


if __name__ == "__main__":
    main()
