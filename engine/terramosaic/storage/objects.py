"""Object stores: the few operations that a run needs of them, and their errors in one line.

Requests that fail for a while (timeouts, 5xx, throttling) are repeated below: by botocore as often as
``AWS_MAX_ATTEMPTS`` says, in the manner of ``AWS_RETRY_MODE``, and around that by s3fs, five times. What arrives here
has failed for good.
"""

from __future__ import annotations

import errno
import mimetypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terramosaic.errors import OutputError, StoreError, one_line
from terramosaic.storage.retries import CREATE_CONFLICT

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem
    from upath import UPath

#: Numbers of errors of a store that is busy: what s3fs makes of 500, 503, SlowDown, and of codes that it does not know.
_BUSY = frozenset({errno.EBUSY, errno.EIO, getattr(errno, "EREMOTEIO", errno.EIO)})

#: A refusal that asks to try again, and how often that is done.
_CONFLICT = "ConditionalRequestConflict"
#: Refusals of what has changed, or is gone.
_CHANGED = frozenset({"PreconditionFailed", "NoSuchKey"})

#: What different stores call the time at which an object was written.
_MODIFIED = ("LastModified", "last_modified", "updated", "mtime", "created")
#: And what tells one content of an object from another.
_VERSION = ("ETag", "etag", "generation")


#: fsspec's store in memory knows no threads: it creates after it has looked, and lists what is gone by then.
_IN_MEMORY = threading.Lock()


@dataclass(frozen=True)
class FileFacts:
    """What is known of a file without reading it.

    Attributes:
        size: in bytes.
        modified: when it was written, in seconds since 1970.
        version: changes with its content.
    """

    size: int
    modified: float
    version: str


def filesystem(place: UPath) -> AbstractFileSystem:
    """The store's client: one for each process, made anew in a forked one, where the parent's would not answer."""
    import fsspec  # for start-up time: stores alone need it

    client: AbstractFileSystem = fsspec.filesystem(place.protocol, **place.storage_options)
    return client


def facts_of(place: UPath) -> FileFacts | None:
    """What is known of an object; None if there is none."""
    try:
        with _store_errors(place, "looked at"):
            info = filesystem(place).info(place.path)
    except FileNotFoundError:
        return None
    return _facts(info) if info["type"] == "file" else None


def list_facts(folder: UPath) -> dict[str, FileFacts]:
    """All objects below a folder, by their names relative to it: a request for each thousand."""
    with _store_errors(folder, "listed"):
        found = filesystem(folder).find(folder.path, detail=True)
    start = folder.path.strip("/") + "/"
    return {name.strip("/").removeprefix(start): _facts(info) for name, info in found.items()}


def read(place: UPath) -> bytes:
    """An object's content.

    Raises:
        FileNotFoundError: there is no such object.
    """
    # Otherwise s3fs asks for the size first, to read what is large in parts: a second request for each small file.
    at_once = {"max_concurrency": 1} if _is_s3(place) else {}
    with _store_errors(place, "read"):
        content: bytes = filesystem(place).cat_file(place.path, **at_once)
    return content


def download(place: UPath, local: Path) -> None:
    """Copies an object into a file.

    Raises:
        FileNotFoundError: there is no such object.
    """
    with _store_errors(place, "read"):
        filesystem(place).get_file(place.path, str(local))


def upload(local: Path, place: UPath) -> None:
    """Copies a file into an object, which appears when all of it has arrived."""
    with _store_errors(place, "written", is_write=True):
        filesystem(place).put_file(str(local), place.path, **_content_type(place))


def read_version(place: UPath) -> tuple[bytes, FileFacts]:
    """An object's content, and what is known of the very same one.

    Raises:
        FileNotFoundError: there is no such object.
    """
    client = filesystem(place)
    with _store_errors(place, "read"):
        if not _is_s3(place):
            return client.cat_file(place.path), _facts(client.info(place.path))
        from fsspec.asyn import sync  # for start-up time: stores alone need it

        bucket, key, _ = client.split_path(place.path)
        answer = client.call_s3("get_object", Bucket=bucket, Key=key)
        content: bytes = sync(client.loop, answer["Body"].read)
    return content, _facts(answer | {"size": len(content)})


def write_if(place: UPath, content: bytes, version: str | None) -> str | None:
    """Writes an object if it has a version, or (None) if there is none; of several that try at once, one succeeds.

    Returns:
        Its version from now on; None if it had another.
    """
    for attempt in range(CREATE_CONFLICT.tries):
        with _store_errors(place, "written", is_write=True):
            try:
                return _write_if(place, content, version)
            except OSError as error:
                code = _code_of(error)
                if isinstance(error, FileExistsError) or code in _CHANGED:
                    return None
                # S3's answer, sometimes, to two that try at the same moment: try again, and one will find it changed.
                if code != _CONFLICT or attempt == CREATE_CONFLICT.tries - 1:
                    raise
        time.sleep(CREATE_CONFLICT.pause)
    return None


def _write_if(place: UPath, content: bytes, version: str | None) -> str | None:
    client = filesystem(place)
    if _is_s3(place):
        condition = {"mode": "create"} if version is None else {"IfMatch": version}
        return str(client.pipe_file(place.path, content, **condition)["ETag"])
    if place.protocol != "memory":
        raise NotImplementedError("conditional writes are known of s3:// alone")
    found = _facts(client.info(place.path)).version if client.exists(place.path) else None
    if found != version:
        return None
    client.pipe_file(place.path, content)
    return _facts(client.info(place.path)).version


def _code_of(error: OSError) -> str | None:
    """S3's own name for what is wrong."""
    answer = getattr(error.__cause__, "response", {})
    code: str | None = answer.get("Error", {}).get("Code")
    return code


def remove(place: UPath) -> None:
    """Removes an object, if there is one."""
    try:
        with _store_errors(place, "removed"):
            filesystem(place).rm_file(place.path)
    except FileNotFoundError:
        pass


def remove_folder(folder: UPath) -> None:
    """Removes all objects below a folder."""
    try:
        with _store_errors(folder, "removed"):
            filesystem(folder).rm(folder.path, recursive=True)
    except FileNotFoundError:
        pass


@contextmanager
def _store_errors(place: UPath, done: str, *, is_write: bool = False) -> Iterator[None]:
    """Raises what goes wrong as one of ours, but for files that are there, or not there, where that is an answer."""
    try:
        with _IN_MEMORY if place.protocol == "memory" else nullcontext():
            yield
    except FileExistsError:
        raise
    except FileNotFoundError as error:
        # A store makes folders as it goes: what is missing when something is written can only be the bucket.
        if not is_write and "bucket does not exist" not in str(error).lower():
            raise
        raise _refusal(place, done, "the bucket does not exist", "make it or choose another") from error
    except PermissionError as error:
        advice = "check the credentials, and that they may list, read, write and delete there"
        raise _refusal(place, done, f"access was denied ({error})", advice) from error
    except Exception as error:
        silent, nobody = _kinds()
        if isinstance(error, nobody):
            advice = (
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or what your store asks for"
            )
            raise _refusal(place, done, f"no credentials ({error})", advice) from error
        if isinstance(error, silent) or (isinstance(error, OSError) and error.errno in _BUSY):
            advice = "check the network and AWS_ENDPOINT_URL"
            raise StoreError(
                _line(place, done, f"the store gave no good answer ({error})", advice),
                hint="finished blocks are kept, run the same request again",
            ) from error
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise _refusal(
                place, done, str(error.strerror), "make room, or set TERRAMOSAIC_SCRATCH"
            ) from error
        raise _refusal(
            place, done, f"{type(error).__name__}: {error}", "check the URL and the store"
        ) from error


@cache
def _kinds() -> tuple[tuple[type[Exception], ...], tuple[type[Exception], ...]]:
    """Errors of a store that did not answer in time, and of a client that found no credentials, or half of them.

    The libraries that raise them are imported where they are installed, and once something has gone wrong.
    """
    from fsspec.exceptions import FSTimeoutError

    silent: list[type[Exception]] = [ConnectionError, TimeoutError, FSTimeoutError]
    nobody: list[type[Exception]] = []
    with suppress(ImportError):
        import aiohttp

        silent += [aiohttp.ClientConnectionError, aiohttp.ClientPayloadError]
    with suppress(ImportError):
        from botocore import exceptions as aws

        silent += [aws.HTTPClientError, aws.ConnectionError]
        nobody += [
            aws.NoCredentialsError, aws.PartialCredentialsError, aws.CredentialRetrievalError, aws.ProfileNotFound,
            aws.TokenRetrievalError, aws.UnauthorizedSSOTokenError,
        ]  # fmt: skip
    with suppress(ImportError):
        from google.auth.exceptions import DefaultCredentialsError

        nobody += [DefaultCredentialsError]
    return tuple(silent), tuple(nobody)


def _refusal(place: UPath, done: str, reason: str, advice: str) -> OutputError:
    return OutputError(_line(place, done, reason, advice))


def _line(place: UPath, done: str, reason: str, advice: str) -> str:
    return one_line(f"out: {place} could not be {done}: {reason}; {advice}")


def _facts(info: dict[str, Any]) -> FileFacts:
    modified = next((info[key] for key in _MODIFIED if info.get(key) is not None), 0.0)
    if isinstance(modified, str):
        modified = datetime.fromisoformat(modified)
    if isinstance(modified, datetime):
        modified = modified.timestamp()
    version = next((str(info[key]) for key in _VERSION if info.get(key)), f"{modified}")
    return FileFacts(int(info["size"]), float(modified), version)


def _is_s3(place: UPath) -> bool:
    return place.protocol in ("s3", "s3a")


def _content_type(place: UPath) -> dict[str, str]:
    """So that a browser shows a report instead of saving it; told only where the option's name is known."""
    kind = mimetypes.guess_type(place.name)[0]
    return {"ContentType": kind} if kind and _is_s3(place) else {}
