"""The report of a run: one HTML page that holds everything it shows and opens anywhere, without a network.

record      what the run left on disk, gathered once
words       what report and item must say alike
markup      templates that escape what is put into them
maps        pictures, swipes and legends
locator     where the run is
sections    head, figures and timings
imagery     acquisitions and scenes
repeat      how to make the run again
inline, inline_mosaics
            requests and plans, mosaics and results as notebooks show them
"""

from __future__ import annotations

from datetime import UTC, datetime

from engine.report import sections
from engine.report.imagery import imagery_tables
from engine.report.locator import locator_maps
from engine.report.maps import extra_maps, picture_styles, target_maps
from engine.report.markup import Html, fill, read_template
from engine.report.record import RunRecord
from engine.report.repeat import how_to_repeat
from engine.report.words import attribution


def render_report(record: RunRecord) -> str:
    """The page as HTML text, its pictures, styles and script in it."""
    plan = record.plan
    return fill(
        read_template("page.html"),
        title=f"{sections.headline(record)} ({plan.run_id})",
        styles=Html(f"{read_template('page.css')}\n{picture_styles(record)}"),
        script=Html(read_template("page.js")),
        hero=sections.hero(record),
        cards=sections.cards(record),
        warnings=sections.warnings(record),
        maps=target_maps(record),
        locator=locator_maps(record),
        quality=extra_maps(record),
        imagery=imagery_tables(record),
        work=sections.work(record),
        repeat=how_to_repeat(record),
        attribution=attribution(plan),
        licence=f"the model's licence is {record.bundle.manifest.licence}.",
        version=plan.engine_version,
        made=f"{datetime.now(UTC):%Y-%m-%d}",
    )
