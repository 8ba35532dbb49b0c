"""The files of a run as its report links to them: the page lies beside them, so that a link is a name."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from terramosaic.planning.folder import is_watched, tables_of
from terramosaic.publishing.collections import CATALOG
from terramosaic.publishing.large import large_names
from terramosaic.publishing.record import LayerRecord, RunFacts
from terramosaic.publishing.repeat import ITEM
from terramosaic.publishing.styles import files_beside
from terramosaic.publishing.words import title_of
from terramosaic.storage.files import exists, facts_of

_ENDINGS = {
    ".qml": "style for QGIS",
    ".vrt": "the report’s false colour, as a virtual raster",
    ".xml": "attribute table for GDAL",
}


class RunFile(NamedTuple):
    """A file that a page links to.

    Attributes:
        name: as it is told.
        href: from the page on.
        what: it is.
        size: in bytes; None where it is not known yet, or changes.
    """

    name: str
    href: str
    what: str
    size: int | None


def mosaic_file(record: LayerRecord) -> RunFile:
    """The mosaic itself."""
    name = record.path.name
    return RunFile(name, quote(name), title_of(record.layer), record.size)


def companions_of(record: LayerRecord) -> list[RunFile]:
    """What lies beside a mosaic for programs that open it."""
    return [
        RunFile(name, quote(name), _ENDINGS[f".{name.rpartition('.')[2]}"], len(text.encode()))
        for name, text in files_beside(record).items()
    ]


def larger_of(run: RunFacts, record: LayerRecord) -> str:
    """Where the largest picture of a mosaic is, from the page on."""
    folder = run.folder.quicklooks
    large = next((name for name in large_names(record.name) if exists(folder / name)), f"{record.name}.png")
    return f"{folder.name}/{quote(large)}"


def files_of(run: RunFacts) -> list[RunFile]:
    """All files of a run that somebody may want, the mosaics first."""
    found = [file for record in run.layers for file in (mosaic_file(record), *companions_of(record))]
    catalog = "../../collection.json" if is_watched(run.plan) else f"../{CATALOG}"
    plan = facts_of(run.folder.plan_file)
    return [
        *found,
        *(
            RunFile(
                file.name,
                quote(file.name),
                "where the model takes each window to lie, GeoParquet",
                facts.size,
            )
            for file in tables_of(run.plan).values()
            if (facts := facts_of(file))
        ),
        RunFile(ITEM, ITEM, "STAC item: sizes, checksums, scenes; also the region as GeoJSON", None),
        RunFile("plan.json", "plan.json", "the plan: request, scenes, blocks", plan.size if plan else None),
        *(
            RunFile(file.name, file.name, what, facts.size)
            for file, what in (
                (run.folder.verification_file, "what came of the last verification"),
                (run.folder.assessment_file, "what came of the last assessment"),
            )
            if (facts := facts_of(file))
        ),
        RunFile(catalog.rpartition("/")[2], catalog, "STAC catalog over all runs of the output folder", None),
    ]
