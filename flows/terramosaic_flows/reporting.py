"""What a run shows in the Prefect UI: its plan as a table, its progress and pace, its pictures and files.

Showing is a courtesy: where the server does not take it, the run goes on without.
"""

from __future__ import annotations

import base64
import io
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import quote
from uuid import UUID

from PIL import Image
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from terramosaic.block.receipt import BlockReceipt
from terramosaic.errors import one_line
from terramosaic.evaluation.tables import FigureTable
from terramosaic.planning.folder import RunFolder, mosaics_of, tables_of
from terramosaic.planning.plan import Block, Plan
from terramosaic.publishing.facts import PlanFacts
from terramosaic.publishing.item import told_warnings
from terramosaic.publishing.numbers import counted, duration, size
from terramosaic.publishing.seams import ratio_in_words, told_seams
from terramosaic.publishing.served import files_url, on_the_map
from terramosaic.storage.files import facts_of, list_facts, read_bytes
from terramosaic_flows.markdown import code, escaped

logger = logging.getLogger("terramosaic.flows")

#: Seconds between two updates of the progress: each is a call to the server.
_UPDATE_EVERY = 3.0

#: Seconds in which a server that failed is not asked again: each call may wait for long.
_SILENCE = 60.0

#: Longest side of a picture in an artifact, and how many there may be. They live in Prefect's database.
_PICTURE_SIDE = 420
_MOST_PICTURES = 12

#: What a URL may hold, all but the brackets that end it in Markdown.
_OF_URLS = ":/?#[]@!$&'()*+,;=%-._~"

#: Figures of a plan that its table tells above.
_TOLD = ("Region", "Imagery", "Dates", "Covered", "Work", "Time", "Network", "Disk", "Cost", "Model")

#: Rows of a table; a country has thousands of scenes, and ``plan.json`` holds them all.
_MOST_ROWS = 500

#: What `BlockReceipt.seconds` is made of, in words.
_PHASES = {"data": "waiting for imagery", "model": "in the model", "other": "everything else"}


def report_plan(plan: Plan, region: str = "") -> None:
    """The plan as a table: scenes in use with the decisions about them, then those that were dropped, and why.

    Args:
        plan: a run's plan.
        region: its name, where a flow run maps several.
    """
    facts = PlanFacts(plan=plan)
    used = [
        {
            "day": day.day,
            "tile": scene.tile,
            "use": f"covers {day.covers}",
            "cloud": scene.cloud,
            "baseline": scene.baseline,
            "offset": scene.planned,
            # Last, because they are long: what stands behind them would be out of sight.
            "scene": scene.id,
            "decided by": scene.rule,
        }
        for day in facts.acquisitions
        for scene in day.scenes
    ]
    dropped = [{"scene": scene.id, "use": f"dropped: {scene.reason}"} for scene in plan.dropped]
    rows = [dict.fromkeys(used[0], "") | row for row in used + dropped] if used else dropped
    told = [facts.figures[name] for name in _TOLD if name in facts.figures]
    description = escaped(f"Run {plan.run_id}: {'; '.join(told)}; {counted(len(dropped), 'scene')} dropped")
    if len(rows) > _MOST_ROWS:
        description += f"\n\nThe first {_MOST_ROWS} of {len(rows)} scenes; all are in plan.json"
    _LINE.send(
        lambda: create_table_artifact(
            # The UI takes cells for Markdown too.
            table=[{name: escaped(cell) for name, cell in row.items()} for row in rows[:_MOST_ROWS]],
            key=_key("plan", region),
            description=description,
        )
    )


class RunProgress:
    """How far a flow run is, how fast, and what it waits for, as a progress artifact.

    Args:
        blocks: of the run, or of all its regions together.
        done: how many of them an earlier run has finished.
        region: the region's name, where a flow run shows several of these.
    """

    def __init__(self, blocks: int, done: int, region: str = "") -> None:
        self._blocks, self._found, self._key = blocks, done, _key("progress", region)
        self._computed = self._failed = self._windows = 0
        self._seconds: Counter[str] = Counter()
        self._stage = "blocks"
        self._started = time.monotonic()
        self._blocks_took: float | None = None
        self._artifact: UUID | None = None
        self._shown_at = 0.0
        self._show()

    def block_done(self, block: Block, receipt: BlockReceipt) -> None:
        """One more block is done."""
        self._computed += 1
        self._windows += receipt.windows
        self._seconds.update(receipt.seconds)
        self._show_if_due()

    def blocks_again(self, count: int) -> None:
        """So many blocks proved to be damaged, and are computed again."""
        self._blocks += count
        self._stage, self._blocks_took = "blocks", None
        self._show()

    def block_failed(self) -> None:
        """One more block has failed."""
        self._failed += 1
        self._show_if_due()

    def stage(self, name: str) -> None:
        """The blocks are behind it; what comes next, such as ``assemble``."""
        self._stage = name
        if self._blocks_took is None:
            self._blocks_took = time.monotonic() - self._started
        self._show()

    def close(self) -> None:
        """The run ends, well or not."""
        self.stage("ended")

    def _show_if_due(self) -> None:
        if time.monotonic() - self._shown_at > _UPDATE_EVERY:
            self._show()

    def _show(self) -> None:
        done = self._found + self._computed
        share = 100 * done / self._blocks if self._blocks else 100.0
        text = self._text(done)
        if self._artifact is None:
            made: Any = _LINE.send(lambda: create_progress_artifact(share, key=self._key, description=text))
            self._artifact = made
        else:
            known = self._artifact
            _LINE.send(lambda: update_progress_artifact(known, progress=share, description=text))
        # From now, not from before: a slow server is asked less often.
        self._shown_at = time.monotonic()

    def _text(self, done: int) -> str:
        lines = [f"Stage: **{self._stage}**", f"{done} of {self._blocks} blocks done"]
        if self._found:
            lines[-1] += f", {self._found} of them before"
        if self._failed:
            lines[-1] += f", **{self._failed} failed**"
        took = time.monotonic() - self._started if self._blocks_took is None else self._blocks_took
        if self._computed and took > 0:
            lines.append(f"{self._windows / took:.3g} windows a second")
            left = self._blocks - done - self._failed
            if self._blocks_took is None and left > 0:
                lines[-1] += f", about {duration(left * took / self._computed)} left"
        if total := self._seconds["total"]:
            shares = (f"{self._seconds[phase] / total:.0%} {words}" for phase, words in _PHASES.items())
            lines.append(f"Time in blocks: {', '.join(shares)}")
        return "\n\n".join(lines)


def report_outputs(plan: Plan, region: str = "") -> None:
    """Small pictures of the mosaics, and where the files are.

    Args:
        plan: the plan of a run that is published.
        region: its name, where a flow run maps several.
    """
    _LINE.send(
        lambda: create_markdown_artifact(
            markdown=_outputs(plan),
            key=_key("outputs", region),
            description="Quicklooks, and where the files are",
        )
    )


def _outputs(plan: Plan) -> str:
    folder = RunFolder.of(plan)
    made = [*mosaics_of(plan).items(), *tables_of(plan).items()]
    files = [("report", folder.report_file), *made, ("STAC item", folder.item_file)]
    found = [(name, path, facts_of(path)) for name, path in files]
    served = files_url(plan)
    rows = [
        f"| {_linked(name, served and f'{served}/{quote(path.name)}')} | {code(path.name)} | {size(facts.size)} |"
        for name, path, facts in found
        if facts
    ]
    lines = [f"## Run {plan.run_id}", *(f"> {escaped(line)}" for line in told_warnings(plan, folder))]
    if served:
        report = f"{served}/{quote(folder.report_file.name)}"
        lines.insert(1, f"{_linked('On the map', on_the_map(plan))}, {_linked('report', report)}")
    # Once: the UI breaks no line within a path, and lays what follows over it.
    lines.append(f"In {code(folder.location)}:")
    lines.append("\n".join(["| | file | size |", "| --- | --- | ---: |", *rows]))
    if seams := told_seams(plan):
        figures = {name: (of.step, of.texture, of.block_step) for name, of in seams.items()}
        rows = [
            f"| {escaped(name)} | {' | '.join(map(ratio_in_words, of))} |" for name, of in figures.items()
        ]
        head = [
            "| seams (1 is none) | edges of windows | overlaps | edges of blocks |",
            "| --- | ---: | ---: | ---: |",
        ]
        lines.append("\n".join([*head, *rows]))
    names = [name.removesuffix(".png") for name in list_facts(folder.quicklooks) if name.endswith(".png")]
    # The imagery first, then what was made of it.
    pictures = sorted(names, key=lambda name: (not name.startswith("S2"), name))
    for name in [name for name in pictures if not name.startswith("quality")][:_MOST_PICTURES]:
        uri = _data_uri(read_bytes(folder.quicklooks / f"{name}.png"))
        lines += [f"### {escaped(name)}", f"![{escaped(name)}]({uri})"]
    return "\n\n".join(lines)


def _linked(text: str, url: str) -> str:
    """A text as a link, where there is something to lead to."""
    return f"[{escaped(text)}](<{quote(url, safe=_OF_URLS)}>)" if url else escaped(text)


def report_figures(key: str, title: str, tables: Sequence[FigureTable]) -> None:
    """Tables of figures, as one page.

    Args:
        key: of the artifact.
        title: of the page.
        tables: what it shows; of a long one the last rows.
    """
    _LINE.send(
        lambda: create_markdown_artifact(
            markdown="\n\n".join(
                [f"## {escaped(title)}", *(part for table in tables for part in _figures(table))]
            ),
            key=key,
            description="How the map compares with what is known there",
        )
    )


def _figures(table: FigureTable) -> Iterator[str]:
    """The paragraphs of a table."""
    yield f"### {escaped(table.title)}"
    if len(table.rows) > _MOST_ROWS:
        yield f"The last {_MOST_ROWS} of {len(table.rows)} rows"
    if table.rows:
        lines = [table.columns, ("---",) * len(table.columns)]
        lines += [tuple(map(escaped, row)) for row in table.rows[-_MOST_ROWS:]]
        yield "\n".join(f"| {' | '.join(line)} |" for line in lines)
    yield from (f"> {escaped(line)}" for line in table.lines)
    if table.caveat:
        yield escaped(table.caveat)


class _Line:
    """The line to the server, which may be down."""

    def __init__(self) -> None:
        self._silent_until = 0.0
        self._warned = False

    def send(self, call: Callable[[], Any]) -> Any:
        """What the call returns, or None if it fails; told once."""
        if time.monotonic() < self._silent_until:
            return None
        try:
            return call()
        except Exception as error:  # whatever it is, it is no reason to lose a map
            self._silent_until = time.monotonic() + _SILENCE
            if not self._warned:
                self._warned = True
                what = one_line(f"{type(error).__name__}: {error}")
                logger.warning("the Prefect UI cannot be told, the run goes on without: %s", what)
            return None


_LINE = _Line()


def _key(name: str, region: str) -> str:
    """Keys of artifacts have lower-case letters, digits and dashes only."""
    return "-".join(re.findall("[a-z0-9]+", f"{name} {region}".lower()))


def _data_uri(png: bytes) -> str:
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    picture.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
    ground = Image.new("RGB", picture.size, "white")
    ground.paste(picture, mask=picture.getchannel("A"))
    out = io.BytesIO()
    ground.save(out, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
