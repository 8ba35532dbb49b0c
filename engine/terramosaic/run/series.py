"""A run for each month, season or year of a period: planned and mapped one after the other, told on one page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from terramosaic.errors import RequestError, RunCancelledError, TerramosaicError
from terramosaic.mosaic.cube import Cut, Slice, cube_of
from terramosaic.mosaic.result import MapResult
from terramosaic.planning.planning import plan
from terramosaic.publishing.series import publish_series
from terramosaic.request.features import raise_failures, requests_of
from terramosaic.request.request import RegionRequest, requested
from terramosaic.run.mapping import Progress, map_plan, require_device_here
from terramosaic.storage.location import Location

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, eq=False)
class MapSeries(Mapping[str, MapResult]):
    """Finished runs by period, the oldest first: ``series["2023-08"]``.

    Attributes:
        results: the runs by the names of their periods: ``2023-08``, ``2023-JJA``, ``2023``.
        missing: why others have no map, by name.
        report: the page over all of them.
    """

    results: dict[str, MapResult]
    missing: dict[str, str]
    report: Location

    def __repr__(self) -> str:
        return f"MapSeries({', '.join(self.results)}: {self.report})"

    def __getitem__(self, name: str) -> MapResult:
        return self.results[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def cube(
        self,
        names: Sequence[str] | None = None,
        *,
        crs: Any = None,
        resolution: float | None = None,
        chunks: Mapping[str, Any] | None = None,
    ) -> xarray.Dataset:
        """All runs as one lazy dataset over (time, y, x); see `terramosaic.open_series`.

        Args:
            names: layers; by default all but embeddings.
            crs: see `open_series`; wanted where the region lies in several zones.
            resolution: see there.
            chunks: see there.

        Raises:
            RequestError: there is no such layer, or the region lies in several zones and no CRS is named.
        """
        slices = [Slice.of(result.plan) for result in self.results.values()]
        return cube_of(slices, names, Cut(crs, resolution, chunks))


def map_series(
    request: RegionRequest | Mapping[str, Any] | None = None,
    *,
    progress: Progress | bool = False,
    workers: int | None = None,
    batch_size: int | None = None,
    devices: Sequence[str] | None = None,
    check_files: bool = False,
    **fields: Any,
) -> MapSeries:
    """Maps a region for each month, season or year of a period, as the request's ``every`` says.

    Each period has the run that it would have by itself: those that are complete are recognised, and a series that was
    stopped goes on where it was. A period without imagery is told, and does not stop the others.

    Args:
        request: what to map: a request with ``every``, or an object of its fields.
        progress: see `map_region`.
        workers: see there.
        batch_size: see there.
        devices: see there.
        check_files: see there.
        fields: of a request, in place of one or of its own.

    Raises:
        RequestError: the request has no ``every``, its period is open, or its file has several regions.
        NoScenesError: no period has imagery.
        TerramosaicError: a period failed; the others are mapped by then.
    """
    request = requested(request, fields)
    if request.every == "none":
        raise RequestError("every: say month, season or year; map_region maps the whole period at once")
    require_device_here(request.device, devices)
    requests = requests_of(request)
    if len({one.out for one in requests.values()}) > 1:
        raise RequestError(
            "region: its file has several; map_series takes one, `terramosaic map` all of them"
        )

    def mapped(of_period: RegionRequest) -> MapResult:
        return map_plan(
            plan(of_period),
            progress=progress,
            workers=workers,
            batch_size=batch_size,
            devices=devices,
            check_files=check_files,
        )

    results, failures = one_after_the_other(requests, mapped)
    missing = {name: error.text for name, error in failures.items()}
    pages = publish_series(requests, {name: result.plan for name, result in results.items()}, missing)
    raise_failures(failures, len(requests), noun="period")
    return MapSeries(results, missing, pages[0])


def one_after_the_other(
    requests: Mapping[str, RegionRequest], mapped: Callable[[RegionRequest], MapResult]
) -> tuple[dict[str, MapResult], dict[str, TerramosaicError]]:
    """Maps requests; one that fails does not stop the others.

    Returns:
        Results and errors by the requests' names.
    """
    results, failures = dict[str, MapResult](), dict[str, TerramosaicError]()
    for name, request in requests.items():
        try:
            results[name] = mapped(request)
        except RunCancelledError:
            raise
        except TerramosaicError as error:
            failures[name] = error
    return results, failures
