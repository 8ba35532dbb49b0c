"""Many finished runs of one region as a cube over time."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from terramosaic.errors import RequestError, printable
from terramosaic.mosaic.cube import Cut, Slice, cube_of, moments_in, variables_of
from terramosaic.mosaic.result import MapResult, open_run
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.run_folders import folders_below
from terramosaic.request.interval import interval_text, parse_interval
from terramosaic.storage.files import exists, read_jsons
from terramosaic.storage.location import Location, ObjectPath, is_remote, location

if TYPE_CHECKING:
    import xarray
    from typing_extensions import TypeIs

logger = logging.getLogger(__name__)

_Runs = str | Location | Iterable[str | Location | MapResult]


@dataclass(frozen=True)
class _Found:
    """A finished run below an output folder, by its item.

    Attributes:
        collection: of its region; empty in items of 0.1.
    """

    folder: Location
    start: datetime
    collection: str


@overload
def open_series(
    out: _Runs,
    names: str,
    *,
    period: Any = None,
    crs: Any = None,
    resolution: float | None = None,
    chunks: Mapping[str, Any] | None = None,
) -> xarray.DataArray: ...
@overload
def open_series(
    out: _Runs,
    names: list[str] | tuple[str, ...] | None = None,
    *,
    period: Any = None,
    crs: Any = None,
    resolution: float | None = None,
    chunks: Mapping[str, Any] | None = None,
) -> xarray.Dataset: ...
def open_series(
    out: _Runs,
    names: str | list[str] | tuple[str, ...] | None = None,
    *,
    period: Any = None,
    crs: Any = None,
    resolution: float | None = None,
    chunks: Mapping[str, Any] | None = None,
) -> xarray.DataArray | xarray.Dataset:
    """Finished runs of one region as a cube over time, lazy: pixels are read when they are computed.

    Time is that of each run's first scene, as its item says; the coordinates ``end`` and ``run`` tell that of its last
    one, and the run. Measured values come in physical units as float32 with NaN for no data; classes, flags and days
    as stored, with what they mean in the attributes ``flag_values`` or ``flag_masks`` and ``flag_meanings`` (CF
    conventions, 3.5) and no data in ``_FillValue``. The CRS is in ``spatial_ref``, where rioxarray and odc-geo read it.

    Runs in a store are copied to scratch, each file when some of it is first read.

    Args:
        out: an output folder or its URL, whose finished runs are taken; or the runs: their folders, URLs or results.
        names: a layer, such as ``"NDVI"``; or several of them, None for all but embeddings.
        period: which runs of a folder: those that begin in it, as a request's ``datetime`` says it, such as ``"2023"``.
        crs: what pixels are brought to, as an EPSG code or text; needed where runs lie in several UTM zones. By default
            the zone's, whose pixels come as they are.
        resolution: side of a pixel in the CRS's units; by default 10 m. Where it is coarser, values are averaged, and
            of classes the most frequent is taken.
        chunks: pixels of a task of dask, ``{"x": 2048, "y": 2048}`` by default.

    Returns:
        Of one layer an array over (time, y, x), of one with several bands over (time, band, y, x); of several layers a
        dataset over (time, y, x) with a variable for each band: ``NDVI``, ``S1GRD_VV``, ``S1GRD_VH``.

    Raises:
        RequestError: there are no such runs, runs of several regions, a run without the layer, two runs that begin at
            the same moment, or several zones and no CRS.
        OutputError: a run is damaged, or the store that it lies in failed.
    """
    results = _runs_below(location(out), period) if _is_place(out) else _runs_of(out, period)
    wanted = [names] if isinstance(names, str) else names
    cube = cube_of([Slice.of(result.plan) for result in results], wanted, Cut(crs, resolution, chunks))
    return _alone(cube, results[0], names) if isinstance(names, str) else cube


def _is_place(out: _Runs) -> TypeIs[str | Location]:
    return isinstance(out, str | Path | ObjectPath)


def _runs_of(runs: Iterable[str | Location | MapResult], period: Any) -> list[MapResult]:
    if period is not None:
        raise RequestError("period: it chooses of a folder's runs; of runs that you name, leave it out")
    given = [run if isinstance(run, MapResult) else open_run(run) for run in runs]
    if not given:
        raise RequestError("out: no run is named")
    return given


def _runs_below(out: Location, period: Any) -> list[MapResult]:
    """The finished runs of a folder that begin in a period."""
    if not is_remote(out) and not out.is_dir():
        raise RequestError(f"out: there is no folder {printable(str(out))}; give the folder that runs lie in")
    if exists(RunFolder(out).plan_file):
        raise RequestError(
            f"out: {printable(str(out))} is a run; give the folder that it lies in, or the runs as a list"
        )
    first, last = _interval(period)
    found = [
        one
        for one in _finished(out)
        # Periods end with a second, within which a scene may begin.
        if (first is None or one.start >= first)
        and (last is None or one.start.replace(microsecond=0) <= last)
    ]
    if not found:
        when = "" if period is None else " that begins in the period"
        raise RequestError(f"out: there is no finished run in {printable(str(out))}{when}")
    by_region = {one.collection: one for one in found}
    if len(by_region) > 1:
        some = ", ".join(one.folder.name for one in list(by_region.values())[:3])
        raise RequestError(
            f"out: the runs in {printable(str(out))} are of {len(by_region)} regions (such as {some}); name those of "
            "one, as a list of their folders"
        )
    return [open_run(one.folder) for one in found]


def _finished(out: Location) -> Iterable[_Found]:
    folders = [folder for _, folder in folders_below(out)]
    items = read_jsons([RunFolder(folder).item_file for folder in folders])
    for folder, item in zip(folders, items, strict=True):
        if item is None:
            logger.info("%s is not finished, and is left out", folder)
            continue
        try:
            start, _ = moments_in(item)
        except ValueError as error:
            logger.warning("%s is left out: its item is damaged: %s", folder, error)
            continue
        yield _Found(folder, start, str(item.get("collection") or ""))


def _interval(period: Any) -> tuple[datetime | None, datetime | None]:
    if period is None:
        return None, None
    try:
        first, last = parse_interval(interval_text(period))
    except ValueError as error:
        raise RequestError(f"period: {error}") from error
    return _plain(first), _plain(last)


def _plain(moment: datetime | None) -> datetime | None:
    """In UTC, without saying so, as times in xarray are."""
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)


def _alone(cube: xarray.Dataset, result: MapResult, name: str) -> xarray.DataArray:
    """A layer by itself."""
    layer = result.plan.layer(name)
    variables = variables_of(layer)
    if len(variables) == 1:
        return cube[name]
    array = cube[list(variables)].to_dataarray("band", name=name)
    array.attrs = dict(cube[variables[0]].attrs)
    return array.assign_coords(band=list(layer.bands)).transpose("time", "band", "y", "x")
