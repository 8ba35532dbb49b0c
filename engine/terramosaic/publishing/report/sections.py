"""The report's head and figures: title, banner, cards, warnings, plan and run, where the time went."""

from __future__ import annotations

from terramosaic.ground.grid import zone_name
from terramosaic.publishing.locator import place
from terramosaic.publishing.markup import (
    UNBROKEN,
    Html,
    code,
    counted,
    duration,
    figure,
    fill,
    join,
    number,
    percent,
    size,
    stacked,
    table,
    when,
)
from terramosaic.publishing.record import RunRecord
from terramosaic.publishing.words import region_in_words, targets_in_words

#: Blocks in the table of the slowest.
_SLOWEST = 5

#: Phases of a block as receipts name them, with their names and colours here.
_PHASES = (
    ("data", "waiting for imagery", "#5b8fc0"),
    ("model", "model", "#17696a"),
    ("other", "blending, encoding, writing", "#c9a052"),
)


def headline(record: RunRecord) -> str:
    """What was mapped, in a few words."""
    return targets_in_words(record.plan.request.targets)


def hero(record: RunRecord) -> Html:
    """Title, where and when, and by which model; a banner if that is not TerraMind."""
    plan = record.plan
    what = None
    if not plan.bundle.is_terramind:
        what = "Not TerraMind"
    elif plan.bundle.random_weights is not None:
        what = "Random weights"
    banner = Html("")
    if what is not None:
        banner = fill(
            '<div class="banner" role="note"><p><b>$what.</b> These maps were made by the $title. '
            "They show how a run works, not what TerraMind would generate; do not use them as data.</p></div>",
            what=what,
            title=plan.bundle.title,
        )
    return fill(
        '<div class="hero"><h1>$headline</h1><p class="lead"><b>$region</b> around $place, from Sentinel-2 '
        "of <b>$dates</b> by $model.</p><p>Run $run_id</p>$banner</div>",
        headline=headline(record).replace("-", "\N{NON-BREAKING HYPHEN}"),  # "Sentinel-1" stays on one line
        region=region_in_words(plan.request.region, plan.figures.area_km2),
        place=place(plan),
        dates=_dates(record),
        model=plan.bundle.title,
        run_id=code(plan.run_id),
        banner=banner,
    )


def cards(record: RunRecord) -> Html:
    """The key figures."""
    plan, figures = record.plan, record.plan.figures
    rate = record.windows / record.busy_seconds if record.busy_seconds > 0 else 0.0
    zones = ", ".join(zone_name(zone.epsg) for zone in plan.zones)
    entries = (
        ("Area", f"{figure(figures.area_km2)}{UNBROKEN}km²", f"UTM {zones}"),
        ("Mapped", percent(1 - record.gap_share), f"{figure(record.mapped_km2)}{UNBROKEN}km² of pixels"),
        ("Under cloud", percent(record.cloud_share), "of the mapped area"),
        ("Scenes", number(figures.scenes), f"of {counted(figures.acquisitions, 'acquisition')}"),
        ("Windows", number(record.windows), f"in {counted(figures.blocks, 'block')}"),
        ("Time", duration(record.busy_seconds), f"{figure(rate)} windows/s"),
        ("Mosaics", size(sum(mosaic.size for mosaic in record.layers)), counted(len(record.layers), "file")),
    )
    items = join(
        fill(
            "<div><dt>$name</dt><dd>$value<small>$more</small></dd></div>", name=name, value=value, more=more
        )
        for name, value, more in entries
    )
    return fill('<dl class="cards">$items</dl>', items=items)


def warnings(record: RunRecord) -> Html:
    """What to know before using the maps; what the model's banner says is not said twice."""
    lines = [line for line in record.warnings if not line.startswith(record.plan.bundle.title)]
    if not lines:
        return Html("")
    items = join(fill("<li>$line</li>", line=line) for line in lines)
    return fill('<div class="warnings" id="warnings"><h2>Warnings</h2><ul>$items</ul></div>', items=items)


def work(record: RunRecord) -> Html:
    """What was planned and what came of it, and where the time went."""
    return fill(
        '<div class="columns"><div><h3>Planned and done</h3>$planned</div>'
        "<div><h3>Where the time went</h3>$times</div></div>",
        planned=_planned_and_done(record),
        times=_times(record),
    )


def _planned_and_done(record: RunRecord) -> Html:
    figures = record.plan.figures
    rows: list[tuple[object, ...]] = [
        ("region covered", percent(figures.covered_share), percent(1 - record.gap_share)),
        ("windows", number(figures.windows), number(record.windows)),
        ("blocks", number(figures.blocks), number(len(record.receipts))),
        ("blocks without imagery", number(figures.empty_blocks), "left out"),
        ("imagery to read", size(figures.read_gigabytes * 1e9), "not measured"),
    ]
    for target, gigabytes in figures.output_gigabytes.items():
        written = sum(mosaic.size for mosaic in record.layers if mosaic.layer.name == target)
        rows.append((f"{target} mosaic", size(gigabytes * 1e9), size(written)))
    return table(("", "plan", "run"), rows, numbers=(1, 2))


def _times(record: RunRecord) -> Html:
    total = record.seconds("total")
    phases = [(label, colour, record.seconds(phase)) for phase, label, colour in _PHASES]
    key = join(
        fill(
            '<li><i style="background:$colour"></i>$label: $time ($share)</li>',
            colour=colour,
            label=label,
            time=duration(seconds),
            share=percent(seconds / total if total else 0),
        )
        for label, colour, seconds in phases
    )
    slowest = sorted(record.receipts.values(), key=lambda receipt: -receipt.seconds["total"])[:_SLOWEST]
    rows = []
    for receipt in slowest:
        times = (receipt.seconds[phase] for phase in ("total", *(phase for phase, _, _ in _PHASES)))
        seconds = (f"{number(time, 1)}{UNBROKEN}s" for time in times)
        rows.append((code(receipt.block), number(receipt.windows), *seconds))
    return fill(
        '<p>On $device. Blocks took $total in sum, $busy by the clock.</p>$bar<ul class="key">$key</ul>$slowest',
        device="the CPU" if record.plan.request.device == "cpu" else "a CUDA device",
        total=duration(total),
        busy=duration(record.busy_seconds),
        bar=stacked(phases),
        key=key,
        slowest=table(
            ("slowest blocks", "windows", "total", "imagery", "model", "other"), rows, numbers=range(1, 6)
        ),
    )


def _dates(record: RunRecord) -> Html:
    days = [
        when(f"{day:%Y-%m-%d}") for day in sorted({scene.solar_day for scene in record.plan.scenes.values()})
    ]
    if len(days) <= 3:
        return Html(", ".join(days))
    return Html(f"{len(days)} days, {days[0]} to {days[-1]}")
