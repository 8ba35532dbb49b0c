"""The flow ``assess-map``: a finished map, or all maps of a watched region, compared with what is known there."""

from __future__ import annotations

from typing import Any

from prefect import get_run_logger
from prefect.states import Completed, State

from terramosaic.errors import RequestError
from terramosaic.evaluation.assessment import Assessment
from terramosaic.evaluation.reference import file_of
from terramosaic.evaluation.series import AssessmentSeries
from terramosaic.evaluation.tables import tables_of, tables_of_series
from terramosaic.planning.places import catalog_places
from terramosaic.run.assessing import assess
from terramosaic.storage.location import is_url
from terramosaic.storage.roots import require_within_roots
from terramosaic.watch.assessing import assess_watched, watched_folder
from terramosaic_flows.deployed import begin_deployed_run, refuse_relative
from terramosaic_flows.failures import fails_in_one_line
from terramosaic_flows.parameters import flow
from terramosaic_flows.reporting import report_figures
from terramosaic_flows.told import name_of_assessment


@flow(name="assess-map", flow_run_name=name_of_assessment, persist_result=False)
@fails_in_one_line
def assess_map(
    run: str,
    references: tuple[str, ...] = (),
    catalog: str = "",
    samples: int = 100,
    limit: int = 20,
    write: bool = True,
) -> State[Any]:
    """Compares a map with what is known there: Sentinel-1, land cover, heights, or data of one's own.

    The worker needs the extra `assess`: pip install 'terramosaic[assess]'.

    Args:
        run: Absolute path or URL of a run's folder, or of a watched region's output folder: then the maps that were
            not compared yet are, and the figures of all told over time.
        references: Each s1-rtc, io-lulc, worldcover, cop-dem, a YAML file, or TARGET=PATH of GeoTIFFs or points. Empty:
            the names that suit the run.
        catalog: Where the references' collections are. Empty: in their own catalogs.
        samples: Parts of 256 x 256 pixels of each map to draw at random.
        limit: Of a watched region, maps to compare at most; the others wait for the next run.
        write: Whether it is kept: assessment.json in the run, assessments.json in the watched folder.
    """
    begin_deployed_run()
    for field, number in (("samples", samples), ("limit", limit)):
        if number < 1:
            raise RequestError(f"{field}: {number} is not a number from 1 on")
    places = [("run", run), *(("references", file) for file in map(file_of, references) if file)]
    places += catalog_places(catalog) if catalog else []
    require_within_roots(*places)
    refuse_relative(*((field, place) for field, place in places if not is_url(place)))
    log = get_run_logger()
    folder = watched_folder(run)
    found: Assessment | AssessmentSeries
    if folder is None:
        found = assess(run, references, catalog=catalog or None, samples=samples, write=write)
        title, tables = f"Run {found.run_id}", tables_of(found)
    else:
        found = assess_watched(
            folder,
            references,
            catalog=catalog or None,
            samples=samples,
            limit=limit,
            write=write,
            on_map=lambda done, all: log.info("%d of %d maps", done, all),
        )
        title, tables = f"Watched region {folder.name}", tables_of_series(found)
    report_figures("assessment", title, tables)
    if found.failure is not None:
        raise found.failure
    return Completed(message=found.summary)
