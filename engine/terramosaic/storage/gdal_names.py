"""What GDAL calls the files that items name, and its settings for reading one."""

from __future__ import annotations

import itertools
import os

from terramosaic.storage.retries import ASSET

#: What GDAL may take a file for. Others of its drivers make requests and open files that the file names.
DRIVERS = ["GTiff", "COG", "JP2OpenJPEG"]

#: Seconds to connect, and bytes a second below which a server counts as silent.
_CONNECT, _SLOWEST = 10, 1000

#: GDAL over HTTP, beside the limits of `time_limits`.
_REMOTE_OPTIONS = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
#: Some local files keep their CRS in an .aux.xml beside them, which GDAL finds only if it may list the folder.
_LOCAL_OPTIONS = {"GDAL_DISABLE_READDIR_ON_OPEN": "FALSE"}
#: GDAL's names of object stores.
_STORES = {"s3": "/vsis3", "gs": "/vsigs", "az": "/vsiaz", "abfs": "/vsiadls", "abfss": "/vsiadls"}

#: GDAL remembers of a URL that it is not there, or how long it is. Each opening has a name of its own, by a fragment,
#: which is never sent.
_OPENINGS = itertools.count(1)


def gdal_path(href: str) -> str:
    """An href as GDAL's virtual file systems name it; credentials for s3:// come from the environment."""
    scheme, _, rest = href.partition("://")
    scheme = scheme.lower()
    if scheme in _STORES:
        container, _, key = rest.partition("/")
        # abfs://container@account.dfs.core.windows.net/key: GDAL takes the account from the environment.
        return f"{_STORES[scheme]}/{container.partition('@')[0]}/{key}"
    if scheme in ("http", "https"):
        return f"/vsicurl/{href}#{next(_OPENINGS)}"
    return os.fspath(href.removeprefix("file://"))


def gdal_options(href: str) -> dict[str, str | int]:
    """GDAL's settings for reading a file."""
    if "://" not in href:
        return dict(_LOCAL_OPTIONS)
    # Of stores GDAL sends the name as it is, a fragment too: its memory is switched off instead.
    in_store = href.partition("://")[0].lower() in _STORES
    forgetful = {"CPL_VSIL_CURL_NON_CACHED": gdal_path(href)} if in_store else {}
    return _REMOTE_OPTIONS | time_limits(ASSET.within) | forgetful


def time_limits(left: float) -> dict[str, str | int]:
    """GDAL's limits on a request over HTTP, of a reading that has so many seconds left.

    Without them a silent server hangs a run for ever; GDAL's own tries would multiply with ours.
    """
    return {
        "GDAL_HTTP_TIMEOUT": f"{max(1.0, left):.0f}",
        "GDAL_HTTP_CONNECTTIMEOUT": f"{max(1.0, min(_CONNECT, left)):.0f}",
        "GDAL_HTTP_LOW_SPEED_TIME": f"{max(1.0, min(ASSET.silence, left)):.0f}",
        "GDAL_HTTP_LOW_SPEED_LIMIT": _SLOWEST,
        "GDAL_HTTP_MAX_RETRY": 0,
    }
