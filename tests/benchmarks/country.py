"""What does it take to plan a country? Seconds and memory of ``plan`` for 500 000 km² against a recorded catalog.

    python -m tests.benchmarks.country --work DIR [--area 500000] [--vertices 4000] [--days 92] [--source file|api]

Records a catalog of the country's tiles and passes once (some thousands of items with the contents of a real one), then
plans in a process of its own, reading the catalog from disk or through a STAC API on loopback. The goal is a minute and
1 GB. Beside it: writing and reading ``plan.json``, and what a run asks of each block before and after its work.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from terramosaic.block.receipt import BlockReceipt, finished_block
from terramosaic.ground.zones import as_geojson
from terramosaic.planning.folder import RunFolder, read_plan, write_plan
from terramosaic.planning.plan import Plan
from terramosaic.planning.planning import plan
from terramosaic.request.request import RegionRequest
from terramosaic.storage.files import write_json, write_text
from tests.support.country import country, plain_template, write_country
from tests.support.stac_server import serve_stac

#: A real item of Planetary Computer, 16 kB.
_TEMPLATE = Path(__file__).parents[3] / "shared/data/stac-items/pc_sentinel-2-item.json"


def record(work: Path, area: float, vertices: int, days: int, template: Path) -> tuple[Path, Path]:
    """The region's file and the catalog's; made once."""
    name = f"{area:.0f}-{vertices}-{days}"
    region, catalog = work / f"region-{name}.geojson", work / f"catalog-{name}.json"
    if not catalog.exists():
        work.mkdir(parents=True, exist_ok=True)
        outline = country(area, vertices=vertices)
        region.write_text(json.dumps(as_geojson(outline)))
        item = json.loads(template.read_text()) if template.exists() else plain_template()
        partial = catalog.with_suffix(".partial")
        write_country(partial, outline, days=days, template=item)
        partial.rename(catalog)
    return region, catalog


def measure(request: RegionRequest, profile: bool) -> dict[str, Any]:
    """Plans, and does to the plan what a run does; in this process, whose peak memory is told."""
    profiler = cProfile.Profile() if profile else None
    with profiler or nullcontext():
        made, seconds = _timed(lambda: plan(request))
    if profiler:
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("cumulative").print_stats(45)
    found: dict[str, Any] = {
        "run": made.run_id,
        "plan": seconds,
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "square kilometres": made.figures.area_km2,
        "zones": len(made.zones),
        "blocks": made.figures.blocks,
        "windows": made.figures.windows,
        "scenes": made.figures.scenes,
    }
    folder, found["write plan.json"] = _timed(lambda: write_plan(made))
    found["megabytes of plan.json"] = folder.plan_file.stat().st_size / 1e6
    read, found["read plan.json"] = _timed(lambda: read_plan(folder.path))
    _, found["read it again, as each block's task does"] = _timed(lambda: read_plan(folder.path))
    _, found["write plan.json that is there"] = _timed(lambda: write_plan(made))
    # Resume asks for every block's receipt, assembling does again.
    _, found["ask all blocks, none done"] = _timed(lambda: _unfinished(read))
    _finish(read)
    left, found["ask all blocks, all done"] = _timed(lambda: _unfinished(read))
    assert not left
    found["gigabytes at the end"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return found


def _unfinished(made: Plan) -> list[str]:
    return [block.id for block in made.blocks if finished_block(made, block) is None]


def _finish(made: Plan) -> None:
    """A receipt for every block, with rasters of a byte."""
    folder, names = RunFolder.of(made), [layer.name for layer in made.layers]
    for block in made.blocks:
        for name in names:
            write_text(folder.block_raster(block, name), "x")
        receipt = BlockReceipt(
            run_id=made.run_id, block=block.id, windows=block.windows, valid_pixels=1, cloudy_pixels=0, scenes=(),
            files=dict.fromkeys(names, 1), seconds={"total": 1.0}, device="cpu",
        )  # fmt: skip
        write_json(folder.receipt_file(block), receipt.model_dump(mode="json"))


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def _in_a_process(request: RegionRequest, profile: bool) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.country",
        "--measure",
        *(["--profile"] if profile else []),
    ]
    done = subprocess.run(
        command, input=request.model_dump_json(), text=True, stdout=subprocess.PIPE, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path("out/country"))
    parser.add_argument("--area", type=float, default=500_000, help="km²")
    parser.add_argument("--vertices", type=int, default=4000, help="of the country's border")
    parser.add_argument("--days", type=int, default=92, help="length of the record, from 1 June 2023")
    parser.add_argument("--source", choices=("file", "api"), default="file")
    parser.add_argument("--template", type=Path, default=_TEMPLATE, help="item whose contents are copied")
    parser.add_argument("--profile", action="store_true", help="say where the time of planning goes")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        request = RegionRequest.model_validate_json(sys.stdin.read())
        print(json.dumps(measure(request, options.profile)))
        return
    region, catalog = record(options.work, options.area, options.vertices, options.days, options.template)
    # Items are served from memory here, so the server's share is of another process.
    recorded = json.loads(catalog.read_text())["features"] if options.source == "api" else []
    with serve_stac(recorded) if options.source == "api" else nullcontext() as server:
        request = RegionRequest(
            region=str(region),
            datetime="2023-06/..",
            catalog=server.url if server else str(catalog),
            out=str(options.work / "runs"),
        )
        for name, value in _in_a_process(request, options.profile).items():
            print(f"{name:45}{f'{value:.3f}' if isinstance(value, float) else value}")


if __name__ == "__main__":
    main()
