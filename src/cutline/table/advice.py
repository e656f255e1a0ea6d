"""What helps where almost all sidecars are rejected for one reason: found by trying it on some.

The wrong dialect is the usual cause. So what is advised has given rows where it was tried.
"""

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import pyarrow.compute as pc

from cutline.errors import CutlineError
from cutline.plan import Receipt, plan_file
from cutline.record import Reject, Row, Rules, judging, naming, texts
from cutline.table import part_files
from cutline.table.part_files import CompileContext

TRIED: Final = 50
"""Sidecars that advice is tried on."""

DEPTH: Final = 3
"""Levels of a record in which fields are looked for."""

TELLING: Final = ("caption", "description", "text", "prompt", "value", "title", "tags")
"""What the names of caption fields hold, the best first."""

OF_FIELDS: Final = {
    *("no_width", "bad_width", "bad_height", "no_image_name", "bad_image_name"),
    *("no_caption", "bad_caption"),
}
"""The reasons that other fields may help against."""


def advice(
    context: CompileContext, parts: Sequence[plan_file.Part], receipts: list[Receipt], reason: str
) -> str:
    """Return which fields the rejected records have, and the options that help, in a sentence.

    It is empty where no other field could help.
    """
    holder = next((one for one in receipts if reason in one.rejects), None)
    if holder is None or reason not in OF_FIELDS:
        return ""
    records = list(_rejected(context, parts[holder.index], holder, reason))
    if not records:
        return ""
    counts = Counter(name for _, record in records for name in record)
    names = ", ".join(texts.shown(name)[1:-1] for name, _ in counts.most_common(20)) or "no fields"
    helps = _options(records, context.options.rules) or (
        "name what you need of them with --image-field, --width-field, --height-field and"
        " --caption-field"
    )
    return f"The records have {names}: {helps}"


def _rejected(
    context: CompileContext, part: plan_file.Part, receipt: Receipt, reason: str
) -> Iterator[tuple[bytes, dict[str, Any]]]:
    rejects = part_files.read_rejects(context.files, receipt)
    rejects = rejects.filter(pc.equal(rejects["reason"], reason)).slice(0, TRIED)
    try:
        for path, data, _ in context.source.read(part.lines().take(rejects["position"])):
            held = data.data if isinstance(data, judging.Pictured) else data
            record = held if isinstance(held, Reject) else judging.parse(held)
            if not isinstance(record, Reject):
                yield path, record
    except CutlineError:  # they are not there any more
        return


def _options(records: list[tuple[bytes, dict[str, Any]]], rules: Rules) -> str:
    for name in judging.DIALECTS:
        if _helps(replace(rules, dialect=name), records):
            return f"add --dialect {name}"
    added: dict[str, str] = {}
    for _ in range(len(OF_FIELDS)):
        reasons = Counter(_reason(path, record, rules) for path, record in records)
        more = _mend(reasons.most_common(1)[0][0], records[0][1])
        if not more or more.keys() & added.keys():
            break
        added |= more
        rules = replace(rules, **{name: _value(name, text) for name, text in more.items()})
    if not added or not _helps(rules, records):
        return ""
    return f"add {' '.join(_option(name, text) for name, text in added.items())}"


def _helps(rules: Rules, records: list[tuple[bytes, dict[str, Any]]]) -> bool:
    rows = sum(_reason(path, record, rules) == "" for path, record in records)
    return 2 * rows > len(records)


def _reason(path: bytes, record: dict[str, Any], rules: Rules) -> str:
    """Return why a record gives no row by some rules, if its image is there; empty if it does."""
    image = path[: -len(".json")] if naming.is_image(path[: -len(".json")]) else path + b".jpg"
    size = (1, 1) if rules.measure else None
    outcome = judging.judge_record(path, record, rules, judging.Beside(image, size))
    return "" if isinstance(outcome, Row) else outcome.reason


def _mend(reason: str, record: Mapping[str, Any]) -> dict[str, str]:
    """Return the options of fields that may help against a reason, by their names in `Rules`."""
    leaves = dict(_leaves(record))
    if reason in {"no_caption", "bad_caption"}:
        found = [name for name, value in leaves.items() if isinstance(value, str)]
        named = (name for part in TELLING for name in found if part in name.lower())
        return {"caption_fields": name} if (name := next(named, "")) else {}
    if reason in {"no_image_name", "bad_image_name"}:
        name = next((name for name, value in leaves.items() if _is_image_name(value)), "")
        return {"image_field": name} if name else {"image_beside": ""}
    if not reason.endswith(("_width", "_height")):
        return {}
    edges = {
        f"{edge}_field": name
        for edge in ("width", "height")
        for name, value in leaves.items()
        if edge in name.lower() and isinstance(value, int)
    }
    return edges if len(edges) == 2 else {"measure": ""}


def _leaves(value: Any, name: str = "", depth: int = DEPTH) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Yield what is in a record, by ways as a field may go them."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for step, inner in inside:
        way = f"{name}.{step}" if name else str(step)
        if isinstance(inner, list) and inner and isinstance(inner[0], str):
            yield way, inner[0]
        elif isinstance(inner, dict | list) and depth:
            yield from _leaves(inner, way, depth - 1)
        else:
            yield way, inner


def _is_image_name(value: object) -> bool:
    return isinstance(value, str) and "/" not in value and naming.is_image(value.encode())


def _value(name: str, text: str) -> Any:  # noqa: ANN401
    return (text,) if name == "caption_fields" else text or True


def _option(name: str, text: str) -> str:
    flag = "--" + name.removesuffix("s").replace("_", "-")
    return f"{flag} {shlex.quote(text)}" if text else flag
