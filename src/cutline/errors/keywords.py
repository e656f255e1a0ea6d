"""Options as keywords of their own: ``compile_table(source, table, caption_field="long_caption")``.

The keywords are those of the command line, and made of the same option classes.
"""

# ruff: noqa: ANN401 - of any function, any option and any value

import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, fields, is_dataclass, replace
from functools import wraps
from operator import attrgetter
from typing import (
    Annotated,
    Any,
    Final,
    NamedTuple,
    ParamSpec,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from msgspec import Meta

SHORT: Final = 40
"""The longest default that a signature shows, in characters."""

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class Flattened(Protocol[P, R_co]):
    """A function that takes the fields of its options as keywords, too."""

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(self, *args: Any, **kwargs: Any) -> R_co: ...


class Keyword(NamedTuple):
    """A keyword: its parameter, the way to the field in it, its annotation and its default."""

    parameter: str
    way: tuple[str, ...]
    hint: Any
    default: Any


def flat(function: Callable[P, R_co]) -> Flattened[P, R_co]:
    """Have a function take each field of its option classes as a keyword of its own, too.

    A keyword has the name of the option on the command line, with underscores; the name of the
    field is one, too. A field of several values takes one of them alone. What is given in this way
    wins over the options beside it.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Baking:
    ...     degrees: int = 180
    ...     toppings: tuple[str, ...] = ()
    >>> @flat
    ... def bake(options: Baking = Baking()) -> Baking:
    ...     return options
    >>> bake(topping="nuts")
    Baking(degrees=180, toppings=('nuts',))
    """
    signature = inspect.signature(function)
    kinds = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if isinstance(parameter.annotation, type) and is_dataclass(parameter.annotation)
    }
    keywords: dict[str, list[Keyword]] = {}
    for parameter, kind in kinds.items():
        for name, keyword in _keywords_of(kind, parameter):
            if name not in signature.parameters:
                keywords.setdefault(name, []).append(keyword)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> R_co:
        given = {name: kwargs.pop(name) for name in [*kwargs] if name in keywords}
        if not given:
            return function(*args, **kwargs)
        bound = signature.bind_partial(*args, **kwargs)
        changes: dict[str, dict[tuple[str, ...], Any]] = {}
        for name, value in given.items():
            for parameter, way, hint, _ in keywords[name]:
                changes.setdefault(parameter, {})[way] = _several(value, hint)
        for parameter, changed in changes.items():
            known = bound.arguments.get(parameter, signature.parameters[parameter].default)
            known = kinds[parameter]() if known is inspect.Parameter.empty else known
            if isinstance(known, kinds[parameter]):  # or who checks arguments refuses it
                bound.arguments[parameter] = _changed(known, changed)
        return function(*bound.args, **bound.kwargs)

    call.__signature__ = _shown(signature, keywords)  # type: ignore[attr-defined]
    return call


def as_typed(*options: Any) -> list[str]:
    """Return what has to be typed on the command line for these options; nothing for defaults.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Baking:
    ...     degrees: int = 180
    ...     toppings: tuple[str, ...] = ()
    >>> as_typed(Baking(200, ("nuts", "jam")))
    ['--degrees', '200', '--topping', 'nuts', '--topping', 'jam']
    """
    typed: dict[str, list[str]] = {}
    for one in options:
        plain = type(one)()
        for name, keyword in _keywords_of(type(one), ""):
            value, default = (attrgetter(".".join(keyword.way))(each) for each in (one, plain))
            typed.setdefault(keyword.way[-1], list(_typed(name, value, default)))
    return [word for words in typed.values() for word in words]


def _typed(name: str, value: Any, default: Any) -> Iterator[str]:
    flag = "--" + name.replace("_", "-")
    if value is True or value is False:
        if value != default:
            yield flag if value else flag.replace("--", "--no-", 1)
    elif value != default:
        for each in value if isinstance(value, tuple) else [value]:
            yield from (flag, "=".join(each) if isinstance(each, tuple) else str(each))


def _keywords_of(
    kind: Any,
    parameter: str,
    *above: str,
) -> Iterator[tuple[str, Keyword]]:
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        hint, meta = unwrapped(hints[field.name])
        flag = (meta.extra or {}).get("flag", "")
        if is_dataclass(hint):
            yield from _keywords_of(hint, parameter, *above, field.name)
        elif flag is not None:
            for name in dict.fromkeys([_option_name(field, hint, flag), field.name]):
                yield name, Keyword(parameter, (*above, field.name), hint, field.default)


def _option_name(field: Field[Any], hint: Any, flag: str) -> str:
    if flag and not (flag.startswith("--no-") and field.default):
        return flag.removeprefix("--").replace("-", "_")
    return field.name.removesuffix("s") if get_origin(hint) is tuple else field.name


def unwrapped(hint: Any) -> tuple[Any, Meta]:
    """Return an annotation without ``| None``, and the `msgspec.Meta` that it has."""
    meta = Meta()
    while get_origin(hint) in {Annotated, Union, types.UnionType}:
        hint, *others = get_args(hint)
        meta = next((other for other in others if isinstance(other, Meta)), meta)
    return hint, meta


def _several(value: Any, hint: Any) -> Any:
    if get_origin(hint) is not tuple or get_args(hint)[-1] is not Ellipsis:
        return value
    if isinstance(value, Mapping):
        return tuple(value.items())
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _changed(options: Any, changes: Mapping[tuple[str, ...], Any]) -> Any:
    """Replace fields all at once, because options may refuse some of the values without others."""
    values: dict[str, Any] = {}
    below: dict[str, dict[tuple[str, ...], Any]] = {}
    for (name, *further), value in changes.items():
        if further:
            below.setdefault(name, {})[tuple(further)] = value
        else:
            values[name] = value
    inner = {name: _changed(getattr(options, name), those) for name, those in below.items()}
    return replace(options, **values, **inner)


def _shown(
    signature: inspect.Signature, keywords: Mapping[str, list[Keyword]]
) -> inspect.Signature:
    """Return the signature with the keywords, for `help` and editors."""
    kind = inspect.Parameter.KEYWORD_ONLY
    shown = {every[0]: name for name, every in reversed([*keywords.items()])}  # by its first name
    more = [
        inspect.Parameter(name, kind, default=keyword.default)
        for keyword, name in reversed(shown.items())
    ]
    plain = [
        parameter.replace(default=_ELSEWHERE) if len(repr(parameter.default)) > SHORT else parameter
        for parameter in signature.parameters.values()
    ]
    return signature.replace(parameters=[*plain, *more])


class _Elsewhere:
    """A default that is too long to be read in a signature."""

    def __repr__(self) -> str:
        return "..."


_ELSEWHERE: Final = _Elsewhere()
