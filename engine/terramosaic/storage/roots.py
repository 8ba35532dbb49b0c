"""The places that a deployment may read and write: what a request names beyond them is refused.

``TERRAMOSAIC_ROOTS`` holds folders and URLs, separated by commas: ``/data,s3://bucket/maps,https://stac.example``. A
place is inside if it is one of them or below. Of a path, links and ``..`` are resolved first; a URL with ``..`` is
inside of nothing. Without the setting every place is allowed.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from terramosaic.errors import RequestError
from terramosaic.settings import ROOTS
from terramosaic.storage.documents import shown
from terramosaic.storage.location import is_url

_PORTS = {"http": 80, "https": 443}

#: Schemes whose URLs name a container before their host.
_CONTAINERS = ("abfs", "abfss")


def require_within_roots(*places: tuple[str, str]) -> None:
    """Refuses places beyond the roots of this deployment.

    Args:
        places: each the name of the request's field, and a path or URL.

    Raises:
        RequestError: one line for each field.
    """
    beyond = [(field, place) for field, place in places if not is_within_roots(place)]
    if beyond:
        raise RequestError(
            "\n".join(
                f"{field}: {shown(place)} is beyond what {ROOTS} allows here; "
                f"take a place in {', '.join(map(shown, ROOTS.names))}"
                for field, place in beyond
            )
        )


def is_within_roots(place: str) -> bool:
    """Whether a place is allowed."""
    roots = ROOTS.names
    if not roots:
        return True
    where = _normalised(place)
    return where is not None and any(
        where == root or where.startswith(root.rstrip("/") + "/") for root in map(_normalised, roots) if root
    )


def _normalised(place: str) -> str | None:
    """The one way to write a place; None for what means no place that could be compared."""
    if not is_url(place):
        return _resolved(place)
    try:
        parts = urlsplit(place)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    if parts.scheme in ("file", "local"):
        return _resolved(unquote(parts.path))
    # Whoever reads it may decode more than once.
    path = unquote(unquote(parts.path))
    if ".." in re.split(r"[/\\]", path) or "\\" in path:
        return None
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme in _CONTAINERS:
        host = f"{parts.username or ''}@{host}"
    return f"{parts.scheme}://{host}:{port or ''}{re.sub('/+', '/', path).rstrip('/')}"


def _resolved(path: str) -> str | None:
    try:
        return str(Path(path).expanduser().resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links, nobody's home, or a null in it
        return None
