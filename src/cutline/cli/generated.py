"""The fields of option classes as options of the command line.

A new field of an option class is an option of every command that takes the class, by its
annotation, its default, and what the docstring of the class says of it:

- a ``bool`` is a flag, ``--no-NAME`` where the default is true; a ``Literal`` is a choice;
- a tuple is an option that may be repeated, in the singular: ``columns`` is ``--column``;
- a dataclass is an option for each of its own fields;
- the first words of a class's docstring are the heading of its options in the help;
- `msgspec.Meta` in an ``Annotated`` bounds a number (``ge``, ``le``), replaces the help
  (``description``), and its ``extra`` may hold another ``flag`` and another ``metavar``; a flag
  that is None makes the field no option.
"""

import functools
import inspect
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import Field, fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click
import msgspec
from click.core import ParameterSource

from cutline.cli.endings import one_sentence
from cutline.errors import unwrapped

Command = Callable[..., Any]


class InSections(click.Command):
    """A command whose help has a section for each class of options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record and isinstance(param, click.Option):
                sections.setdefault(getattr(param, "section", "Options"), []).append(record)
        sections["Options"] = sections.pop("Options")  # the last one, which has --help
        for section, records in sections.items():
            with formatter.section(section):
                formatter.write_dl(records)


class _Option(click.Option):
    def __init__(self, *args: Any, section: str, **named: Any) -> None:
        super().__init__(*args, **named)
        self.section = section


def taking(*, without: Collection[str] = (), **kinds: type[Any]) -> Callable[[Command], Command]:
    """Give a command the fields of option classes as options, and hand it the values.

    A field that several classes have is one option, explained by the first of them. What is not
    typed has the default of each class.

    Parameters
    ----------
    without
        Names of fields that are no options of this command.
    **kinds
        The option class, a dataclass, of each of these arguments of the command.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Baking:
    ...     degrees: int = 180
    >>> @click.command()
    ... @taking(options=Baking)
    ... def bake(options: Baking) -> None:
    ...     click.echo(options.degrees)
    >>> bake(["--degrees", "90"], standalone_mode=False)
    90
    """
    options: dict[str, Callable[[Command], Command]] = {}
    for kind in kinds.values():
        for name, option in _options_of(kind):
            if name not in without:
                options.setdefault(name, option)

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(**arguments: Any) -> Any:
            given = {name: arguments.pop(name) for name in options}
            typed = {name: value for name, value in given.items() if _is_typed(name)}
            with one_sentence():
                values = {name: _made(kind, typed) for name, kind in kinds.items()}
            return command(**arguments, **values)

        made: Command = run
        for option in reversed(options.values()):
            made = option(made)
        return made

    return decorate


def _is_typed(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is not ParameterSource.DEFAULT


def _made(kind: type[Any], typed: dict[str, Any]) -> Any:
    hints = get_type_hints(kind, include_extras=True)
    values = {}
    for field in fields(kind):
        hint, meta = unwrapped(hints[field.name])
        if isinstance(hint, type) and is_dataclass(hint):
            values[field.name] = _made(hint, typed)
        elif field.name in typed and _is_option(meta):
            values[field.name] = typed[field.name]
    return kind(**values)


def _options_of(kind: type[Any]) -> Iterator[tuple[str, Callable[[Command], Command]]]:
    hints = get_type_hints(kind, include_extras=True)
    abouts = _abouts(kind)
    section = re.split("[.,;:]", inspect.getdoc(kind) or "Options")[0]
    for field in fields(kind):
        hint, meta = unwrapped(hints[field.name])
        if isinstance(hint, type) and is_dataclass(hint):
            yield from _options_of(hint)
        elif _is_option(meta):
            about = meta.description or abouts.get(field.name)
            yield field.name, _option(field, hint, meta, about, section)


def _is_option(meta: msgspec.Meta) -> bool:
    return (meta.extra or {}).get("flag", "") is not None


def _option(
    field: Field[Any], hint: Any, meta: msgspec.Meta, about: str | None, section: str
) -> Callable[[Command], Command]:
    extra = meta.extra or {}
    words = field.name.split("_")
    metavar = extra.get("metavar", "N" if hint in {int, float} else None)
    named: dict[str, Any] = {"cls": _Option, "section": section}
    named |= {"default": field.default, "help": about, "metavar": metavar}
    if hint is bool:
        no = ["no"] if field.default else []
        flag = extra.get("flag", "--" + "-".join([*no, *words]))
        return click.option(flag, field.name, is_flag=True, flag_value=not field.default, **named)
    if get_origin(hint) is tuple:
        words[-1] = words[-1].removesuffix("s")
        hint = get_args(hint)[0]
        named |= {"multiple": True, "help": f"{about or ''} Repeatable.".strip()}
        if hint is str:
            named["metavar"] = words[-1].upper()
    named |= {"type": _type_of(hint, meta), "show_default": field.default not in {None, ()}}
    return click.option(extra.get("flag", "--" + "-".join(words)), field.name, **named)


def _type_of(hint: Any, meta: msgspec.Meta) -> Any:
    if get_origin(hint) is Literal:
        return click.Choice(get_args(hint))
    if hint == tuple[str, str]:
        return Pair()
    if (meta.extra or {}).get("metavar") == "FILE":
        return click.Path()  # the shell completes it
    if meta.ge is None and meta.le is None:
        return hint
    bounds: dict[str, Any] = {"min": meta.ge, "max": meta.le}
    return click.IntRange(**bounds) if hint is int else click.FloatRange(**bounds)


def _abouts(kind: type[Any]) -> dict[str, str]:
    """Return what the numpydoc Attributes of a class say of each of its fields."""
    _, _, section = (inspect.getdoc(kind) or "").partition("Attributes\n----------\n")
    abouts: dict[str, str] = {}
    names: list[str] = []
    for line in section.partition("\n\n")[0].splitlines():
        if line.startswith(" "):
            said = line.strip().replace("`", "")
            abouts |= {name: f"{abouts.get(name, '')} {said}".strip() for name in names}
        else:
            names = line.split(", ")
    return abouts


class Pair(click.ParamType[tuple[str, str]]):
    """The value of an option like ``--column``: a name, and the field that it is from."""

    name = "NAME=FIELD"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        """Split it; a name alone is also its field."""
        name, sign, field = value.partition("=")
        if not name or (sign and not field):
            self.fail(f"{value!r} is not NAME=FIELD", param, ctx)
        return name, field or name
