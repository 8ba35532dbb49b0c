"""What pydantic finds wrong, in plain lines."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import ValidationError

from terramosaic.errors import meant, one_line, printable
from terramosaic.model.manifest import NAME_PATTERN

#: Letters of a wrong value, of the name of a field that there is not, and of what is wrong.
_VALUE, _NAME, _LINE = 60, 100, 800


def lines_of(error: ValidationError, known: Collection[str] = ()) -> list[str]:
    """Pydantic's complaints as one plain line each: the field, then what is wrong with it.

    Args:
        error: what pydantic raised.
        known: names of the fields that there are, one of which may be meant by a name that is none.
    """
    lines = []
    complaints = error.errors(include_url=False)
    places = [complaint["loc"] for complaint in complaints]
    for complaint in complaints:
        place = complaint["loc"]
        if complaint["type"] == "too_short" and any(other[:-1] == place for other in places if other):
            continue  # what was refused is missing then
        where = printable(".".join(str(part) for part in place), _NAME)
        what = printable(one_line(complaint["msg"].removeprefix("Value error, ")), _LINE)
        given = complaint.get("input")
        if not where and complaint["type"] == "string_unicode" and isinstance(given, str):
            where, what = printable(given, _NAME), "there is no such field"  # its name is no text
        elif complaint.get("ctx", {}).get("pattern") == NAME_PATTERN and isinstance(given, str):
            what = f"{_value(given)} is no name here: letters and digits, and a letter first"
        elif complaint["type"] == "extra_forbidden" and known and where not in known:
            what = f"there is no such field{meant(where, known)}"
        elif complaint["type"] != "value_error" and isinstance(given, str | int | float):
            what = f"{what} (not {_value(given)})"
        lines.append(f"{where}: {what}" if where else what)
    return lines


def _value(given: str | float) -> str:
    if isinstance(given, str):
        return f"'{printable(given, _VALUE)}'"
    try:
        return printable(repr(given), _VALUE)
    except ValueError:  # Python writes no number of thousands of digits
        return "such a number"
