"""POST /completions: the old text completion, whole or as a stream, one choice per prompt and n."""

from collections.abc import Iterator
from typing import Any

import msgspec

from trunkline.simulator.answer import Answer, Refusal, json_answer, stream_answer
from trunkline.simulator.surfaces.base import CREATED, Ask
from trunkline.simulator.surfaces.chat import StreamOptions
from trunkline.simulator.surfaces.chunks import Choice, Usage, chunk_events
from trunkline.simulator.text import count


class CompletionRequest(msgspec.Struct):
    """What is read of a request; other fields are accepted and ignored."""

    prompt: str | list[str]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None


def answer(ask: Ask) -> Answer:
    """Answer one completion request."""
    call = ask.decode(CompletionRequest)
    prompts = [call.prompt] if isinstance(call.prompt, str) else call.prompt
    number = 1 if call.n is None else call.n
    if not prompts or not 1 <= number <= 128:
        raise Refusal(400, "a prompt and an n from 1 to 128 are needed", param="n" if prompts else "prompt")
    prompt_tokens = sum(map(count, prompts))
    ask.check_window(prompt_tokens, call.max_tokens)
    replies = [ask.reply(prompt, call.max_tokens, choice) for prompt in prompts for choice in range(number)]
    base: dict[str, Any] = {
        "id": ask.id("cmpl-"),
        "object": "text_completion",
        "created": CREATED,
        "model": ask.model,
    }
    if call.stream:
        asked = call.stream_options is not None and call.stream_options.include_usage
        choices = (chunk for index, reply in enumerate(replies) for chunk in _chunks(index, *reply))
        return stream_answer(
            list(chunk_events(base, choices, prompt_tokens, asked=asked, habit=ask.fault.usage))
        )
    usage = Usage(prompt_tokens).plus(sum(len(pieces) for pieces, _ in replies))
    whole = [_choice(index, "".join(pieces), _finish(cut)) for index, (pieces, cut) in enumerate(replies)]
    body = base | {"choices": whole}
    return json_answer(body if ask.fault.usage == "never" else body | {"usage": usage})


def _finish(cut: bool) -> str:
    return "length" if cut else "stop"


def _choice(index: int, text: str, finish: str | None = None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}


def _chunks(index: int, pieces: list[str], cut: bool) -> Iterator[Choice]:
    for piece in pieces:
        yield Choice(_choice(index, piece), tokens=1)
    yield Choice(_choice(index, "", _finish(cut)), tag="finish")
