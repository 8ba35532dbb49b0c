"""Values that a notebook shows as pictures and tables, and that know nothing of them.

What draws a type is registered from outside, as `terramosaic.publishing.notebook` does; so a request stays a request
and imports no renderer. xarray and pandas part values and their HTML in the same way.
"""

from __future__ import annotations

from functools import singledispatch


@singledispatch
def draw_html(value: object) -> str | None:
    """A value as HTML, or None where nothing draws its type; ``draw_html.register`` says what does."""
    return None


class Shown:
    """A value that Jupyter may ask for HTML; it falls back to the value's text where there is none."""

    __slots__ = ()

    def _repr_html_(self) -> str | None:
        return draw_html(self)
