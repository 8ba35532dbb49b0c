"""What pydantic finds wrong, in plain lines."""

from __future__ import annotations

from pydantic import ValidationError

from terramosaic.errors import one_line, printable

#: Letters of a wrong value, of the name of a field that there is not, and of what is wrong.
_VALUE, _NAME, _LINE = 60, 100, 800


def lines_of(error: ValidationError) -> list[str]:
    """Pydantic's complaints as one plain line each: the field, then what is wrong with it."""
    lines = []
    for complaint in error.errors(include_url=False, include_context=False):
        where = printable(".".join(str(part) for part in complaint["loc"]), _NAME)
        what = printable(one_line(complaint["msg"].removeprefix("Value error, ")), _LINE)
        given = complaint.get("input")
        if not where and complaint["type"] == "string_unicode" and isinstance(given, str):
            where, what = printable(given, _NAME), "Extra inputs are not permitted"  # its name is no text
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
