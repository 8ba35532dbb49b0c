"""The one tree of errors. Each says in a line what is wrong and what to do; each knows the command's exit code."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar, Self

from terramosaic.url_secrets import scrubbed


class TerramosaicError(Exception):
    """Base of every error that Terramosaic raises on purpose.

    On its way up an error gains context (`within`) and stays the same object; its one line is composed when it is
    shown, by ``str``. Between processes it goes as `message`, and comes back by `error_of`.

    Args:
        text: what is wrong and what to do.
        hint: how to go on, where that is not for whoever catches it to say; the first one given is shown, at the end.

    Attributes:
        exit_code: of the command that fails with it.
        code: names the class in a message; a class without one of its own travels as its parent.
        context: what it happened in, from the outside in.
        heading: a line above its own, where it stands for several.
        beside: lines below its own: what else has failed.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "error"

    context: tuple[str, ...] = ()
    hint: str = ""
    heading: str = ""
    beside: tuple[str, ...] = ()

    def __init__(self, text: str = "", *, hint: str = "") -> None:
        super().__init__(text)
        if hint:
            self.hint = hint

    def __init_subclass__(cls) -> None:
        if "code" in vars(cls):
            _CLASSES[cls.code] = cls

    def within(self, context: str, *, hint: str = "") -> Self:
        """Says what it happened in, such as ``block 33N_r``, and how to go on if it does not say so itself."""
        self.context = (context, *self.context)
        self.hint = self.hint or hint
        return self

    def among(self, heading: str, others: Iterable[object]) -> Self:
        """Stands for several: a heading above its line, and a line for each of the others below."""
        self.heading = "\n".join(filter(None, (heading, self.heading)))
        self.beside = (*self.beside, *map(str, others))
        return self

    @property
    def text(self) -> str:
        """What is wrong, without what it happened in."""
        return Exception.__str__(self)

    def __str__(self) -> str:
        line = ": ".join((*self.context, self.text))
        hinted = f"{line}; {self.hint}" if self.hint else line
        return "\n".join(filter(None, (self.heading, hinted, *self.beside)))

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (type(self), self.args, vars(self))

    def message(self) -> dict[str, Any]:
        """The error for another process: the code of its class, its text, and its attributes, which JSON must know."""
        return {"code": self.code, "text": self.text, "attributes": {**vars(self)}}


def error_of(message: Mapping[str, Any]) -> TerramosaicError:
    """The error that a process told by `TerramosaicError.message`; of a class that is not known here, a plain one."""
    kind = _CLASSES.get(message["code"], TerramosaicError)
    error = _remade(kind, (message["text"],), message["attributes"])
    # JSON knows lists alone.
    error.context, error.beside = tuple(error.context), tuple(error.beside)
    return error


def _remade(
    kind: type[TerramosaicError], args: tuple[Any, ...], attributes: Mapping[str, Any]
) -> TerramosaicError:
    """As it was, whatever its constructor asks for."""
    error = kind.__new__(kind, *args)
    vars(error).update(attributes)
    return error


_CLASSES: dict[str, type[TerramosaicError]] = {TerramosaicError.code: TerramosaicError}


class RequestError(TerramosaicError):
    """The request is wrong: which field, what is wrong with it, what to do."""

    exit_code = 2
    code = "request"


class UnknownMosaicError(RequestError, KeyError):
    """A run made no mosaic of that name; says which it made."""

    code = "unknown-mosaic"


class NoScenesError(TerramosaicError):
    """The catalog holds no scene for the request; the message says what was searched and what would have matched."""

    exit_code = 3
    code = "no-scenes"


class NoRadarError(NoScenesError):
    """There is no Sentinel-1 near enough, in place or time, to go beside what was found."""

    code = "no-radar"


class EmptyMapError(NoScenesError):
    """A run is published, and no pixel of it has data; the message says why."""

    code = "empty-map"


class CatalogError(TerramosaicError):
    """The catalog or one of its assets failed, after retries where a retry could help.

    Attributes:
        scene: key of the scene whose file it was; empty where it was none's.
    """

    exit_code = 4
    code = "catalog"
    scene: str = ""


class UnusableItemError(CatalogError):
    """An item that no map can be made of, though nothing in it is broken: it is left out where others are left."""

    code = "unusable-item"


class ForeignItemError(UnusableItemError):
    """An item of something else than is wanted, such as a map that was written below the catalog's folder."""

    code = "foreign-item"


class MissingBandError(UnusableItemError):
    """An item lacks a band that the model needs."""

    code = "missing-band"


class UnusableFileError(CatalogError):
    """A file of a scene cannot be used, today or any other day: a run goes on without the scene.

    Attributes:
        cause: what is wrong, in a word or two.
        scene: the scene's key.
    """

    code = "unusable-file"
    cause: ClassVar[str] = "contradiction"

    def __init__(self, text: str, *, scene: str, hint: str = "") -> None:
        super().__init__(text, hint=hint)
        self.scene = scene


class DeadAssetError(UnusableFileError):
    """A file of a scene is gone for good, or holds no picture. An outage is a `CatalogError` and nothing else."""

    code = "dead-asset"
    cause = "dead asset"


class RefusedHrefError(UnusableFileError):
    """An item names as its file what it may not; see `terramosaic.catalog.hrefs`."""

    code = "refused-href"
    cause = "refused href"


class NothingLeftError(CatalogError):
    """All scenes of a region were left out by their files or pixels; the message says why."""

    code = "nothing-left"


class NotVerifiableError(CatalogError):
    """Nothing of a map can be computed again, for what it was made from is gone or changed; the message says why."""

    code = "not-verifiable"


class OffsetConflictError(CatalogError):
    """An item's metadata and its pixels disagree about the +1000 offset of processing baseline 04.00."""

    code = "offset-conflict"


class ModelError(TerramosaicError):
    """The bundle is broken, or the model or its device failed."""

    exit_code = 5
    code = "model"


class WorkerLostError(ModelError):
    """A worker died, or was ended, while it computed a block; another one may well get it done.

    Attributes:
        how: what became of it, such as ``SIGKILL on cpu``.
        tries: workers that the block has cost by now.
    """

    code = "worker-lost"

    def __init__(self, how: str, *, tries: int = 1) -> None:
        both = "both workers that computed it were" if tries > 1 else "its worker was"
        super().__init__(f"{both} lost ({how})")
        self.how, self.tries = how, tries


class OutputError(TerramosaicError):
    """An output could not be written."""

    exit_code = 6
    code = "output"


class StoreError(OutputError):
    """The object store of the outputs did not answer, after retries; trying again later may help."""

    code = "store"


class DamagedBlocksError(OutputError):
    """Rasters of blocks are not as they were written; whoever carries out the run computes the blocks again.

    Attributes:
        blocks: their ids.
    """

    code = "damaged-blocks"

    def __init__(self, blocks: Iterable[str]) -> None:
        self.blocks = tuple(blocks)
        some = ", ".join(self.blocks[:5]) + (", ..." if len(self.blocks) > 5 else "")
        one = len(self.blocks) == 1
        super().__init__(
            f"{'a raster of a block is' if one else f'rasters of {len(self.blocks)} blocks are'} not as "
            f"{'it was' if one else 'they were'} written ({some}): the disk or another program has damaged "
            f"{'it' if one else 'them'}",
            hint="run the same request again to compute what is damaged anew",
        )


class ChangedError(OutputError):
    """A file that was to be replaced is another's by now."""

    code = "changed"


class LeaseHeldError(OutputError):
    """Another one works on this; the message says who, since when, and how long it lasts if it does not go on."""

    code = "lease-held"


class LeaseLostError(OutputError):
    """A lease was taken over, or released: another one may work on this by now, so its former holder must stop."""

    code = "lease-lost"


class CheckFailedError(TerramosaicError):
    """A map was checked, and is not what it should be; the message says what differs, and where."""

    exit_code = 7
    code = "check-failed"


class RunCancelledError(TerramosaicError):
    """The run was stopped by its user; what is finished stays."""

    exit_code = 130
    code = "run-cancelled"


#: How to go on after most of what may fail in the midst of a run.
GO_ON = "run the same request again to go on from here"

#: What fails a block and says nothing about the others: an asset, a worker, the store for a while.
PASSING = (CatalogError, WorkerLostError, StoreError)


def meant(name: str, known: Collection[str]) -> str:
    """A question for one that may be meant by a name that is not known; empty where none is like it."""
    from difflib import get_close_matches  # for start-up time: most commands end without an error

    close = get_close_matches(name.lower(), [each.lower() for each in known], n=1)
    return next((f"; did you mean {each}?" for each in known if [each.lower()] == close), "")


def one_line(message: object) -> str:
    """The message of another library without line breaks and secrets of URLs, as part of an error of ours."""
    return scrubbed(" ".join(str(message).split()))


def reason_of(error: BaseException) -> str:
    """What another's error says is wrong, on one line; the name of its class where it says nothing."""
    return one_line(getattr(error, "strerror", None) or error) or type(error).__name__


#: Letters of something that is not ours, in a message.
_MOST_LETTERS = 200


def printable(text: object, most: int = _MOST_LETTERS) -> str:
    """What others wrote, as part of a line: without secrets of URLs and what no terminal shows, cut if it is long."""
    whole = str(text)
    shown = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "surrogatepass").decode()
        for letter in scrubbed(whole[: 10 * most])[:most]
    )
    return shown if len(whole) <= most else f"{shown} ..."
