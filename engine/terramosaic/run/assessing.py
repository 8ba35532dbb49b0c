"""Assessing a run that is finished, and writing down what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from terramosaic.evaluation.assess import assessed
from terramosaic.evaluation.assessment import Assessment
from terramosaic.evaluation.reference import references_of
from terramosaic.mosaic.result import MapResult
from terramosaic.planning.folder import RunFolder, read_plan
from terramosaic.run.keeping import keep
from terramosaic.storage.location import Location


def assess(
    run: str | Location | MapResult,
    references: Sequence[str] = (),
    *,
    catalog: str | None = None,
    samples: int = 100,
    seed: int | None = None,
    write: bool = True,
    on_part: Callable[[int, int], None] = lambda done, all: None,
) -> Assessment:
    """Compares a finished map with what is known there.

    Parts of it are drawn at random, each block getting its share, and reference data loaded onto their own grid.

    Args:
        run: what `map_region` returned, or the run's folder or ``plan.json``, or the URL of either.
        references: each a name (``s1-rtc``, ``io-lulc``, ``worldcover``, ``cop-dem``), the path of a YAML file, or
            ``TARGET=PATH`` of GeoTIFFs or of a vector file of points. By default those names that suit the run.
        catalog: where the collections of references are, by name, URL or path, instead of in their own catalogs.
        samples: parts of 256 x 256 pixels to draw.
        seed: of the drawing; by default another one each time.
        write: whether it is kept as the run's ``assessment.json``, and told in its report and item.
        on_part: told how many comparisons of parts are done, of how many.

    Returns:
        What was compared and how well it agrees; what to raise where nothing could be is `Assessment.failure`.

    Raises:
        RequestError: there is no run, it is not finished, odc-stac is missing, or a reference is none.
        OutputError: the store that the run lies in failed, or nothing can be written there.
        LeaseHeldError: another one is adding to the run's report and item.
    """
    plan = read_plan(run.folder if isinstance(run, MapResult) else run)
    asked = references_of(references, plan.request.targets, catalog)
    found = assessed(plan, asked, samples=samples, seed=seed, on_part=on_part)
    if write:
        keep(plan, RunFolder.of(plan).assessment_file, found, what="an assessment")
    return found
