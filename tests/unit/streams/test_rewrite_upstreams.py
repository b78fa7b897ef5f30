"""streams/rewrite.py with the recorded streams of real servers, and with the official client as the reader.

`captured/`: what each server streamed in answer to a question (`plain`), with include_usage (`usage`) and with a tool
that it had to call (`tools`).
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionChunk

from tests.unit.streams.client import Client, finishes, joined, told, usages
from tests.unit.streams.events import DONE, delta, event, rewriter
from trunkline.streams.answer import AS_IT_IS, AnswerSettings
from trunkline.streams.think import ThinkSettings
from trunkline.wire.sse import Decoder, EventSplitter

CAPTURED = Path(__file__).parent / "captured"
SERVERS = ["litellm", "llama-cpp-python", "llama-server", "transformers", "vllm", "xllamacpp"]


def captured(name: str) -> bytes:
    return (CAPTURED / f"{name}.sse").read_bytes()


def events(stream: bytes) -> list[bytes]:
    return EventSplitter().feed(stream)


def values(stream: bytes) -> list[dict[str, Any]]:
    return [json.loads(one.data) for one in Decoder().feed(stream) if one.data != b"[DONE]"]


def through(
    stream: bytes, *, include_usage: bool, settings: AnswerSettings = AS_IT_IS, estimate: bytes = b""
) -> bytes:
    """What a client gets of a stream, however it is read."""
    ways: list[Iterable[bytes]] = [
        events(stream),
        [stream],
        [stream[at : at + 7] for at in range(0, len(stream), 7)],
    ]
    given: set[bytes] = set()
    for chunks in ways:
        for held in (True, False):
            by = rewriter(settings, include_usage=include_usage)
            if estimate:
                by.estimate = lambda: estimate
            given.add(Client(by, held=held).read_all(chunks).given)
    (one,) = given
    return one


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("kind", ["plain", "usage"])
@pytest.mark.parametrize("asked", [True, False])
def test_all_servers_give_the_same(server: str, kind: str, asked: bool) -> None:
    stream = captured(f"{server}.{kind}")
    theirs = values(stream)
    chunks = told(through(stream, include_usage=asked))
    assert joined(chunks) == joined(theirs) != ""
    assert finishes(chunks) == [(0, "length")]
    said = [usage for one in theirs if (usage := one.get("usage"))]
    assert usages(chunks) == (said if asked else [])
    assert len(said) == (1 if server == "transformers" or (kind == "usage" and "python" not in server) else 0)
    if usages(chunks):
        assert (chunks[-1]["choices"], chunks[-1]["usage"]) == ([], said[0])
    assert all(one["choices"] for one in chunks if not one.get("usage"))
    roles = [choice["delta"].get("role") for one in chunks for choice in one["choices"]]
    assert (roles[0], set(roles[1:])) == ("assistant", {None})
    first = {key: theirs[0][key] for key in ("id", "created", "model", "object")}
    assert all({key: one[key] for key in first} == first for one in chunks)


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("llama-server.plain", False),
        ("llama-server.plain", True),
        ("llama-server.usage", True),
        ("vllm.plain", False),
        ("vllm.plain", True),
        ("vllm.usage", True),
        ("vllm.tools", True),
        ("llama-cpp-python.plain", False),
        ("llama-cpp-python.usage", True),
        ("litellm.plain", True),
    ],
)
def test_a_stream_that_is_as_it_should_be_keeps_its_bytes(name: str, asked: bool) -> None:
    stream = captured(name)
    assert through(stream, include_usage=asked) == stream
    thinks = AnswerSettings(think=ThinkSettings())
    assert through(stream, include_usage=asked, settings=thinks) == stream


@pytest.mark.parametrize("server", ["llama-server", "vllm", "litellm"])
def test_of_a_usage_chunk_that_nobody_asked_for_nothing_is_left(server: str) -> None:
    stream = captured(f"{server}.usage")
    rest = [one for one in events(stream) if b'"usage":{' not in one]
    given = events(through(stream, include_usage=False))
    if server == "llama-server":
        (counted,) = [value for one in events(stream) if b'"usage":{' in one for value in values(one)]
        (timed,) = values(given.pop(-2))
        assert timed["timings"] == counted["timings"]  # where nobody asks for usage, the last chunk has them
        assert timed["choices"] == [{"index": 0, "delta": {}, "finish_reason": None}]
    assert given == rest


def test_only_what_must_change_is_changed() -> None:
    asked = events(through(captured("litellm.usage"), include_usage=True))
    theirs = events(captured("litellm.usage"))
    assert [at for at, (one, two) in enumerate(zip(asked, theirs, strict=True)) if one != two] == [8]
    assert {**values(asked[8])[0], "choices": [{"index": 0, "delta": {}}]} == values(theirs[8])[0]
    # transformers counts with the finish_reason, dates its chunks anew each second, and says no [DONE]
    stream = captured("transformers.usage")
    *kept, usage, done = events(through(stream, include_usage=True))
    theirs = values(stream)
    expected = [{**one, "created": theirs[0]["created"]} for one in theirs]
    expected[-1]["usage"] = None
    assert [values(one)[0] for one in kept] == expected
    same = [one == two for one, two in zip(kept, events(stream), strict=True)]
    assert same == [one["created"] == theirs[0]["created"] and "usage" not in one for one in theirs]
    assert True in same
    assert (values(usage)[0]["choices"], done) == ([], DONE)


def test_mlx_calls_its_usage_chunk_another_object() -> None:
    head = {"id": "c", "created": 1, "model": "m"}
    word = {"index": 0, "delta": {"role": "assistant", "content": "a"}, "finish_reason": None}
    end = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": "stop"}
    counts = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    stream = [
        event({**head, "object": "chat.completion.chunk", "choices": [choice]})
        for choice in (word, word, end)
    ]
    odd = event({**head, "object": "chat.completion", "choices": [], "usage": counts})
    given = through(b"".join([*stream, odd, DONE]), include_usage=True)
    assert given == b"".join([*stream, odd.replace(b"completion", b"completion.chunk", 1), DONE])


def test_a_server_that_never_counts_is_estimated() -> None:
    stream = captured("llama-cpp-python.usage")
    guess = b'{"prompt_tokens":33,"completion_tokens":6,"total_tokens":39,"estimated":true}'
    given = through(stream, include_usage=True, estimate=guess)
    assert given.startswith(stream.removesuffix(DONE))
    assert usages(told(given)) == [json.loads(guess)]
    assert through(stream, include_usage=False, estimate=guess) == stream


def test_counts_that_grow_with_each_chunk_are_collapsed() -> None:
    """As xAI, NVIDIA and vLLM with continuous_usage_stats tell them."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    stream = b""
    for count in range(6):
        choice: dict[str, Any] = {"index": 0, "delta": {"content": "x"}, "finish_reason": None}
        if count == 0:
            choice["delta"] = {"role": "assistant", "content": ""}
        elif count == 5:
            choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
        stream += event(
            {**head, "choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": count}}
        )
    for tail in (
        b"",
        event({**head, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}) + DONE,
    ):
        chunks = told(through(stream + tail, include_usage=True))
        assert usages(chunks) == [{"prompt_tokens": 9, "completion_tokens": 5}]
        assert [one["usage"] for one in chunks[:-1]] == [None] * 6
        chunks = told(through(stream + tail, include_usage=False))
        assert (joined(chunks), usages(chunks)) == ("xxxx", [])


# the official client


def sdk(given: bytes) -> OpenAI:
    """OpenAI's client, behind which an upstream's stream was rewritten."""
    headers = {"content-type": "text/event-stream; charset=utf-8"}
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, headers=headers, content=given))
    return OpenAI(base_url="http://gateway/v1", api_key="k", http_client=httpx2.Client(transport=transport))


def read_by_sdk(given: bytes) -> list[ChatCompletionChunk]:
    with sdk(given) as client, client.chat.completions.create(model="m", messages=[], stream=True) as stream:
        return list(stream)


@pytest.mark.parametrize("server", SERVERS)
def test_the_official_client_reads_each(server: str) -> None:
    theirs = captured(f"{server}.usage")
    chunks = read_by_sdk(through(theirs, include_usage=True))
    texts = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(texts) == joined(values(theirs))
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "length"
    assert len({(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks}) == 1
    counted = [chunk.usage.total_tokens for chunk in chunks if chunk.usage is not None]
    assert counted == ([] if "python" in server else [39])


CALLS = [
    delta(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}]),
    delta(tool_calls=[{"index": 0, "id": "b", "function": {"name": "g", "arguments": '{"y"'}}]),
    delta(tool_calls=[{"index": 0, "id": "b", "type": None, "function": {"name": "g", "arguments": ":2}"}}]),
    delta(tool_calls=[]),
    delta("tool_calls", content="<think>so</think>done"),
]


def test_the_official_client_joins_what_was_mended() -> None:
    given = through(b"".join(CALLS), include_usage=True, settings=AnswerSettings(think=ThinkSettings()))
    with sdk(given) as client, client.chat.completions.stream(model="m", messages=[]) as stream:
        completion = stream.get_final_completion()
    (choice,) = completion.choices
    assert choice.message.content == "done"
    assert choice.message.role == "assistant"
    calls = [
        (call.id, call.type, call.function.name, call.function.arguments)
        for call in choice.message.tool_calls or ()
        if call.type == "function"
    ]
    assert calls == [("a", "function", "f", '{"x":1}'), ("b", "function", "g", '{"y":2}')]


def test_the_official_client_joins_what_vllm_streams() -> None:
    given = through(captured("vllm.tools"), include_usage=True)
    with sdk(given) as client, client.chat.completions.stream(model="m", messages=[]) as stream:
        completion = stream.get_final_completion()
    calls = completion.choices[0].message.tool_calls
    assert calls is not None
    assert [call.id for call in calls] == ["chatcmpl-tool-b6862442b535fa71"]
    assert calls[0].type == "function"
    assert calls[0].function.arguments == '"Paris"'
