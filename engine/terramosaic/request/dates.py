"""Which acquisitions a model of several dates sees: so many, by a rule, near a day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from terramosaic.errors import printable
from terramosaic.model.manifest import MOST_DATES
from terramosaic.request.pairs import pairs_in

#: How it is written on a command line.
_EXAMPLE = "count=4,rule=latest,window_days=60"


class Dates(BaseModel):
    """The dates of a map, each one acquisition of the whole region; of what they are chosen, the request's period says.

    Given as a number it is the count, as a text pairs of names and values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int = Field(
        default=0, ge=0, le=MOST_DATES, title="Count", description="Dates; 0: as many as the model takes"
    )
    rule: Literal["latest", "evenly", "before_after"] = Field(
        default="latest",
        title="Rule",
        description="latest: the newest up to the reference day; evenly: the period, or the window, in equal parts, of "
        "each the clearest; before_after: half of them before the reference day, the others from it on, nearest first",
    )
    reference: str = Field(
        default="",
        title="Reference day",
        description="YYYY-MM-DD, such as the day of a flood; empty: the newest acquisition",
    )
    window_days: int = Field(
        default=0,
        ge=0,
        le=3660,
        title="Window",
        description="Days up to the reference day that count, with before_after as many behind it; 0: the whole period",
    )
    repeat_missing: bool = Field(
        default=False,
        title="Repeat missing dates",
        description="Where there are fewer, take the nearest once more; else nothing is mapped",
    )
    pair_days: float = Field(
        default=0,
        ge=0,
        le=366,
        title="Days apart",
        description="Most days between Sentinel-1 and each date; 0: as max_days_apart says",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_short_forms(cls, value: Any) -> Any:
        if isinstance(value, str):
            return pairs_in(",".join(map(_written_out, value.split(","))), _EXAMPLE)
        return {"count": value} if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("reference", mode="before")
    @classmethod
    def _is_a_day(cls, value: Any) -> Any:
        if isinstance(value, date):
            return value.isoformat()[:10]
        if isinstance(value, str) and value:
            try:
                return date.fromisoformat(value).isoformat()
            except ValueError:
                raise ValueError(f"'{printable(value, 60)}' is no day; write it as 2023-08-31") from None
        return value

    @model_validator(mode="after")
    def _has_what_its_rule_needs(self) -> Self:
        if self.rule == "before_after" and not self.reference:
            raise ValueError("before_after is of a day; say it as reference, such as reference=2023-08-31")
        if self.rule == "before_after" and self.count == 1:
            raise ValueError("before_after is of two dates or more")
        return self

    @property
    def day(self) -> date | None:
        """The reference day; None where it is the newest acquisition's."""
        return date.fromisoformat(self.reference) if self.reference else None

    def __str__(self) -> str:
        said: Mapping[str, Any] = self.model_dump(exclude_defaults=True)
        return ",".join(
            f"{name}={str(value).lower() if value is True else value}" for name, value in said.items()
        )


def _written_out(pair: str) -> str:
    """A pair as its field is called: of ``4`` the count, ``window-days=60`` as options are spelt."""
    name, equals, said = pair.strip().partition("=")
    if not equals:
        return f"count={name}" if name.isdigit() else name
    return f"{name.replace('-', '_')}={said}"
