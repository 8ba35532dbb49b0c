"""The newest mosaics as a plan tells of a run: for what shows mosaics, and reads from a plan what they are."""

from __future__ import annotations

from contextlib import suppress

from terramosaic.errors import RequestError
from terramosaic.planning.folder import ACQUISITIONS, read_plan
from terramosaic.planning.plan import Plan, Zone
from terramosaic.storage.location import Location
from terramosaic.watch.generation import Generation


def plan_of_newest(folder: Location) -> Plan:
    """The plan of the newest run in a generation that can be read, with the generation's layers and zones.

    Args:
        folder: of the generation.

    Raises:
        RequestError: there is no such generation, or none of its runs can be read any more.
    """
    generation = Generation.read(folder)
    if generation is None:
        raise RequestError(
            f"{folder} holds no newest mosaics of this version; the next update makes them anew"
        )
    runs = sorted(generation.runs, key=lambda run: generation.runs[run], reverse=True)
    for run in runs:
        with suppress(RequestError):
            plan = read_plan(folder.parent.parent / ACQUISITIONS / run)
            return plan.model_copy(
                update={"layers": generation.mosaics.layers, "zones": tuple(zones_of(generation))}
            )
    raise RequestError(f"{folder}: of none of its runs the plan can be read; map an acquisition again")


def zones_of(generation: Generation) -> list[Zone]:
    """What a generation has in each UTM zone: mosaics of no block."""
    return [
        Zone(
            epsg=epsg,
            row=rect.row,
            col=rect.col,
            height=rect.height,
            width=rect.width,
            outline=None,
            blocks=(),
        )
        for epsg, rect in generation.mosaics.zones.items()
    ]
