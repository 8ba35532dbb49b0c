"""The one tree of errors. Each says in a line what is wrong and what to do; each knows the command's exit code."""

from __future__ import annotations


class TerramosaicError(Exception):
    """Base of every error that Terramosaic raises on purpose."""

    exit_code = 1


class RequestError(TerramosaicError):
    """The request is wrong: which field, what is wrong with it, what to do."""

    exit_code = 2


class UnknownMosaicError(RequestError, KeyError):
    """A run made no mosaic of that name; says which it made."""

    # A KeyError shows its message in quotes, as if it were a key.
    __str__ = Exception.__str__


class NoScenesError(TerramosaicError):
    """The catalog holds no scene for the request; the message says what was searched and what would have matched."""

    exit_code = 3


class CatalogError(TerramosaicError):
    """The catalog or one of its assets failed, after retries where a retry could help."""

    exit_code = 4


class MissingBandError(CatalogError):
    """An item lacks a band that the model needs."""


class OffsetConflictError(CatalogError):
    """An item's metadata and its pixels disagree about the +1000 offset of processing baseline 04.00."""


class ModelError(TerramosaicError):
    """The bundle is broken, or the model or its device failed."""

    exit_code = 5


class WorkerLostError(ModelError):
    """A worker process died while it computed a block; another one may well get it done."""


class OutputError(TerramosaicError):
    """An output could not be written."""

    exit_code = 6


class StoreError(OutputError):
    """The object store of the outputs did not answer, after retries; trying again later may help."""


class LeaseHeldError(OutputError):
    """Another one works on this; the message says who, since when, and until when if it does not go on."""


class LeaseLostError(OutputError):
    """A lease could not be renewed in time: another one may work on this by now, so its former holder must stop."""


class RunCancelledError(TerramosaicError):
    """The run was stopped by its user; what is finished stays."""

    exit_code = 130


#: What fails a block and says nothing about the others: an asset, a worker, the store for a while.
PASSING = (CatalogError, WorkerLostError, StoreError)


def one_line(message: object) -> str:
    """The message of another library without line breaks, as part of an error of ours."""
    return " ".join(str(message).split())
