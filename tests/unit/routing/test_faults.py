"""routing/faults.py: what an upstream's answer means; bodies are those of real servers."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline import errors
from trunkline.errors import KINDS, Answer, Blame, Kind
from trunkline.routing.faults import classify, tries_next


def error(message: str, code: Any = None, **more: Any) -> bytes:
    return json.dumps({"error": {"message": message, "code": code, **more}}).encode()


CREDENTIAL, MISSING, REFUSED = errors.BAD_CREDENTIAL, errors.MODEL_MISSING, errors.REFUSED_BY_UPSTREAM


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        # credentials
        (401, error("Incorrect API key provided: sk-4sJ.", "invalid_api_key"), CREDENTIAL),
        (401, b'{"detail":"Invalid API key"}', CREDENTIAL),
        (401, b'{"error":"Unauthorized"}', CREDENTIAL),
        (403, error("OAuth authentication is currently not allowed for this organization."), CREDENTIAL),
        (402, error("Insufficient Balance", "invalid_request_error"), CREDENTIAL),
        (
            400,
            b'"Incorrect API key provided: na***ys. You can obtain an API key from a console."',
            CREDENTIAL,
        ),
        (400, error("API key not valid. Please pass a valid API key.", 400), CREDENTIAL),
        # content filters
        (
            400,
            error("The response was filtered by Azure OpenAI's content management policy.", "content_filter"),
            REFUSED,
        ),
        (400, error("rejected as a result of our safety system", "content_policy_violation"), REFUSED),
        (403, error("Your model requires moderation and your input was flagged for x.", 403), REFUSED),
        # models
        (404, error("The model `no-such-model` does not exist. Valid aliases: smollm2.", 404), MISSING),
        (404, error('model "ollama" not found, try pulling it first'), MISSING),
        (404, b'{"error":"model \'custom-phi3\' not found"}', MISSING),
        (404, error("No endpoints found that support cache control", 404), MISSING),
        (404, error("The API deployment for this resource does not exist.", "DeploymentNotFound"), MISSING),
        (400, error("model 'no-such-model' not found", 400, type="invalid_request_error"), MISSING),
        (400, error("/chat/completions: Invalid model name passed in model=no-such-model.", "400"), MISSING),
        (400, error("The dedicated endpoint for mistralai/Mixtral-8x22B is not running."), MISSING),
        (404, error("File Not Found", 404), REFUSED),
        (404, b'{"detail":"Not Found"}', REFUSED),
        # load
        (429, error("Rate limit reached for gpt-4o-mini", "rate_limit_exceeded"), errors.BUSY),
        (429, error("You exceeded your current quota", "insufficient_quota"), errors.BUSY),
        (429, b'{"error":"Model is overloaded","error_type":"overloaded"}', errors.BUSY),
        (529, b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', errors.BUSY),
        # the server
        (503, error("Loading model", 503, type="unavailable_error"), errors.SERVER_ERROR),
        (500, b"Internal Server Error", errors.SERVER_ERROR),
        (501, error("This server does not support embeddings.", 501), errors.SERVER_ERROR),
        (502, b"<html><h1>502 Bad Gateway</h1></html>", errors.SERVER_ERROR),
        (504, b"", errors.SERVER_ERROR),
        (408, b"", errors.SERVER_ERROR),
        (599, b"", errors.SERVER_ERROR),
        # the client
        (
            400,
            error("This model's maximum context length is 4097 tokens.", "context_length_exceeded"),
            REFUSED,
        ),
        (400, error("smollm2 is not a multimodal model", 400), REFUSED),
        (400, error("max_tokens must be at least 1, got 0.", 400), REFUSED),
        (405, b"", REFUSED),
        (413, error("Request too large for model llama-3.1-8b-instant", "rate_limit_exceeded"), REFUSED),
        (422, b'{"detail":[{"loc":["body","x"],"msg":"Field required"}]}', REFUSED),
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
    for status, kind in ((503, errors.BUSY), (429, errors.BUSY), (500, errors.SERVER_ERROR)):
        fault = classify(Answer(status, [], b""), 0.0, own_credential=True)
        assert (fault.kind, fault.retry_after) == (kind, 0.0)


def test_a_redirect_is_not_passed_on() -> None:
    fault = classify(Answer(307, [(b"location", b"http://other")], b""), None, own_credential=True)
    assert (fault.http_status, fault.answer) == (502, None)
    assert "redirects are not followed" in fault.message


@given(st.integers(300, 999), st.binary(max_size=60), st.none() | st.floats(0, 9), st.booleans())
def test_every_answer_is_some_fault(status: int, body: bytes, retry_after: float | None, own: bool) -> None:
    fault = classify(Answer(status, [], body), retry_after, own_credential=own)
    assert fault.message
    if fault.kind.blame is Blame.CLIENT:
        assert 400 <= status < 500
    if status >= 500:
        assert tries_next(fault.kind)


def test_which_faults_another_backend_may_mend() -> None:
    mended = {name for name, kind in KINDS.items() if tries_next(kind)}
    assert mended == {
        *("model_missing", "bad_credential", "server_error", "busy", "error_in_200", "error_in_stream"),
        *("dns", "connect", "tls", "connect_timeout", "first_token_timeout", "idle_timeout"),
        *("stale_connection", "reset", "cut", "malformed", "empty_stream", "incomplete_stream"),
    }
