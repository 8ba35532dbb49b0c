"""Where an item's files may lie: what a catalog on the network names must be on the network, and not in here.

An href of an item is a stranger's text. Unchecked it could name files of the machine that maps, documents by which GDAL
makes requests of its own, or a service that only this machine reaches, such as a cloud's metadata at 169.254.169.254.

What this does not see: GDAL follows redirects and resolves names by itself, so a server can still lead it to another
address; docs/operations.md says what to do about that.
"""

from __future__ import annotations

import re
import socket
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Literal

from terramosaic.settings import PRIVATE_HOSTS, ROOTS
from terramosaic.storage.roots import is_within_roots
from terramosaic.url_secrets import host_of

#: Where an item was found: on disk, or in an API whose own host is of a private network or of the public one.
Origin = Literal["disk", "private", "public"]

#: What an item that was found on the network may name.
SCHEMES = ("http", "https", "s3", "gs", "az", "abfs", "abfss")

#: Addresses of IPv4 in the clothes of IPv6, as translators (NAT64) have them.
_NAT64 = IPv6Network("64:ff9b::/96")


def origin_of(url: str) -> Origin:
    """What an API's items may name follows from where its own host is; one that nobody knows counts as public."""
    return "private" if _is_private(host_of(url)) else "public"


def refusal(href: str, origin: Origin) -> str:
    """Why a file is not opened, in a few words; empty if it may be."""
    wrong = misnamed(href, origin)
    if wrong or origin != "public" or not href.lower().startswith(("http://", "https://")):
        return wrong
    host = host_of(href)
    if _is_private(host) and not _is_allowed(host):
        return f"{host} is a private host, and the catalog is a public one; {PRIVATE_HOSTS}={host} allows it"
    return ""


def misnamed(href: str, origin: Origin) -> str:
    """As `refusal`, by the href's text alone."""
    scheme = re.match(r"(\w+)://", href)
    is_remote = scheme is not None and scheme[1].lower() in SCHEMES
    if origin == "disk":
        # Other schemes, such as zip+file, lead back to this machine.
        return "" if is_remote or is_within_roots(href) else f"it is beyond what {ROOTS} allows here"
    if not is_remote:
        return (
            "a catalog on the network may name files by http(s), s3, gs, az and abfs URLs alone, "
            "neither paths nor anything else that GDAL would open"
        )
    return "" if host_of(href) and href.isprintable() and " " not in href else "that is no URL"


def _is_allowed(host: str) -> bool:
    allowed = {name.lower() for name in PRIVATE_HOSTS.names}
    return bool({"*", host} & allowed)


def _is_private(host: str) -> bool:
    return any(not _is_public(address) for address in _addresses(host))


def _addresses(host: str) -> tuple[IPv4Address | IPv6Address, ...]:
    """What a name stands for, also in the odd ways to write an IPv4 address (``127.1``); nothing if nobody knows it."""
    try:
        return _known_addresses(host)
    except (OSError, UnicodeError):
        return ()


@cache
def _known_addresses(host: str) -> tuple[IPv4Address | IPv6Address, ...]:
    """As `_addresses`; what is not known is asked for again, for name servers fail for a while."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(ip_address(str(address[4][0]).partition("%")[0]) for address in found)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            address = inner
    return address.is_global and not address.is_multicast
