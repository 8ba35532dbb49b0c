"""The page, put together from its parts."""

from __future__ import annotations

from datetime import UTC, datetime

from terramosaic.publishing.locator import locator_maps
from terramosaic.publishing.markup import Html, fill, read_template
from terramosaic.publishing.record import RunRecord
from terramosaic.publishing.report import sections
from terramosaic.publishing.report.imagery import imagery_tables
from terramosaic.publishing.report.maps import extra_maps, picture_styles, target_maps
from terramosaic.publishing.report.repeat import how_to_repeat
from terramosaic.publishing.words import attribution


def render_report(record: RunRecord) -> str:
    """The page as HTML text, its pictures, styles and script in it."""
    plan = record.plan
    return fill(
        read_template(__package__, "page.html"),
        title=f"{sections.headline(record)} ({plan.run_id})",
        styles=Html(f"{read_template(__package__, 'page.css')}\n{picture_styles(record)}"),
        script=Html(read_template(__package__, "page.js")),
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
        licence=f"the model's licence is {plan.bundle.licence}.",
        version=plan.engine_version,
        made=f"{datetime.now(UTC):%Y-%m-%d}",
    )
