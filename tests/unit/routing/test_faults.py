"""routing/faults.py: what an upstream's answer means; bodies are those of real servers."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline import errors
from trunkline.errors import KINDS, Answer, Blame, Fault, Kind, Overflow
from trunkline.providers import overflow as overflows
from trunkline.routing.faults import OVERFLOWS, TABLE, classify, leads_on, row_of
from trunkline.wire.retry_after import parse_retry_after


def error(message: str, code: Any = None, **more: Any) -> bytes:
    return json.dumps({"error": {"message": message, "code": code, **more}}).encode()


AUTH, QUOTA, MISSING, INVALID = errors.AUTH, errors.QUOTA, errors.MODEL_NOT_FOUND, errors.INVALID_REQUEST
FILTER, OVERLOADED = errors.CONTENT_FILTER, errors.UPSTREAM_OVERLOADED


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        # credentials
        (401, error("Incorrect API key provided: sk-4sJ.", "invalid_api_key"), AUTH),
        (401, b'{"detail":"Invalid API key"}', AUTH),
        (401, b'{"error":"Unauthorized"}', AUTH),
        (
            403,
            error("OAuth authentication is currently not allowed for this organization."),
            errors.PERMISSION,
        ),
        (402, error("Insufficient Balance", "invalid_request_error"), QUOTA),
        (
            400,
            b'"Incorrect API key provided: na***ys. You can obtain an API key from a console."',
            AUTH,
        ),
        (400, error("API key not valid. Please pass a valid API key.", 400), AUTH),
        # content filters
        (
            400,
            error("The response was filtered by Azure OpenAI's content management policy.", "content_filter"),
            FILTER,
        ),
        (400, error("rejected as a result of our safety system", "content_policy_violation"), FILTER),
        (403, error("Your model requires moderation and your input was flagged for x.", 403), FILTER),
        # models
        (404, error("The model `no-such-model` does not exist. Valid aliases: smollm2.", 404), MISSING),
        (404, error('model "ollama" not found, try pulling it first'), MISSING),
        (404, b'{"error":"model \'custom-phi3\' not found"}', MISSING),
        (404, error("No endpoints found that support cache control", 404), MISSING),
        (404, error("The API deployment for this resource does not exist.", "DeploymentNotFound"), MISSING),
        (400, error("model 'no-such-model' not found", 400, type="invalid_request_error"), MISSING),
        (400, error("/chat/completions: Invalid model name passed in model=no-such-model.", "400"), MISSING),
        (400, error("The dedicated endpoint for mistralai/Mixtral-8x22B is not running."), MISSING),
        (404, error("File Not Found", 404), INVALID),
        (404, b'{"detail":"Not Found"}', INVALID),
        # load
        (429, error("Rate limit reached for gpt-4o-mini", "rate_limit_exceeded"), errors.RATE_LIMIT),
        (429, error("You exceeded your current quota", "insufficient_quota"), QUOTA),
        (429, b'{"error":"Model is overloaded","error_type":"overloaded"}', OVERLOADED),
        (529, b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', OVERLOADED),
        # the server
        (503, error("Loading model", 503, type="unavailable_error"), OVERLOADED),
        (500, b"Internal Server Error", errors.SERVER_ERROR),
        (501, error("This server does not support embeddings.", 501), errors.UNFIT),
        (
            500,
            error("image input is not supported - hint: you may need to provide the mmproj", 500),
            errors.UNFIT,
        ),
        (
            400,
            error("Invalid value: 'insufficient_quota'. Supported values are: 'none', 'auto'."),
            errors.INVALID_REQUEST,
        ),
        (
            422,
            error("tool_choice: 'check your plan and billing' is not a valid choice"),
            errors.INVALID_REQUEST,
        ),
        (400, error("Your credit balance is too low to access the Anthropic API."), errors.QUOTA),
        (400, error("no", code="insufficient_quota"), errors.QUOTA),
        (502, b"<html><h1>502 Bad Gateway</h1></html>", errors.SERVER_ERROR),
        (504, b"", errors.UPSTREAM_TIMEOUT),
        (408, b"", errors.UPSTREAM_TIMEOUT),
        (599, b"", errors.SERVER_ERROR),
        # the client
        (
            400,
            error("This model's maximum context length is 4097 tokens.", "context_length_exceeded"),
            errors.CONTEXT_OVERFLOW,
        ),
        (400, error("smollm2 is not a multimodal model", 400), INVALID),
        (400, error("max_tokens must be at least 1, got 0.", 400), INVALID),
        (405, b"", INVALID),
        (
            413,
            error("Request too large for model llama-3.1-8b-instant", "rate_limit_exceeded"),
            errors.RATE_LIMIT,
        ),
        (422, b'{"detail":[{"loc":["body","x"],"msg":"Field required"}]}', INVALID),
        (429, error("Resource has been exhausted (e.g. check quota).", 429), errors.RATE_LIMIT),
        (
            429,
            error(
                "Rate limit reached. You can increase it by adding a payment method at https://x.test/billing",
                "rate_limit_exceeded",
            ),
            errors.RATE_LIMIT,
        ),
        (400, error("Your credit balance is too low to access the Anthropic API."), QUOTA),
        (403, error("organization exceeded current quota", type="exceeded_current_quota_error"), QUOTA),
        (400, error("No connected db.", 400, type="no_db_connection"), AUTH),
        (403, error("Project does not have access to model `m`", "model_not_found"), MISSING),
        (500, error("The server is currently overloaded with other requests."), OVERLOADED),
        (500, error("litellm.Timeout: APITimeoutError - Request timed out."), errors.UPSTREAM_TIMEOUT),
        (524, b"<html>", errors.UPSTREAM_TIMEOUT),
        # the upstream's failures that look like the client's fault
        (498, error("flex tier capacity exceeded", "capacity_exceeded"), OVERLOADED),
        (
            424,
            b'{"error":"Request failed during generation: Server error","error_type":"generation"}',
            errors.SERVER_ERROR,
        ),
        (425, b"", OVERLOADED),
        (400, error("try later", type="overloaded_error"), OVERLOADED),
        (403, error("try later", "capacity_exceeded"), OVERLOADED),
        (400, error("slow down", "rate_limit_exceeded"), errors.RATE_LIMIT),
        (403, error("slow down", type="rate_limit_error"), errors.RATE_LIMIT),
        (400, error("Too many requests"), errors.RATE_LIMIT),
        (400, error("Too many requests, please slow down."), errors.RATE_LIMIT),
        (403, error("Rate limit exceeded"), errors.RATE_LIMIT),
        (403, error("API rate limit exceeded for user 7."), errors.RATE_LIMIT),
        (503, error("Model org/x-7b is currently loading"), OVERLOADED),
        (503, error("The model is still starting"), OVERLOADED),
        # what a message quotes of a user is no sign
        (400, error("Unparsable, the prompt said: api key not valid"), INVALID),
        (400, error("Unparsable, the prompt said: rate limit exceeded, overloaded"), INVALID),
        (400, error("Too many requests in the batch: 120 of 100"), INVALID),
        (403, error("Forbidden: the prompt said: too many requests"), errors.PERMISSION),
        (400, error("litellm.AuthenticationError: XaiException - Incorrect API key provided"), AUTH),
        (400, error("Error code: 400 - Your API key is invalid"), AUTH),
        (400, error("refused", "invalid_api_key"), AUTH),
        # not an answer of this API
        (302, b"", errors.MALFORMED),
        (399, b"x", errors.MALFORMED),
    ],
)
def test_what_an_answer_means(status: int, body: bytes, kind: Kind) -> None:
    answer = Answer(status, [], body)
    fault = classify(answer, None, own_credential=True)
    assert fault.kind is kind
    assert fault.message
    if kind is not errors.MALFORMED:
        assert (fault.answer, fault.http_status) == (answer, status)


@pytest.mark.parametrize("status", [401, 402, 403])
def test_the_clients_own_credential_is_the_clients_fault(status: int) -> None:
    fault = classify(Answer(status, [], b""), None, own_credential=False)
    assert fault.kind is errors.REFUSED_BY_UPSTREAM
    assert fault.message == f"the upstream answered {status}"


def test_retry_after_tells_busy_from_broken() -> None:
    assert classify(Answer(503, [], b""), None, own_credential=True).kind is errors.SERVER_ERROR
    for status, kind in ((503, OVERLOADED), (429, errors.RATE_LIMIT), (500, errors.SERVER_ERROR)):
        fault = classify(Answer(status, [], b""), 0.0, own_credential=True)
        assert (fault.kind, fault.retry_after) == (kind, 0.0)


def test_who_is_overloaded_counts_as_broken_unless_it_says_until_when() -> None:
    loading = error("Loading model", 503)
    for answer, retry_after, blame in (
        (Answer(503, [], loading), None, Blame.UPSTREAM),
        (Answer(503, [], loading), 2.0, Blame.UPSTREAM_BUSY),
        (Answer(529, [], b""), None, Blame.UPSTREAM_BUSY),
        (Answer(429, [], b""), None, Blame.UPSTREAM_BUSY),
        (Answer(500, [], b""), None, Blame.UPSTREAM),
    ):
        assert classify(answer, retry_after, own_credential=True).blame is blame


def test_a_quota_that_names_seconds_is_a_rate() -> None:
    """Gemini refuses with these words when one minute's share is used up."""
    body = error(
        "You exceeded your current quota, please check your plan and billing details. Please retry in 47s."
    )
    assert classify(Answer(429, [], body), None, own_credential=True).kind is QUOTA
    fault = classify(Answer(429, [], body), 47.0, own_credential=True)
    assert (fault.kind, fault.retry_after) == (errors.RATE_LIMIT, 47.0)


@pytest.mark.parametrize(
    ("overflow", "kind"),
    [
        (Overflow(100, 200), errors.CONTEXT_OVERFLOW),
        (Overflow(100, 50, 60, 110, 10, False, "output"), errors.CONTEXT_OVERFLOW),
        (Overflow(100, output=200, too_long="cap"), errors.MAX_TOKENS_TOO_LARGE),
    ],
)
def test_an_overflow_says_what_it_is(overflow: Overflow, kind: Kind) -> None:
    for status in (400, 413, 422, 500):
        fault = classify(Answer(status, [], b"x"), None, own_credential=True, overflow=overflow)
        assert (fault.kind, fault.overflow, fault.http_status) == (kind, overflow, status)
        assert leads_on(fault), "to a smaller request or a larger window"
        assert not row_of(fault).next


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (error("m", "server_error"), errors.ERROR_IN_200, 502),
        (error("Provider disconnected", 502), errors.SERVER_ERROR, 502),
        (error("slow down", 429), errors.RATE_LIMIT, 429),
        (error("m", 400), INVALID, 400),
        (b'{"base_resp":{"status_code":1002,"status_msg":"rate limit triggered"}}', errors.RATE_LIMIT, 429),
        (b'{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}', QUOTA, 429),
        (b'{"base_resp":{"status_code":2049,"status_msg":"invalid api key"}}', AUTH, 401),
        (error("model 'x' not found, try pulling it first"), MISSING, 404),
        (error("the model is overloaded"), OVERLOADED, 503),
        (error("Request timed out"), errors.UPSTREAM_TIMEOUT, 504),
        (error("rejected as a result of our safety system"), FILTER, 400),
        (error("m", "context_length_exceeded"), errors.CONTEXT_OVERFLOW, 400),
    ],
)
def test_an_error_inside_a_200(body: bytes, kind: Kind, status: int) -> None:
    fault = classify(Answer(200, [], body), None, own_credential=True)
    assert (fault.kind, fault.http_status, fault.answer) == (kind, status, None)
    assert fault.message.startswith("the upstream answered 200 with an error: ")


def test_a_redirect_is_not_passed_on() -> None:
    fault = classify(Answer(307, [(b"location", b"http://other")], b""), None, own_credential=True)
    assert (fault.http_status, fault.answer) == (502, None)
    assert "redirects are not followed" in fault.message


@given(st.integers(200, 599), st.binary(max_size=60), st.none() | st.floats(0, 9), st.booleans())
def test_every_answer_is_some_fault(status: int, body: bytes, retry_after: float | None, own: bool) -> None:
    fault = classify(Answer(status, [], body), retry_after, own_credential=own)
    assert fault.message
    if fault.kind.blame is Blame.CLIENT and fault.kind is not errors.UNFIT:
        assert 400 <= fault.http_status < 500
        assert fault.kind is not errors.ERROR_IN_200
    if status >= 500:
        assert leads_on(fault)


def test_what_leads_on_is_what_another_target_or_another_size_may_mend() -> None:
    for kind in KINDS.values():
        fault = Fault(kind, "m")
        assert leads_on(fault) == (row_of(fault).next or kind in OVERFLOWS), kind.name
    for kind in (FILTER, INVALID, errors.REFUSED_BY_UPSTREAM, errors.TOTAL_TIMEOUT, errors.CLIENT_GONE):
        assert not leads_on(Fault(kind, "m")), kind.name
    assert not leads_on(Fault(errors.DIVERGED, "m")), "the answers of sound models differ"
    assert [kind.name for kind in OVERFLOWS] == ["context_overflow", "max_tokens_too_large"]
    assert all(kind.blame is Blame.CLIENT for kind in OVERFLOWS)


def test_every_kind_has_a_row_that_makes_sense() -> None:
    assert list(TABLE) == list(KINDS.values())
    for kind, row in TABLE.items():
        if kind is errors.UNFIT:  # what this target refuses by its settings another may take
            assert (row.again, row.next, row.counts, row.penalty) == ("no", True, "", False)
        elif kind.blame in (Blame.CLIENT, Blame.GATEWAY, Blame.CANCELLED):
            assert (row.again, row.next, row.counts, row.penalty) == ("no", False, "", False), kind.name
        if kind.blame is Blame.BACKEND:
            # A 403 may be about one request only.
            counts = "" if kind is errors.PERMISSION else "backend"
            assert (row.next, row.counts) == (True, counts), kind.name
        if kind.blame is Blame.UPSTREAM_BUSY:
            assert (row.next, row.counts) == (True, ""), kind.name
            # The pool's own limit says nothing about the upstream, and it mends with the next call that ends.
            upstream = kind is not errors.POOL_FULL
            assert (row.again, row.penalty) == (("yes", True) if upstream else ("no", False)), kind.name
        assert row.next or row.again == "no", kind.name


def test_a_second_answer_that_differs_is_nobodys_failure_but_may_be_billed() -> None:
    row = TABLE[errors.DIVERGED]
    assert (row.again, row.next, row.counts, row.penalty, row.billed) == ("no", False, "", False, True)


def test_timeouts_of_ours_never_repeat_the_same_target() -> None:
    for kind in (
        errors.FIRST_TOKEN_TIMEOUT,
        errors.IDLE_TIMEOUT,
        errors.CONNECT_TIMEOUT,
        errors.TOTAL_TIMEOUT,
    ):
        assert TABLE[kind].again == "no"


@pytest.mark.parametrize(
    ("status", "retry_after", "busy"),
    [
        (503, None, False),
        (503, 2.0, True),
        (429, None, True),
        (529, None, True),
        (0, None, True),
        (500, None, False),
    ],
)
def test_overloaded_is_busy_only_where_it_says_so(status: int, retry_after: float | None, busy: bool) -> None:
    row = row_of(Fault(errors.UPSTREAM_OVERLOADED, "m", status=status, retry_after=retry_after))
    assert (row.penalty, row.counts) == ((True, "") if busy else (False, "target"))
    assert row_of(Fault(errors.RESET, "m")) is TABLE[errors.RESET]


RECORDED = [
    json.loads(line)
    for line in Path(__file__).with_name("recorded_errors.jsonl").read_text("utf-8").splitlines()
]
# "other" is whatever none of the rest is; an upstream's words for money and rights stand under their relatives.
MEANT = {
    "context_overflow": {"context_overflow"},
    "rate_limit": {"rate_limit", "quota"},
    "auth": {"auth", "permission"},
    "overloaded": {"overloaded"},
    "model_not_found": {"model_not_found"},
    "content_filter": {"content_filter"},
}


@pytest.mark.parametrize("row", RECORDED, ids=lambda row: f"{row['source']}-{row['kind']}")
def test_recorded_answers_mean_what_they_meant(row: dict[str, Any]) -> None:
    """Answers that real servers gave; where a report has the words only, they count as a 400."""
    status = row["status"] or 400
    body = json.dumps(row["body"]).encode() if "body" in row else row["raw"].encode()
    retry_after = parse_retry_after({}, None, body)
    found = overflows.read(status, body)
    kind = classify(Answer(status, [], body), retry_after, own_credential=True, overflow=found).kind
    if row["kind"] == "other":
        assert kind.name not in set().union(*MEANT.values())
    else:
        assert kind.name in MEANT[row["kind"]]
