"""Directly and through the gateway, a real server says the same: content, tool calls, finish_reason, usage, errors."""

import base64
import json
from typing import Any

import pytest

from tests.e2e.servers.conftest import Pair
from tests.e2e.servers.meaning import check_form, streamed, whole
from tests.e2e.servers.requests import CHAT, HI, LETTERS, REFUSED, REQUESTS

pytestmark = [pytest.mark.llama, pytest.mark.timeout(1200)]

# With and without `include_usage`, or nothing said of it.
STREAMS = [(name, None) for name in REQUESTS] + [
    (name, usage) for name in ("chat", "text", "two choices") for usage in (True, False)
]


@pytest.mark.parametrize("name", REQUESTS)
def test_a_whole_answer(name: str, pair: Pair) -> None:
    path, body = REQUESTS[name]
    direct, through = pair.ask(path, body)
    assert (direct.status != 200) == (name in pair.kind.refuses), direct
    assert (through.status, through.content_type) == (direct.status, direct.content_type)
    if direct.status == 200:
        assert whole(through) == whole(direct)
    else:
        assert through.body == direct.body


@pytest.mark.parametrize(("name", "usage"), STREAMS)
def test_a_stream(name: str, usage: bool | None, pair: Pair) -> None:
    path, body = REQUESTS[name]
    asked = {"stream": True} | ({} if usage is None else {"stream_options": {"include_usage": usage}})
    direct, through = pair.ask(path, body | asked)
    assert (direct.status != 200) == (name in pair.kind.refuses), direct
    assert (through.status, through.content_type.partition(";")[0]) == (
        direct.status,
        direct.content_type.partition(";")[0],
    )
    if direct.status != 200:
        assert through.body == direct.body
        return
    check_form(through, usage=bool(usage))
    assert streamed(through).choices == streamed(direct).choices
    if usage:
        assert streamed(through).usage == streamed(direct).usage


def test_letters_of_all_lengths(pair: Pair) -> None:
    if not pair.kind.grammar:
        pytest.skip("this server cannot be told what to say")
    body = {"messages": HI, "max_tokens": 80} | pair.kind.held_to(f'root ::= "{LETTERS}" [0-9] "!"')
    whole_direct, whole_through = pair.ask(CHAT, body)
    assert whole(whole_direct).text.startswith(LETTERS)
    assert whole(whole_through) == whole(whole_direct)
    direct, through = pair.ask(CHAT, body | {"stream": True})
    check_form(through, usage=False)
    assert streamed(through).choices == streamed(direct).choices == whole(whole_direct).choices


@pytest.mark.parametrize("form", ["float", "base64"])
def test_embeddings(form: str, pair: Pair) -> None:
    if not pair.kind.embeddings:
        pytest.skip("this server was not started for embeddings")
    body = {"input": ["one", "two 🙂"], "encoding_format": form}
    direct, through = (json.loads(answer.body) for answer in pair.ask("/v1/embeddings", body))
    assert [row["index"] for row in through["data"]] == [0, 1]
    assert _numbers(through) == _numbers(direct)
    assert through["usage"] == direct["usage"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_passed_on_as_it_is(name: str, stream: bool, pair: Pair) -> None:
    if name in pair.kind.takes:
        pytest.skip("this server takes it, and its time")
    # Of a stream the gateway asks for its usage, and some servers tell how many fields they got.
    streaming = {"stream": True, "stream_options": {"include_usage": True}}
    direct, through = pair.ask(CHAT, REFUSED[name] | {"max_tokens": 4} | (streaming if stream else {}))
    if direct.status == 200:
        pytest.skip("this server takes it")
    assert through == direct


def _numbers(answer: dict[str, Any]) -> list[Any]:
    rows = [row["embedding"] for row in answer["data"]]
    return [base64.b64decode(row) if isinstance(row, str) else row for row in rows]
