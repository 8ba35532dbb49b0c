"""How a model looks to who writes Python: what ``help`` shows of it, and errors of a line in place of pages."""

from __future__ import annotations

import inspect
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from terramosaic.errors import RequestError
from terramosaic.request.complaints import lines_of

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

_Model = TypeVar("_Model", bound=BaseModel)


class OneLineErrors(ModelMetaclass):
    """Of a model that people write: called with wrong fields it says so in the engine's words.

    ``model_validate``, which reads files and what a server was sent, raises pydantic's own, with the place in it.
    """

    def __call__(self, *args: Any, **fields: Any) -> Any:
        """A value of these fields.

        Raises:
            RequestError: one line for each field that is wrong.
        """
        try:
            return super().__call__(*args, **fields)
        except ValidationError as error:
            raise RequestError("\n".join(lines_of(error, getattr(self, "model_fields", ())))) from None


def readable(model: type[_Model]) -> type[_Model]:
    """Gives a model a signature of plain names, and a docstring that tells what its fields mean."""
    parameters, lines = [], []
    for name, field in model.model_fields.items():
        told = _Words(field.annotation)
        default = inspect.Parameter.empty if field.is_required() else field.default
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=told)
        )
        lines.append(f"    {name}: {field.description}")
    model.__signature__ = inspect.Signature(parameters)
    model.__doc__ = "\n".join([inspect.cleandoc(model.__doc__ or ""), "", "Attributes:", *lines])
    return model


class _Words:
    """A type as one says it, without what is checked of its values."""

    def __init__(self, annotation: Any) -> None:
        self._text = _said(annotation)

    def __repr__(self) -> str:
        return self._text


def _said(annotation: Any) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _said(args[0])
    if origin is Literal:
        return " | ".join(map(repr, args))
    if origin in (Union, UnionType):
        return " | ".join(map(_said, args))
    if origin is not None:
        return f"{origin.__name__}[{', '.join('...' if arg is ... else _said(arg) for arg in args)}]"
    return "None" if annotation is NoneType else getattr(annotation, "__name__", str(annotation))
