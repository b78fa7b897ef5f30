"""wire/error_body.py: the 17 shapes of behaviours 1.5, and the two dialects that clients read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import (
    BODY_TOO_LARGE,
    CUT,
    INVALID_KEY,
    INVALID_REQUEST,
    NO_BACKEND,
    TOTAL_TIMEOUT,
    Answer,
    Fault,
    Kind,
)
from trunkline.wire.error_body import (
    MAX_BODY,
    MAX_MESSAGE,
    ErrorInfo,
    dialect_of,
    extract_message,
    readable,
    render,
    sse_error,
)
from trunkline.wire.sse import Decoder, Event

_JSON_SHAPES: list[tuple[Any, ErrorInfo]] = [
    ({"error": {"message": "m", "type": "t", "code": "c"}}, ErrorInfo("m", "c", "t")),
    ({"error": {"message": [{"error": {"message": "m", "code": "c"}}]}}, ErrorInfo("m", "c")),
    ({"error": {"message": [{}, {"error": {"message": "second"}}]}}, ErrorInfo("second")),
    ({"error": "m"}, ErrorInfo("m")),
    (
        {"object": "error", "message": "m", "type": "BadRequestError", "param": None, "code": 400},
        ErrorInfo("m", "400", "BadRequestError"),
    ),
    ({"detail": "m"}, ErrorInfo("m")),
    (
        {"detail": [{"loc": ["body"], "msg": "a", "type": "missing"}, {"msg": "b"}, {"loc": []}, "c"]},
        ErrorInfo("a; b; c"),
    ),
    ({"detail": {"error": {"message": "m"}}}, ErrorInfo("m")),
    ({"error": "m", "error_type": "validation"}, ErrorInfo("m", "", "validation")),
    ({"message": "m", "code": 422, "type": "Validation"}, ErrorInfo("m", "422", "Validation")),
    (
        {"error": {"code": 400, "message": "m", "type": "exceed_context_size_error", "n_ctx": 512}},
        ErrorInfo("m", "400", "exceed_context_size_error"),
    ),
    (
        {"type": "error", "error": {"type": "invalid_request_error", "message": "m"}},
        ErrorInfo("m", "", "invalid_request_error"),
    ),
    (
        {
            "error": {
                "message": "Provider returned error",
                "code": 400,
                "metadata": {"raw": '{"error":{"message":"m","type":"t"}}', "provider_name": "X"},
            }
        },
        ErrorInfo("m", "400", "t"),
    ),
    (
        {
            "error": {
                "message": "Provider returned error",
                "metadata": {"raw": "plain", "provider_name": "X"},
            }
        },
        ErrorInfo("plain"),
    ),
    ({"error": {"message": "m", "metadata": {"reasons": []}}}, ErrorInfo("m")),
    (
        {
            "error": {
                "message": 'litellm.BadRequestError: OpenAIException - {"error":{"message":"m"}}. Received'
            }
        },
        ErrorInfo('litellm.BadRequestError: OpenAIException - {"error":{"message":"m"}}. Received'),
    ),
    (
        {"errors": [{"message": 'AiError: {"object":"error","message":"m","type":"T"}', "code": 8007}]},
        ErrorInfo("m", "8007", "T"),
    ),
    (
        {"errors": [{"message": "not {JSON", "code": 8007}], "success": False},
        ErrorInfo("not {JSON", "8007"),
    ),
    ({"errors": []}, ErrorInfo()),
    (
        [{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}],
        ErrorInfo("m", "400", "INVALID_ARGUMENT"),
    ),
    (
        {"error": {"message": '{"error": {"message": "m", "code": 503}}', "status": "S"}},
        ErrorInfo("m", "503", "S"),
    ),
    ({"error": "{broken"}, ErrorInfo("{broken")),
    ({"base_resp": {"status_code": 1039, "status_msg": "token limit"}}, ErrorInfo("token limit", "1039")),
    ({"base_resp": {"status_code": 0, "status_msg": "success"}}, ErrorInfo()),
    ({"error": {"code": "1261", "message": "m"}}, ErrorInfo("m", "1261")),
    ({"error": {"message": "m", "code": True, "type": 7}}, ErrorInfo("m")),
    ({"error": {"message": "m"}, "http_status_code": 429}, ErrorInfo("m", "429")),
    (
        {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "m"}}},
        ErrorInfo("m", "server_error", "response.failed"),
    ),
    ({"response": "generated text", "done": True}, ErrorInfo()),
    ({"fault": {"faultstring": "Invalid ApiKey", "detail": {"errorcode": "x"}}}, ErrorInfo("Invalid ApiKey")),
    (
        {"detail": {"msg": "Server is busy", "type": "service_unavailable"}},
        ErrorInfo("Server is busy", "", "service_unavailable"),
    ),
    ({"error_code": 336007, "error_msg": "m"}, ErrorInfo("m", "336007")),
    ({"error_code": "BAD_REQUEST", "message": "m"}, ErrorInfo("m", "BAD_REQUEST")),
    ({"code": 20015, "message": "m", "data": None}, ErrorInfo("m", "20015")),
    ({"Message": "m"}, ErrorInfo("m")),
    ({"error": "403 Forbidden", "details": {"error": {"message": "inner"}}}, ErrorInfo("403 Forbidden")),
    ({"error": None}, ErrorInfo()),
    ({}, ErrorInfo()),
    (17, ErrorInfo()),
    ("m", ErrorInfo("m")),
]


@pytest.mark.parametrize(("body", "info"), _JSON_SHAPES)
def test_json_shapes(body: Any, info: ErrorInfo) -> None:
    assert extract_message(json.dumps(body).encode()) == info


@pytest.mark.parametrize(
    ("body", "info"),
    [
        (b"", ErrorInfo()),
        (b" \n", ErrorInfo()),
        (b"\n<html><body>502 Bad Gateway</body></html>", ErrorInfo()),
        (b"Internal Server Error\n", ErrorInfo("Internal Server Error")),
        (b"bad \xff text", ErrorInfo("bad \ufffd text")),
        (b'{"error": "\xff"}', ErrorInfo('{"error": "\ufffd"}')),
        (b'data: {"error":{"message":"m","code":429}}\n\n', ErrorInfo("m", "429")),
        (b'data: {"object":"error","message":"m"}\n\ndata: [DONE]\n\n', ErrorInfo("m")),
        (b'event: error\ndata: {"error":"m"}', ErrorInfo("m")),
        (b": ping\n\n", ErrorInfo()),
    ],
)
def test_bodies_that_are_not_json(body: bytes, info: ErrorInfo) -> None:
    assert extract_message(body) == info


def test_bounds() -> None:
    assert extract_message(b'{"error":' * 100_000 + b"1" + b"}" * 100_000).message.startswith('{"error":')
    assert extract_message(b"[" * 20 + b'"deep"' + b"]" * 20) == ErrorInfo()
    assert extract_message(b" " * MAX_BODY + b"unseen") == ErrorInfo()
    assert extract_message(b"x" * 100_000) == ErrorInfo("x" * MAX_MESSAGE)
    nested = '"m"'
    for _ in range(10):
        nested = json.dumps("[" + nested + "]")
    assert extract_message(nested.encode()).message.startswith("[")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "errors",
                    "message",
                    "detail",
                    "metadata",
                    "raw",
                    "base_resp",
                    "code",
                    "type",
                    "response",
                ]
            ),
            inner,
        )
    ),
)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_never_raises(body: bytes) -> None:
    info = extract_message(body)
    assert len(info.message) <= MAX_MESSAGE
    assert info.message or info == ErrorInfo()


def test_openai_shape_has_its_nulls() -> None:
    assert json.loads(render(Fault(INVALID_KEY, "wrong key"), "openai")) == {
        "error": {
            "message": "wrong key",
            "type": "authentication_error",
            "param": None,
            "code": "invalid_api_key",
        }
    }
    no_code = Fault(Kind("k", INVALID_KEY.blame, 400, "", "t"), "m", param="model")
    assert json.loads(render(no_code, "openai"))["error"] == {
        "message": "m",
        "type": "t",
        "param": "model",
        "code": None,
    }


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(INVALID_REQUEST, "m"), "invalid_request_error"),
        (Fault(INVALID_REQUEST, "m", status=422), "invalid_request_error"),
        (Fault(INVALID_KEY, "m"), "authentication_error"),
        (Fault(INVALID_KEY, "m", status=403), "permission_error"),
        (Fault(INVALID_KEY, "m", status=404), "not_found_error"),
        (Fault(BODY_TOO_LARGE, "m"), "request_too_large"),
        (Fault(CUT, "m", status=429), "rate_limit_error"),
        (Fault(CUT, "m"), "api_error"),
        (Fault(NO_BACKEND, "m"), "overloaded_error"),
        (Fault(TOTAL_TIMEOUT, "m"), "timeout_error"),
        (Fault(CUT, "m", status=529), "overloaded_error"),
    ],
)
def test_anthropic_types(fault: Fault, kind: str) -> None:
    assert json.loads(render(fault, "anthropic", "req-1")) == {
        "type": "error",
        "error": {"type": kind, "message": "m"},
        "request_id": "req-1",
    }


def test_dialect_goes_by_the_surface() -> None:
    assert [dialect_of(surface) for surface in ("messages", "responses", "chat")] == [
        "anthropic",
        "openai",
        "openai",
    ]


def test_errors_in_streams() -> None:
    fault = Fault(CUT, "the upstream\nbroke off")
    error = {"message": fault.message, "type": "api_error", "param": None, "code": "upstream_error"}

    def one(raw: bytes) -> Event:
        events = Decoder().feed(raw)
        assert len(events) == 1
        return events[0]

    for surface in ("chat", "completions", "anything"):
        event = one(sse_error(fault, surface))
        assert (event.event, json.loads(event.data)) == (None, {"error": error})
    event = one(sse_error(fault, "responses"))
    assert (event.event, json.loads(event.data)) == (
        b"error",
        {
            "type": "error",
            "code": "upstream_error",
            "message": fault.message,
            "param": None,
            "sequence_number": 0,
            "error": error,
        },
    )
    event = one(sse_error(fault, "messages", "req-1"))
    assert (event.event, json.loads(event.data)) == (
        b"error",
        json.loads(render(fault, "anthropic", "req-1")),
    )
    assert json.loads(render(fault, "anthropic"))["request_id"] is None


@pytest.mark.parametrize(
    ("status", "body", "message", "type_"),
    [
        (502, b"<html><head><title>502 Bad Gateway</title></head></html>", "502 Bad Gateway", "api_error"),
        (
            403,
            b"<html><body><h1 class='x'>Not &amp;\n here</h1></body>",
            "Not & here",
            "invalid_request_error",
        ),
        (413, b"<html></html>", "the upstream answered 413 ", "invalid_request_error"),
        (500, b"Internal Server Error", "Internal Server Error", "api_error"),
        (400, b"", "the upstream answered 400 Bad Request", "invalid_request_error"),
        (599, b" ", "the upstream answered 599", "api_error"),
        (400, b'data: {"error":{"message":"m"}}\n\n', "m", "invalid_request_error"),
        (400, b'{"error": "\xff"}', '{"error": "\ufffd"}', "invalid_request_error"),
    ],
)
def test_what_no_sdk_could_read_is_wrapped(status: int, body: bytes, message: str, type_: str) -> None:
    wrapped = readable(Answer(status, [], body), "openai")
    assert wrapped is not None
    error = json.loads(wrapped)["error"]
    assert error["message"].startswith(message)
    assert (error["type"], error["param"]) == (type_, None)
    anthropic = readable(Answer(status, [], body), "anthropic", "req-1")
    assert anthropic is not None
    assert json.loads(anthropic)["error"]["message"] == error["message"]


@pytest.mark.parametrize("body", [b'{"error":"m"}', b'"m"', b"[]", b' {"detail":"Not Found"}\n', b"null"])
def test_json_goes_on_unchanged(body: bytes) -> None:
    assert readable(Answer(400, [], body), "openai") is None
