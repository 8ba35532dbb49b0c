"""Object stores: the few operations that a run needs of them, and their errors in one line.

Requests that fail for a while (timeouts, 5xx, throttling) are repeated below, as often as ``AWS_MAX_ATTEMPTS`` says.
What arrives here has failed for good.
"""

from __future__ import annotations

import errno
import mimetypes
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from terramosaic.errors import OutputError, StoreError, one_line, printable
from terramosaic.settings import SCRATCH, store_options
from terramosaic.storage.retries import CREATE_CONFLICT, STORE

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode, PutResult
    from obstore.store import ObjectStore

    from terramosaic.storage.location import ObjectPath

#: Bytes of a part of an upload, of which S3 takes 10 000, and how many are on their way at once.
_PART, _PARTS = 32 * 2**20, 4

#: Bytes that are read at once.
_CHUNK = 8 * 2**20


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


@cache
def _bucket(url: str) -> ObjectStore:
    from obstore.store import MemoryStore, from_url  # for start-up time: stores alone need it

    if url.startswith("memory:"):
        return MemoryStore()
    own = store_options()
    tries = os.environ.get("AWS_MAX_ATTEMPTS") or str(STORE.tries)
    if not tries.isdecimal() or int(tries) < 1:
        raise OutputError(f"AWS_MAX_ATTEMPTS: {printable(tries)!r} is no number of tries; take 1 or more")
    options: dict[str, Any] = {
        "config": own or None,
        # A request ends when the server has been silent, however long its answer is.
        "client_options": {
            "allow_http": True,
            "timeout": "1d",
            "read_timeout": f"{STORE.silence:g}s",
            "connect_timeout": "10s",
        },
        "retry_config": {
            "max_retries": int(tries) - 1,
            "retry_timeout": timedelta(seconds=STORE.longest),
            "backoff": {"init_backoff": timedelta(seconds=STORE.pause), "base": STORE.growth},
        },
    }
    if "access_key_id" not in own:
        options |= _credentials(url)
    bucket: ObjectStore = from_url(url, **options)
    return bucket


def _credentials(url: str) -> dict[str, Any]:
    """Of profiles, SSO and roles that AWS's own client knows, where it is installed."""
    if not url.startswith("s3") or {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= os.environ.keys():
        return {}
    try:
        from botocore.exceptions import BotoCoreError
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        return {}
    try:
        return {"credential_provider": Boto3CredentialProvider()}
    except (ValueError, BotoCoreError) as error:
        raise _NoCredentialsError(f"no credentials ({error})") from error


class _NoCredentialsError(Exception):
    """A client was to be made, and there are none, or half of them."""


@cache
def _user() -> int:
    """The process that used a store first."""
    return os.getpid()


def facts_of(place: ObjectPath) -> FileFacts | None:
    """What is known of an object; None if there is none."""
    try:
        with _store_errors(place, "looked at") as bucket:
            return _facts(place, bucket.head(str(place.key)))
    except FileNotFoundError:
        return None


def list_facts(folder: ObjectPath) -> dict[str, FileFacts]:
    """All objects below a folder, by their names relative to it: a request for each thousand."""
    with _store_errors(folder, "listed") as bucket:
        found = bucket.list(str(folder.key) if folder.key.parts else None).collect()
    start = f"{folder.key}/" if folder.key.parts else ""
    return {entry["path"].removeprefix(start): _facts(folder, entry) for entry in found}


def sub_folders(folder: ObjectPath) -> list[str]:
    """What keys right below a folder go on with: a request for each thousand, however much lies in them."""
    with _store_errors(folder, "listed") as bucket:
        found = bucket.list_with_delimiter(str(folder.key) if folder.key.parts else None)
    return sorted(PurePosixPath(prefix).name for prefix in found["common_prefixes"])


def read(place: ObjectPath) -> bytes:
    """An object's content.

    Raises:
        FileNotFoundError: there is no such object.
    """
    return read_version(place)[0]


def read_beginning(place: ObjectPath, most: int, within: float) -> bytes | None:
    """So many bytes of an object and those that came with them, or all; None if they do not come in so many seconds.

    Raises:
        FileNotFoundError: there is no such object.
    """
    content, end = bytearray(), time.monotonic() + within
    with _store_errors(place, "read") as bucket:
        for chunk in bucket.get(str(place.key)).stream(1):  # as it comes
            content += chunk
            if len(content) >= most:
                break
            if time.monotonic() > end:
                return None
    return bytes(content)


def read_range(place: ObjectPath, start: int, stop: int) -> bytes:
    """The bytes of an object from ``start`` to before ``stop``.

    Raises:
        FileNotFoundError: there is no such object.
    """
    with _store_errors(place, "read") as bucket:
        return bytes(bucket.get_range(str(place.key), start=start, end=stop))


def read_version(place: ObjectPath) -> tuple[bytes, FileFacts]:
    """An object's content, and what is known of the very same one.

    Raises:
        FileNotFoundError: there is no such object.
    """
    with _store_errors(place, "read") as bucket:
        found = bucket.get(str(place.key))
        return bytes(found.bytes()), _facts(place, found.meta)


def download(place: ObjectPath, local: Path) -> None:
    """Copies an object into a file.

    Raises:
        FileNotFoundError: there is no such object.
    """
    with _store_errors(place, "read") as bucket, local.open("wb") as file:
        for chunk in bucket.get(str(place.key)).stream(_CHUNK):
            file.write(chunk)


def upload(local: Path, place: ObjectPath) -> None:
    """Copies a file into an object, which appears when all of it has arrived."""
    with _store_errors(place, "written", is_write=True) as bucket:
        bucket.put(
            str(place.key), local, attributes=_attributes(place), chunk_size=_PART, max_concurrency=_PARTS
        )


def write_if(place: ObjectPath, content: bytes, version: str | None) -> str | None:
    """Writes an object if it has a version, or (None) if there is none; of several that try at once, one succeeds.

    Returns:
        Its version from now on; None if it had another.
    """
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    mode: PutMode = "create" if version is None else {"e_tag": version, "version": version}
    for _ in range(CREATE_CONFLICT.tries):
        try:
            with _store_errors(place, "written", is_write=version is None) as bucket:
                return _version_of(
                    place, bucket.put(str(place.key), content, attributes=_attributes(place), mode=mode)
                )
        except (PreconditionError, FileNotFoundError):
            return None
        except AlreadyExistsError:
            # What S3 may also answer to two that try at the same moment, of whom neither has succeeded yet.
            if facts_of(place) is not None:
                return None
        time.sleep(CREATE_CONFLICT.pause)
    raise StoreError(_line(place, "written", "others keep trying at the same time", "run it again"))


def remove(place: ObjectPath) -> None:
    """Removes an object, if there is one."""
    _remove(place, [str(place.key)])


def remove_folder(folder: ObjectPath) -> None:
    """Removes all objects below a folder."""
    _remove(folder, [str((folder / name).key) for name in list_facts(folder)])


def _remove(place: ObjectPath, keys: list[str]) -> None:
    try:
        with _store_errors(place, "removed") as bucket:
            bucket.delete(keys)
    except FileNotFoundError:
        pass


@contextmanager
def _store_errors(place: ObjectPath, done: str, *, is_write: bool = False) -> Iterator[ObjectStore]:
    """Raises what goes wrong as one of ours, but for files that are there, or not there, where that is an answer."""
    from obstore import exceptions as store

    if _user() != os.getpid():
        # The threads that do the work have stayed behind.
        advice = "start processes with multiprocessing's method 'spawn' or 'forkserver'"
        raise _refusal(place, done, "this process was forked from one that had used a store", advice)
    try:
        yield _bucket(place.bucket)
    except (store.AlreadyExistsError, store.PreconditionError):
        raise
    except FileNotFoundError as error:
        # A store makes folders as it goes: what is missing when something is written can only be the bucket.
        if not is_write and "NoSuchBucket" not in str(error):
            raise
        raise _refusal(place, done, "the bucket does not exist", "make it or choose another") from error
    except _NoCredentialsError as error:
        advice = (
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or what your store asks for"
        )
        raise _refusal(place, done, f"{error}", advice) from error
    except (store.PermissionDeniedError, store.UnauthenticatedError) as error:
        advice = "check the credentials, and that they may list, read, write and delete there"
        raise _refusal(place, done, f"access was denied ({_first(error)})", advice) from error
    except store.BaseError as error:
        advice = "check the network and AWS_ENDPOINT_URL"
        raise StoreError(
            _line(place, done, f"the store gave no good answer ({_first(error)})", advice),
            hint="finished blocks are kept, run the same request again",
        ) from error
    except OSError as error:
        advice = f"make room, or set {SCRATCH}" if error.errno == errno.ENOSPC else "check scratch"
        raise _refusal(place, done, f"{error.strerror or error}", advice) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # which has no module to be named from
            raise
        advice = "check AWS_ENDPOINT_URL and what else is set for the store"
        raise _refusal(place, done, f"the store's client broke down ({_first(error)})", advice) from error


def _first(error: BaseException) -> str:
    return str(error).partition("\n\nDebug source")[0]


def _refusal(place: ObjectPath, done: str, reason: str, advice: str) -> OutputError:
    return OutputError(_line(place, done, reason, advice))


def _line(place: ObjectPath, done: str, reason: str, advice: str) -> str:
    return one_line(f"out: {place} could not be {done}: {reason}; {advice}")


def _facts(place: ObjectPath, meta: ObjectMeta) -> FileFacts:
    modified = meta["last_modified"].timestamp()
    return FileFacts(meta["size"], modified, _version_of(place, meta))


def _version_of(place: ObjectPath, told: ObjectMeta | PutResult) -> str:
    """What a store asks for again before it replaces an object: Google's a generation, all others an ETag."""
    version = told["version"] if place.bucket.startswith("gs:") else told["e_tag"]
    return f"{version}"


def _attributes(place: ObjectPath) -> dict[Any, str]:
    """So that a browser shows a report instead of saving it."""
    kind = mimetypes.guess_type(place.name)[0]
    return {"Content-Type": kind} if kind else {}
