"""The report's words and tables: head, key figures, quality, imagery, work, and how to repeat the run."""

from __future__ import annotations

import shlex
from typing import Any

from engine.plan import RankedAcquisition
from engine.report.locator import place
from engine.report.maps import extra_maps
from engine.report.markup import (
    UNBROKEN,
    Html,
    duration,
    facts,
    figure,
    fill,
    folded,
    join,
    number,
    percent,
    size,
    table,
)
from engine.report.record import RunRecord
from engine.report.words import TITLES, software
from engine.request import BoundingBox, GeoJsonFile, MgrsTile, RegionRequest

#: Rows of a table before it is cut; the plan holds them all.
_MOST_ROWS = 400

#: Blocks in the table of the slowest.
_SLOWEST = 5

#: Names and colours of the phases of a block, as receipts name them.
_PHASES = (
    ("data", "waiting for imagery", "#4a86b8"),
    ("model", "model", "#17696a"),
    ("other", "blending, encoding, writing", "#c69a4c"),
)


def headline(record: RunRecord) -> str:
    """What was mapped, in a few words."""
    names = [TITLES[target] for target in record.plan.request.targets]
    listed = ", ".join(name if index == 0 else _decapitalised(name) for index, name in enumerate(names[:-1]))
    return f"{listed} and {_decapitalised(names[-1])}" if listed else names[0]


def hero(record: RunRecord) -> Html:
    """Title, where and when, and by which model; a banner if that is not TerraMind."""
    plan = record.plan
    banner = Html("")
    if not plan.bundle.is_terramind:
        banner = fill(
            '<div class="banner" role="note"><p><b>Not TerraMind.</b> These maps were made by the $title. '
            "They show how a run works, not what TerraMind would generate; do not use them as data.</p></div>",
            title=plan.bundle.title,
        )
    return fill(
        '<div class="hero"><h1>$headline</h1><p class="lead"><b>$region</b>, $place. Sentinel-2 of <b>$period</b>, '
        "by $model. Run <code>$run_id</code>.</p>$banner</div>",
        headline=headline(record),
        region=_region(record),
        place=place(plan),
        period=_dates(record),
        model=plan.bundle.title,
        run_id=plan.run_id,
        banner=banner,
    )


def cards(record: RunRecord) -> Html:
    """The key figures."""
    plan, figures = record.plan, record.plan.figures
    mosaics = sum(layer.size for layer in record.layers)
    rate = record.windows / record.busy_seconds if record.busy_seconds > 0 else 0.0
    zones = ", ".join(f"EPSG:{zone.epsg}" for zone in plan.zones)
    entries = [
        ("Area", f"{figure(figures.area_km2)}{UNBROKEN}km²", zones),
        ("Mapped", percent(1 - record.gap_share), f"gaps {percent(record.gap_share)}"),
        ("Under cloud", percent(record.cloud_share), "of the mapped pixels"),
        ("Scenes", number(figures.scenes), f"of {_count(figures.acquisitions, 'acquisition')}"),
        ("Windows", number(record.windows), f"in {_count(figures.blocks, 'block')}"),
        ("Time", duration(record.busy_seconds), f"{figure(rate)} windows/s on {plan.request.provider}"),
        ("Mosaics", size(mosaics), _count(len(record.layers), "file")),
    ]
    items = join(
        fill(
            "<div><dt>$name</dt><dd>$value<small>$detail</small></dd></div>",
            name=name,
            value=value,
            detail=detail,
        )
        for name, value, detail in entries
    )
    return fill('<dl class="cards">$items</dl>', items=items)


def warnings(record: RunRecord) -> Html:
    """What to know before using the maps; the model's banner is not said twice."""
    told = [line for line in record.warnings if not line.startswith(record.plan.bundle.title)]
    if not told:
        return Html("")
    items = join(fill("<li>$line</li>", line=line) for line in told)
    return fill(
        '<section id="warnings"><h2>Warnings</h2><ul class="warnings">$items</ul></section>', items=items
    )


def quality(record: RunRecord) -> Html:
    """The quality layer and the extra layers, as maps."""
    return extra_maps(record)


def imagery(record: RunRecord) -> Html:
    """Acquisitions in rank order, scenes with their offset decisions, and scenes that were left out."""
    plan = record.plan
    ranked = table(
        ("rank", "day", "covers", "cloud", "scenes", "tiles"),
        [_acquisition_row(record, rank, day) for rank, day in enumerate(plan.acquisitions, start=1)][
            :_MOST_ROWS
        ],
        numbers=(0, 2, 3, 4),
    )
    scenes = [_scene_row(record, id_) for day in plan.acquisitions for id_ in day.scenes]
    listed = table(
        ("scene", "sensed", "tile", "cloud", "baseline", "offset rule", "subtracted", "what the pixels say"),
        scenes[:_MOST_ROWS],
        numbers=(3, 6),
    )
    parts = [
        fill("<p>Searched: $searched.</p>", searched=plan.searched),
        ranked,
        _cut(len(plan.acquisitions)),
        folded(
            f"Scenes and their offsets ({len(scenes)})",
            join((listed, _cut(len(scenes)))),
            opened=len(scenes) <= 12,
        ),
    ]
    if plan.dropped:
        dropped = table(
            ("scene", "why it was left out"),
            [(_code(scene.id), scene.reason) for scene in plan.dropped][:_MOST_ROWS],
        )
        parts.append(folded(f"Left out ({len(plan.dropped)})", join((dropped, _cut(len(plan.dropped))))))
    return join(parts)


def work(record: RunRecord) -> Html:
    """What was planned and what came of it, and where the time went."""
    plan, figures = record.plan, record.plan.figures
    rows: list[tuple[object, ...]] = [
        ("region covered", percent(figures.covered_share), percent(1 - record.gap_share)),
        ("windows", number(figures.windows), number(record.windows)),
        (
            "blocks",
            number(figures.blocks),
            f"{number(len(record.receipts))} ({figures.empty_blocks} without imagery left out)",
        ),
        ("read", f"{figures.read_gigabytes:.2f}{UNBROKEN}GB", "not measured"),
    ]
    for target, estimate in figures.output_gigabytes.items():
        written = sum(layer.size for layer in record.layers if layer.layer.name == target)
        rows.append((f"{target} mosaic", size(estimate * 1e9), size(written)))
    total = record.seconds("total")
    stripes = join(
        fill(
            '<span style="flex-grow:$grow;background:$colour"></span>',
            grow=f"{record.seconds(phase):.3f}",
            colour=colour,
        )
        for phase, _, colour in _PHASES
    )
    key = join(
        fill(
            '<span><i style="background:$colour"></i>$label $time ($share)</span>',
            colour=colour,
            label=label,
            time=duration(record.seconds(phase)),
            share=percent(record.seconds(phase) / total if total else 0),
        )
        for phase, label, colour in _PHASES
    )
    slowest = sorted(record.receipts.values(), key=lambda receipt: -receipt.seconds["total"])[:_SLOWEST]
    times = [
        (_code(receipt.block), number(receipt.windows), *(f"{number(receipt.seconds.get(phase, 0), 1)}{UNBROKEN}s" for phase in
         ("total", "data", "model", "other")))
        for receipt in slowest
    ]  # fmt: skip
    return fill(
        '<div class="columns"><div><h3>Planned and done</h3>$planned</div><div><h3>Where the time went</h3>'
        '<p>Blocks took $total in sum, $busy by the clock.</p><div class="phases" aria-hidden="true">$stripes</div>'
        '<div class="key">$key</div>$slowest</div></div>',
        planned=table(("", "plan", "run"), rows, numbers=(1, 2)),
        total=duration(total),
        busy=duration(record.busy_seconds),
        stripes=stripes,
        key=key,
        slowest=table(
            ("slowest blocks", "windows", "total", "imagery", "model", "other"), times, numbers=range(1, 6)
        ),
    )


def repeat(record: RunRecord) -> Html:
    """All that decides the result, and the command that makes it again."""
    plan, request = record.plan, record.plan.request
    return fill(
        "<p>The same command on the same catalog gives the same run id and the same pixels.</p>"
        '<div class="command"><pre id="command">$command</pre><button type="button" data-copy="command">Copy</button></div>'
        '<div class="columns">$left$right</div>',
        command=map_command(request, str(record.folder.path)),
        left=facts(
            [
                ("Run", _code(plan.run_id)),
                ("Planned", f"{plan.created:%Y-%m-%d %H:%M} UTC"),
                ("Model", plan.bundle.title),
                ("Model fingerprint", _code(plan.bundle.fingerprint)),
                ("Bands", " ".join(plan.bundle.bands)),
                ("Licence of the model", record.bundle.manifest.licence),
                ("Source of the model", record.bundle.manifest.source),
            ]
        ),
        right=facts(
            [
                ("Targets, in order", ", ".join(request.targets)),
                ("Seed", request.seed),
                ("Stride, blend", f"{request.stride} pixels, {request.blend}"),
                ("Composite", request.composite),
                ("Conditioning", request.conditioning),
                ("Diffusion steps", request.steps),
                ("Offset", f"{request.offset}; on conflict: {request.offset_conflict}"),
                ("Versions", ", ".join(f"{name} {found}" for name, found in software(plan).items())),
            ]
        ),
    )


def map_command(request: RegionRequest, folder: str) -> str:
    """The command line of a request; what has its default is left out.

    Args:
        request: the request.
        folder: its run folder. A polygon that was written out is found again there, in the item.
    """
    match request.region:
        case BoundingBox() as box:
            region = ["--bbox", *(f"{value:.15g}" for value in (box.west, box.south, box.east, box.north))]
        case MgrsTile(tile=tile):
            region = ["--mgrs", tile]
        case GeoJsonFile(path=path):
            region = ["--region", path]
        case _:
            region = ["--region", f"{folder}/item.json"]
    words = ["terramosaic", "map", *region, "--datetime", request.datetime]
    for name, field in RegionRequest.model_fields.items():
        value = getattr(request, name)
        if name not in ("region", "datetime") and value != field.default:
            words += [f"--{name.replace('_', '-')}", _argument(value)]
    return shlex.join(words)


def _argument(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _acquisition_row(record: RunRecord, rank: int, day: RankedAcquisition) -> tuple[object, ...]:
    tiles = sorted({record.plan.scenes[id_].mgrs_tile or "?" for id_ in day.scenes})
    shown = ", ".join(tiles[:8]) + (f" and {len(tiles) - 8} more" if len(tiles) > 8 else "")
    return rank, day.solar_day, percent(day.coverage), percent(day.cloud / 100), len(day.scenes), shown


def _scene_row(record: RunRecord, scene_id: str) -> tuple[object, ...]:
    scene = record.plan.scenes[scene_id]
    cloud = "?" if scene.cloud_cover is None else percent(scene.cloud_cover / 100)
    subtracted, evidence = _offset(record, scene_id)
    return (
        _code(scene.id),
        Html(f"{scene.datetime:%Y-%m-%d}{UNBROKEN}{scene.datetime:%H:%M}"),
        scene.mgrs_tile or "?",
        cloud,
        scene.processing_baseline or "?",
        scene.offset_rule,
        subtracted,
        evidence,
    )


def _offset(record: RunRecord, scene_id: str) -> tuple[str, str]:
    """What was subtracted from a scene's numbers, and what its pixels said to it."""
    if record.plan.request.offset == "keep":
        return "0", "offset kept by request"
    found = record.offsets.get(scene_id)
    if found is None:
        return "", "not read: better acquisitions were clear"
    return str(found["applied"]), found["evidence"].get("verdict", "")


def _region(record: RunRecord) -> str:
    area = f"{figure(record.plan.figures.area_km2)}{UNBROKEN}km²"
    match record.plan.request.region:
        case MgrsTile(tile=tile):
            return f"Sentinel-2 tile {tile}"
        case BoundingBox():
            return f"A rectangle of {area}"
        case _:
            return f"A polygon of {area}"


def _dates(record: RunRecord) -> str:
    days = sorted({scene.solar_day for scene in record.plan.scenes.values()})
    if len(days) <= 3:
        return ", ".join(f"{day:%Y-%m-%d}" for day in days)
    return f"{days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}"


def _count(count: int, noun: str) -> str:
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def _decapitalised(title: str) -> str:
    """For the middle of a sentence; names such as Sentinel-1 keep their capital."""
    return title if title.startswith("Sentinel") else title[0].lower() + title[1:]


def _code(text: str) -> Html:
    return fill("<code>$text</code>", text=text)


def _cut(rows: int) -> Html:
    if rows <= _MOST_ROWS:
        return Html("")
    return fill(
        '<p class="note">The first $shown of $rows; plan.json has them all.</p>',
        shown=_MOST_ROWS,
        rows=number(rows),
    )
