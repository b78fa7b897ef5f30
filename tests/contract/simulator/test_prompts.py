"""What depends on the prompt: a window that it must fit into, and a last message that the answer goes on with."""

from typing import Any

import pytest

from tests.contract.simulator.raw import ask, chat, on_both_loops, post, text_of
from trunkline.simulator.app import Simulator, start

WINDOWS: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a b c d"}]}, "max_tokens"),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a b c d"}]}, "max_completion_tokens"),
    ("/v1/completions", {"prompt": ["a b", "c d"]}, "max_tokens"),
    ("/v1/messages", {"system": "a", "messages": [{"content": "b c d"}]}, "max_tokens"),
    ("/v1/responses", {"instructions": "a", "input": "b c d"}, "max_output_tokens"),
]


@pytest.mark.parametrize(("path", "body", "limit"), WINDOWS)
@on_both_loops
async def test_a_prompt_must_fit_with_its_answer(
    sim: Simulator, path: str, body: dict[str, Any], limit: str
) -> None:
    assert (await ask(sim, post(path, body | {"model": "m!window=6", limit: 2}))).status == 200
    refused = await ask(sim, post(path, body | {"model": "m!window=5", limit: 2}))
    assert refused.status == 400
    message = refused.json["error"]["message"]
    assert message == (
        "This model's maximum context length is 5 tokens. However, you requested 6 tokens (4 in the messages, 2 in "
        "the completion). Please reduce the length of the messages or completion."
    )


@on_both_loops
async def test_a_prompt_alone_must_fit_too(sim: Simulator) -> None:
    assert (await ask(sim, chat("m!window=2", question="a b"))).status == 200
    error = (await ask(sim, chat("m!window=1", question="a b", stream=True))).json["error"]
    assert error == {
        "message": "This model's maximum context length is 1 tokens. However, your messages resulted in 2 tokens. "
        "Please reduce the length of the messages.",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }


@on_both_loops
async def test_a_last_message_of_the_assistant_is_gone_on_with_or_refused_or_ignored(sim: Simulator) -> None:
    user = {"role": "user", "content": "hello there"}
    whole: str = (await ask(sim, chat(messages=[user]))).json["choices"][0]["message"]["content"]
    words = whole.split(" ")
    for given in (" ".join(words[:3]), " ".join(words[:3]) + " ", whole[:-2], "Something else"):
        messages = [user, {"role": "assistant", "content": given}]
        rest = whole.removeprefix(given)
        reply = await ask(sim, chat("sim-small!prefill=continue", messages=messages, stream=True))
        assert text_of(reply.events) == rest
        reply = await ask(sim, chat("sim-small!prefill=continue", messages=messages, max_tokens=2))
        choice = reply.json["choices"][0]
        assert (choice["message"]["content"].split(), choice["finish_reason"]) == (
            rest.split()[:2],
            "length" if len(rest.split()) > 2 else "stop",
        )
        reply = await ask(sim, chat(messages=messages))
        assert reply.json["choices"][0]["message"]["content"] == whole
        reply = await ask(sim, chat("sim-small!prefill=refuse", messages=messages))
        assert (reply.status, reply.json["error"]["code"]) == (400, "invalid_prefill")
    for habit in ("continue", "refuse"):
        reply = await ask(sim, chat(f"sim-small!prefill={habit}", messages=[user]))
        assert reply.json["choices"][0]["message"]["content"] == whole


@on_both_loops
async def test_an_errors_code_and_a_header_of_any_answer(sim: Simulator) -> None:
    reply = await ask(sim, chat("m!status=429;code=slow_down;header=retry-after-ms: 300"))
    assert reply.json["error"]["code"] == "slow_down"
    assert reply.headers["retry-after-ms"] == "300"
    reply = await ask(sim, chat("m!header=x-more: yes%3B no", stream=True))
    assert (reply.status, reply.headers["x-more"]) == (200, "yes; no")


@on_both_loops
async def test_all_texts_may_have_one_length() -> None:
    async with await start(words=30) as sim:
        texts = [text_of((await ask(sim, chat(model, stream=True))).events) for model in ("m", "m!words=30")]
        assert len(texts[0].split()) == 30
        assert texts[0] == texts[1]
        assert len(text_of((await ask(sim, chat("m!words=3", stream=True))).events).split()) == 3
