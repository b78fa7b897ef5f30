r"""`LLM_PARAMS`: what is laid over requests that name a model, as one line of the environment.

Owns its grammar and the types of values. Does not own what is done with a group (engine/orders.py).

    LLM_PARAMS = group *(";" group)
    group      = "model=" NAME *("," KEY "=" VALUE)

A value ends at the next comma or semicolon, and may hold `=`. An empty value and `null` are sent as JSON null. Names of
models are compared exactly; the later group of a name replaces the earlier one. The group `default` is for requests
that name no model. Options are for the gateway and are not sent. What is wrong is left out, or sent as text, with a
warning: this line was written for programs that never refused to start.
"""

import re
from collections.abc import Callable

import msgspec

from trunkline.config.levels import Group
from trunkline.config.values import number_of
from trunkline.policy.overrides import Overrides

_FLOATS = frozenset(("temperature", "top_p", "presence_penalty", "frequency_penalty", "repetition_penalty"))
_INTS = frozenset(
    ("top_k", "max_tokens", "n", "seed", "num_ctx", "num_predict", "repeat_last_n", "batch_size")
)
_BOOLS = frozenset(("echo", "stream", "mirostat"))
_REFUSED = {
    "model": "`upstream_model_name` says which model is asked for instead",
    "messages": "`append_to_last_user_message` adds to them",
}
_FILTER, _START, _END = "enable_think_tag_filtering", "think_tag_start", "think_tag_end"
_FALSE = frozenset(("false", "0", "no", "off"))
_OPTIONS = frozenset(("upstream_model_name", "append_to_last_user_message", _FILTER, _START, _END))
_NAME = "model="
_ESCAPE = re.compile(r"\\([nrt\\])")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}

Warn = Callable[[str], None]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(msgspec.Raw).decode


def parse_groups(text: str, warn: Warn) -> dict[str, Group]:
    """The groups by the model they are for."""
    groups: dict[str, Group] = {}
    for at, item in enumerate(text.split(";"), 1):
        entry = item.strip()
        if not entry:
            continue
        first, *rest = entry.split(",")
        name = first.removeprefix(_NAME).strip()
        if not first.startswith(_NAME) or not name:
            # Not shown: it may be anything, a secret that was pasted into the wrong variable.
            warn(f"group {at} does not begin with `model=NAME`; it is left out")
            continue
        groups.pop(name, None)
        groups[name] = _group(name, rest, warn)
    return groups


def _group(name: str, items: list[str], warn: Warn) -> Group:
    options: dict[str, str] = {}
    force: dict[str, msgspec.Raw] = {}
    for at, item in enumerate(items, 1):
        key, equals, value = item.partition("=")
        key = key.strip()
        if not equals or not key:
            if item.strip():
                # Not shown: it may be a secret, or the end of one that held a comma.
                lacks = "name in front of its `=`" if equals else "`=`"
                warn(f"`{name}`: item {at} behind the name has no {lacks}; it is left out")
        elif key in _OPTIONS:
            options[key] = value
        elif key in _REFUSED:
            warn(f"`{name}`: `{key}` is left out: {_REFUSED[key]}")
        else:
            force[key] = msgspec.Raw(_value(name, key, value, warn))
    filters = options.get(_FILTER, "").strip()
    for one, other in ((_START, _END), (_END, _START)):
        if options.get(one) == "" and options.get(other):
            warn(f"`{name}`: `{one}` is empty beside a `{other}`, so the usual tag holds; write both or none")
    return Group(
        overrides=Overrides(force, append=_unescaped(options.get("append_to_last_user_message", ""))),
        upstream=options.get("upstream_model_name", "").strip(),
        filters=_truth(name, _FILTER, filters, warn) if filters else None,
        start=options.get(_START, ""),
        end=options.get(_END, ""),
    )


def _value(name: str, key: str, text: str, warn: Warn) -> bytes:
    """A value as JSON."""
    bare = text.strip()
    if bare.lower() in ("", "null"):
        return b"null"
    if key in _BOOLS:
        return b"true" if _truth(name, key, bare, warn) else b"false"
    number = number_of(bare)
    if key in _FLOATS and number:
        return number if set(number) & set(b".eE") else number + b".0"
    if key in _INTS and number and not set(number) & set(b".eE"):
        return number
    if key in _FLOATS | _INTS:
        kind = "number" if key in _FLOATS else "whole number"
        warn(f"`{name}`: `{key}={bare[:60]}` is no {kind}; it is sent as text")
        return _encode(text)
    # `007` and `+49` are no numbers to anybody who wrote them.
    if number and (number == bare.encode() or bare.lstrip("-").startswith(".")):
        return number
    if bare.lower() in ("true", "false"):
        return bare.lower().encode()
    try:
        return bytes(_decode(bare))
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return _encode(text)


def _truth(name: str, key: str, bare: str, warn: Warn) -> bool:
    """Whether a value is `true`; nothing else ever was."""
    word = bare.lower()
    if word != "true" and word not in _FALSE:
        warn(
            f"`{name}`: `{key}={bare[:60]}` is neither true nor false; it is taken for false, write one of them"
        )
    return word == "true"


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPES[match[1]], text)
