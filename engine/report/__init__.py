"""The report of a run: one HTML page that holds everything it shows and opens anywhere, without a network.

record      what the run left on disk, gathered once
markup      templates that escape what is put into them
maps        pictures, swipes and legends
locator     where the run is
sections    figures and tables
words       what the item says alike
"""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files

from engine.report import sections
from engine.report.locator import locator
from engine.report.maps import picture_styles, target_maps
from engine.report.markup import Html, fill
from engine.report.record import RunRecord
from engine.report.words import attribution


def render_report(record: RunRecord) -> str:
    """The page as HTML text, its pictures, styles and script in it."""
    plan = record.plan
    return fill(
        _read("page.html"),
        title=f"{sections.headline(record)} ({plan.run_id})",
        styles=Html(f"{_read('page.css')}\n{picture_styles(record)}"),
        script=Html(_read("page.js")),
        hero=sections.hero(record),
        cards=sections.cards(record),
        warnings=sections.warnings(record),
        maps=target_maps(record),
        locator=locator(record),
        quality=sections.quality(record),
        imagery=sections.imagery(record),
        work=sections.work(record),
        repeat=sections.repeat(record),
        attribution=attribution(plan),
        licence=f"the model's licence is {record.bundle.manifest.licence}.",
        version=plan.engine_version,
        made=f"{datetime.now(UTC):%Y-%m-%d}",
    )


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
