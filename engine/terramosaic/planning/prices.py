"""Prices that runs are quoted by: a YAML file that `TERRAMOSAIC_PRICES` names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from terramosaic.errors import RequestError, one_line
from terramosaic.request.complaints import lines_of
from terramosaic.settings import PRICES

_Amount = Annotated[float, Field(ge=0)]

#: The name that any GPU goes by which has no price of its own.
_ANY_GPU = "gpu"


class Prices(BaseModel):
    """What a run's parts cost.

    Names of devices are ``cpu``, of which an hour is one of a processor; a part of what a GPU's maker calls it, such as
    ``H100``; and ``gpu`` for any other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    currency: str = Field(pattern=r"^\S{1,12}$", description="Such as EUR")
    device_hours: dict[str, _Amount] = Field(min_length=1, description="An hour of a device, by its name")
    watts: dict[str, _Amount] = Field(
        default_factory=dict, description="What a device draws at work, by its name"
    )
    kilowatt_hour: _Amount = Field(
        default=0.0, description="Of power; 0 where it is in the price of the device"
    )
    network_gigabyte: _Amount = Field(default=0.0, description="To fetch")
    disk_gigabyte_month: _Amount = Field(default=0.0, description="Of mosaics, for their first month")

    @classmethod
    def known(cls) -> Self | None:
        """The prices of the file that the environment names; None where it names none.

        Raises:
            RequestError: there is no such file, or a field in it is wrong; a line for each.
        """
        if not PRICES.text:
            return None
        path = Path(PRICES.text).expanduser()
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = getattr(error, "strerror", None) or f"is no YAML: {one_line(error)}"
            raise RequestError(f"{PRICES}: {path}: {reason}") from error
        if not isinstance(content, dict):
            raise RequestError(f"{PRICES}: {path}: is no table of {', '.join(cls.model_fields)}")
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            lines = lines_of(error, cls.model_fields)
            raise RequestError("\n".join(f"{PRICES}: {path}: {line}" for line in lines)) from None

    def of_device(self, amounts: Mapping[str, float], device: str) -> float | None:
        """What a table says of a device: by the longest name that it has, else as of any GPU; None if nothing."""
        named = [name for name in amounts if re.search(rf"\b{re.escape(name)}\b", device, re.IGNORECASE)]
        if named:
            return amounts[max(named, key=len)]
        return None if device == "cpu" else amounts.get(_ANY_GPU)


class Cost(BaseModel):
    """What a run is expected to cost.

    Attributes:
        parts: ``device``, ``power``, ``network`` and ``disk``; empty where the price of one is not known.
        lacking: what the prices do not say, in words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    currency: str
    parts: dict[str, float] = Field(default_factory=dict)
    kilowatt_hours: float | None = Field(
        default=None, description="Null where prices do not say what the device draws"
    )
    lacking: str = ""

    @property
    def total(self) -> float | None:
        """In the currency; None where a price is not known."""
        return sum(self.parts.values()) if self.parts else None

    @classmethod
    def of(
        cls,
        prices: Prices,
        *,
        device: str,
        minutes: float,
        beside_minutes: float,
        network_gigabytes: float,
        disk_gigabytes: float,
    ) -> Self:
        """The cost of a run.

        Args:
            prices: to take.
            device: ``cpu``, or what a GPU's maker calls it.
            minutes: of it.
            beside_minutes: of a processor, beside a GPU: they come with that, and draw power.
            network_gigabytes: to fetch.
            disk_gigabytes: that stay.
        """
        hour, watts = (prices.of_device(table, device) for table in (prices.device_hours, prices.watts))
        energy = None
        if watts is not None:
            beside = prices.of_device(prices.watts, "cpu") or 0.0
            energy = (minutes * watts + beside_minutes * beside) / 60_000
        lacking = f"device_hours say nothing of {device}" if hour is None else ""
        if energy is None and prices.kilowatt_hour:
            lacking = lacking or f"watts say nothing of {device}"
        if lacking or hour is None:
            return cls(currency=prices.currency, kilowatt_hours=energy, lacking=lacking)
        parts = {
            "device": minutes / 60 * hour,
            "power": (energy or 0.0) * prices.kilowatt_hour,
            "network": network_gigabytes * prices.network_gigabyte,
            "disk": disk_gigabytes * prices.disk_gigabyte_month,
        }
        return cls(currency=prices.currency, parts=parts, kilowatt_hours=energy)
