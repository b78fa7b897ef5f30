"""Chat answers as streams, for the tests of what is joined to a cut one."""

import json
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from tests.unit.streams.events import event
from trunkline.streams.transcript import Had, Transcript


def chunk(finish: str | None = None, name: str = "first", **fields: Any) -> bytes:
    """One event of the answer `name`."""
    choice = {"index": 0, "delta": fields, "finish_reason": finish}
    return event({"id": name, "created": len(name), "model": f"m-{name}", "choices": [choice]})


def usage(name: str) -> bytes:
    return event({"id": name, "created": len(name), "model": f"m-{name}", "choices": [], "usage": {"n": 7}})


def answer(name: str, pieces: list[str], finish: str = "stop", **others: Any) -> list[bytes]:
    """A whole stream: role, text, finish_reason, usage, end."""
    return [
        chunk(name=name, role="assistant", content=""),
        *(chunk(name=name, content=piece, **others) for piece in pieces),
        chunk(finish, name),
        usage(name),
        event(b"[DONE]"),
    ]


def had(*events: bytes) -> Had:
    """What a client has that was sent these."""
    transcript = Transcript()
    for data in events:
        transcript.events(data)
    found = transcript.read()
    assert isinstance(found, Had), found
    return found


def chunks(data: bytes) -> list[dict[str, Any]]:
    """The chunks that a client sees, `[DONE]` left out."""
    lines = [line[6:] for line in data.decode().split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def text_of(data: bytes, field: str = "content") -> str:
    """The text that a client has in the end."""
    deltas = [choice["delta"] for value in chunks(data) for choice in value["choices"]]
    return "".join(delta.get(field) or "" for delta in deltas)


@st.composite
def split(draw: st.DrawFn, text: str) -> list[str]:
    """A text in pieces of any length."""
    places = draw(st.lists(st.integers(0, len(text)), max_size=8))
    return [text[start:end] for start, end in pairwise(sorted({0, *places, len(text)}))]
