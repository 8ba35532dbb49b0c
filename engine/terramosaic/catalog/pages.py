"""The pages of a search, to the last one: an answer that is not the whole one is an error, never a shorter list.

Servers end early, repeat themselves, go round in circles or never end. A search is over when a page has no ``next``,
and as many items came as the server says there are, if it says so.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

from terramosaic.errors import CatalogError, one_line, printable

#: Pages in a row without anything new, such as empty ones, after which a server is not believed to come to an end.
_MOST_IDLE = 50
#: What a document of an error has, beside a list without items.
_OF_ERRORS = ("error", "errors", "exception", "code")
#: Letters of an answer that are looked at for an error.
_TOLD = 2_000


@dataclass(frozen=True)
class PageRequest:
    """How a page is asked for: what a ``next`` link says, or the search itself."""

    url: str
    method: str = "GET"
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """The same for requests that must be answered alike."""
        return json.dumps([self.url, self.method, self.body, self.headers], sort_keys=True)


class Distinct:
    """Items that are told apart by what they are: of one id, those that say the same are one."""

    def __init__(self, items: Iterable[Any] = ()) -> None:
        self._seen: dict[str, list[Any]] = defaultdict(list)
        self.count = 0
        for item in items:
            self.add(item)

    def add(self, item: Any) -> bool:
        """Whether it is a new one."""
        name = repr((item.get("collection"), item.get("id"))) if isinstance(item, dict) else ""
        if item in self._seen[name]:
            return False
        self._seen[name].append(item)
        self.count += 1
        return True


def read_pages(
    search: PageRequest,
    answer: Callable[[PageRequest], tuple[Any, str]],
    *,
    size: int,
    most: int,
    server: str,
) -> Iterator[Any]:
    """The items of a search, each once, page after page; they are not checked.

    Args:
        search: asks for the first page.
        answer: asks a server: the document, and the URL that it came from.
        size: items that a page is asked to have.
        most: items that the search can have at all.
        server: names it in errors.

    Raises:
        CatalogError: the server did not give all; says what it did.
    """
    items, asked, matched, idle, longest, doubled = Distinct(), set[str](), None, 0, 0, 0
    request: PageRequest | None = search
    while request is not None:
        asked.add(request.identity)
        page, url = answer(request)
        features = _features(page, f"{server} answered page {len(asked)} of a search")
        new = [item for item in features if items.add(item)]
        yield from new
        # What a page holds twice the server has twice, and counts so; of a page that comes again it has nothing more.
        doubled += len(features) - Distinct(features).count if new else 0
        given = items.count + doubled
        matched = min(filter(None, (matched, _matched(page))), default=None)
        idle = 0 if new else idle + 1
        is_full = len(features) == size or 0 < longest <= len(features)
        longest = max(longest, len(features))
        request = _next_page(page, url, request, f"{server} names a page after page {len(asked)}")
        if request is None and is_full and _lacks_links(page) and given != matched:
            raise CatalogError(
                f"{server} answered page {len(asked)} of a search with no or broken links, so there may be more; try "
                "again later"
            )
        if request is None or (request.identity in asked and given == matched):
            break
        if request.identity in asked:
            raise CatalogError(
                f"{server} goes round in circles: after page {len(asked)} it leads back to one that was read, so there "
                f"may be more than the {items.count} items that it gave; take a smaller region or a shorter period"
            )
        if idle == _MOST_IDLE:
            raise CatalogError(
                f"{server} gives page after page with nothing new, {idle} in a row; try again later"
            )
        if items.count > most:
            raise CatalogError(
                f"{server} gives ever more pages: {items.count:,} items by now, where region and period can have "
                f"{most:,} at most; it does not heed what it is asked for, so take another catalog or a smaller region"
            )
    if matched is not None and given < matched:
        raise CatalogError(
            f"{server} says that {matched:,} items match and gave {items.count:,}, without a next page; try again later"
        )


def _features(page: Any, what: str) -> list[Any]:
    features = page.get("features") if isinstance(page, Mapping) else None
    if not isinstance(features, list):
        raise CatalogError(f"{what} without a list of items: {_short(page)}; try again later")
    if not features and any(map(page.get, _OF_ERRORS)):
        raise CatalogError(f"{what} with an error: {_short(page)}; try again later")
    return features


def _lacks_links(page: Mapping[str, Any]) -> bool:
    """Whether a link of a page may have been lost, such as that to the next one."""
    links = page.get("links")
    return not isinstance(links, list) or not all(
        isinstance(link, dict) and isinstance(link.get("rel"), str) for link in links
    )


def _matched(page: Mapping[str, Any]) -> int | None:
    """How many items the whole search has; 1.0 says it as it is, what came before in its ``context``."""
    context = page.get("context")
    for source, name in ((page, "numberMatched"), (context, "matched")):
        value = source.get(name) if isinstance(source, Mapping) else None
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


def _next_page(page: Mapping[str, Any], url: str, request: PageRequest, what: str) -> PageRequest | None:
    """The page that a page says comes next, by the rules of STAC API's item search."""
    links = page.get("links") or []
    if not isinstance(links, list):
        raise CatalogError(f"{what} in links that are no list: {_short(links)}; try another catalog")
    link = next((one for one in links if isinstance(one, dict) and one.get("rel") == "next"), None)
    if link is None:
        return None
    body, headers, href = link.get("body") or {}, link.get("headers") or {}, link.get("href")
    try:
        method, address = str(link.get("method") or "GET").upper(), urljoin(url, href)
        if not isinstance(body, dict):
            raise TypeError
        if link.get("merge") is True:
            body = {**(request.body or {}), **body}
        headers = {str(name): str(value) for name, value in headers.items()}
        if method not in ("GET", "POST") or not address.startswith(("http://", "https://")) or not href:
            raise ValueError
    except (ValueError, TypeError, AttributeError):
        raise CatalogError(f"{what} that cannot be asked for: {_short(link)}; try another catalog") from None
    return PageRequest(address, method, body if method == "POST" else None, headers)


def _short(document: Any) -> str:
    """What a server said, as much as an error can show."""
    return printable(one_line(json.dumps(document)[:_TOLD]))
