"""Places of files in a text with commas between them, which names of files may hold, too."""

from __future__ import annotations

from pathlib import Path


def places_in(text: str) -> tuple[str, ...]:
    """The places that a text names: what is there on this machine as a whole is one, commas or not.

    Of ``a, b.tif,c`` it is ``a, b.tif`` and ``c`` where there is a file ``a, b.tif``.
    """
    parts, found = text.split(","), []
    while parts:
        # The longest that is there; else the first part alone, for whoever reads it to complain about.
        count = next((n for n in range(len(parts), 1, -1) if _is_there(",".join(parts[:n]))), 1)
        found.append(",".join(parts[:count]).strip())
        del parts[:count]
    return tuple(filter(None, found))


def _is_there(place: str) -> bool:
    try:
        return Path(place.strip()).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # too long, no such user, a null byte
        return False
