"""What a fault is, and the grammar in which one is asked for.

Owns `Fault` (a frozen value: everything that shall go wrong with one answer) and its text form. Does not own what
the faults do to an answer: `script.py` (bytes, pauses, cuts) and the surfaces (texts, usage).

    spec  = item *( ";" item )
    item  = name [ "=" value ]          spaces around an item are ignored, values are percent-decoded
    model = name [ "!" spec ]           as in  sim-small!status=503;retry_after=2

`ITEMS` is the whole vocabulary; docs/simulator.md lists it for people, and a test compares the two.
"""

import math
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from trunkline.simulator.error_forms import FORMS, usual_status

MARK: Final = "!"
"""Divides a model's name from a spec. No model hub allows it in a name and it means nothing in a glob or a path."""

FOREVER: Final = math.inf
_UNITS: Final = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


class SpecError(Exception):
    """A spec that cannot be understood: `item` is the part that is wrong, `str()` says why."""

    def __init__(self, item: str, why: str) -> None:
        super().__init__(f"x-sim-fault item `{item}`: {why}")
        self.item = item


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong with one answer; the default goes right. Each field is the item of the same name."""

    # Which requests are hit.
    times: int | None = None
    rate: float | None = None
    # Another answer.
    status: int | None = None
    body: str | None = None
    error_form: int | None = None
    message: str | None = None
    code: str | None = None
    credential: str | None = None
    window: int | None = None
    models: str | None = None
    header: str | None = None
    retry_after: str | None = None
    redirect: str | None = None
    bytes: int | None = None
    bulk: int | None = None
    empty_stream: bool = False
    # Another content.
    words: int | None = None
    text: str | None = None
    reasoning: str | None = None
    tools: int | None = None
    prefill: str | None = None
    big_event: int | None = None
    usage: str | None = None
    sloppy: str | None = None
    no_done: bool = False
    no_finish: bool = False
    malformed_event: int | None = None
    error_event: int | None = None
    # Time.
    delay_head: float | None = None
    delay_chunk: float | None = None
    stall: float | None = None
    stall_after: int | None = None
    comments: float | None = None
    # The end of the connection.
    after: int | None = None
    reset: str | None = None
    close: str | None = None
    lying_length: int | None = None
    broken_chunk: bool = False
    # Another form on the wire.
    drip: bool = False
    crlf: bool = False
    http10: bool = False
    no_length: bool = False
    chunked: bool = False
    interim: int | None = None
    gzip: bool = False


HEALTHY: Final = Fault()

MODEL_LISTS: Final = (
    *("openai", "ollama", "list", "name", "no_created", "no_data"),
    *("vllm", "groq", "openrouter", "llama.cpp"),
)
"""Shapes of the list of models; surfaces/listing.py has them."""


def split_model(model: str) -> tuple[str, str | None]:
    """Divide `name!spec` at the first mark: the plain name, and the spec or None."""
    name, mark, spec = model.partition(MARK)
    return name, spec if mark else None


def parse(spec: str) -> Fault:
    """Read a spec; an empty one is `HEALTHY`. Raises `SpecError`."""
    given: dict[str, str] = {}
    values: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in spec.split(";"))):
        # By a name of its own, too, for places where `=` cannot stand: error-form-7.
        name, equals, text = re.sub(r"^error-form-(?=\d)", "error_form=", item).partition("=")
        if name not in ITEMS:
            raise SpecError(item, f"unknown; there are {', '.join(ITEMS)}")
        if name in given:
            raise SpecError(item, "given twice")
        given[name] = item
        values[name] = _convert(item, ITEMS[name], unquote(text) if equals else None)
    _check(given, values)
    return Fault(**_expand(values))


class _Wrong(Exception):
    """A value a converter cannot take; `str()` says what it wants."""


Converter = Callable[[str | None], Any]


def _convert(item: str, converter: Converter, text: str | None) -> Any:
    try:
        return converter(text)
    except _Wrong as wrong:
        raise SpecError(item, f"wants {wrong}") from None


def _check(given: dict[str, str], values: dict[str, Any]) -> None:
    """Refuse items that contradict each other, or that would do nothing without another."""
    for group in _EXCLUSIVE:
        both = [name for name in given if name in group]
        if len(both) > 1:
            raise SpecError(given[both[1]], f"cannot be combined with {both[0]}")
    for name, partners in _NEEDS.items():
        if name in given and not any(partner in given for partner in partners):
            raise SpecError(given[name], f"does nothing without {' or '.join(partners)}")
    for name in ("reset", "close"):
        if "after" in given and values.get(name, "body") != "body" and "stall" not in given:
            raise SpecError(given["after"], f"does nothing with {given[name]}")


def _expand(values: dict[str, Any]) -> dict[str, Any]:
    """Replace the items that are short for others, and settle where a stall stands."""
    if values.pop("error_200", False):
        values["status"] = 200
    if "error_form" in values:
        values.setdefault("status", usual_status(values["error_form"]))
    if values.pop("role_stall", False):
        values["stall_after"] = 1
    if "stall_after" in values:
        values.setdefault("stall", FOREVER)
    return values


def _flag(text: str | None) -> bool:
    if text is not None:
        raise _Wrong("no value")
    return True


def _count(text: str | None) -> int:
    if text is None or not (text.isascii() and text.isdigit()):
        raise _Wrong("a whole number, 0 or more")
    return int(text)


def _positive(text: str | None) -> int:
    if not (number := _count(text)):
        raise _Wrong("a whole number, 1 or more")
    return number


def _size(text: str | None) -> int:
    """A number of bytes, as `2097152` or `2MiB`."""
    unit = _UNITS.get((text or "")[-3:], 1)
    return _positive(text[:-3] if text and unit > 1 else text) * unit


def _status(text: str | None) -> int:
    if not 200 <= (number := _count(text)) <= 599:
        raise _Wrong("a status from 200 to 599")
    return number


def _signed(text: str | None) -> int:
    sign, digits = (text or "")[:1], (text or "")[1:]
    if sign not in ("+", "-") or not (number := _count(digits)):
        raise _Wrong("+N or -N")
    return number if sign == "+" else -number


def _number(text: str | None, want: str) -> float:
    try:
        number = float(text or "")
    except ValueError:
        raise _Wrong(want) from None
    if not 0 <= number < math.inf:
        raise _Wrong(want)
    return number


def _probability(text: str | None) -> float:
    if (number := _number(text, "a probability from 0 to 1")) > 1:
        raise _Wrong("a probability from 0 to 1")
    return number


def _seconds(text: str | None) -> float:
    return FOREVER if text == "forever" else _number(text, "seconds, 0 or more, or `forever`")


def _stall(text: str | None) -> float:
    return FOREVER if text is None else _seconds(text)


def _comments(text: str | None) -> float:
    return 0.0 if text is None else _number(text, "seconds, 0 or more")


def _form(text: str | None) -> int:
    if not 1 <= (number := _count(text)) <= FORMS:
        raise _Wrong(f"a form from 1 to {FORMS}")
    return number


def _header(text: str | None) -> str:
    if not re.fullmatch(r"[a-z0-9-]+: ?[!-~]+(?: [!-~]+)*", text or ""):
        raise _Wrong("header: value, the header in lower case")
    return text or ""


def _text(text: str | None) -> str:
    if not text or not text.isascii() or not text.isprintable():
        raise _Wrong("printable ASCII")
    return text


def _unicode(text: str | None) -> str:
    if not text:
        raise _Wrong("a text")
    return text


def _one_of(*choices: str) -> Callable[[str | None], str]:
    def convert(text: str | None) -> str:
        if text not in choices:
            raise _Wrong(f"one of {', '.join(choices)}")
        return text

    return convert


def _interim(text: str | None) -> int:
    return int(_one_of("100", "103")(text))


ITEMS: Final[dict[str, Converter]] = {
    "times": _positive,
    "rate": _probability,
    "status": _status,
    "body": _one_of("openai", "anthropic", "string", "flat", "detail", "list", "html", "text", "empty"),
    "error_form": _form,
    "message": _text,
    "code": _text,
    "header": _header,
    "window": _positive,
    "retry_after": _text,
    "error_200": _flag,
    "redirect": _text,
    "bytes": _size,
    "bulk": _positive,
    "empty_stream": _flag,
    "credential": _header,
    "models": _one_of(*MODEL_LISTS),
    "words": _positive,
    "text": _unicode,
    "reasoning": _one_of("reasoning_content", "reasoning"),
    "tools": _positive,
    "prefill": _one_of("continue", "refuse"),
    "big_event": _size,
    "usage": _one_of("finish", "empty_choice", "whole_object", "always", "never", "cumulative"),
    "sloppy": _one_of("role", "ids", "object", "finish", "calls"),
    "no_done": _flag,
    "no_finish": _flag,
    "malformed_event": _count,
    "error_event": _count,
    "delay_head": _seconds,
    "delay_chunk": _seconds,
    "stall": _stall,
    "stall_after": _count,
    "role_stall": _flag,
    "comments": _comments,
    "after": _count,
    "reset": _one_of("accept", "head", "body"),
    "close": _one_of("before_head", "head", "body"),
    "lying_length": _signed,
    "broken_chunk": _flag,
    "drip": _flag,
    "crlf": _flag,
    "http10": _flag,
    "no_length": _flag,
    "chunked": _flag,
    "interim": _interim,
    "gzip": _flag,
}

_EXCLUSIVE: Final = (
    {"status", "error_200", "redirect", "bytes", "bulk", "empty_stream"},
    {"error_form", "body", "code"},
    {"words", "text"},
    {"error_form", "redirect", "bytes", "bulk", "empty_stream"},
    {"reset", "close", "lying_length", "broken_chunk"},
    {"lying_length", "broken_chunk", "http10", "no_length", "chunked"},
    {"stall_after", "role_stall"},
    # The length of these is not known before they are sent.
    {"lying_length", "bulk"},
    {"lying_length", "comments"},
    {"lying_length", "gzip"},
    {"bytes", "gzip"},
)
_NEEDS: Final = {
    "body": ("status", "error_200"),
    "message": ("status", "error_200", "error_form"),
    "code": ("status", "error_200"),
    "retry_after": ("status", "error_form"),
    "after": ("reset", "close", "stall", "broken_chunk"),
}
