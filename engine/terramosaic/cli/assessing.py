"""``terramosaic assess``: a finished map compared with what is known there."""

from __future__ import annotations

import click

from terramosaic.cli.findings import counted_bar, tell
from terramosaic.cli.show import show_assessment, show_series
from terramosaic.run.assessing import assess
from terramosaic.watch.assessing import assess_watched, watched_folder


@click.command("assess")
@click.argument("run")
@click.option(
    "--reference", "references", multiple=True, metavar="NAME|YAML|TARGET=PATH",
    help="What to compare with, also several: s1-rtc, io-lulc, worldcover, cop-dem, a YAML file, or for a target a "
    "folder of GeoTIFFs or a vector file of points  [default: the names that suit the run]",
)  # fmt: skip
@click.option(
    "--catalog",
    metavar="NAME|URL|PATH",
    help="Where the references' collections are  [default: in their own]",
)
@click.option(
    "--samples", type=click.IntRange(1), default=100, show_default=True,
    help="Parts of 256 x 256 pixels to draw at random",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0), help="Draws the same parts again  [default: others each time]"
)
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True,
    help="Of a watched region, maps to compare at most; the others wait for the next time",
)  # fmt: skip
@click.option(
    "--no-write", is_flag=True, help="Leave the run as it is: no assessment.json, no new report and item"
)
@click.option("--json", "as_json", is_flag=True, help="Print what was compared as JSON")
def assess_command(
    run: str,
    references: tuple[str, ...],
    catalog: str | None,
    samples: int,
    seed: int | None,
    limit: int,
    no_write: bool,
    as_json: bool,
) -> None:
    """Compares a map with what is known there: Sentinel-1, land cover, heights, or data of one's own.

    RUN is the folder of a finished run, or its URL. Of the output folder of a watched region all maps are compared
    that were not yet, and the figures of all are told over time and kept as assessments.json there. Exit code 4 says
    that nothing could be compared, and why.
    """
    names = [name.strip() for text in references for name in _names(text)]
    if (folder := watched_folder(run)) is not None:
        with counted_bar("assess", "maps", limit) as on_each:
            series = assess_watched(
                folder,
                names,
                catalog=catalog,
                samples=samples,
                seed=seed,
                limit=limit,
                write=not no_write,
                on_map=on_each,
            )
        tell(series, show_series, as_json=as_json)
    else:
        with counted_bar("assess", "parts", samples) as on_each:
            found = assess(
                run,
                names,
                catalog=catalog,
                samples=samples,
                seed=seed,
                write=not no_write,
                on_part=on_each,
            )
        tell(found, show_assessment, as_json=as_json)


def _names(text: str) -> list[str]:
    """Names may be given together; a path may hold commas."""
    return [text] if "=" in text else [name for name in text.split(",") if name.strip()]
