"""A finished run in the hand of a script or a notebook: its mosaics open as xarray, and show themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from terramosaic.errors import OutputError, RequestError, UnknownMosaicError
from terramosaic.mosaic.cube import Cut, Slice, cube_of
from terramosaic.mosaic.meanings import meanings_of
from terramosaic.planning.folder import RunFolder, flaws_of, mosaics_of, read_plan, tables_of
from terramosaic.planning.layers import Layer
from terramosaic.planning.plan import Plan, Zone
from terramosaic.shown import Shown
from terramosaic.storage.files import exists, facts_of
from terramosaic.storage.location import Location, is_remote
from terramosaic.storage.scratch import lasting_copy

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, repr=False)
class Mosaic(Shown):
    """A finished mosaic; nothing of it is read before it is opened or shown.

    Attributes:
        name: ``NDVI``, or ``NDVI_32633`` where the region lies in several zones.
        path: the GeoTIFF.
        layer: what its numbers mean.
        zone: the UTM zone that it covers.
        made_by: the model's title; the demo's says that it is not TerraMind.
    """

    name: str
    path: Location
    layer: Layer
    zone: Zone
    made_by: str

    def __repr__(self) -> str:
        return f"Mosaic({self.name}: {self.path})"

    def open(self, chunks: Any = None) -> xarray.DataArray:
        """The mosaic as xarray, (band, y, x) in its UTM zone, lazy: pixels are read when they are used.

        One in a store is copied to scratch first, once in a process, and the copy removed when the process ends.

        Args:
            chunks: as rioxarray's: None reads through xarray's own cache; a mapping such as ``{"x": 2048, "y": 2048}``,
                or True for the file's own tiles, gives a dask array.

        Returns:
            Physical units as float32 with NaN for no data; of classes and flags the stored numbers, whose meanings are
            in the attributes ``flag_values`` or ``flag_masks`` and ``flag_meanings`` (CF conventions, 3.5); of
            ``acquired`` the stored days and passes.
        """
        import rioxarray  # for start-up time: xarray and pandas, which mapping does without

        path = self.path
        if is_remote(path):
            facts = facts_of(path)
            path = lasting_copy(str(path), facts.version if facts else "")
        opened = rioxarray.open_rasterio(path, chunks=chunks, mask_and_scale=self.layer.is_measured)
        array = cast("xarray.DataArray", opened)  # it is a list or a dataset of files with subdatasets only
        # Of the numbers that the file stores: beside values in units they would be wrong.
        told = {name: each for name, each in array.attrs.items() if not name.startswith("STATISTICS_")}
        array.attrs = told | meanings_of(self.layer)
        return array.rename(self.name)


@dataclass(frozen=True, eq=False)
class MapResult(Shown, Mapping[str, Mosaic]):
    """A finished run: a mapping from the names of its mosaics to their handles, ``result["NDVI"].open()``.

    Attributes:
        plan: what was done.
        folder: the run folder.
        mosaics: files by name: ``NDVI``, or ``NDVI_32633`` where the region lies in several zones.
        was_done: whether an earlier run had finished everything.
    """

    plan: Plan
    folder: Location
    mosaics: dict[str, Location]
    was_done: bool

    def __getitem__(self, name: str) -> Mosaic:
        """The handle of a mosaic.

        Raises:
            UnknownMosaicError: the run made none of that name; a `RequestError`, and a `KeyError` as any mapping's.
        """
        if name not in self.mosaics:
            raise UnknownMosaicError(f"mosaic: there is no {name!r}; this run made {', '.join(self.mosaics)}")
        # Where there are several zones, the name ends with the zone.
        several = len(self.plan.zones) > 1
        layer, _, epsg = name.rpartition("_") if several else (name, "", str(self.plan.zones[0].epsg))
        return Mosaic(
            name=name,
            path=self.mosaics[name],
            layer=self.plan.layer(layer),
            zone=next(zone for zone in self.plan.zones if str(zone.epsg) == epsg),
            made_by=self.plan.bundle.title,
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.mosaics)

    def __len__(self) -> int:
        return len(self.mosaics)

    @property
    def tables(self) -> dict[str, Location]:
        """Files that are no mosaics, by name: ``coordinates``, where these were asked for."""
        return {name: self.folder / path.name for name, path in tables_of(self.plan).items()}

    @property
    def report(self) -> Location:
        """The report page."""
        return RunFolder(self.folder).report_file

    @property
    def item(self) -> Location:
        """The STAC item."""
        return RunFolder(self.folder).item_file

    def open(self, name: str) -> xarray.DataArray:
        """A mosaic as xarray; see `Mosaic.open`."""
        return self[name].open()

    def cube(
        self,
        names: Sequence[str] | None = None,
        *,
        crs: Any = None,
        resolution: float | None = None,
        chunks: Mapping[str, Any] | None = None,
    ) -> xarray.Dataset:
        """Its mosaics as one xarray dataset over (time, y, x), lazy: pixels are read when they are computed.

        What it is like for several runs, and what the arguments mean, says `terramosaic.open_series`.

        Args:
            names: layers, such as ``["NDVI", "LULC"]``; by default all but embeddings.
            crs: see `open_series`; wanted where the region lies in several zones.
            resolution: see there.
            chunks: see there.

        Raises:
            RequestError: there is no such layer, or the region lies in several zones and no CRS is named.
        """
        return cube_of([Slice.of(self.plan)], names, Cut(crs, resolution, chunks))


def open_run(path: str | Location, *, check: bool = False) -> MapResult:
    """Opens a run that is finished, and whose files have the sizes that its item says.

    Args:
        path: its folder or ``plan.json``, or the URL of either; ``OUT/latest`` is understood too.
        check: whether files are read and compared with the hashes in the item, too.

    Raises:
        RequestError: there is no run, it is of another version, or it is not finished.
        OutputError: a file is not as the item says, or the store that the run lies in failed.
    """
    plan = read_plan(path)
    flaws = flaws_of(plan, hashes=check)
    if any(not exists(flaw.path) for flaw in flaws):
        raise RequestError(f"run: {path} is not finished; run the same request again to go on with it")
    for flaw in flaws:
        raise OutputError(
            f"{flaw.path} is damaged: {flaw.reason}; run the same request again{' with --check-files' * check}, "
            "which makes it anew"
        )
    return result_of(plan, was_done=True)


def result_of(plan: Plan, *, was_done: bool = False) -> MapResult:
    """The handles of a run that is complete."""
    return MapResult(plan, RunFolder.of(plan).path, mosaics_of(plan), was_done)
