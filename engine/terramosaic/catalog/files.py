"""Catalogs on disk: an ItemCollection, an item, items on lines or in a table, a folder, or a static catalog."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from shapely.geometry.base import BaseGeometry

from terramosaic.catalog.formats import SUFFIXES, document_of, items_in
from terramosaic.catalog.hrefs import Origin
from terramosaic.catalog.matching import Wanted
from terramosaic.catalog.metadata import is_href, links_of, with_hrefs
from terramosaic.catalog.profiles import GENERIC, Profile
from terramosaic.catalog.unusable import NONE_TOLERATED, Unusable
from terramosaic.errors import CatalogError, printable
from terramosaic.storage.documents import shown
from terramosaic.storage.roots import require_within_roots


class FileCatalog:
    """Items on disk; each one's own marks tell whose vocabulary it speaks. Read once, when first searched.

    Args:
        path: a JSON file with an ItemCollection, a list of items, an item, a catalog or a collection (whose
            links are followed), NDJSON or stac-geoparquet, or a folder, whose items are found at any depth.
        collection: id of the collection to use; all of them if None.
    """

    profile: Profile = GENERIC
    origin: Origin = "disk"

    def __init__(self, path: Path, collection: str | None = None) -> None:
        self._path, self._collection = path.absolute(), collection

    def describe(self) -> str:
        """Names the catalog in messages."""
        return f"{self._path}{f' ({self._collection})' if self._collection else ''}"

    def search(
        self,
        geometry_parts: Sequence[BaseGeometry],
        start: datetime | None,
        end: datetime | None,
        max_cloud: float | None,
        unusable: Unusable = NONE_TOLERATED,
    ) -> list[dict[str, Any]]:
        """Items that match, hrefs made absolute; see `terramosaic.catalog.search.Catalog`.

        Raises:
            CatalogError: a file is missing, is not JSON or not STAC, or a matching item has no geometry.
        """
        return list(self.stream(geometry_parts, start, end, max_cloud, unusable))

    def stream(
        self,
        geometry_parts: Sequence[BaseGeometry],
        start: datetime | None,
        end: datetime | None,
        max_cloud: float | None,
        unusable: Unusable = NONE_TOLERATED,
    ) -> Iterator[dict[str, Any]]:
        """As `search`, item by item; those of one file are not held together."""
        wanted = Wanted(geometry_parts, start, end, max_cloud, self._collection)
        # Those of one id are several, also where they say the same: which of them to use is decided by what they are.
        for item, file in _items_below(self._path):
            if wanted.takes(item, unusable):
                yield with_hrefs(item, partial(_absolute, file=file))


def _items_below(path: Path) -> Iterator[tuple[Any, Path]]:
    """Each item of a file or folder, with the file that it stands in."""
    if not path.is_dir():
        yield from _items_of(path)
        return
    for file in sorted(path.rglob("*.*")):
        if file.suffix.lower() not in SUFFIXES or not file.is_file():
            continue
        with _reading(file) as content:
            items = items_in(content)
            # Catalogs and collections are passed over: their items are found by themselves.
            for feature in _features(_document(content)) if items is None else items:
                if isinstance(feature, dict) and "assets" in feature:  # other GeoJSON may lie there too
                    yield feature, file


def _items_of(root: Path) -> Iterator[tuple[Any, Path]]:
    """Each item that a file holds or, being a catalog or collection, links to at any depth; in the order of links."""
    waiting, seen = [root], set[Path]()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        with _reading(file) as content:
            items = items_in(content)
            if items is not None:
                for item in items:
                    yield item, file
                continue
            document = _document(content)
        kind = document.get("type") if isinstance(document, dict) else "list of items"
        if kind not in ("Feature", "FeatureCollection", "Catalog", "Collection", "list of items"):
            raise CatalogError(
                f"{file} is neither a STAC item, an ItemCollection, a catalog nor a collection, by its type"
            )
        if kind == "FeatureCollection" and not isinstance(document.get("features"), list):
            raise CatalogError(f"{file} is an ItemCollection without a list of features")
        for feature in _features(document):
            yield feature, file
        if kind in ("Catalog", "Collection"):
            waiting += reversed([
                _linked(link, file) for link in links_of(document) if link["rel"] in ("child", "item")
            ])  # fmt: skip


def _linked(link: Mapping[str, Any], file: Path) -> Path:
    """The file that a link leads to."""
    target = _absolute(link["href"], file) if is_href(link["href"]) else ""
    if "://" in target:
        raise CatalogError(f"{file} links to {shown(target)}; a catalog on disk must hold its items on disk")
    if not target or not _is_file(Path(target)):
        raise CatalogError(f"{file} links to {link['rel']} {printable(link['href'])}, which does not exist")
    return Path(target)


def _features(document: Any) -> list[Any]:
    if isinstance(document, list):
        return document
    if not isinstance(document, dict):
        return []
    if document.get("type") == "FeatureCollection":
        features = document.get("features")
        return features if isinstance(features, list) else []
    return [document] if document.get("type") == "Feature" else []


@contextmanager
def _reading(file: Path) -> Iterator[BinaryIO]:
    """Opens a file, and tells of what goes wrong which file it is."""
    require_within_roots(("catalog", str(file)))  # a link may lead anywhere
    try:
        if file.exists() and not file.is_file():
            raise CatalogError(f"{file} is no file that can be read: it is a pipe, a device or a socket")
        with file.open("rb") as content:
            yield content
    except OSError as error:
        raise CatalogError(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise CatalogError(f"{file} cannot be read: {error}") from error


def _document(content: BinaryIO) -> Any:
    content.seek(0)
    return document_of(content.read())


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # its name is too long for one
        return False


def _absolute(href: str, file: Path) -> str:
    """An href as URL or absolute path; relative ones start at the file they stand in."""
    if href.startswith("file://"):
        return unquote(urlsplit(href).path)
    if "://" in href or href.startswith("/"):
        return href
    return os.path.normpath(file.parent / href)
