"""What a notebook shows of requests and plans: small, complete in itself, without a script.

Each function returns HTML for a value's ``_repr_html_``. It does not fail for a file that is gone: then it says so. The
frame and the lists here are those of `terramosaic.publishing.notebook.mosaics` too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import shapely
from shapely.geometry import box, shape

from terramosaic.errors import TerramosaicError
from terramosaic.ground.grid import zone_name
from terramosaic.ground.zones import lonlat_of
from terramosaic.planning.plan import Block, Plan
from terramosaic.publishing.locator import Panel, beside, footprints, place, region_beside
from terramosaic.publishing.markup import (
    UNBROKEN,
    Html,
    code,
    counted,
    figure,
    fill,
    join,
    number,
    percent,
    read_template,
    size,
    table,
    when,
)
from terramosaic.publishing.words import region_in_words, targets_in_words
from terramosaic.request.request import BoundingBox, GeoJson, GeoJsonFile, MgrsTile, RegionRequest

#: Width of a map, in the pixels that it is shown with.
_MAP = 380.0
#: A plan shows its best acquisitions, its first warnings; of many blocks only their pattern, of too many nothing.
_ACQUISITIONS, _WARNINGS, _LABELLED_BLOCKS, _DRAWN_BLOCKS = 8, 6, 150, 3000
#: Letters of a warning: one that lists its scenes may be as long as a country.
_WARNING_LENGTH = 300
#: Fields of a request that a reader looks for also where they are the defaults.
_TOLD_ANYWAY = ("catalog", "targets", "model", "out")


def request_html(request: RegionRequest) -> str:
    """A request: the region's outline, and the fields that are not the defaults."""
    rows: list[tuple[str, object]] = []
    maps = Html("")
    try:
        area = request.area()
        _, outline = region_beside(area.outline)
        panel = Panel(outline, _MAP)
        panel.add("region", [(outline, "region")])
        words = region_in_words(request.region, area.square_kilometres)
        maps = panel.figure(words)
        rows.append(("Region", _region(request)))
    except TerramosaicError as error:  # a region in a file is read here
        rows.append(("Region", f"{_region(request)} ({error})"))
    rows.append(("Period", when(request.datetime)))
    usual = []
    for name, field in RegionRequest.model_fields.items():
        value = getattr(request, name)
        title, text = field.title or name, _value(value)
        if name in ("region", "datetime"):
            continue
        if value != field.default:
            rows.append((title, text))
        elif name in _TOLD_ANYWAY:
            usual.append(f"{title.lower()} {text}")
    text = fill(
        '$facts<p class="tm-soft">By default: $usual, and all else.</p>',
        facts=facts(rows), usual="; ".join(usual) or "nothing of note",
    )  # fmt: skip
    return card("Request", targets_in_words(request.targets), "", [maps, text_beside(text)])


def plan_html(plan: Plan) -> str:
    """A plan: a map of region, scenes and blocks, the figures, the best acquisitions, the warnings."""
    figures = plan.figures
    zones = ", ".join(f"{zone_name(zone.epsg)} (EPSG:{zone.epsg})" for zone in plan.zones)
    rows: list[tuple[str, object]] = [
        ("Region", f"{figure(figures.area_km2)}{UNBROKEN}km² around {place(plan)}, UTM {zones}"),
        ("Imagery", f"{counted(figures.scenes, 'scene')} of {counted(figures.acquisitions, 'acquisition')}"),
        ("Covered", f"{percent(figures.covered_share)} of the region by at least one scene"),
        (
            "Work",
            f"{counted(figures.windows, 'window')} in {counted(figures.blocks, 'block')}{_left_out(plan)}",
        ),
        ("To read", f"about {size(figures.read_gigabytes * 1e9)}"),
        (
            "To write",
            ", ".join(f"{name} {size(each * 1e9)}" for name, each in figures.output_gigabytes.items()),
        ),
        ("Model", plan.bundle.title),
        ("Searched", plan.searched),
        ("Folder", code(f"{plan.request.out}/{plan.run_id}")),
    ]
    text = join((warnings(plan), facts(rows), _acquisitions(plan)))
    title = targets_in_words(plan.request.targets)
    return card("Plan", title, plan.run_id, [_plan_map(plan), text_beside(text)])


def card(kind: str, title: str, name: str, parts: Sequence[Html]) -> Html:
    """The frame of all of them. Its style comes with each, for an output may be shown without the others."""
    return fill(
        '<div class="terramosaic"><style>$style</style><div class="tm-head"><b>$kind</b><span>$title</span>'
        '<span class="tm-soft">$name</span></div><div class="tm-body">$parts</div></div>',
        style=Html(read_template(__package__, "inline.css")),
        kind=kind,
        title=title,
        name=code(name) if name else "",
        parts=join(parts),
    )


def text_beside(content: Html) -> Html:
    """What stands beside a map or picture, or alone."""
    return fill('<div class="tm-text">$content</div>', content=content)


def facts(rows: Iterable[tuple[str, object]]) -> Html:
    """Names and values, one a line."""
    body = join(
        fill("<tr><th>$name</th><td>$value</td></tr>", name=name, value=value) for name, value in rows
    )
    return fill('<table class="tm-facts"><tbody>$body</tbody></table>', body=body)


def _plan_map(plan: Plan) -> Html:
    """The region in its blocks, under the footprints of each acquisition, or of many acquisitions together."""
    middle, region = region_beside(shape(plan.region))
    if len(plan.acquisitions) <= _ACQUISITIONS:
        days, which = footprints(plan, middle), "the footprints of all acquisitions"
    else:
        which = f"the footprints of {counted(len(plan.scenes), 'scene')}, drawn as one"
        covered = shapely.union_all([scene.geometry for scene in plan.scenes.values()])
        days = [(beside(covered, middle), "under at least one scene")]
    panel = Panel(region, _MAP)
    panel.add("footprint", days)
    panel.add("region", [(region, "region")])
    blocks = [
        (beside(lonlat_of(box(*block.rect.bounds), block.epsg), middle), _label(block))
        for block in plan.blocks[:_DRAWN_BLOCKS]
    ]
    drawn = counted(len(plan.blocks), "block")
    if len(plan.blocks) <= _LABELLED_BLOCKS:
        panel.add("block", blocks)
    elif len(plan.blocks) <= _DRAWN_BLOCKS:
        panel.add_together("block fine", (outline for outline, _ in blocks), drawn)
    else:
        drawn = f"{drawn}, too many to draw"
    return panel.figure(f"The region in {drawn}, under {which}")


def _label(block: Block) -> str:
    return f"{block.id}: {counted(block.windows, 'window')}"


def _acquisitions(plan: Plan) -> Html:
    """The best acquisitions; scenes are counted, their ids are in the plan."""
    rows = []
    for rank, day in enumerate(plan.acquisitions[:_ACQUISITIONS], start=1):
        scenes = [plan.scenes[id_] for id_ in day.scenes]
        baselines = sorted({scene.processing_baseline or "unknown" for scene in scenes})
        rows.append(
            (rank, when(day.solar_day), percent(day.coverage), f"{day.cloud:.0f}{UNBROKEN}%", len(scenes),
             ", ".join(baselines))
        )  # fmt: skip
    head = ("rank", "day", "covers", "cloud", "scenes", "baseline")
    listed = table(head, rows, numbers=(2, 3, 4))
    return join((listed, more(len(plan.acquisitions) - _ACQUISITIONS, "acquisition")))


def more(count: int, noun: str) -> Html:
    """How many are not shown; nothing if all are."""
    if count <= 0:
        return Html("")
    return fill('<p class="tm-soft">and $count</p>', count=counted(count, f"more {noun}"))


def warnings(plan: Plan) -> Html:
    """The plan's first warnings, cut to a readable length."""
    lines = [
        line if len(line) <= _WARNING_LENGTH else f"{line[:_WARNING_LENGTH]} …"
        for line in plan.warnings[:_WARNINGS]
    ]
    if not lines:
        return Html("")
    items = join(fill("<li>$line</li>", line=line) for line in lines)
    return fill('<ul class="tm-warnings">$items</ul>', items=items)


def _left_out(plan: Plan) -> str:
    empty = plan.figures.empty_blocks
    return f"; {counted(empty, 'block')} without imagery left out" if empty else ""


def _region(request: RegionRequest) -> str:
    match request.region:
        case BoundingBox(west=west, south=south, east=east, north=north):
            return f"west {west:g}, south {south:g}, east {east:g}, north {north:g}"
        case MgrsTile(tile=tile):
            return f"MGRS tile {tile}"
        case GeoJsonFile(path=path):
            return f"GeoJSON file {path}"
        case GeoJson(geojson=document):
            kind = document.get("type", "GeoJSON")
            return f"GeoJSON {kind}, {number(shapely.get_num_coordinates(request.region.area().outline))} vertices"


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,.10g}" if isinstance(value, float) else str(value)
