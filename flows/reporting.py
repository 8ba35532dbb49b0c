"""What a run shows in the Prefect UI: its plan as a table, its progress, its pictures."""

from __future__ import annotations

import base64
import io
import time
from typing import cast
from uuid import UUID

from PIL import Image
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from engine.plan import Plan
from engine.run import RunFolder

#: Seconds between two updates of the progress: each is a call to the server.
_UPDATE_EVERY = 3.0

#: Longest side of a picture in an artifact. It lives in Prefect's database, so it is small.
_PICTURE_SIDE = 420


def report_plan(plan: Plan) -> None:
    """The plan as a table of scenes with the decisions about them."""
    rows = [
        {
            "day": acquisition.solar_day,
            "scene": scene.id,
            "tile": scene.mgrs_tile or "",
            "cloud %": "" if scene.cloud_cover is None else round(scene.cloud_cover, 1),
            "covers %": round(100 * acquisition.coverage, 1),
            "baseline": scene.processing_baseline or "",
            "offset": scene.offset_rule,
        }
        for acquisition in plan.acquisitions
        for scene in (plan.scenes[scene_id] for scene_id in acquisition.scenes)
    ]
    figures = plan.figures
    create_table_artifact(
        table=rows,
        key="plan",
        description=(
            f"Run {plan.run_id}: {figures.area_km2:,.1f} km², {figures.covered_share:.1%} covered, "
            f"{figures.scenes} scenes, {figures.windows:,} windows in {figures.blocks} blocks, {plan.bundle.title}"
        ),
    )


class BlockProgress:
    """Share of the blocks that are done, as a progress artifact."""

    def __init__(self, blocks: int, *, done: int) -> None:
        self._blocks, self._done = blocks, done
        self._artifact = cast(
            UUID, create_progress_artifact(0.0, key="blocks", description=f"{blocks} blocks")
        )
        self._last = time.monotonic()

    def step(self) -> None:
        """One more block is done."""
        self._done += 1
        now = time.monotonic()
        if self._done == self._blocks or now - self._last > _UPDATE_EVERY:
            self._last = now
            update_progress_artifact(self._artifact, progress=100 * self._done / self._blocks)


def report_outputs(plan: Plan) -> None:
    """Small pictures of the mosaics, and where the files are."""
    folder = RunFolder.of(plan)
    lines = [f"## Run {plan.run_id}", ""]
    lines += [f"> {warning}" for warning in plan.warnings]
    lines += [
        "",
        f"Report: `{folder.report_file.resolve()}`",
        "",
        f"STAC item: `{folder.item_file.resolve()}`",
        "",
    ]
    pictures = sorted(path for path in folder.quicklooks.glob("*.png") if not path.stem.startswith("quality"))
    for path in pictures:
        lines += [f"### {path.stem}", "", f"![{path.stem}]({_data_uri(path.read_bytes())})", ""]
    create_markdown_artifact(
        "\n".join(lines), key="outputs", description="Quicklooks, and where the files are"
    )


def _data_uri(png: bytes) -> str:
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    picture.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
    ground = Image.new("RGB", picture.size, "white")
    ground.paste(picture, mask=picture.getchannel("A"))
    out = io.BytesIO()
    ground.save(out, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
