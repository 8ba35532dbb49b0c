"""HTTP by urllib3: which answers are asked for again, and small documents read whole."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from netrc import NetrcParseError, netrc
from pathlib import Path
from ssl import SSLCertVerificationError
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from urllib3 import BaseHTTPResponse, PoolManager, ProxyManager, Retry, Timeout, make_headers
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import (
    HTTPError,
    InvalidHeader,
    LocationValueError,
    MaxRetryError,
    NameResolutionError,
    ProtocolError,
    ReadTimeoutError,
)

from terramosaic.errors import reason_of
from terramosaic.storage.deadline import Deadline, time_left, watched
from terramosaic.storage.retries import HTTP, MISSING, PASSING_STATUS, UNANSWERED
from terramosaic.url_secrets import hide_in_log

#: Seconds to connect.
CONNECT = 5.0

#: Variables that name a file of certificate authorities, as other clients know them.
_AUTHORITIES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

T = TypeVar("T")

# They tell of what they ask for again, and of redirects.
hide_in_log("urllib3.connectionpool", "urllib3.poolmanager")


class Patience(Retry):
    """urllib3's policy with our limits: what cannot pass is not asked for again, and a 404 once.

    Attributes:
        refuses: says why a redirect to a URL is not followed, or nothing.
    """

    refuses: Callable[[str], str] | None = None

    def new(self, **changes: Any) -> Self:
        """The policy with other numbers."""
        made = super().new(**changes)
        made.refuses = self.refuses
        return made

    @classmethod
    def fresh(cls) -> Self:
        """The policy of a request that has not been tried."""
        return cls(
            total=HTTP.tries - 1,
            connect=UNANSWERED.tries - 1,
            read=UNANSWERED.tries - 1,
            status_forcelist=PASSING_STATUS,
            allowed_methods=None,  # a search by POST changes nothing
            raise_on_status=False,
        )

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        """Whether an answer is asked for again."""
        if status_code == 404:
            return [past.status for past in self.history].count(404) < MISSING.tries - 1
        return super().is_retry(method, status_code, has_retry_after)

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        """The policy after one more failure or redirect; raises if that was the last one, or cannot pass."""
        place = response.get_redirect_location() if response is not None else None
        if place and self.refuses and (why := self.refuses(urljoin(url or "", place))):
            raise LocationValueError(f"it redirects elsewhere: {why}")
        refused = error is not None and error.args and isinstance(error.args[0], SSLCertVerificationError)
        is_final = refused or isinstance(error, NameResolutionError)
        # Neither a pause nor what the server asks for may go beyond the deadline: whoever waits is told at once.
        is_late = time_left() <= ((response is not None and self.get_retry_after(response)) or 0.0)
        if _pool is not None and (is_final or is_late):
            raise MaxRetryError(_pool, url or "", error) from error
        if is_late and error is not None:
            raise error
        return super().increment(method, url, response, error, _pool, _stacktrace)

    def get_backoff_time(self) -> float:
        """Seconds before the next try."""
        pause = random.uniform(0, HTTP.pauses[len(self.history) - 1]) if self.history else 0.0
        return min(pause, time_left())

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """Seconds that the server asks to wait, if it does so in words that are known."""
        with suppress(InvalidHeader, ValueError, OverflowError):  # a date of a year that is none
            return super().get_retry_after(response)
        return None


class CutShortError(HTTPError):
    """An answer that did not arrive whole, as its content shows: it is asked for again."""


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What a server answered.

    Attributes:
        status: of HTTP, below 400 where there is a value.
        reason: the server's word for it.
        content: the body, up to the bytes asked for.
        value: what was made of the body; None where the server refused.
        url: where it came from, in the end.
        asked_pause: seconds that a server which refuses asks to wait, or 0; within the deadline that was done.
        headers: of the answer, their names in small letters.
    """

    status: int
    reason: str
    content: bytes
    value: T | None
    url: str
    asked_pause: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def later(self) -> str:
        """For the end of a message: when the server asks to come back."""
        return f"; it asks to come back in {self.asked_pause:.0f} s" if self.asked_pause else ""


class TooSlowError(HTTPError):
    """An answer that has not arrived whole in time."""


def ask(
    url: str,
    most: int,
    *,
    read: Callable[[bytes], T],
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    pool: PoolManager | None = None,
    patience: Patience | None = None,
    within: float = math.inf,
    refuses: Callable[[str], str] | None = None,
) -> Answer[T]:
    """Asks a server until it answers, within the limits of `terramosaic.storage.retries`.

    Redirects are followed with the same method and body. User and password are those of the URL or of ``.netrc``.

    Args:
        url: ``http`` or ``https``.
        most: bytes of the body that are read.
        read: makes a value of the body; raises `CutShortError` if that is not whole, which is asked for again.
        method: ``GET``, or ``POST`` where that changes nothing.
        body: to send.
        headers: to send.
        pool: connections to use; without it, some that are closed at once.
        patience: how often it is asked, if not as usual.
        within: seconds in which the answer must have arrived whole, all tries and pauses together, if less than usual.
        refuses: why a redirect is not followed to a URL, or nothing; by default each is.

    Raises:
        OSError: there is no answer; the text says why in one line, without the URL. And what ``read`` raises.
    """
    patience = patience or Patience.fresh()
    patience.refuses = refuses
    deadline = Deadline(min(within, HTTP.within))
    try:
        sent = {**_authorisation(url), **(headers or {})}
        with deadline, nullcontext(pool) if pool is not None else pool_for(url) as connections:
            while True:
                response = connections.request(
                    method, url, headers=sent, body=body, retries=patience, preload_content=False
                )
                spent = cast(Patience, response.retries or patience)
                _refuse_lost_body(method, spent)
                try:
                    content = response.read(most)
                    if deadline.is_over:  # its end may be where it was cut
                        raise TooSlowError
                    value = read(content) if response.status < 400 else None
                    break
                except (ProtocolError, ReadTimeoutError, CutShortError) as error:
                    # Cut in the midst of the body: urllib3 itself looks no further than the headers.
                    patience = spent.increment(method, url, error=_as_cut(error))
                    patience.sleep()
                finally:
                    response.close()  # of a body that was read to its end, the connection is free by now
    except (HTTPError, ValueError) as error:
        if deadline.is_over:
            raise OSError(
                f"no whole answer in {deadline.seconds:.3g} s: it does not answer, or too slowly"
            ) from error
        raise OSError(_reason(error)) from error
    return Answer(
        response.status,
        response.reason or "",
        content,
        value,
        urljoin(url, response.geturl() or url),
        _asked_pause(response),
        {name.lower(): value for name, value in response.headers.items()},
    )


def fetch(url: str, most: int, headers: Mapping[str, str] | None = None) -> bytes:
    """A document's bytes.

    Args:
        url: ``http`` or ``https``.
        most: bytes that it may have.
        headers: to send with the request.

    Raises:
        OSError: it cannot be read, or is larger; the text says why in one line, without the URL.
    """
    content = content_of(ask(url, most + 1, read=bytes, headers=headers))
    if len(content) > most:
        raise OSError(f"it is larger than {most / 1e6:g} MB")
    return content


def first_bytes(url: str, count: int) -> bytes:
    """How a file begins, asked for once.

    Raises:
        OSError: as `fetch`.
    """
    return content_of(_asked_once(url, count))


def told_of(url: str, within: float = 10.0) -> Mapping[str, str]:
    """The headers with which a server sends a file; it is asked once, for one byte, since some refuse HEAD.

    Raises:
        OSError: as `fetch`.
    """
    answer = _asked_once(url, 1, within)
    content_of(answer)
    return answer.headers


def pause_asked_by(url: str, within: float = 10.0) -> float:
    """Seconds that a server asks to wait with a refusal, or 0; it is asked once, for one byte."""
    with suppress(OSError):
        return _asked_once(url, 1, within).asked_pause
    return 0.0


def pool_for(url: str) -> PoolManager:
    """Connections as the environment wants them: urllib3 does not look for proxies and certificates by itself.

    Raises:
        OSError: it wants a proxy that is none.
    """
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    timeout = Timeout(connect=CONNECT, read=HTTP.silence)
    authorities = next(filter(None, map(os.environ.get, _AUTHORITIES)), None)
    if proxy and not proxy_bypass(parts.netloc):
        try:
            return watched(ProxyManager(proxy, timeout=timeout, ca_certs=authorities))
        except (HTTPError, ValueError) as error:
            raise OSError(f"{parts.scheme.upper()}_PROXY says no proxy: {reason_of(error)}") from error
    return watched(PoolManager(timeout=timeout, ca_certs=authorities))


def _asked_once(url: str, count: int, within: float = math.inf) -> Answer[bytes]:
    """What a server gives of a file's first bytes, without trying again."""
    once = Patience(connect=0, read=0, status=0, other=0, raise_on_status=False)
    asked = {"Range": f"bytes=0-{count - 1}"}
    return ask(url, count, read=bytes, headers=asked, patience=once, within=within)


def content_of(answer: Answer[bytes]) -> bytes:
    """What was asked for.

    Raises:
        OSError: the server refuses it; the text says how in one line, without the URL.
    """
    if answer.status >= 400:
        raise OSError(f"the server answers {answer.status} {answer.reason}".rstrip() + answer.later)
    return answer.content


def _asked_pause(response: BaseHTTPResponse) -> float:
    """Seconds that a server that refuses for a while asks to wait, or 0."""
    if response.status not in PASSING_STATUS:
        return 0.0
    return Patience().get_retry_after(response) or 0.0


def _refuse_lost_body(method: str, spent: Patience) -> None:
    """After 303 a request goes on as a GET without its body, as the standard says."""
    if method != "GET" and any(past.status == 303 for past in spent.history):
        raise LocationValueError(
            f"it redirects a {method} with 303, on which what was asked for is lost; give the address it redirects to"
        )


def _as_cut(error: Exception) -> Exception:
    """Of what was cut in the midst there was an answer, so it is asked for as often as any."""
    return CutShortError("its answer is cut in the midst") if isinstance(error, ProtocolError) else error


def _authorisation(url: str) -> dict[str, str]:
    """User and password that a URL holds, or that ``.netrc`` holds for its host; urllib3 sends neither by itself."""
    parts = urlsplit(url)
    if parts.username is not None:
        known = unquote(parts.username), unquote(parts.password or "")
    else:
        try:
            entry = netrc(os.environ.get("NETRC") or Path("~/.netrc").expanduser()).authenticators(
                parts.hostname or ""
            )
        except (OSError, NetrcParseError, RuntimeError):
            entry = None
        if entry is None:
            return {}
        known = entry[0] or entry[1] or "", entry[2] or ""
    return make_headers(basic_auth=":".join(known))


def _reason(error: BaseException) -> str:
    """What lies below urllib3's wrapping, in a line."""
    while (deeper := getattr(error, "reason", None) or error.__cause__) and isinstance(deeper, Exception):
        error = deeper
    return reason_of(error)
