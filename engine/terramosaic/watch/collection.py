"""The catalog of a watched region: a STAC collection with an item for each acquisition that was mapped.

OUT/collection.json                      what is there; the items are its links
OUT/acquisitions/RUN_ID/item.json        an acquisition's run, as any run
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from pydantic import TypeAdapter

from terramosaic.catalog import Pass, labels_of
from terramosaic.errors import OutputError, RequestError
from terramosaic.planning.finished import told_in
from terramosaic.planning.folder import ACQUISITIONS, RunFolder, read_plan
from terramosaic.planning.identity import region_hash
from terramosaic.planning.plan import Plan
from terramosaic.publishing.collections import described_by, watched_id
from terramosaic.publishing.item import bbox_of
from terramosaic.publishing.served import itself
from terramosaic.request.region import AnyRegion
from terramosaic.storage.files import read_json, read_version, write_text, write_text_if
from terramosaic.storage.location import Location
from terramosaic.storage.records import unsealed

logger = logging.getLogger(__name__)

#: The collection's file; the runs lie beside it.
COLLECTION = "collection.json"

#: Marks the item of the newest mosaics, which is of no single run, and the link to it.
NEWEST = "terramosaic:newest"

_REGION: TypeAdapter[AnyRegion] = TypeAdapter(AnyRegion)
_VERSION_EXTENSION = "https://stac-extensions.github.io/version/v1.2.0/schema.json"


@dataclass(frozen=True)
class Mapped:
    """What the collection has of a pass: the run."""

    of_pass: Pass
    run_id: str


class MapCollection:
    """The collection of one region; one writer at a time, which a lease sees to.

    Args:
        folder: where it is, or will be.
        require_lease: raises an error if this process is not the one writer any more.
    """

    def __init__(self, folder: Location, require_lease: Callable[[], None] = lambda: None) -> None:
        self.folder, self.require_lease = folder, require_lease
        found = read_version(folder / COLLECTION)
        self._version = found.version if found else None
        self._document: dict[str, Any] = {}
        self._mapped: list[Mapped] = []
        if found is not None:
            self._document, self._mapped = _collection_in(folder / COLLECTION, found.text)

    def require_region(self, region: AnyRegion, outline: dict[str, Any]) -> None:
        """Refuses to mix two regions.

        Args:
            region: the region as a request says it.
            outline: what it came to, as GeoJSON.

        Raises:
            RequestError: the collection is another region's.
        """
        asked = region_hash(region, outline)
        own = self._document.get("terramosaic:region", asked)
        # 0.1 hashed all digits of the outline, and a tile's can change with the build of PROJ.
        if asked not in (own, self._region_of_runs()):
            raise RequestError(
                f"out: {self.folder} holds the maps of another region, or of this one with another outline; "
                "give each region an output folder of its own"
            )

    @property
    def mapped(self) -> list[Mapped]:
        """The acquisitions that are mapped, in order of time."""
        return list(self._mapped)

    def find(self, of_pass: Pass) -> Mapped | None:
        """What the collection has of a pass."""
        return next((held for held in self._mapped if held.of_pass.is_same(of_pass)), None)

    @property
    def assets(self) -> dict[str, Any]:
        """The newest mosaics, see `put_assets`."""
        assets: dict[str, Any] = self._document.get("assets", {})
        return assets

    def plan_of(self, mapped: Mapped, made: Plan) -> Plan | None:
        """The plan of a pass's run; None if somebody has removed it, or it cannot be read any more.

        Args:
            mapped: what the collection has of the pass.
            made: today's plan of it, which needs not be read where it has the same id.
        """
        return made if mapped.run_id == made.run_id else self._plan(mapped)

    def held(self, of_pass: Pass) -> Plan | None:
        """The plan of the run that there is of a pass; None where there is none, or it cannot be read any more."""
        mapped = self.find(of_pass)
        return None if mapped is None else self._plan(mapped)

    def _plan(self, mapped: Mapped) -> Plan | None:
        try:
            return read_plan(self.folder / ACQUISITIONS / mapped.run_id)
        except RequestError as error:
            logger.warning("the plan of run %s cannot be read: %s", mapped.run_id, error)
            return None

    def put(self, plan: Plan) -> None:
        """Adds the published run of one acquisition; the run that it replaces stays, marked as deprecated."""
        self.require_lease()
        of_pass = plan.passes[0]  # of several dates the newest
        before = self.find(of_pass)
        if before and before.run_id != plan.run_id:
            self._mark(before.run_id, plan.run_id)
        self._mark(plan.run_id, None)
        others = [held for held in self._mapped if held != before]
        newest = [link for link in self._document.get("links", ()) if _is_newest(link)]
        self._write(plan, [*others, Mapped(of_pass, plan.run_id)], self.assets, newest)

    def put_assets(self, plan: Plan, assets: dict[str, Any], item: str) -> None:
        """Names the mosaics of the newest pixels, which belong to no single acquisition: from then on they count.

        Args:
            plan: of the newest run.
            assets: the mosaics, with hrefs relative to the collection.
            item: the href of their item.
        """
        title = "the last clear acquisition of each pixel"
        link = {"rel": "item", "href": item, "type": "application/geo+json", "title": title, NEWEST: True}
        self._write(plan, self._mapped, assets, [link])

    def _region_of_runs(self) -> str | None:
        """The region of one of the runs, from its plan in whatever version it was written."""
        for held in self._mapped:
            plan = read_json(RunFolder(self.folder / ACQUISITIONS / held.run_id).plan_file)
            if plan is not None:
                with suppress(KeyError, TypeError, ValueError):  # it is damaged, the next one may not be
                    return region_hash(_REGION.validate_python(plan["request"]["region"]), plan["region"])
        return None

    def _write(
        self,
        plan: Plan,
        mapped: Sequence[Mapped],
        assets: dict[str, Any],
        newest: Sequence[Mapping[str, Any]],
    ) -> None:
        mapped = sorted(mapped, key=lambda held: held.of_pass.order)
        moments = sorted(_moment(held) for held in mapped)
        document = {
            "type": "Collection",
            "stac_version": "1.1.0",
            "stac_extensions": [],
            "id": watched_id(self.folder.name),
            "title": f"{', '.join(plan.request.targets)} of {self.folder.name} by {plan.bundle.title}",
            "description": (
                f"Maps generated by {plan.bundle.title} from Sentinel-2 L2A, one item for each acquisition: "
                "modelled, not measured. Contains modified Copernicus Sentinel data."
            ),
            "license": "other",
            "extent": {
                "spatial": {"bbox": [bbox_of(plan.region)]},
                "temporal": {"interval": [[moments[0], moments[-1]]]},
            },
            **self._described(plan),
            "links": [
                {"rel": "root", "href": f"./{COLLECTION}", "type": "application/json"},
                *itself(self.folder, COLLECTION),
                *map(_link, mapped, labels_of([held.of_pass for held in mapped])),
                *newest,
            ],
            "assets": assets,
            "terramosaic:region": region_hash(plan.request.region, plan.region),
            "updated": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        self.require_lease()
        # Should it be lost from here on: whoever has it then has read the collection, or finds it changed.
        self._version = write_text_if(self.folder / COLLECTION, json.dumps(document, indent=1), self._version)
        self._document, self._mapped = document, mapped

    def _described(self, plan: Plan) -> dict[str, Any]:
        """What the newest run's item tells of all: their maps are alike, but for what changed with a model."""
        item = read_json(RunFolder(self.folder / ACQUISITIONS / plan.run_id).item_file)
        return {} if item is None else described_by([item])

    def _mark(self, run_id: str, successor: str | None) -> None:
        """Marks a run's item as deprecated by another one, or as current again."""
        file = RunFolder(self.folder / ACQUISITIONS / run_id).item_file
        item = read_json(file)
        if item is None or told_in(file) is None:
            return  # somebody has removed or damaged it
        if successor is None and "deprecated" not in item["properties"]:
            return  # it never was
        extensions = [name for name in item.get("stac_extensions", []) if name != _VERSION_EXTENSION]
        links = [link for link in item["links"] if link.get("rel") != "successor-version"]
        item["properties"].pop("deprecated", None)
        if successor is not None:
            item["properties"]["deprecated"] = True
            extensions.append(_VERSION_EXTENSION)
            href = f"../{successor}/item.json"
            links.append({"rel": "successor-version", "href": href, "type": "application/geo+json"})
        item |= {"stac_extensions": extensions, "links": links}
        write_text(file, json.dumps(item, indent=1))


def _collection_in(file: Location, text: str) -> tuple[dict[str, Any], list[Mapped]]:
    """What the file of a collection says, and what is mapped by that.

    Raises:
        OutputError: it is damaged. What it alone knows is not made again quietly.
    """
    try:
        document = unsealed(text)
        if document.get("type") != "Collection" or not isinstance(document.get("links"), list):
            raise ValueError("it is no STAC collection")
        assets = document.get("assets", {})
        if not all(asset["href"].startswith("./") for asset in assets.values()):
            raise ValueError("its assets lead elsewhere")
        return document, _mapped_in(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise OutputError(
            f"{file} is damaged: {error}; put a copy of it back, or remove it: acquisitions of the look-back period "
            "are then found again, without being computed again, and earlier ones are not"
        ) from error


def _link(mapped: Mapped, label: str) -> dict[str, Any]:
    of_pass = mapped.of_pass
    return {
        "rel": "item",
        "href": f"./{ACQUISITIONS}/{mapped.run_id}/item.json",
        "type": "application/geo+json",
        "title": label,
        "terramosaic:solar_day": of_pass.solar_day.isoformat(),
        "terramosaic:platform": of_pass.platform,
        "terramosaic:relative_orbit": of_pass.relative_orbit,
        "terramosaic:run_id": mapped.run_id,
        "terramosaic:datetime": _moment(mapped),
    }


def newest_in(folder: Location) -> str | None:
    """The name of the generation whose item the collection in a folder links to; None where it links to none.

    Raises:
        OutputError: the collection cannot be read.
    """
    document = read_json(folder / COLLECTION)
    links = document.get("links") if document else None
    for link in links if isinstance(links, list) else ():
        parts = str(link.get("href", "")).split("/") if isinstance(link, dict) and _is_newest(link) else []
        if len(parts) == 4 and parts[0] == "." and parts[2] not in ("", ".", ".."):
            return parts[2]
    return None


def _is_newest(link: Mapping[str, Any]) -> bool:
    """Whether it leads to the item of the newest mosaics."""
    return bool(link.get(NEWEST))


def _mapped_in(document: dict[str, Any]) -> list[Mapped]:
    found = [
        Mapped(
            Pass(
                date.fromisoformat(link["terramosaic:solar_day"]),
                datetime.fromisoformat(link["terramosaic:datetime"]),
                # Until passes were told apart, a day was one acquisition.
                link.get("terramosaic:platform", ""),
                link.get("terramosaic:relative_orbit"),
            ),
            _folder_name(link["terramosaic:run_id"]),
        )
        for link in document["links"]
        if link["rel"] == "item" and not _is_newest(link)
    ]
    return sorted(found, key=lambda held: held.of_pass.order)


def _folder_name(run_id: str) -> str:
    if not run_id.isalnum():
        raise ValueError(f"it names {run_id!r} as a run")
    return run_id


def _moment(mapped: Mapped) -> str:
    return mapped.of_pass.start.astimezone(UTC).isoformat()
