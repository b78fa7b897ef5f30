"""What an upstream's answer means, and what to do about a failure: one table.

Owns the reading of upstream answers (`classify`) and the table below. Does not own the kinds themselves (errors.py),
the numbers of an overflow (providers/overflow.py), nor the sequence of attempts (engine/attempts.py).

The table has a row per kind, in the order of `errors.KINDS`; docs/routing.md shows it. Its columns:

- again: whether the same target may be asked the same again before content was sent. "yes": first of all, after a
  pause; "last": only when nothing else is left, because what is wrong there seldom mends itself within seconds; "no":
  it would say the same, or has had its time.
- next: whether another target of the model, and then a fallback model, may be asked. A refusal for length is not in
  these columns: it is never sent again at the same size (retry_overflow.py).
- counts: whose breaker it counts for: the target's, or that of the whole backend.
- penalty: the target is put last until it has said to be free again; no breaker counts it.
- billed: the upstream may have worked, and may charge for it, though nothing came of it.

A status alone says too little: xAI and Gemini refuse a key with 400, OpenAI's empty account is a 429 like its rate
limit, TGI is overloaded with 429, Groq's token rate comes as 413, and MiniMax says everything with 200. So `code`,
`type` and message are read together with it; the wordings below are those of the upstreams named beside them.
"""

import re
from typing import Literal

import msgspec

from trunkline import errors
from trunkline.errors import Answer, Fault, Kind, Overflow
from trunkline.wire.error_body import ErrorInfo, extract_message


class Row(msgspec.Struct, frozen=True, gc=False):
    """What a failure of one kind leads to; the columns are described above."""

    again: Literal["yes", "last", "no"] = "no"
    next: bool = False
    counts: Literal["", "target", "backend"] = ""
    penalty: bool = False
    billed: bool = False


_OURS = Row()  # of the client or the gateway: said once, and nobody else's fault
_LEFT = Row(billed=True)  # nobody waits any more
_BACKEND = Row(next=True, counts="backend")
_UNREACHED = Row(again="last", next=True, counts="backend")
_BUSY = Row(again="yes", next=True, penalty=True)
_BROKEN = Row(again="yes", next=True, counts="target")
_BROKEN_AT_WORK = Row(again="yes", next=True, counts="target", billed=True)
_HAD_ITS_TIME = Row(next=True, counts="target", billed=True)

_DIFFERENT: dict[Kind, Row] = {
    # The backend is not asked for this model again, but it is sound: clients make up names.
    errors.MODEL_NOT_FOUND: Row(next=True),
    errors.AUTH: _BACKEND,
    # It may be this request that is forbidden (a web firewall, one model): no breaker counts it.
    errors.PERMISSION: Row(next=True),
    errors.QUOTA: _BACKEND,
    errors.RATE_LIMIT: _BUSY,
    errors.UPSTREAM_OVERLOADED: _BUSY,
    errors.SERVER_ERROR: _BROKEN,
    errors.UPSTREAM_TIMEOUT: _BROKEN_AT_WORK,
    errors.ERROR_IN_STREAM: _BROKEN_AT_WORK,
    errors.ERROR_IN_200: _BROKEN,
    errors.DNS: _UNREACHED,
    errors.EGRESS: _BACKEND,
    errors.CONNECT: _UNREACHED,
    errors.PROXY: _UNREACHED,
    errors.TLS: _BACKEND,
    errors.CONNECT_TIMEOUT: _BACKEND,
    errors.FIRST_TOKEN_TIMEOUT: _HAD_ITS_TIME,
    errors.IDLE_TIMEOUT: _HAD_ITS_TIME,
    # There is no time for anything else.
    errors.TOTAL_TIMEOUT: Row(counts="target", billed=True),
    # What another backend may take: a parameter that this one refuses (`strict_params`), an operation it has not.
    errors.UNFIT: Row(next=True),
    # Our own limit of connections to it: others have theirs.
    errors.POOL_FULL: Row(next=True),
    # The second of two answers differs from the first: so do the answers of sound models.
    errors.DIVERGED: Row(billed=True),
    # An idle connection that the upstream had closed says nothing about it.
    errors.STALE: Row(again="yes", next=True),
    errors.RESET: _BROKEN_AT_WORK,
    errors.CUT: _BROKEN_AT_WORK,
    errors.INCOMPLETE: _BROKEN_AT_WORK,
    errors.EMPTY_STREAM: _BROKEN_AT_WORK,
    # Redirects and web pages in place of answers: a wrong url, most of the time.
    errors.MALFORMED: Row(again="last", next=True, counts="target", billed=True),
    errors.SHUTTING_DOWN: _LEFT,
    errors.CLIENT_GONE: _LEFT,
}

TABLE: dict[Kind, Row] = {kind: _DIFFERENT.get(kind, _OURS) for kind in errors.KINDS.values()}

OVERFLOWS = (errors.CONTEXT_OVERFLOW, errors.MAX_TOKENS_TOO_LARGE)
"""Refusals for length."""
_OF_CREDENTIAL = (errors.AUTH, errors.PERMISSION, errors.QUOTA)


def _any(*wordings: str) -> re.Pattern[str]:
    return re.compile("|".join(wordings), re.IGNORECASE)


_URL = re.compile(r"https?://\S+")  # ".../settings/billing" in a message is advice, not the matter

_TOO_LONG = _any(r"context_length_exceeded", r"ContextWindowExceededError")
_FILTERED = _any(
    r"content[ _-]?(?:filter|polic|management)",  # OpenAI, Azure, LiteLLM
    r"ResponsibleAIPolicyViolation|safety system|input was flagged|data_inspection_failed",  # OpenRouter; DashScope
    r"inappropriate content|guardrail|prohibited_content|blocked by (?:our )?(?:safety|moderation)",
)
_NO_MODEL = _any(
    r"model_not_found|DeploymentNotFound|model_decommissioned|model_not_supported",  # OpenAI, Azure, Groq, HF
    # LiteLLM, OpenRouter, DeepSeek; OpenRouter, Together, Bedrock
    r"invalid model name|unknown model|no such model|no endpoints found|model not exist",
    r"not a valid model|unable to access model|access to model|model identifier is invalid",
    r"\bmodel\b.{0,200}?(?:not found|does not exist|no longer available)|endpoint for .{0,200}? is not running",
)
_NO_KEY = _any(
    r"(?:incorrect|invalid|missing|no) (?:api|access)[ _-]?(?:key|token)",
    r"api[ _-]?key (?:is )?(?:not valid|invalid|missing|expired|not found)|API_KEY_INVALID|invalid_api_key",
    r"authentication (?:fails|failed|error)|authentication_error|invalid authentication|unauthenticated",
    r"no_db_connection",  # LiteLLM without a database refuses an unknown key with this
)
_NO_CREDIT = _any(
    r"insufficient[ _](?:quota|balance|credits?|funds)|exceeded_current_quota|billing_hard_limit",
    r"exceeded (?:your )?current quota|check your plan and billing",  # OpenAI, Moonshot, Gemini
    r"prompt tokens limit exceeded",  # OpenRouter, when credit is low
    r"credit balance is too low|(?:more|out of|no) credits|payment required|billing_error",  # Anthropic, OpenRouter
    r"spend(?:ing)? limit|monthly limit|budget has been exceeded|in arrears|account is not active|余额不足|欠费",
)
_OVERLOADED = _any(
    r"overloaded|over(?: |-)?capacity|at capacity|capacity[ _]exceeded|no capacity|server[_ ](?:is )?busy",
    r"high demand|maximum pending requests|queue is full|currently busy",
    r"loading model|model\b.{0,200}? is (?:currently |still )?(?:loading|starting)|warming up|cold start|still loading",
)
_RATE = _any(r"rate[_ -]?limit|too[ _]?many[ _]?requests|tokens per min|requests per min|throttl")
# What a message begins with that speaks for itself; further on it may quote what a user wrote.
_AHEAD = re.compile(
    r"\W{0,3}(?:error code\W{0,3})?(?:[45]\d\d\W{1,4})?(?:[\w.]{1,80}(?:Error|Exception)[\s:-]{1,4}){0,4}"
    r"(?:(?:your|the|this|provided|an?|you have|there were) ){0,2}",
    re.IGNORECASE,
)
_ONLY_RATE = _any(
    r"(?:\w{1,40} )?rate limit (?:was |has been )?(?:exceeded|reached)|too many requests *(?:[.!,:;-]|$)"
)
_UNSUPPORTED = _any(  # llama.cpp, vLLM, SGLang
    r"not_supported_error|\b(?:input|modality|endpoint|operation|feature|api) (?:is|are) not supported",
    r"does not support (?:this|image|audio|video|multimodal|embedding|completion|chat|tool)",
)
_TIMEOUT = _any(r"timed? ?out|deadline[_ ]exceeded")


def leads_on(fault: Fault) -> bool:
    """Whether another attempt may follow this failure, if the client has seen no content."""
    return TABLE[fault.kind].next or fault.kind in OVERFLOWS


def row_of(fault: Fault) -> Row:
    """The table's row for one failure: a 503 that does not say until when is a broken upstream, not a busy one."""
    if fault.kind is errors.UPSTREAM_OVERLOADED and fault.blame is errors.Blame.UPSTREAM:
        return _BROKEN
    return TABLE[fault.kind]


def classify(
    answer: Answer, retry_after: float | None, *, own_credential: bool, overflow: Overflow | None = None
) -> Fault:
    """Turn an upstream's error answer into a fault.

    `retry_after`: seconds, as `wire.retry_after` finds them. `own_credential`: the gateway's key was sent, so that a
    401 is not the client's fault. `overflow`: what `providers.overflow.read` says of the body.
    A 200 with an error inside is read by the status in its `code`; it is not kept as the client's answer.
    """
    status = answer.status
    if 300 <= status < 400:
        return Fault(
            errors.MALFORMED,
            f"the upstream answered {status}: redirects are not followed; configure the url it redirects to",
        )
    info = extract_message(answer.body)
    inside = status < 300
    if inside:
        status = int(info.code) if info.code.isascii() and re.fullmatch("[45][0-9]{2}", info.code) else 0
    if overflow is not None:
        kind = errors.MAX_TOKENS_TOO_LARGE if overflow.too_long == "cap" else errors.CONTEXT_OVERFLOW
    else:
        kind = _kind(status, info, retry_after)
    if kind in _OF_CREDENTIAL and not own_credential:
        kind = errors.REFUSED_BY_UPSTREAM
    if inside:
        message = f"the upstream answered {answer.status} with an error: {info.message}"
        return Fault(kind, message, status=status, retry_after=retry_after, overflow=overflow)
    message = info.message or f"the upstream answered {status}"
    return Fault(kind, message, status=status, retry_after=retry_after, answer=answer, overflow=overflow)


def _kind(status: int, info: ErrorInfo, retry_after: float | None) -> Kind:
    """What it is, by status (0: there is none but 200) and words; the surest signs first."""
    named = f"{info.code} {info.type}"
    message = _URL.sub("", info.message)
    text = f"{named} {message}"
    begins = ahead.end() if (ahead := _AHEAD.match(message)) else 0
    refusal = status < 500  # a server that broke may quote anything
    if refusal and _TOO_LONG.search(text):
        return errors.CONTEXT_OVERFLOW
    if status in (0, 400, 403, 422, 451) and _FILTERED.search(text):
        return errors.CONTENT_FILTER
    # Gemini says "exceeded your current quota" of each minute's share too, and then names the seconds to wait.
    # In other refusals it must be in a field or begin the message, which may quote a request.
    no_credit = _NO_CREDIT.search(text if status in (0, 401, 403, 429) else named) or _NO_CREDIT.match(
        message, begins
    )
    if status == 402 or (refusal and retry_after is None and no_credit):
        return errors.QUOTA
    if status in (400, 403):  # in a field, or as all there is to say: a message may quote a user
        if _OVERLOADED.search(named):
            return errors.UPSTREAM_OVERLOADED
        if _RATE.search(named) or _ONLY_RATE.match(message, begins):
            return errors.RATE_LIMIT
    no_key = _NO_KEY.search(text if status == 403 else named) or _NO_KEY.match(message, begins)
    if status == 401 or (status in (0, 400, 403) and no_key):
        return errors.AUTH
    if (status == 404 and "model" in text.lower()) or (
        status in (0, 400, 403, 404) and _NO_MODEL.search(text)
    ):
        return errors.MODEL_NOT_FOUND
    if status == 403:
        return errors.PERMISSION
    if status == 429 or (status in (0, 413) and _RATE.search(text)):
        return errors.UPSTREAM_OVERLOADED if _OVERLOADED.search(text) else errors.RATE_LIMIT
    # Groq's flex tier has 498 for "capacity_exceeded"; 425 is "too early" (RFC 8470).
    if status in (425, 498, 529) or (status == 503 and retry_after is not None):
        return errors.UPSTREAM_OVERLOADED
    if (status == 0 or status >= 500) and _OVERLOADED.search(text):
        return errors.UPSTREAM_OVERLOADED
    if status in (408, 504, 522, 524) or ((status == 0 or status >= 500) and _TIMEOUT.search(text)):
        return errors.UPSTREAM_TIMEOUT
    if status == 501 or (status == 500 and _UNSUPPORTED.search(text)):
        return errors.UNFIT
    if status >= 500 or status == 424:  # TGI's "Request failed during generation"
        return errors.SERVER_ERROR
    return errors.INVALID_REQUEST if status else errors.ERROR_IN_200
