"""What `trunkline explain` prints: the answers of the admin port as text that can be read at night.

Owns the layout. Does not own the words for reasons and failures, which the gateway and engine/explain_words.py have.
"""

from collections.abc import Sequence
from typing import Any

from trunkline.engine.explain_words import AGAINST, fault_words, seconds_words

_Object = dict[str, Any]


def call_lines(call: _Object) -> list[str]:
    """One finished call."""
    said = f"{call['surface']}, {'streamed, ' if call['streamed'] else ''}model `{call['model']}`"
    lines = [
        f"call {call['id']}",
        f"  came      {call['at'].replace('T', ' ').replace('Z', ' UTC')}, {seconds_words(call['ago'])} ago",
        f"  asked     {said}, with key {call['key'] or '-'}",
    ]
    if call["led"]:
        lines.append(f"  led       by {call['led']} to `{call['route']}`")
    elif call["pin"]:
        lines.append(f"  pinned    to {call['pin']}")
    lines.append(
        f"  took      {seconds_words(call['seconds'])}, {call['bytes_in']} bytes in, {call['bytes_out']} out"
    )
    if call["usage"] is not None:
        lines.append(f"  used      {_usage(call['usage'])}")
    if call["candidates"]:
        of = f" (scores: {call['scores']})" if call["scores"] else ""
        lines += ["", f"candidates when it came{of}", *_candidates(call["candidates"])]
    if call["attempts"]:
        lines += ["", "attempts"]
        for number, attempt in enumerate(call["attempts"], start=1):
            lines += _attempt(number, attempt)
    if call["evicted"]:
        lines += ["", f"left out of the request: {call['evicted']}"]
    lines += ["", call["ending"], *(f"note: {remark}" for remark in call["remarks"])]
    return lines


def request_lines(told: _Object) -> list[str]:
    """What would happen to a request."""
    lines = [f"{told['surface']}, model `{told['model']}`, with key {told['key']}"]
    if told["led"]:
        lines.append(f"led by {told['led']} to `{told['route']}`")
    if told["pin"]:
        lines.append(f"only {told['pin']} may be asked")
    asked: _Object = told["needs"] or {}
    needs = [name for name, wanted in asked.items() if wanted is True]
    if needs:
        lines.append(f"needs {', '.join(needs)}")
    if told["candidates"]:
        lines += ["", "candidates now", *_candidates(told["candidates"])]
    first, refused = told["first"], told["refused"]
    if first is not None:
        draw = "; chance may draw another" if first["by_chance"] else ""
        lines += ["", f"asked first: {first['backend']}, model `{first['target']}`: {first['why']}{draw}"]
        lines += [f"  changed for it: {change}" for change in first["changes"]]
    if refused is not None:
        lines += ["", f"the client would get {refused['status']} ({refused['code']}): {refused['message']}"]
    return lines


def _attempt(number: int, attempt: _Object) -> list[str]:
    what = "ok" if not attempt["fault"] else f"{attempt['fault']}: {fault_words(attempt['fault'])}"
    status = f"{attempt['status']} " if attempt["status"] else ""
    begin = f"{number:3}. after {seconds_words(attempt['after'])}: {attempt['backend']}, model `{attempt['model']}`"
    first = attempt["first_byte"]
    byte = "" if first is None else f", first byte after {seconds_words(first)}"
    lines = [begin, f"     {status}{what}; took {seconds_words(attempt['seconds'])}{byte}"]
    if attempt["why"]:
        lines.insert(1, f"     why: {attempt['why']}")
    lines += [f"     changed: {note}" for note in attempt["notes"]]
    if attempt["fault"] and attempt["usage"] is not None:
        lines.append(f"     used: {_usage(attempt['usage'])}")
    elif attempt["maybe_billed"]:
        lines.append(f"     perhaps billed: about {attempt['maybe_billed']} tokens")
    return lines


_OF_PROMPT = (
    ("cached_tokens", "cached"),
    ("cache_write_tokens", "written to the cache"),
    ("prompt_audio_tokens", "audio"),
)
_OF_COMPLETION = (("reasoning_tokens", "reasoning"), ("completion_audio_tokens", "audio"))


def _usage(usage: _Object) -> str:
    """Tokens, what they were of, and the upstream's own figure for the costs."""
    prompt = f"{usage['prompt_tokens']}{_parts(usage, _OF_PROMPT)}"
    tokens = f"{prompt} + {usage['completion_tokens']}{_parts(usage, _OF_COMPLETION)} tokens"
    if usage["source"] == "estimated":
        tokens = f"about {tokens}: an estimate, for the upstream did not say"
    elif usage["source"] == "timings":
        tokens += ", from the upstream's timings"
    cost = usage["cost"]
    return tokens if cost is None else f"{tokens}, for which the upstream charges ${cost:.6f}"


def _parts(usage: _Object, names: Sequence[tuple[str, str]]) -> str:
    found = [f"{usage[field]} {words}" for field, words in names if usage[field]]
    return f" ({', '.join(found)})" if found else ""


def _candidates(candidates: Sequence[_Object]) -> list[str]:
    rows = [("tier", "model", "strategy", "backend", "model there", "score", "state")]
    for one in candidates:
        score = "-" if one["score"] is None else f"{one['score']:g}"
        state = AGAINST.get(one["against"], one["against"]) or "nothing against it"
        names = (one["model"], one["strategy"], one["backend"], one["target"])
        rows.append((str(one["tier"]), *names, score, state))
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]) - 1)]
    return [
        "  " + "  ".join((*(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]))
        for row in rows
    ]
