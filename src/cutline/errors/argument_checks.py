"""What the public functions are called with: checked in one place, before anything is done."""

import inspect
import os
from collections.abc import Callable, Sequence
from functools import cache, wraps
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import (
    Any,
    Final,
    Literal,
    ParamSpec,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from cutline.errors.exceptions import UsageError

P = ParamSpec("P")
R = TypeVar("R")

_NAMES: Final[dict[Any, str]] = {
    str: "text",
    os.PathLike: "a path",
    int: "a whole number",
    float: "a number",
    Sequence: "a list of these",
    NoneType: "None",
}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function raise UsageError for arguments of other types than those it names.

    A client that is asynchronous is refused, too: each call of it would wait for ever.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        hints = _hints(function)
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            _check(value, hints[name], f"{name} of {function.__name__}")
            if name == "client" and getattr(value, "asynchronous", False):
                raise UsageError(
                    f"The client of {function.__name__} is asynchronous: make one without"
                    " asynchronous=True, and call this in a thread of its own."
                )
        return function(*args, **kwargs)

    return call


def check_fields(options: Any) -> None:  # noqa: ANN401 - any dataclass
    """Raise UsageError if a field of a dataclass is of another type than it names."""
    kind: Any = type(options)
    hints = _hints(kind)
    for name in kind.__match_args__:  # which msgspec's structs have, too
        _check(getattr(options, name), hints[name], f"{name} of {kind.__name__}")


@cache  # 0.2 ms a function, of which a run calls a dozen
def _hints(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a function or a dataclass
    return get_type_hints(kind)


def _check(value: object, hint: Any, what: str) -> None:  # noqa: ANN401
    if not _fits(value, hint):
        raise UsageError(f"The {what} is {_shown(value)}: give {_named(hint)}.")


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else f"a {type(value).__name__}"


def _named(hint: Any) -> str:  # noqa: ANN401
    if get_origin(hint) in {Union, UnionType}:
        return " or ".join(dict.fromkeys(map(_named, get_args(hint))))
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    kind = get_origin(hint) or hint
    return _NAMES.get(kind) or f"a {kind.__name__}"


def _fits(value: object, hint: Any) -> bool:  # noqa: ANN401
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind in {Union, UnionType}:
        return any(_fits(value, one) for one in inner)
    if kind is Literal:
        return value in inner
    if kind in {tuple, Sequence}:
        if not isinstance(value, (list, tuple)):
            return False
        if kind is tuple and Ellipsis not in inner:
            return len(value) == len(inner) and all(map(_fits, value, inner))
        return all(_fits(item, inner[0]) for item in value)
    if kind is os.PathLike:
        return isinstance(value, os.PathLike) and isinstance(os.fspath(value), str)
    if kind is str:
        return isinstance(value, str) and "\0" not in value
    if getattr(kind, "_is_protocol", False):
        return all(hasattr(value, name) for name in vars(kind) if not name.startswith("_"))
    return isinstance(value, {int: Integral, float: Real}.get(kind, kind))
