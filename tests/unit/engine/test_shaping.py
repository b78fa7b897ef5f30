"""engine/shaping.py: what is sent to a backend, in which order it is changed."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.unit.engine.world import World, call
from trunkline.engine.orders import Orders
from trunkline.engine.shaping import Sent, asks_usage, shape
from trunkline.errors import Fault
from trunkline.policy.overrides import Overrides, written
from trunkline.providers.dialects import DIALECTS
from trunkline.wire.call import ParsedBody, parse_json
from trunkline.wire.values import Call

Make = Callable[..., World]


def request(body: bytes, surface: str = "chat") -> Call:
    """A call whose body was read."""
    parsed = parse_json(body)
    assert isinstance(parsed, ParsedBody)
    found = call(surface)
    found.model, found.stream, found.include_usage = parsed.model, parsed.stream, parsed.include_usage
    found.body, found.fields = parsed.body, parsed.fields
    return found


def sent(world: World, body: bytes, surface: str = "chat", **more: Any) -> Sent:
    what = request(body, surface)
    orders = Orders(more.pop("overrides", None))
    found = shape(world.upstreams["a"], what, what.fields or {}, more.pop("target", ""), orders, **more)
    assert isinstance(found, Sent)
    return found


def sets(**fields: object) -> Overrides:
    return written({name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}, {})


PLAIN = b'{"model":"m","x":1e400,"big":123456789012345678901,"f":1.0}'


def test_what_nothing_is_wanted_of_is_sent_as_it_is(make: Make) -> None:
    what = request(PLAIN)
    found = shape(make({}).upstreams["a"], what, what.fields or {}, "m")
    assert isinstance(found, Sent)
    assert found.body is what.body
    assert (found.notes, found.streams) == ((), None)


def test_overrides_come_before_the_provider_s_rules(make: Make) -> None:
    world = make({"provider": "openai_compat", "openai_strict": True})
    found = sent(world, PLAIN, overrides=sets(top_k=1, seed=2))
    assert found.body == PLAIN[:-1] + b',"seed":2}'
    assert found.notes == (
        "`top_k` set to 1",
        "`seed` set to 2",
        "dropped `top_k`: openai_compat does not take it",
    )


def test_strict_params_hold_for_overrides_too(make: Make) -> None:
    world = make({"openai_strict": True, "strict_params": True})
    what = request(PLAIN)
    orders = Orders(sets(top_k=1))
    assert isinstance(shape(world.upstreams["a"], what, what.fields or {}, "", orders), Fault)


def test_the_model_s_name_there_wins(make: Make) -> None:
    assert sent(make({}), PLAIN, target="t").body == PLAIN.replace(b'"m"', b'"t"')
    found = sent(make({}), b'{"x":1}', target="t")
    assert (found.body, found.notes) == (b'{"x":1,"model":"t"}', ("`model` is `t`",))
    found = sent(make({"default_model": "d"}), b'{"x":1}')
    assert found.notes == ("`model` is `d`, the default of a",)


@pytest.mark.parametrize(
    ("own", "limit", "wanted"), [(500, 100, 100), (50, 100, 50), (None, 100, 100), (500, None, 500)]
)
def test_of_two_limits_the_smaller_holds(make: Make, own: int | None, limit: int | None, wanted: int) -> None:
    overrides = None if own is None else sets(max_tokens=own)
    found = sent(make({}), b'{"model":"m","max_tokens":400}', overrides=overrides, limit=limit)
    assert msgspec.json.decode(found.body) == {"model": "m", "max_tokens": wanted}


STREAM = b'{"model":"m","stream":true}'


@pytest.mark.parametrize("surface", ["chat", "completions"])
def test_streams_are_asked_what_they_use(make: Make, surface: str) -> None:
    found = sent(make({}), STREAM, surface)
    assert found.body == STREAM[:-1] + b',"stream_options":{"include_usage":true}}'
    assert found.notes == ()


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (
            b'{"stream_options":{"x":1.0,"include_usage":false,"y":[ 1]},"stream":true}',
            b'{"stream_options":{"x":1.0,"include_usage":true,"y":[ 1]},"stream":true}',
        ),
        (
            b'{"stream_options":null,"stream":true}',
            b'{"stream_options":{"include_usage":true},"stream":true}',
        ),
        (b'{"stream_options":{},"stream":true}', b'{"stream_options":{"include_usage":true},"stream":true}'),
        (
            b'{"stream_options":{"include_usage":true},"stream":true}',
            b'{"stream_options":{"include_usage":true},"stream":true}',
        ),
    ],
)
def test_other_options_of_a_stream_stay(make: Make, body: bytes, wanted: bytes) -> None:
    assert sent(make({}), body).body == wanted


@pytest.mark.parametrize(
    ("backend", "body", "surface"),
    [
        ({}, b'{"model":"m","stream":false}', "chat"),
        ({}, b'{"model":"m"}', "chat"),
        ({}, STREAM, "responses"),
        ({}, STREAM, "messages"),
        ({"forward_authorization": True}, STREAM, "chat"),
        ({"provider": "mistral"}, STREAM, "chat"),
    ],
)
def test_nothing_is_asked_of_those_who_would_not_tell(
    make: Make, backend: dict[str, Any], body: bytes, surface: str
) -> None:
    assert sent(make(backend), body, surface).body == body


def test_the_question_goes_with_other_changes(make: Make) -> None:
    assert sent(make({}), STREAM, target="t").body == (
        b'{"model":"t","stream":true,"stream_options":{"include_usage":true}}'
    )
    world = make({"openai_strict": True})
    assert sent(world, b'{"model":"m","stream":true,"top_k":1}').body == (
        b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}'
    )
    assert asks_usage(world.upstreams["a"])


def test_a_request_that_was_made_smaller_is_asked_too(make: Make) -> None:
    what = request(STREAM)
    fields = {**(what.fields or {}), "messages": msgspec.Raw(b"[]")}
    found = shape(make({}).upstreams["a"], what, fields, "m")
    assert isinstance(found, Sent)
    assert found.body == b'{"model":"m","stream":true,"messages":[],"stream_options":{"include_usage":true}}'


def test_the_operator_has_the_last_word_on_stream_options(make: Make) -> None:
    off = sets(stream_options={"include_usage": False})
    assert sent(make({}), STREAM, overrides=off).body == (
        b'{"model":"m","stream":true,"stream_options":{"include_usage":false}}'
    )
    assert sent(make({}), STREAM, overrides=sets(stream_options=None)).body == STREAM


def test_a_stream_may_be_wanted_of_the_upstream_alone(make: Make) -> None:
    found = sent(make({}), b'{"model":"m"}', overrides=sets(stream=True))
    assert found.body == b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}'
    assert found.streams is True
    body = b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}'
    found = sent(make({}), body, overrides=sets(stream=False))
    assert (found.body, found.streams) == (b'{"model":"m","stream":false}', False)
    assert found.notes == ("`stream` set to false", "removed `stream_options`: it is of streams")
    found = sent(make({}), STREAM, overrides=sets(stream=None))
    assert (found.body, found.streams) == (b'{"model":"m"}', False)


def test_what_was_changed_before_is_not_changed_again(make: Make) -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"a"}],"max_tokens":3,"stream":true}'
    overrides = Overrides(append="X", force=sets(max_tokens=9, stream=True).force)
    found = sent(make({}), body, overrides=overrides, ready=("note",))
    assert found.body == body[:-1] + b',"stream_options":{"include_usage":true}}'
    assert (found.notes, found.streams) == (("note",), True)


OLLAMA: dict[str, Any] = {"provider": "ollama"}
CHAT = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]'


def test_what_only_the_dialect_has_is_asked_for_in_it(make: Make) -> None:
    world = make(OLLAMA)
    found = sent(world, CHAT + b',"num_ctx":512,"think":"low","logit_bias":{}}', target="t", limit=7)
    assert found.dialect is world.upstreams["a"].dialect is DIALECTS["ollama"]
    assert msgspec.json.decode(found.body) == {
        "model": "t",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "options": {"num_ctx": 512, "num_predict": 7},
        "think": "low",
    }
    assert found.notes == (
        "sent to /api/chat because of `num_ctx`, `think`",
        "dropped `logit_bias`: Ollama's /api/chat does not take it",
    )


@pytest.mark.parametrize(
    ("backend", "more", "overrides", "native"),
    [
        (OLLAMA, b"}", None, False),
        (OLLAMA, b',"num_ctx":null}', None, False),
        (OLLAMA, b"}", sets(num_ctx=1), True),
        (OLLAMA, b',"num_ctx":1}', sets(num_ctx=None), False),
        (OLLAMA | {"native": "never"}, b',"num_ctx":1}', None, False),
        (OLLAMA | {"native": "always"}, b"}", None, True),
        ({"provider": "vllm"}, b',"num_ctx":1}', None, False),
    ],
)
def test_when_the_dialect_is_spoken(
    make: Make, backend: dict[str, Any], more: bytes, overrides: Overrides | None, native: bool
) -> None:
    found = sent(make(backend), CHAT + more, overrides=overrides)
    assert (found.dialect is not None) is native
    assert (b'"include_usage":true' in found.body) is not native


def test_other_surfaces_have_no_dialect_and_a_refusal_is_one(make: Make) -> None:
    world = make(OLLAMA | {"native": "always", "strict_params": True})
    assert sent(world, b'{"model":"m","num_ctx":1}', "completions").dialect is None
    what = request(CHAT + b',"n":2}')
    fault = shape(world.upstreams["a"], what, what.fields or {}, "")
    assert isinstance(fault, Fault)
    assert fault.param == "n"


def test_a_version_that_refuses_the_question_is_not_asked(make: Make) -> None:
    azure = {"provider": "azure", "url": "https://r.openai.azure.com", "api_version": "2024-06-01"}
    assert not asks_usage(make(azure).upstreams["a"])
    assert asks_usage(make(azure | {"api_version": "2024-10-21"}).upstreams["a"])


@pytest.mark.parametrize(
    "overrides", [sets(stream_options={"a": 1}), written({}, {"stream_options": msgspec.Raw(b"1")})]
)
@pytest.mark.parametrize("surface", ["chat", "completions", "responses"])
def test_options_of_streams_that_the_operator_adds_are_for_streams(
    make: Make, overrides: Overrides, surface: str
) -> None:
    found = sent(make({}), PLAIN, surface, overrides=overrides)
    assert (found.body, found.notes) == (PLAIN, ())
    assert (
        b"stream_options"
        in sent(make({}), PLAIN[:-1] + b',"stream":true}', surface, overrides=overrides).body
    )


def test_options_of_streams_that_only_the_client_asks_for_are_its_own(make: Make) -> None:
    body = PLAIN[:-1] + b',"stream_options":{}}'
    fills = written({}, {"stream_options": msgspec.Raw(b"1")})
    assert sent(make({}), body, overrides=fills).body == body


@pytest.mark.parametrize(
    "overrides", [sets(max_tokens=4000, n=1), written({}, {"max_tokens": msgspec.Raw(b"4000")})]
)
def test_what_was_set_is_told_as_it_was_sent(make: Make, overrides: Overrides) -> None:
    found = sent(make({}), b'{"model":"m"}', overrides=overrides, limit=2812)
    assert msgspec.json.decode(found.body)["max_tokens"] == 2812
    assert "`max_tokens` set to 2812, which is lower" in found.notes
    assert not any("4000" in note for note in found.notes)
    higher = sent(make({}), b'{"model":"m"}', overrides=overrides, limit=5000)
    assert any("4000" in note for note in higher.notes)
