"""HTTP by urllib3: which answers are asked for again, and small documents read whole."""

from __future__ import annotations

import random
from collections.abc import Mapping
from ssl import SSLCertVerificationError
from types import TracebackType
from typing import Self, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from urllib3 import BaseHTTPResponse, PoolManager, ProxyManager, Retry, Timeout
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import HTTPError, MaxRetryError, NameResolutionError, ProtocolError, ReadTimeoutError

from terramosaic.errors import reason_of
from terramosaic.storage.retries import HTTP, MISSING, PASSING_STATUS, RETRY_AFTER, UNANSWERED

#: Seconds to connect.
CONNECT = 5.0


class Patience(Retry):
    """urllib3's policy with our limits: what cannot pass is not asked for again, and a 404 once."""

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
        """The policy after one more failure; raises if that was the last one, or cannot pass."""
        refused = error is not None and error.args and isinstance(error.args[0], SSLCertVerificationError)
        if _pool is not None and (refused or isinstance(error, NameResolutionError)):
            raise MaxRetryError(_pool, url or "", error) from error
        return super().increment(method, url, response, error, _pool, _stacktrace)

    def get_backoff_time(self) -> float:
        """Seconds before the next try."""
        return random.uniform(0, HTTP.pauses[len(self.history) - 1]) if self.history else 0.0

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """Seconds that the server asks for, within reason."""
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, RETRY_AFTER)


def fetch(url: str, most: int, headers: Mapping[str, str] | None = None) -> bytes:
    """A document's bytes.

    Args:
        url: ``http`` or ``https``.
        most: bytes that it may have.
        headers: to send with the request.

    Raises:
        OSError: it cannot be read, or is larger; the text says why in one line, without the URL.
    """
    content = _asked(url, most + 1, headers, Patience.fresh())
    if len(content) > most:
        raise OSError(f"it is larger than {most / 1e6:g} MB")
    return content


def first_bytes(url: str, count: int) -> bytes:
    """How a file begins, asked for once.

    Raises:
        OSError: as `fetch`.
    """
    once = Patience(connect=0, read=0, status=0, other=0, raise_on_status=False)
    return _asked(url, count, {"Range": f"bytes=0-{count - 1}"}, once)


def _asked(url: str, most: int, headers: Mapping[str, str] | None, patience: Patience) -> bytes:
    """The first bytes of an answer, at most so many."""
    try:
        with _pool(url) as pool:
            while True:
                response = pool.request("GET", url, headers=headers, retries=patience, preload_content=False)
                try:
                    content = response.read(most)
                    break
                except (ProtocolError, ReadTimeoutError) as error:
                    # Cut in the midst of the body: urllib3 itself looks no further than the headers.
                    spent = cast(Patience, response.retries or patience)
                    patience = spent.increment("GET", url, error=error)
                    patience.sleep()
    except (HTTPError, ValueError) as error:
        raise OSError(_reason(error)) from error
    if response.status >= 400:
        raise OSError(f"the server answers {response.status} {response.reason or ''}".rstrip())
    return content


def _pool(url: str) -> PoolManager:
    """Connections as the environment wants them: urllib3 does not look for a proxy by itself."""
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    timeout = Timeout(connect=CONNECT, read=HTTP.silence)
    if proxy and not proxy_bypass(parts.netloc):
        return ProxyManager(proxy, timeout=timeout)
    return PoolManager(timeout=timeout)


def _reason(error: BaseException) -> str:
    """What lies below urllib3's wrapping, in a line."""
    while (deeper := getattr(error, "reason", None) or error.__cause__) and isinstance(deeper, Exception):
        error = deeper
    return reason_of(error)
