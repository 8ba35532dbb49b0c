"""The last stage: quicklooks, report and STAC item of an assembled run. The item says that it is complete."""

from __future__ import annotations

import io
import json
import logging

from PIL import Image

from terramosaic.errors import OutputError
from terramosaic.json_log import about_run
from terramosaic.planning.finished import checksums_in
from terramosaic.planning.folder import RunFolder, is_complete, link_latest
from terramosaic.planning.plan import Plan
from terramosaic.publishing.catalog import is_listed, list_run
from terramosaic.publishing.item import item_of
from terramosaic.publishing.large import write_large
from terramosaic.publishing.record import RunFacts, gather
from terramosaic.publishing.report import render_report
from terramosaic.publishing.styles import files_beside
from terramosaic.storage.files import remove, whole_file, write_text
from terramosaic.storage.location import Location

logger = logging.getLogger(__name__)


@about_run
def publish(plan: Plan) -> Location:
    """Writes a run's quicklooks, its report, and last its item. A run that has its item is complete.

    After that the catalog of the output folder names it, too.

    Args:
        plan: the run's plan; its mosaics are assembled.

    Returns:
        The item's path. ``latest`` in the output folder points at the run.

    Raises:
        OutputError: a block or a mosaic is missing, or a file could not be written.
    """
    folder = RunFolder.of(plan)
    was_complete = is_complete(plan)
    if not was_complete:
        # The item says that a run is complete; while something is missing it must not.
        remove(folder.item_file)
        run = gather(plan)
        for name, picture in run.pictures.items():
            write_picture(folder.quicklooks / f"{name}.png", picture.image)
        for record in run.layers:
            write_large(record, plan.preview_factor, folder.quicklooks)
        _write_pages(run)
        logger.info("run %s published", plan.run_id)
    # Also for a run that was complete: it may have been stopped just before these lines.
    link_latest(folder)
    if not was_complete or not is_listed(plan):
        list_run(plan)
    return folder.item_file


def publish_again(plan: Plan) -> None:
    """Writes report and item of a complete run anew, for there is more to tell of it; its mosaics stay as they are.

    Args:
        plan: the run's plan; its blocks and all that it publishes are there.

    Raises:
        OutputError: a mosaic is not the one that the item vouches for, a block is missing, or a file could not be
            written.
    """
    folder = RunFolder.of(plan)
    told, run = checksums_in(folder.item_file), gather(plan)
    for mosaic in run.layers:
        if told.get(mosaic.path.name) != mosaic.checksum:
            # The new item would vouch for whatever has become of it.
            raise OutputError(
                f"{mosaic.path} is not the file that the run's item tells of; check the run's files"
            )
    _write_pages(run)
    list_run(plan)


def _write_pages(run: RunFacts) -> None:
    """What tells of mosaics: how GIS programs show them, the report, and last the item."""
    for record in run.layers:
        for name, text in files_beside(record).items():
            write_text(record.path.with_name(name), text)
    write_text(run.folder.report_file, render_report(run))
    write_text(run.folder.item_file, json.dumps(item_of(run), indent=1))


def write_picture(path: Location, image: Image.Image) -> None:
    """Writes a picture as PNG."""
    content = io.BytesIO()
    # Half the time of the default for a twentieth more bytes.
    image.save(content, "PNG", compress_level=3)
    with whole_file(path) as partial:
        partial.write_bytes(content.getvalue())
