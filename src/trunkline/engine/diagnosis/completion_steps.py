"""Whether a backend answers one tiny question, whole and as a stream.

Owns these two steps and their question, which is shaped as the gateway would shape it for this provider; of `params`
only `stream` counts, so that nobody is told of what the gateway never asks for. Does not own
the choice of the model (models_step.py), the words for refusals (advice.py) nor watching a stream (streaming.py).
"""

import re
from typing import Any

import msgspec

from trunkline.engine.diagnosis import advice, elsewhere
from trunkline.engine.diagnosis.case import CHAT, Case
from trunkline.engine.diagnosis.finding import Finding, fail, ok
from trunkline.engine.diagnosis.models_step import choose_model
from trunkline.engine.diagnosis.streaming import Streamed, stream
from trunkline.engine.shaping import shape
from trunkline.errors import Answer, Fault
from trunkline.providers.dialects import Dialect
from trunkline.wire.call import parse_json
from trunkline.wire.error_body import extract_message
from trunkline.wire.values import Call

MAX_TOKENS = 16
"""Some services refuse less; reasoning models spend them without a word, which is an answer too."""
# OpenAI's reasoning models: a refusal that says that everything else was right.
_CUT_SHORT = re.compile(r"max_tokens or model output limit was reached", re.IGNORECASE)


class _Choices(msgspec.Struct):
    """What a completion has and nothing else."""

    choices: list[msgspec.Raw]


_decode = msgspec.json.Decoder(_Choices).decode


async def completion(case: Case) -> Finding:
    """It answers one tiny question."""
    case.model = choose_model(case)
    if not case.model:
        return fail("there is no model to ask", "name one in `models` or `default_model`")
    if case.always_streams:
        return Finding("skipped", "`params` asks for streams alone: whole answers are made of them")
    asked = _question(case, streamed=False)
    if isinstance(asked, Fault):
        return fail(asked.message, "correct the settings of this backend")
    call, dialect = asked
    path = CHAT if dialect is None else dialect.path
    answer = await case.post(path, call.body, case.patience)
    if isinstance(answer, Fault):
        return advice.of_fault(case, answer)
    what = f"POST {path} for {case.name(case.model)}"
    if answer.status != 200:
        if _cut_short(answer):
            return _speechless(case)
        return await _refused(case, answer, what)
    if advice.is_page(answer):
        return fail(f"{what} was answered with a web page (status 200)", advice.of_page(case))
    if _is_completion(answer.body, dialect):
        return ok(f"{case.name(case.model)} answers")
    if extract_message(answer.body).message:
        return advice.of_answer(case, answer, what, model=case.model)
    return fail(
        f"{what} was answered with something that is no completion",
        "check that `url` is the base of an OpenAI-compatible API",
    )


async def _refused(case: Case, answer: Answer, what: str) -> Finding:
    if case.settings.forward_authorization and answer.status in (401, 403):
        return Finding("skipped", "it wants a client's own credential, which is not here", ends=True)
    finding = advice.of_answer(case, answer, what, model=case.model)
    if case.models is None and advice.is_wrong_path(answer):
        better = await elsewhere.find_api(case)
        if better:
            return fail(finding.says, f"there is an API at {better}: write that in `url`")
    return finding


async def streaming(case: Case) -> Finding:
    """It answers the same question as a stream."""
    if case.always_streams is False:
        return Finding("skipped", "`params` asks for no streams: they are made of whole answers")
    asked = _question(case, streamed=True)
    if isinstance(asked, Fault):
        return fail(asked.message, "correct the settings of this backend")
    call, dialect = asked
    got = await stream(case.upstream, call, case.patience, dialect)
    if isinstance(got, Fault):
        return advice.of_fault(case, got)
    what = f"the same as a stream, for {case.name(case.model)},"
    if got.answer.status != 200:
        if _cut_short(got.answer):
            return _speechless(case)
        return await _refused(case, got.answer, what)
    return _of_stream(case, got, what)


def _of_stream(case: Case, got: Streamed, what: str) -> Finding:
    if not got.is_stream:
        kind = "a web page" if advice.is_page(got.answer) else "one whole answer"
        return fail(
            f"{what} was answered with {kind}",
            "something in front of the server, or the server itself, cannot stream: calls with `stream` will fail over",
        )
    if got.fault is not None:
        return fail(
            f"{what} began and then failed: {case.quote(got.fault.message)}",
            "see the server's log; a proxy in front that cuts long answers does this too",
        )
    return ok(f"first event after {got.first * 1000:.0f} ms, {got.events} in all")


def _question(case: Case, *, streamed: bool) -> tuple[Call, Dialect | None] | Fault:
    """The request as the gateway would send it: with the parameters that this provider takes, or in its dialect."""
    fields: dict[str, Any] = {
        "model": case.model,
        "messages": [{"role": "user", "content": "Say hi."}],
        "max_tokens": MAX_TOKENS,
    }
    if streamed:
        fields["stream"] = True
    parsed = parse_json(msgspec.json.encode(fields))
    if isinstance(parsed, Fault):
        return parsed
    assert parsed.fields is not None
    call = Call(
        request_id=b"doctor",
        surface="chat",
        method=b"POST",
        target=CHAT.encode(),
        headers=[(b"content-type", b"application/json")],
        body=parsed.body,
        key="",
        model=parsed.model,
        stream=streamed,
        include_usage=False,
        length=None,
        extra=b"",
        starts={},
    )
    shaped = shape(case.upstream, call, parsed.fields, parsed.model)
    if isinstance(shaped, Fault):
        return shaped
    call.body = shaped.body
    return call, shaped.dialect


def _speechless(case: Case) -> Finding:
    return ok(f"{case.name(case.model)} answers; {MAX_TOKENS} tokens are too few for it to say anything")


def _cut_short(answer: Answer) -> bool:
    return answer.status == 400 and _CUT_SHORT.search(extract_message(answer.body).message) is not None


def _is_completion(body: bytes, dialect: Dialect | None) -> bool:
    if dialect is not None:
        return dialect.whole(body, "", request_id="doctor", created=0) is not None
    try:
        return bool(_decode(body).choices)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
