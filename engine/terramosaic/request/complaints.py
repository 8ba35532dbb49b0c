"""What pydantic finds wrong, in plain lines."""

from __future__ import annotations

from pydantic import ValidationError


def lines_of(error: ValidationError) -> list[str]:
    """Pydantic's complaints as one plain line each: the field, then what is wrong with it."""
    lines = []
    for complaint in error.errors():
        where = ".".join(str(part) for part in complaint["loc"])
        what = complaint["msg"].removeprefix("Value error, ")
        given = complaint.get("input")
        if complaint["type"] != "value_error" and isinstance(given, str | int | float):
            what = f"{what} (not {given!r})"
        lines.append(f"{where}: {what}" if where else what)
    return lines
