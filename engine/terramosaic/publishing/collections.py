"""A folder of runs as a static STAC catalog: documents that follow from the runs' items, and from nothing else.

    OUT/catalog.json                    all runs: a child for each region
    OUT/collections/ID.json             the runs of a region
    OUT/RUN_ID/item.json                a run

All links are relative, so that a folder that is moved or copied stays right. Where it is known under which URL OUT is
served, each document also names itself; see `served`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from terramosaic.planning.folder import is_watched
from terramosaic.planning.identity import region_hash
from terramosaic.planning.plan import Plan
from terramosaic.publishing.renders import EXTENSION, renders_of
from terramosaic.publishing.served import item_itself, itself
from terramosaic.storage.location import Location, location

CATALOG = "catalog.json"
#: The folder of the collections of regions, and what the id of each begins with.
COLLECTIONS = "collections"
_OF_REGION = "terramosaic-region-"

_CATALOG_ID = "terramosaic"

_STAC_VERSION = "1.1.0"
_JSON, _GEOJSON = "application/json", "application/geo+json"

#: What an asset of one item tells that is not the collection's.
_OF_ONE = ("href", "file:size", "file:checksum", "proj:code", "proj:shape", "proj:transform", "proj:bbox")


def collection_id(plan: Plan) -> str:
    """The collection that a run is in: its region's, or the watched region's."""
    if is_watched(plan):
        return watched_id(location(plan.request.out).parent.name)
    return f"{_OF_REGION}{region_hash(plan.request.region, plan.region)[:16]}"


def watched_id(folder: str) -> str:
    """The id of the collection of a watched region, by the name of its folder."""
    return f"terramosaic-{folder}"


def links_of_run(plan: Plan) -> list[dict[str, Any]]:
    """What the item of a run says of where it belongs."""
    if is_watched(plan):
        root = collection = "../../collection.json"
    else:
        root, collection = f"../{CATALOG}", f"../{COLLECTIONS}/{collection_id(plan)}.json"
    return [
        {"rel": "root", "href": root, "type": _JSON},
        {"rel": "parent", "href": collection, "type": _JSON},
        {"rel": "collection", "href": collection, "type": _JSON},
        *item_itself(plan),
    ]


def is_ours(catalog: str) -> bool:
    """Whether the text of a catalog is one that is made here, and not that of imagery that lies there, too."""
    try:
        return bool(json.loads(catalog).get("id") == _CATALOG_ID)
    except (AttributeError, ValueError):
        return False


def is_of_region(name: str) -> bool:
    """Whether a file in the folder of collections is one that is made here."""
    return name.startswith(_OF_REGION) and name.endswith(".json")


def documents(items: Mapping[str, Mapping[str, Any]], out: Location) -> dict[str, dict[str, Any]]:
    """The catalog and its collections.

    Args:
        items: of the runs, by the names of their folders.
        out: the output folder.

    Returns:
        Documents by their paths in the output folder; the catalog comes last.
    """
    by_collection: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for run, item in sorted(items.items(), key=lambda each: (_period(each[1]), each[0])):
        by_collection[item.get("collection") or ""][run] = item
    # Versions before 0.2 wrote items without a collection.
    alone = by_collection.pop("", {})
    made = {
        f"{COLLECTIONS}/{id_}.json": _collection(id_, runs, out)
        for id_, runs in sorted(by_collection.items())
    }
    children = [
        {"rel": "child", "href": f"./{path}", "type": _JSON, "title": document["title"]}
        for path, document in made.items()
    ]
    catalog = {
        "type": "Catalog",
        "stac_version": _STAC_VERSION,
        "id": _CATALOG_ID,
        "title": "Maps by Terramosaic",
        "description": "Maps generated from satellite imagery, a collection for each region: modelled, not measured.",
        "links": [
            {"rel": "root", "href": f"./{CATALOG}", "type": _JSON},
            *itself(out, CATALOG),
            *children,
            *(_link_to(f"./{run}", item) for run, item in alone.items()),
        ],
    }
    return made | {CATALOG: catalog}


def _collection(id_: str, runs: Mapping[str, Mapping[str, Any]], out: Location) -> dict[str, Any]:
    items = list(runs.values())
    west, south, east, north = items[0]["bbox"]
    middle_east = ((west + east + 360 * (west > east)) / 2 + 180) % 360 - 180
    starts, ends = zip(*map(_period, items), strict=True)
    return {
        "type": "Collection",
        "stac_version": _STAC_VERSION,
        "stac_extensions": [],
        "id": id_,
        "title": f"Maps around {_degrees((south + north) / 2, 'NS')}, {_degrees(middle_east, 'EW')}",
        "description": "Runs over one region, each of its own period, model or settings: modelled, not measured.",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [items[0]["bbox"]]},
            "temporal": {"interval": [[min(starts), max(ends)]]},
        },
        **described_by(items),
        "links": [
            {"rel": "root", "href": f"../{CATALOG}", "type": _JSON},
            {"rel": "parent", "href": f"../{CATALOG}", "type": _JSON},
            *itself(out, f"{COLLECTIONS}/{id_}.json"),
            *(_link_to(f"../{run}", item) for run, item in runs.items()),
        ],
    }


def described_by(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a collection says of all its items together: summaries, item_assets, and renders with their extension."""
    assets = _item_assets(items)
    renders = renders_of(assets)
    extensions = _used_by(assets, {url for item in items for url in item.get("stac_extensions", ())})
    return {
        "stac_extensions": sorted(extensions | ({EXTENSION} if renders else set())),
        "summaries": _summaries(items),
        "item_assets": assets,
        **({"renders": renders} if renders else {}),
    }


def _used_by(assets: Mapping[str, Any], extensions: Iterable[str]) -> set[str]:
    """Those extensions whose fields are among those of assets; the fields begin with the name in the URL."""
    text = json.dumps(assets)
    return {url for url in extensions if f'"{url.split("/")[3]}:' in text}


def _summaries(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    properties = [item["properties"] for item in items]
    projections = (asset.get("proj:code") for item in items for asset in item["assets"].values())
    found = {
        "constellation": (each.get("constellation") for each in properties),
        "gsd": (each.get("gsd") for each in properties),
        "processing:level": (each.get("processing:level") for each in properties),
        "proj:code": projections,
        "terramosaic:targets": (name for each in properties for name in each.get("terramosaic:targets", ())),
        "terramosaic:model": (each.get("terramosaic:model", {}).get("title") for each in properties),
    }
    values = {
        name: sorted({value for value in all_of if value is not None}) for name, all_of in found.items()
    }
    return {name: all_of for name, all_of in values.items() if all_of}


def _item_assets(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Assets by name, as far as all items agree on what they are."""
    by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for item in items:
        for name, asset in item["assets"].items():
            by_name[name].append(_of_all(asset))
    return {name: _shared(assets) for name, assets in by_name.items()}


def _of_all(asset: Mapping[str, Any]) -> dict[str, Any]:
    """An asset without what is its item's alone."""
    kept = {name: value for name, value in asset.items() if name not in _OF_ONE}
    if classes := kept.get("classification:classes"):
        kept["classification:classes"] = [_without(one, "percentage") for one in classes]
    if bands := kept.get("bands"):
        # Days are classes of their bands.
        kept["bands"] = [_without(band, "statistics", "classification:classes") for band in bands]
    return kept


def _without(fields: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


def _shared(assets: Sequence[dict[str, Any]]) -> dict[str, Any]:
    first, *others = assets
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}


def _link_to(folder: str, item: Mapping[str, Any]) -> dict[str, Any]:
    start, end = _period(item)
    days = " to ".join(dict.fromkeys((start[:10], end[:10])))
    title = f"{', '.join(item['properties'].get('terramosaic:targets', ()))} {days}".strip()
    return {"rel": "item", "href": f"{folder}/item.json", "type": _GEOJSON, "title": title}


def _period(item: Mapping[str, Any]) -> tuple[str, str]:
    properties = item["properties"]
    moment = properties.get("datetime") or ""
    return properties.get("start_datetime") or moment, properties.get("end_datetime") or moment


def _degrees(value: float, sides: str) -> str:
    return f"{abs(value):.2f}° {sides[value < 0]}"


def runs_in(collection: Mapping[str, Any]) -> Iterable[str]:
    """The folders of the runs that a collection of a region names."""
    return (
        link["href"].split("/")[-2]
        for link in collection.get("links", [])
        if link.get("rel") == "item" and str(link.get("href", "")).endswith("/item.json")
    )
