"""Secrets in URLs: used in the process that was told them, and written down nowhere.

A URL may hold a login (``https://user:word@host``) or a query that signs it or is a token (``?sig=...``). What goes
into plans, items, reports and messages is the bare URL; the whole one stays in memory and is put back where a request
is made. Another process does not know it, unless it was handed over (`told`, `learn`): logins belong into its
environment or its ``.netrc``, and signed items are searched for again.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote, urlsplit

#: Words that a parameter's name is made of, where its value is a secret: of Azure (sig), AWS and what is like it
#: (X-Amz-Signature, AWSAccessKeyId, X-Amz-Security-Token), Google, CloudFront (Policy, Key-Pair-Id), Akamai (hdnea),
#: Swift (temp_url_sig), nginx (md5), and whatever people call tokens.
_WORDS = frozenset({
    "sig", "signature", "token", "secret", "password", "passwd", "pass", "pwd", "auth", "authorization", "authkey",
    "credential", "credentials", "key", "apikey", "hmac", "jwt", "session", "sessionid", "ticket", "policy", "sas",
    "hdnea", "hdnts", "hdntl", "verify", "md", "accesskey", "accesstoken", "authtoken", "sastoken", "securitytoken",
    "subscriptionkey", "bearer",
})  # fmt: skip
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

#: A login before a host, also one that holds what would end it, but not for ever (a port is a number).
#: Azure's ``abfs://container@account`` is none: it has no password.
_LOGIN = re.compile(
    r"(?<=://)(?:[^/?#\s'\"<>]*@|[^/?#\s'\"<>@:\[]{1,100}:(?!\d*(?:[/?#\s'\"<>]|$))[^\s'\"<>]{,200}@)"
)
_CONTAINER = re.compile(r"abfss?://[^/?#:]*@", re.IGNORECASE)
_PARAMETER = re.compile(r"(?<=[?&;#])([\w.%~-]+)=([^&;#\s'\"<>()]*)")

#: In texts they are looked for one by one, and what is shorter than this could be any word.
_SHORTEST = 6
_HIDDEN = "***"

#: Providers that say in one parameter since when, and in another for how many seconds.
_FAMILIES = ("x-amz-", "x-goog-", "x-oss-", "x-obs-")

#: What else belongs to a signature, beside those families: no secret, and another one each time that it signs.
_OF_SIGNATURES = frozenset({
    "expires", "exp", "timestamp", "ts", "nonce", "algorithm", "hash-algorithm", "googleaccessid", "ossaccesskeyid",
    "temp_url_expires", "temp_url_prefix",
})  # fmt: skip
#: The same of Azure, whose names are so short that they mean other things elsewhere.
_OF_AZURE = frozenset({
    "sv", "se", "st", "sr", "sp", "spr", "sip", "srt", "ss", "si", "skoid", "sktid", "skt", "ske", "sks", "skv",
    "saoid", "suoid", "scid", "sdd", "ses", "rscc", "rscd", "rsce", "rscl", "rsct",
})  # fmt: skip

#: A value that names a file, as a store's ``key`` may, is none that a key or a token has.
_FILE = re.compile(r"\.(tiff?|jp2|vrt|json|geojson|xml|zip|gpkg|kml|fgb|parquet)$", re.IGNORECASE)

_whole: dict[str, str] = {}
_values: set[str] = set()


def bare(url: str) -> str:
    """A URL, also a relative one, without what of it is secret; any other text is returned as it is.

    With a secret goes what else belongs to a signature. The rest of a query stays, for it may say which file is meant.
    """
    if not ("?" in url or "#" in url or "@" in url):
        return url  # as most
    if not _CONTAINER.match(url):
        url = _LOGIN.sub("", url, count=1)
    head, mark, fragment = url.partition("#")
    if _has_secrets(f"#{fragment}"):
        mark = fragment = ""
    place, begin, query = head.partition("?")
    if _has_secrets(f"?{query}"):
        query = _without_secrets(query)
        begin = "?" if query else ""
    return f"{place}{begin}{query}{mark}{fragment}"


def keep(url: str) -> str:
    """The bare URL; this process remembers the whole one."""
    short = bare(url)
    if short != url:
        learn({short: url})
    return short


def keep_written(url: str) -> str:
    """As `keep`, of a URL that a person wrote.

    Raises:
        ValueError: nobody can tell where its login ends.
    """
    login = _LOGIN.search(url)
    if login and set("/?#") & set(login[0]):
        raise ValueError("the login in its URL holds / ? or #; write them as %2F, %3F and %23")
    return keep(url)


def has_login(url: str) -> bool:
    """Whether a URL holds a login."""
    return bool(_LOGIN.search(url)) and not _CONTAINER.match(url)


def whole(url: str) -> str:
    """The URL with its secrets, if this process was told them."""
    return _whole.get(url, url)


def told() -> dict[str, str]:
    """What `keep` remembers, to hand over to another process of ours."""
    return dict(_whole)


def learn(secrets: Mapping[str, str]) -> None:
    """Takes over what another process was `told`."""
    _whole.update(secrets)
    for url in secrets.values():
        _values.update(value for value in _secrets_of(url) if len(value) >= _SHORTEST)


def scrubbed(text: str) -> str:
    """A text, such as another library's message, with the secrets of URLs in it hidden."""
    if "://" in text or "=" in text:
        text = _LOGIN.sub("", text)
        text = _PARAMETER.sub(
            lambda found: f"{found[1]}={_HIDDEN}" if _is_secret(*found.groups()) else found[0], text
        )
    for value in tuple(_values):  # other threads tell more
        text = text.replace(value, _HIDDEN)
    return text


def hide_in_log(*loggers: str) -> None:
    """Hides the secrets of URLs in what another library logs."""
    for name in loggers:
        logging.getLogger(name).addFilter(_hide)


def _hide(record: logging.LogRecord) -> bool:
    record.msg, record.args = scrubbed(record.getMessage()), ()
    return True


def with_secrets_of(told: str, url: str) -> str:
    """Another URL of the same server with the secrets of the one that was told; of another server, as it is.

    Links of a server name its other paths without a login or a token, and they may name other servers.
    """
    own = bare(told)
    if own == told or _server(url) != _server(told):
        return url
    login, query = _LOGIN.search(told), urlsplit(told).query
    if login and not _LOGIN.search(url):
        url = url.replace("://", f"://{login[0]}", 1)
    if query != urlsplit(own).query:
        said = _parts_of(urlsplit(url).query)
        if more := "&".join(part for part in _parts_of(query) if part not in said):
            url = f"{url}{'&' if '?' in url else '?'}{more}"
    return url


def _server(url: str) -> tuple[str, str | None, int | None] | None:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None


def host_of(url: str) -> str:
    """A URL's host; empty where it has none."""
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:  # an address of IPv6 that is none
        return ""


def expiry_of(url: str) -> datetime | None:
    """When a URL's signature expires, in UTC, if it says so in one of the ways of the large providers."""
    if "=" not in url:
        return None  # as most
    query = {name.lower(): unquote(value) for name, value in _PARAMETER.findall(url)}
    for family in _FAMILIES:
        begin, seconds = _moment(query.get(f"{family}date")), query.get(f"{family}expires", "")
        if begin and seconds.isdecimal():
            return _later(begin, int(seconds))
    azure, epoch = _moment(query.get("se")), query.get("expires", "") or _policy_end(query.get("policy", ""))
    if azure:
        return azure
    return _later(datetime.fromtimestamp(0, UTC), int(epoch)) if epoch.isdecimal() else None


def _later(moment: datetime, seconds: int) -> datetime | None:
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:
        return None


def _moment(text: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _policy_end(policy: str) -> str:
    """When CloudFront's policy ends, in seconds since 1970."""
    try:
        content = base64.b64decode(policy.translate(str.maketrans("-_~", "+=/")))
    except ValueError:
        return ""
    ends = re.search(rb'"DateLessThan"\s*:\s*{\s*"AWS:EpochTime"\s*:\s*(\d+)', content)
    return ends[1].decode() if ends else ""


def _has_secrets(text: str) -> bool:
    return any(_is_secret(name, value) for name, value in _PARAMETER.findall(text))


def _is_secret(name: str, value: str) -> bool:
    name = unquote(name)
    is_named_so = name.lower() in _WORDS or any(word.lower() in _WORDS for word in _WORD.findall(name))
    return is_named_so and not _FILE.search(unquote(value))


def _without_secrets(query: str) -> str:
    """A query that holds a secret, without it and what belongs to it."""
    parts = [(part, *part.partition("=")[::2]) for part in _parts_of(query)]
    names = {name.lower() for _, name, _ in parts}
    signs = _OF_SIGNATURES | (_OF_AZURE if "sig" in names else frozenset())
    return "&".join(
        part
        for part, name, value in parts
        if not (_is_secret(name, value) or name.lower() in signs or name.lower().startswith(_FAMILIES))
    )


def _parts_of(query: str) -> list[str]:
    return [part for part in re.split("[&;]", query) if part]


def _secrets_of(url: str) -> list[str]:
    """The secret texts in a URL, as they stand there and as they are meant."""
    login = _LOGIN.search(url)
    password = login[0][:-1].partition(":")[2] if login else ""
    written = [password, *(value for name, value in _PARAMETER.findall(url) if _is_secret(name, value))]
    return [text for value in written for text in (value, unquote(value))]
