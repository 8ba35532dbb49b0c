"""Messages between a worker process and its parent: small values as JSON, never pixels."""

from __future__ import annotations

import traceback
from multiprocessing.connection import Connection
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from terramosaic.block.receipt import BlockReceipt
from terramosaic.errors import TerramosaicError, error_of
from terramosaic.url_secrets import told


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Setup(_Message):
    """The parent's first message: which run, and how to work on it.

    Attributes:
        run_folder: where the plan is whose model is opened at once.
        device: where the model runs.
        blocks_at_once: blocks at the same time.
        processors: that the process may use.
        batch_size: windows per call of the model; None for what suits the device.
        log_level: from which level on the engine's log is told.
        secrets: of URLs, which no plan holds.
    """

    run_folder: str
    device: str
    blocks_at_once: int
    processors: int
    batch_size: int | None
    log_level: int
    secrets: dict[str, str] = Field(default_factory=told, repr=False)


class Order(_Message):
    """The parent's further messages: a block to compute.

    Attributes:
        name: what reports call it; two runs may have blocks of one id.
        run_folder: where its plan is.
        block: its id.
    """

    name: str
    run_folder: str
    block: str


class Began(_Message):
    """A block is being computed; from here on it may be what a worker dies of."""

    kind: Literal["began"] = "began"
    block: str


class Windows(_Message):
    """So many more windows of a block were computed."""

    kind: Literal["windows"] = "windows"
    block: str
    count: int


class Done(_Message):
    """A block is finished."""

    kind: Literal["done"] = "done"
    block: str
    receipt: BlockReceipt


class Failed(_Message):
    """An error, in a block or, where ``block`` is None, before the first one.

    Attributes:
        error: the engine's error as a message; None for any other exception.
        line: what it says, with the name of its class.
        traceback: where it came from, for ``--debug``.
    """

    kind: Literal["failed"] = "failed"
    block: str | None
    error: dict[str, Any] | None
    line: str
    traceback: str

    @classmethod
    def of(cls, block: str | None, error: Exception) -> Failed:
        """What a worker tells of an error."""
        return cls(
            block=block,
            error=error.message() if isinstance(error, TerramosaicError) else None,
            line=f"{type(error).__name__}: {error}",
            traceback="".join(traceback.format_exception(error)),
        )

    def exception(self) -> Exception:
        """The error as the worker raised it; one that is not the engine's own comes as RuntimeError with its name."""
        error = error_of(self.error) if self.error else RuntimeError(self.line)
        error.add_note(f"in a worker process:\n{self.traceback}")
        return error


class Log(_Message):
    """A line for the parent's log, and what it is about: see `terramosaic.json_log`."""

    kind: Literal["log"] = "log"
    name: str
    level: int
    line: str
    about: dict[str, str] = {}


Report = Began | Windows | Done | Failed | Log

_REPORT: TypeAdapter[Report] = TypeAdapter(Annotated[Report, Field(discriminator="kind")])


def send(connection: Connection, message: _Message) -> None:
    """Sends a message.

    Raises:
        OSError: nobody is at the other end.
    """
    connection.send_bytes(message.model_dump_json().encode())


def receive_report(connection: Connection) -> Report:
    """What a worker tells next.

    Raises:
        EOFError, OSError: nobody is at the other end, and all that was told has been received.
    """
    return _REPORT.validate_json(connection.recv_bytes())
