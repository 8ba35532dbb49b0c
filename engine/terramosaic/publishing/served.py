"""Where what is published is looked at: URLs below TERRAMOSAIC_PUBLIC_URL.

That is the URL of TERRAMOSAIC_OUT, as `terramosaic serve` serves it: a run in a folder below it is at
``https://maps.example/lakes/RUN_ID``, and what lies elsewhere has no URL. Without TERRAMOSAIC_OUT it is the URL of the
output folder itself, or of the watched region's, whichever that is.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from terramosaic.planning.folder import ACQUISITIONS, RunFolder, is_watched
from terramosaic.planning.plan import Plan
from terramosaic.settings import OUT, PUBLIC_URL
from terramosaic.storage.location import Location, anchored, location


def on_the_map(plan: Plan) -> str:
    """The URL at which `terramosaic serve` shows a run, where it is known under which one it does; else nothing."""
    name = _from_served(*_place_of(plan))
    return f"{url}/#run={quote(name, safe='')}" if (url := _public_url()) and name is not None else ""


def files_url(plan: Plan) -> str:
    """The URL below which `terramosaic serve` has the files of a run, where it is known; else nothing."""
    return _url_of(*_place_of(plan))


def served_at(out: str) -> str:
    """The URL at which an output folder is looked at, where that is known; else nothing."""
    return _public_url() if _from_served(out, "") is not None else ""


def itself(folder: str | Location, path: str, media_type: str = "application/json") -> list[dict[str, Any]]:
    """The link of a document to itself, where it is known under which URL it is served.

    Args:
        folder: the output folder, or a watched region's.
        path: of the document, from there.
        media_type: of the document.
    """
    url = _url_of(folder, path)
    return [{"rel": "self", "href": url, "type": media_type}] if url else []


def item_itself(plan: Plan) -> list[dict[str, Any]]:
    """The link of a run's item to itself, as `itself`."""
    folder, run = _place_of(plan)
    return itself(folder, f"{run}/item.json", "application/geo+json")


def _place_of(plan: Plan) -> tuple[Location, str]:
    """The output folder of a run, or its watched region's, and the run's folder from there."""
    out, run = location(plan.request.out), RunFolder.of(plan).path.name
    return (out.parent, f"{ACQUISITIONS}/{run}") if is_watched(plan) else (out, run)


def _url_of(folder: str | Location, path: str) -> str:
    name = _from_served(folder, path)
    return f"{url}/{quote(name)}" if (url := _public_url()) and name is not None else ""


def _public_url() -> str:
    url = PUBLIC_URL.text.rstrip("/")
    return url if urlsplit(url).scheme in ("http", "https") else ""


def _from_served(folder: str | Location, path: str) -> str | None:
    """A path in a folder from the folder on that is served; None where it is not in that."""
    if not OUT.text:
        return path
    served = anchored(OUT.text).rstrip("/") + "/"
    place = anchored(str(folder)).rstrip("/") + "/"
    return f"{place[len(served) :]}{path}" if place.startswith(served) else None
