"""A whole answer of /responses or of /messages as the events that tell it.

Owns which events there are and their order: that of OpenAI's reference, and of
https://docs.anthropic.com/en/docs/build-with-claude/streaming. Does not own the surfaces of chat (unfold.py).

Each text is told in one delta. What has no deltas of its own goes with the event that its item, or block, begins with.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from trunkline.streams.raw import items_of, kind_of, object_of, raw_of, text_of
from trunkline.wire.openai import ABSENT, present

_FINAL = ("completed", "incomplete", "failed")
_LATER = ("usage", "error", "incomplete_details", "completed_at")
"""Fields of a response that are null until it is done."""
_EMPTY = msgspec.Raw(b'""')
_EMPTY_LIST = msgspec.Raw(b"[]")
_NULL = msgspec.Raw(b"null")

_PARTS = {
    "output_text": ("text", "response.output_text"),
    "reasoning_text": ("text", "response.reasoning_text"),
    "refusal": ("refusal", "response.refusal"),
}
"""By type of a part of content: the field that is its text, and the event that tells it."""
_ITEMS = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
    "mcp_call": ("arguments", "response.mcp_call_arguments"),
}
"""By type of an item: the same."""

_Object = dict[str, msgspec.Raw]
Events = list[tuple[str, dict[str, Any]]]
"""Names of events, and their data."""


def responses_events(fields: _Object) -> Events | None:
    """The events of an answer of /responses; None if it is none, or not final."""
    status = text_of(fields.get("status", msgspec.Raw(b'"completed"')))
    if kind_of(fields.get("output", ABSENT)) != b"[" or status not in _FINAL:
        return None
    begun = fields | dict.fromkeys([name for name in _LATER if name in fields], _NULL)
    begun |= {"status": raw_of("in_progress"), "output": _EMPTY_LIST}
    events: Events = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
    ]
    for place, raw in enumerate(items_of(fields["output"])):
        events += _item(object_of(raw), place, raw)
    events.append((f"response.{status}", {"response": fields}))
    return [
        (name, {"type": name, "sequence_number": number} | data) for number, (name, data) in enumerate(events)
    ]


def _item(item: _Object, place: int, whole: msgspec.Raw) -> Iterator[tuple[str, dict[str, Any]]]:
    begun = dict(item)
    if "status" in item:
        begun["status"] = raw_of("in_progress")
    kind = text_of(item.get("type", ABSENT))
    where: dict[str, Any] = {"item_id": item.get("id", _EMPTY), "output_index": place}
    told: Events = []
    if kind in ("message", "reasoning"):
        for name in ("summary", "content"):
            if kind_of(item.get(name, ABSENT)) == b"[":
                begun[name] = _EMPTY_LIST
                tell = _summary if name == "summary" else _part
                for index, part in enumerate(items_of(item[name])):
                    told += tell(object_of(part), where | {f"{name}_index": index}, part)
    elif kind in _ITEMS:
        name, event = _ITEMS[kind]
        text = item.get(name, _EMPTY)
        begun[name] = _EMPTY
        told += [(f"{event}.delta", where | {"delta": text}), (f"{event}.done", where | {name: text})]
    yield "response.output_item.added", {"output_index": place, "item": begun}
    yield from told
    yield "response.output_item.done", {"output_index": place, "item": whole}


def _part(part: _Object, where: dict[str, Any], whole: msgspec.Raw) -> Iterator[tuple[str, dict[str, Any]]]:
    """One part of content."""
    field, event = _PARTS.get(text_of(part.get("type", ABSENT)), ("", ""))
    begun = dict(part)
    told: Events = []
    if field in part:
        begun[field] = _EMPTY
        more: dict[str, Any] = {}
        if event == "response.output_text":
            logprobs = part.get("logprobs", ABSENT)
            more["logprobs"] = logprobs if kind_of(logprobs) == b"[" else _EMPTY_LIST
            begun |= dict.fromkeys(("annotations", "logprobs"), _EMPTY_LIST)
        told.append((f"{event}.delta", where | {"delta": part[field]} | more))
        told += [
            (f"{event}.annotation.added", where | {"annotation_index": index, "annotation": annotation})
            for index, annotation in enumerate(items_of(part.get("annotations", ABSENT)))
        ]
        told.append((f"{event}.done", where | {field: part[field]} | more))
    yield "response.content_part.added", where | {"part": begun}
    yield from told
    yield "response.content_part.done", where | {"part": whole}


def _summary(
    part: _Object, where: dict[str, Any], whole: msgspec.Raw
) -> Iterator[tuple[str, dict[str, Any]]]:
    """One part of what a reasoning comes to."""
    text = part.get("text", _EMPTY)
    event = "response.reasoning_summary"
    yield f"{event}_part.added", where | {"part": part | {"text": _EMPTY}}
    yield f"{event}_text.delta", where | {"delta": text}
    yield f"{event}_text.done", where | {"text": text}
    yield f"{event}_part.done", where | {"part": whole}


def messages_events(fields: _Object) -> Events | None:
    """The events of an answer of /messages; None if it is none."""
    if text_of(fields.get("type", ABSENT)) != "message" or kind_of(fields.get("content", ABSENT)) != b"[":
        return None
    usage = object_of(fields.get("usage", ABSENT))
    ended = {name: raw for name, raw in fields.items() if name.startswith("stop_")}
    # What was read is told first, what was written in the end.
    written = {name: raw for name, raw in usage.items() if name.startswith(("output_", "server_tool_use"))}
    read = {name: raw for name, raw in usage.items() if name not in written} | {"output_tokens": 0}
    begun = fields | dict.fromkeys(ended, _NULL) | {"content": _EMPTY_LIST, "usage": read}
    events: Events = [("message_start", {"message": begun})]
    for index, raw in enumerate(items_of(fields["content"])):
        events += [(name, {"index": index} | data) for name, data in _block(object_of(raw))]
    events.append(("message_delta", {"delta": ended, "usage": {"output_tokens": 0} | written}))
    events.append(("message_stop", {}))
    return [(name, {"type": name} | data) for name, data in events]


def _block(block: _Object) -> Iterator[tuple[str, dict[str, Any]]]:
    kind = text_of(block.get("type", ABSENT))
    begun = dict(block)
    deltas: list[dict[str, Any]] = []
    if kind == "text":
        if citations := items_of(block.get("citations", ABSENT)):
            begun["citations"] = _EMPTY_LIST
            deltas += [{"type": "citations_delta", "citation": citation} for citation in citations]
        deltas.append({"type": "text_delta", "text": block.get("text", _EMPTY)})
        begun["text"] = _EMPTY
    elif kind == "thinking":
        for name in ("thinking", "signature"):
            if present(block.get(name, ABSENT)):
                deltas.append({"type": f"{name}_delta", name: block[name]})
                begun[name] = _EMPTY
    elif kind.endswith("tool_use") and kind_of(block.get("input", ABSENT)) == b"{":
        deltas.append({"type": "input_json_delta", "partial_json": bytes(block["input"]).decode()})
        begun["input"] = msgspec.Raw(b"{}")
    yield "content_block_start", {"content_block": begun}
    for delta in deltas:
        yield "content_block_delta", {"delta": delta}
    yield "content_block_stop", {}
