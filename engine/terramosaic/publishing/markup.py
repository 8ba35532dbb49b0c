"""HTML from the templates of this room: jinja2 escapes whatever is put into them."""

from __future__ import annotations

from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from terramosaic.ground.grid import zone_name
from terramosaic.publishing import numbers
from terramosaic.publishing.seams import ratio_in_words
from terramosaic.publishing.words import title_of
from terramosaic.request.interval import interval_in_words

_FILTERS = (
    numbers.number, numbers.counted, numbers.figure, numbers.square_km, numbers.hectares, numbers.percent,
    numbers.duration, numbers.size, ratio_in_words, interval_in_words, title_of, zone_name,
)  # fmt: skip


def render(template: str, **values: object) -> str:
    """A template of ``publishing/templates``, filled."""
    return _environment().get_template(template).render(values)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("terramosaic.publishing"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {function.__name__: function for function in _FILTERS}
    made.globals |= {"thin": numbers.THIN, "unbroken": numbers.UNBROKEN, "zip": zip}
    return made
