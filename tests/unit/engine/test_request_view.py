"""engine/request_view.py: what the user's function sees."""

from typing import Any

import msgspec
import pytest

from trunkline.engine.request_view import RequestView
from trunkline.routing.asked import read_asked
from trunkline.routing.rules import View


def view_of(body: dict[str, Any], headers: dict[bytes, bytes] | None = None) -> RequestView:
    fields = msgspec.json.decode(msgspec.json.encode(body), type=dict[str, msgspec.Raw])
    rules_view = View(
        asked=read_asked(fields), stream=True, headers=headers or {}, key="team-a", tags=["blue", "eu"]
    )
    return RequestView.of(body.get("model", ""), rules_view, fields)


CONVERSATION = [
    {"role": "system", "content": "be short"},
    {"role": "user", "content": [{"type": "text", "text": "what is this"}, {"type": "image_url"}]},
]


def test_it_shows_what_the_rules_see_and_the_conversation() -> None:
    view = view_of({"model": "auto", "messages": CONVERSATION, "tools": [{"type": "function"}]})
    assert (view.model, view.text, view.stream) == ("auto", "what is this", True)
    assert (view.tools, view.images, view.json_schema) == (True, True, False)
    assert (view.key, view.tags) == ("team-a", ("blue", "eu"))
    assert view.messages == tuple(CONVERSATION)
    assert bytes(view.fields["model"]) == b'"auto"'


def test_its_repr_does_not_quote_the_request() -> None:
    assert repr(view_of({"model": "auto", "messages": CONVERSATION})) == (
        "<RequestView of 'auto', 12 characters, from team-a>"
    )
    assert repr(RequestView(model="m")) == "<RequestView of 'm', 0 characters, from anybody>"


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        ({}, ()),
        ({"messages": "hello"}, ()),
        ({"messages": ["hello", {"role": "user"}]}, ({"role": "user"},)),
        ({"messages": None, "input": [{"role": "user"}]}, ({"role": "user"},)),
        ({"input": "hello"}, ()),
    ],
)
def test_what_is_no_conversation_is_empty(body: dict[str, Any], messages: tuple[dict[str, Any], ...]) -> None:
    assert view_of(body).messages == messages


def test_a_conversation_that_cannot_be_decoded_is_empty() -> None:
    deep = msgspec.Raw(b"[" * 100_000 + b"]" * 100_000)
    assert RequestView(model="m", fields={"messages": deep}).messages == ()


@pytest.mark.parametrize(
    "name",
    [
        *("authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"),
        *("x-litellm-api-key", "ocp-apim-subscription-key", "x-amz-security-token", "x-auth-token"),
        *("x-forwarded-access-token", "cf-access-jwt-assertion", "x-apikey", "x-client-secret"),
    ],
)
def test_credentials_are_not_shown(name: str) -> None:
    assert dict(view_of({}, {name.encode(): b"sk-secret", b"x-team": b"blue"}).headers) == {"x-team": "blue"}


def test_other_headers_are_shown_as_text() -> None:
    headers = {
        b"user-agent": b"curl",
        b"x-key-points": b"2",
        b"idempotency-key": b"7",
        b"x-name": "é".encode("latin-1"),
    }
    assert dict(view_of({}, headers).headers) == {
        "user-agent": "curl",
        "x-key-points": "2",
        "idempotency-key": "7",
        "x-name": "é",
    }


def test_nothing_of_it_can_be_changed() -> None:
    view: Any = view_of({"model": "auto", "messages": CONVERSATION}, {b"a": b"b"})
    for name in ("model", "text", "headers", "tags", "messages", "fields", "something_new"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(view, name, "x")
        with pytest.raises((AttributeError, TypeError)):
            object.__setattr__(view, name, "x")
        with pytest.raises((AttributeError, TypeError)):
            delattr(view, name)
    for mapping in (view.headers, view.fields):
        with pytest.raises(TypeError):
            mapping["a"] = "x"
    view.messages[0]["content"] = "something else"
    assert view.messages == tuple(CONVERSATION)
