"""What the page is told of runs and layers, as values that JSON knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote, urljoin

from terramosaic.block.preview import PREVIEW
from terramosaic.errors import OutputError, TerramosaicError
from terramosaic.publishing.quicklook import Scale, ramp_table
from terramosaic.publishing.words import title_of
from terramosaic.viewer.layers import Layers, MapLayer, seen_swatches
from terramosaic.viewer.shelf import Shelf, ShelvedRun
from terramosaic.viewer.sight import TITLE
from terramosaic.viewer.tiles import DEEPEST

#: Roles of assets, in the order in which downloads are listed; all others are no downloads.
_ROLES = ("data", "visual", "style", "metadata")
#: Files of a run in a store whose size is asked for at the same time.
_ASKED = 16


def shelf_told(shelf: Shelf) -> dict[str, Any]:
    """All runs in short, the newest imagery first, and what cannot be shown.

    Raises:
        OutputError: the folder cannot be read, or the store does not answer.
    """
    told, problems = [], []
    for run in shelf.runs.values():
        try:
            told.append(run_in_short(run))
        except OutputError as error:
            problems.append({"name": run.name, "reason": shelf.told(error)})
    told.sort(key=lambda one: (one["last_day"], one["name"]), reverse=True)
    problems += [{"name": name, "reason": why} for name, why in sorted(shelf.problems.items())]
    return {"runs": told, "problems": problems}


def items_told(shelf: Shelf, url: str) -> dict[str, Any]:
    """The items of all runs as one GeoJSON document, in order of time, as GDAL's driver STACIT wants them.

    Args:
        shelf: the runs.
        url: under which they are served; all hrefs begin with it but those that are URLs.

    Raises:
        OutputError: the folder cannot be read, or the store does not answer.
    """
    features = []
    runs = [run for run in shelf.runs.values() if not run.is_newest]
    for run in sorted(runs, key=lambda one: (_days(one), one.name)):
        itself = f"{url}/{quote(run.name)}/item.json"
        try:
            links = [
                link for link in run.item.get("links", ()) if link["rel"] not in ("self", "derived_from")
            ]
            item = {
                **run.item,
                "links": [
                    {"rel": "self", "href": itself, "type": "application/geo+json"},
                    *({**link, "href": urljoin(itself, link["href"])} for link in links),
                ],
                "assets": {
                    name: {**asset, "href": urljoin(itself, asset["href"])}
                    for name, asset in run.item["assets"].items()
                },
            }
        except (AttributeError, KeyError, TypeError, ValueError):
            continue  # /runs.json says what is wrong
        features.append(item)
    return {"type": "FeatureCollection", "features": features}


def run_in_short(run: ShelvedRun) -> dict[str, Any]:
    """What a run's item says of it.

    Raises:
        OutputError: it says what no item of a run does.
    """
    with _sound():
        return _in_short(run)


@contextmanager
def _sound() -> Iterator[None]:
    """Says of an item whose fields are of other kinds than those of a run what to do."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise OutputError(
            "its item is damaged: a field is not what it should be; map the same request again, which makes it anew"
        ) from error


def _in_short(run: ShelvedRun) -> dict[str, Any]:
    told = run.item["properties"]
    model = told.get("terramosaic:model")
    first, last = _days(run)
    return {
        "name": run.name,
        "first_day": first,
        "last_day": last,
        "model": str(model.get("title", "")) if isinstance(model, dict) else "",
        "targets": [str(name) for name in told.get("terramosaic:targets") or ()],
        "bbox": run.item.get("bbox"),
        "geometry": run.item.get("geometry"),
        "mapped_km2": round(float(told.get("terramosaic:valid_pixels") or 0) / 1e4, 1),
        "is_replaced": bool(told.get("deprecated")),
        "is_newest": run.is_newest,
        "report": _href(run, "./report.html"),
        "version": run.version,
    }


def run_in_full(layers: Layers, run: ShelvedRun) -> dict[str, Any]:
    """A run with its layers, their legends and its downloads; of a layer that is damaged, why.

    Raises:
        RequestError: its plan is missing, damaged, or of another version.
        OutputError: its item says what no item of a run does.
    """
    with _sound():
        told = run.item["properties"]
        of_item = {
            **_in_short(run),
            "warnings": [str(line) for line in told.get("terramosaic:warnings") or ()],
            "downloads": _with_sizes(layers.shelf, run, list(_downloads(run))),
        }
    return {**of_item, "layers": [_layer(layers, run, name) for name in layers.names(run)]}


def _layer(layers: Layers, run: ShelvedRun, name: str) -> dict[str, Any]:
    layer = layers.layer(run, name)
    told = {
        "name": name,
        "title": TITLE if name == PREVIEW else title_of(layer),
        "group": _group(layer.kind, layer.is_estimate),
        "tiles": f"tiles/{quote(run.name)}/{quote(name)}/{{z}}/{{x}}/{{y}}.png",
        "deepest": DEEPEST,
    }
    if not layers.is_cheap(run, name):
        return told | {"waits": True}
    return told | layer_told(layers, run, name)


def layer_told(layers: Layers, run: ShelvedRun, name: str) -> dict[str, Any]:
    """A layer's legend; where it cannot be read, why."""
    try:
        opened = layers.get(run, name)
    except TerramosaicError as error:
        return {"error": layers.shelf.told(error)}
    return legend(opened)


def legend(opened: MapLayer) -> dict[str, Any]:
    """What a layer's colours stand for.

    Returns:
        ``version``, which changes with the pixels; ``unit``; ``caption``, how to read it; ``ramps``, each with its
        ends, ticks and colours; and ``swatches`` of classes, flags and days.
    """
    picture, unit = opened.paint.picture, opened.layer.unit
    return {
        "version": opened.version,
        "unit": "" if unit == "1" else unit,
        "caption": picture.caption,
        "ramps": list(_ramps(opened)),
        "swatches": seen_swatches(opened)
        or (
            [
                {"value": one.value, "label": one.name, "colour": f"#{bytes(one.colour).hex()}"}
                for one in opened.layer.classes
            ]
            if opened.layer.measure == "probabilities"
            else []
        ),
    }


def _group(kind: str, is_estimate: bool) -> str:
    if is_estimate:
        return "map"
    return "imagery" if kind == "imagery" else "trust"


def _ramps(opened: MapLayer) -> Iterator[dict[str, Any]]:
    picture = opened.paint.picture
    for scale in picture.scales:
        yield _ramp(scale)
    if not picture.scales and opened.layer.name != PREVIEW:
        for channel, colour in zip(picture.channels, ("#ff0000", "#00ff00", "#0000ff"), strict=False):
            yield _ramp(Scale(channel.band, channel.low, channel.high, "", ("#000000", colour)))


def _ramp(scale: Scale) -> dict[str, Any]:
    table = ramp_table(scale.colours)
    at = [round(index * 255 / 15) for index in range(16)]
    return {
        "label": scale.label,
        "low": scale.low,
        "high": scale.high,
        "unit": scale.unit,
        "ticks": scale.ticks,
        "colours": [f"#{bytes(table[index].tolist()).hex()}" for index in at],
    }


def _downloads(run: ShelvedRun) -> Iterator[dict[str, Any]]:
    assets = [(name, one) for name, one in run.item.get("assets", {}).items() if isinstance(one, Mapping)]
    for role in _ROLES:
        for name, asset in assets:
            href = _href(run, str(asset.get("href", "")))
            if href and (asset.get("roles") or [""])[0] == role:
                size = asset.get("file:size")
                title = str(asset.get("title") or name)
                yield {"name": name, "title": title, "role": role, "href": href, "bytes": size}
    yield {
        "name": "item",
        "title": "STAC item",
        "role": "metadata",
        "href": _href(run, "./item.json"),
        "bytes": None,
    }


def _with_sizes(shelf: Shelf, run: ShelvedRun, downloads: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same, with the size of each file whose item does not say it."""
    start = _href(run, "./x").removesuffix("x")

    def sized(one: dict[str, Any]) -> dict[str, Any]:
        if one["bytes"] is not None:
            return one
        try:
            _, facts = shelf.file_of(run, unquote(one["href"].removeprefix(start)))
        except TerramosaicError:  # gone, or its store does not answer now: the list stands
            return one
        return one | {"bytes": facts.size}

    with ThreadPoolExecutor(_ASKED, thread_name_prefix="sizes") as pool:
        return list(pool.map(sized, downloads))


def _href(run: ShelvedRun, href: str) -> str:
    """Where the page finds a file of a run; nothing for what its item says lies elsewhere."""
    name = href.removeprefix("./")
    if not name or name.startswith("/") or ":" in name or "\\" in name or ".." in name.split("/"):
        return ""
    return f"files/{quote(run.name)}/{quote(name)}"


def _days(run: ShelvedRun) -> tuple[str, str]:
    """The first and the last day of its imagery, ISO; empty where its item does not say."""
    told = run.item["properties"]
    moment = told.get("datetime") or ""
    return str(told.get("start_datetime") or moment)[:10], str(told.get("end_datetime") or moment)[:10]
