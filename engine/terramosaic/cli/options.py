"""Options of ``map`` and ``plan``, made from `RegionRequest`: names, defaults and help cannot drift apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from terramosaic.errors import RequestError
from terramosaic.request.request import RENAMED, RegionRequest, request_of

Command = Callable[..., Any]

#: How the values of text fields look, by title.
_METAVARS = {
    "Period": "START/END",
    "Device": "cpu|cuda|cuda:N|auto",
    "Excluded scenes": "ID,ID|FILE",
    "Trusted scenes": "ID,ID|FILE",
    "Strides of targets": "TARGET=N,...",
    "Sample bounds of targets": "TARGET=X,...",
    "Catalogs of other inputs": "INPUT=CATALOG,...",
    "NDVI limits": "NAME=X,...",
    "Own imagery": "PATH,PATH",
    "Bands of own imagery": "BAND=WHERE,...",
    "Dates": "N|NAME=X,...",
}


def selection_options(command: Command) -> Command:
    """Gives a command the options that make up a request; it gets their values as keyword arguments."""
    for name, field in reversed(RegionRequest.model_fields.items()):
        option = f"--{name.replace('_', '-')}"
        if field.annotation is bool:
            command = click.option(option, name, is_flag=True, default=None, help=field.description)(command)
        elif name != "region":
            command = click.option(
                option, name, metavar=_metavar(field), help=_help(field), shell_complete=_choices(field)
            )(command)
    for old, new in RENAMED.items():
        command = click.option(f"--{old}", old, hidden=True, help=f"What --{new} was called until 0.2")(
            command
        )
    command = click.option("--mgrs", metavar="ID", help="Region: a Sentinel-2 tile such as 33TWL")(command)
    command = click.option(
        "--region",
        "region_file",
        metavar="FILE|URL",
        help="Region: GeoJSON, GeoPackage, KML, Shapefile, or WKT",
    )(command)
    return click.option(
        "--bbox", nargs=4, type=_Degrees(), metavar="W S E N", help="Region: west south east north in degrees"
    )(command)


class _Degrees(click.types.FloatParamType):
    """One of the four numbers of a rectangle."""

    name = "degrees"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; where it is none, says how many are wanted and how they are written."""
        try:
            return float(value)
        except ValueError:
            self.fail(
                f"{value!r} is no number; give four, with spaces between: west south east north", param, ctx
            )


def request_from(options: dict[str, Any]) -> RegionRequest:
    """The request that the command line describes.

    Raises:
        RequestError: one line for each option that is wrong.
    """
    given = {
        name: value
        for name, value in options.items()
        if value is not None and (name in RegionRequest.model_fields or name in RENAMED)
    }
    regions = [
        value for value in (options["bbox"], options["region_file"], options["mgrs"]) if value is not None
    ]
    if len(regions) != 1:
        raise RequestError("region: give one of --bbox W S E N, --region FILE or --mgrs ID")
    if "datetime" not in given:
        raise RequestError("datetime: give the period as --datetime START/END, such as 2023-08-01/2023-08-31")
    region: Any = regions[0]
    if options["mgrs"] is not None:
        region = {"tile": region}
    return request_of(region=region, **given)


def names_in(text: str) -> tuple[str, ...]:
    """The names of a list with commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _metavar(field: FieldInfo) -> str:
    if field.title in _METAVARS:
        return _METAVARS[field.title]
    kind = field.annotation
    if words := _words(field):
        return "|".join(words)
    if get_origin(kind) is tuple:
        return "NAME,NAME"
    return {int: "N", float: "X"}.get(kind, "TEXT")  # type: ignore[arg-type]


def _words(field: FieldInfo) -> list[str]:
    """What a field's value is one of; nothing where it may be anything."""
    inner = [arg for arg in get_args(field.annotation) if arg not in (type(None), ...)]
    return inner if all(isinstance(choice, str) for choice in inner) else []


def _choices(field: FieldInfo) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """What a shell offers for a field's value."""
    words = _words(field)
    return lambda context, option, begun: [word for word in words if word.startswith(begun)]


def _help(field: FieldInfo) -> str:
    default = field.default
    if default is PydanticUndefined or default in ((), "", {}) or isinstance(default, BaseModel):
        return field.description or ""
    shown = (
        ",".join(default)
        if isinstance(default, tuple)
        else f"{default:g}"
        if isinstance(default, float)
        else default
    )
    return f"{field.description}  [default: {shown}]"
