"""A real S3 API on loopback: moto's server in a thread, with a door in front of it that can be told to fail."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import boto3
import moto.settings
import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import make_server

from terramosaic.storage import objects

BUCKET = "maps"

_ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code} for a test</Message></Error>"
_CODES = {403: "AccessDenied", 409: "ConditionalRequestConflict", 500: "InternalError", 503: "SlowDown"}


class Store:
    """An S3 server with one bucket.

    Attributes:
        env: what a process must have in its environment to use it.
        failing: (method, part of the path, status, times): requests that are refused.
        requests: methods and paths of all requests so far.
    """

    def __init__(self) -> None:
        self.failing: list[tuple[str, str, int, int]] = []
        self.requests: list[tuple[str, str]] = []
        self._app = DomainDispatcherApplication(create_backend_app)
        # S3 compares and writes in one step; moto in two, and closes what it replaces while others read it.
        self._turn = threading.Lock()
        self._server = make_server("127.0.0.1", 0, self._door, threaded=True, request_handler=_Quiet)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self._server.port}"
        self.env = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        self.client.create_bucket(Bucket=BUCKET)

    def url(self, name: str) -> str:
        """A place in the bucket."""
        return f"s3://{BUCKET}/{name}"

    def objects(self, prefix: str = "") -> dict[str, tuple[str, Any]]:
        """Keys below a prefix, with ETag and time."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return {
            entry["Key"]: (entry["ETag"], entry["LastModified"])
            for page in pages
            for entry in page.get("Contents", ())
        }

    def read(self, key: str) -> bytes:
        """An object's content."""
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def age(self, key: str, seconds: float) -> None:
        """Time passes for an object: by the store's clock it was written so much earlier."""
        buckets = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets
        buckets[BUCKET].keys[key].last_modified -= timedelta(seconds=seconds)

    @contextmanager
    def knowing_nobody(self) -> Iterator[None]:
        """From now on credentials are checked, and there are none that are right."""
        before = moto.settings.INITIAL_NO_AUTH_ACTION_COUNT
        moto.settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
        try:
            yield
        finally:
            moto.settings.INITIAL_NO_AUTH_ACTION_COUNT = before

    def close(self) -> None:
        """Stops the server."""
        self._server.shutdown()
        self._server.server_close()

    def _door(self, environ: dict[str, Any], start_response: Any) -> Any:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.requests.append((method, path))
        for index, (wanted, part, status, times) in enumerate(self.failing):
            if method == wanted and part in path and times > 0:
                self.failing[index] = (wanted, part, status, times - 1)
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                body = _ERROR.format(code=_CODES[status]).encode()
                headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
                start_response(f"{status} {_CODES[status]}", headers)
                return [body]
        with self._turn:
            return self._app(environ, start_response)


class _Quiet(MotoRequestHandler):
    def log(self, *_: Any) -> None:
        """Says nothing about each request."""


AnyStore = TypeVar("AnyStore", bound=Store)


@contextmanager
def s3_server() -> Iterator[Store]:
    """A server that this process knows by its environment."""
    with known(Store()) as server:
        yield server


@contextmanager
def known(server: AnyStore) -> Iterator[AnyStore]:
    """A server, known to this process by its environment until the context ends, and stopped then."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in server.env.items():
            patch.setenv(name, value)
        forget_clients()
        yield server
        forget_clients()
    server.close()


def forget_clients() -> None:
    """Clients are found again by their options, which do not tell what the environment said when they were made."""
    objects._bucket.cache_clear()
