"""policy/overrides.py: what is set, filled in, removed and added, by levels; the rest of a request keeps its bytes."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.policy import overrides
from trunkline.policy.overrides import Overrides, laid, merge, written
from trunkline.policy.secrecy import Params

Fields = dict[str, msgspec.Raw]
_decode = msgspec.json.Decoder(Fields).decode


def raw(**fields: str) -> Fields:
    return {name: msgspec.Raw(value.encode()) for name, value in fields.items()}


def applied(overrides: Overrides, body: str) -> tuple[str, tuple[str, ...]]:
    """The request object as it goes upstream, with what was changed."""
    fields, notes = overrides.apply(_decode(body.encode()))
    return msgspec.json.encode(fields).decode(), notes


def said(messages: str, text: str = "X") -> str:
    """`messages` with a text added."""
    body, _ = applied(Overrides(append=text), f'{{"messages":{messages}}}')
    return body.removeprefix('{"messages":').removesuffix("}")


def test_nothing_is_nothing() -> None:
    fields = raw(a="1")
    assert Overrides().apply(fields) == (fields, ())
    assert Overrides().apply(fields)[0] is fields
    assert not Overrides()
    assert written(raw(a="null"), {})
    assert written({}, raw(a="1"))


def test_what_is_set_keeps_its_place_and_what_is_new_comes_last() -> None:
    overrides = written(
        raw(temperature="0.2", seed="12345678901234567890", n="2", b="null"), raw(top_p="1.0")
    )
    assert applied(overrides, '{"temperature":1,"x":1e400,"b":[1],"n":2,"y":{"z": 1.0}}') == (
        '{"temperature":0.2,"x":1e400,"n":2,"y":{"z": 1.0},"seed":12345678901234567890,"top_p":1.0}',
        (
            "`temperature` set to 0.2",
            "`seed` set to 12345678901234567890",
            "`top_p` set to 1.0, because it was left out",
            "removed `b`",
        ),
    )


def test_what_the_client_says_is_not_filled_in_even_if_it_is_null() -> None:
    overrides = written({}, raw(a="1", b="2"))
    assert applied(overrides, '{"a":null,"b":3}') == ('{"a":null,"b":3}', ())


def test_what_is_so_already_is_no_change() -> None:
    fields = raw(a="1")
    assert written(raw(a="1", b="null"), raw(a="2")).apply(fields)[0] is fields


def test_null_may_be_sent() -> None:
    assert applied(Overrides(force=raw(seed="null")), '{"seed":1}') == (
        '{"seed":null}',
        ("`seed` set to null",),
    )


def test_values_in_notes_are_short_and_on_one_line() -> None:
    _, notes = applied(written(raw(a=json.dumps("x" * 100), b='"\u2028"', c='"é"'), {}), "{}")
    assert notes == (
        '`a` set to "' + "x" * 39 + "...",
        '`b` set to "\\u2028"',
        '`c` set to "é"',
    )


def test_secrets_are_not_told() -> None:
    params = Params(raw(api_key='"s1"', headers='{"authorization":"s2"}', user='"s3"'), frozenset(["user"]))
    overrides = merge([written(params, Params(raw(a='"s4"'), frozenset("a"))), written({}, raw(b="5"))])
    _, notes = applied(overrides, "{}")
    assert notes == (
        "`api_key` set to a value that is not shown",
        "`headers` set to a value that is not shown",
        "`user` set to a value that is not shown",
        "`a` set to a value that is not shown, because it was left out",
        "`b` set to 5, because it was left out",
    )


LEVELS: list[tuple[list[Overrides], str]] = [
    # what is set: the later wins
    ([written(raw(a="1"), {}), written(raw(a="2"), {})], '{"a":2}'),
    ([written(raw(a="1"), {}), written(raw(a="null"), {})], "{}"),
    ([written(raw(a="null"), {}), written(raw(a="3"), {})], '{"a":3}'),
    # filled in: the later wins, null takes it back
    ([written({}, raw(f="1")), written({}, raw(f="2"))], '{"a":0,"f":2}'),
    ([written({}, raw(f="1")), written({}, raw(f="null"))], '{"a":0}'),
    ([written({}, raw(f="null")), written({}, raw(f="2"))], '{"a":0,"f":2}'),
    # what is set or removed beats what is filled in, at whatever level
    ([written(raw(f="1"), {}), written({}, raw(f="2"))], '{"a":0,"f":1}'),
    ([written(raw(f="null"), {}), written({}, raw(f="2"))], '{"a":0}'),
    ([written({}, raw(f="2")), written(raw(f="1"), {})], '{"a":0,"f":1}'),
    ([], '{"a":0}'),
]


@pytest.mark.parametrize(("levels", "sent"), LEVELS)
def test_levels_are_laid_over_each_other(levels: list[Overrides], sent: str) -> None:
    assert applied(merge(levels), '{"a":0}')[0] == sent
    assert applied(merge([laid(levels[:1]), laid(levels[1:])]), '{"a":0}')[0] == sent
    assert applied(merge([laid(levels)]), '{"a":0}')[0] == sent


# params, defaults, what the client sends, what goes up
SAME_THING: list[tuple[Fields, Fields, str, str]] = [
    (raw(max_tokens="1"), {}, '{"max_completion_tokens":9,"a":1}', '{"a":1,"max_tokens":1}'),
    (raw(max_completion_tokens="1"), {}, '{"max_tokens":9}', '{"max_completion_tokens":1}'),
    (raw(max_tokens="null"), {}, '{"max_completion_tokens":9}', "{}"),
    ({}, raw(max_tokens="1"), '{"max_completion_tokens":9}', '{"max_completion_tokens":9}'),
    ({}, raw(num_ctx="1"), '{"options":{"num_ctx": 9}}', '{"options":{"num_ctx": 9}}'),
    ({}, raw(options='{"num_ctx":1,"top_k":2}'), '{"num_ctx":9}', '{"num_ctx":9,"options":{"top_k":2}}'),
    (raw(num_predict="1"), {}, '{"max_tokens":9,"options":{"num_predict":8,"x":1.0}}',
     '{"options":{"x":1.0},"num_predict":1}'),
    (raw(options='{"num_ctx":1}'), {}, '{"num_ctx":9,"options":{"num_ctx":8}}', '{"options":{"num_ctx":1}}'),
    (raw(reasoning_effort='"low"'), {}, '{"think":"high","reasoning":{"effort":"high","exclude":true}}',
     '{"reasoning":{"exclude":true},"reasoning_effort":"low"}'),
    (raw(response_format="{}"), {}, '{"format":"json"}', '{"response_format":{}}'),
    (raw(max_tokens="1", max_completion_tokens="2"), {}, '{"num_predict":9}',
     '{"max_tokens":1,"max_completion_tokens":2}'),
    (raw(max_tokens="null", max_completion_tokens="2"), {}, '{"max_tokens":9}', '{"max_completion_tokens":2}'),
]  # fmt: skip


@pytest.mark.parametrize(("params", "defaults", "before", "after"), SAME_THING)
def test_a_parameter_is_meant_under_all_its_names(
    params: Fields, defaults: Fields, before: str, after: str
) -> None:
    assert applied(merge([written(params, defaults)]), before)[0] == after


def test_what_went_under_another_name_is_told() -> None:
    _, notes = applied(
        written(raw(num_predict="1"), {}), '{"max_tokens":9,"options":{"num_predict":9,"x":1}}'
    )
    assert notes == ("`num_predict` set to 1", "removed `max_tokens`", "removed `options.num_predict`")


OF_LEVELS: list[tuple[list[Overrides], str]] = [
    ([written(raw(max_tokens="1"), {}), written(raw(max_completion_tokens="2"), {})], '{"max_completion_tokens":2}'),
    ([written(raw(max_tokens="1"), {}), written(raw(max_completion_tokens="null"), {})], "{}"),
    ([written(raw(max_tokens="null"), {}), written(raw(max_completion_tokens="2"), {})], '{"max_completion_tokens":2}'),
    ([written({}, raw(max_tokens="1")), written({}, raw(max_completion_tokens="2"))], '{"max_completion_tokens":2}'),
    ([written({}, raw(max_tokens="1")), written({}, raw(max_completion_tokens="null"))], "{}"),
    ([written({}, raw(max_tokens="1")), written(raw(max_completion_tokens="2"), {})], '{"max_completion_tokens":2}'),
    ([written(raw(num_ctx="null"), {}), written({}, raw(options='{"num_ctx":2,"x":3}'))], '{"options":{"x":3}}'),
    ([written(raw(options='{"num_ctx":1,"x":3}'), {}), written(raw(num_ctx="2"), {})],
     '{"options":{"x":3},"num_ctx":2}'),
]  # fmt: skip


@pytest.mark.parametrize(("levels", "sent"), OF_LEVELS)
def test_levels_know_all_names_of_a_parameter(levels: list[Overrides], sent: str) -> None:
    assert applied(merge(levels), "{}")[0] == sent
    assert applied(merge([laid(levels)]), "{}")[0] == sent


def test_of_texts_to_add_the_last_one_holds() -> None:
    levels = [Overrides(append="a"), Overrides(append="b"), Overrides()]
    assert merge(levels).append == "b"


APPENDS: dict[str, tuple[str, str]] = {
    "no messages": ("[]", '[{"role":"user","content":"X"}]'),
    "null": ("null", '[{"role":"user","content":"X"}]'),
    "a text": ('[{"role":"user","content":"hi"}]', '[{"role":"user","content":"hiX"}]'),
    "an empty text": ('[{"role":"user","content":""}]', '[{"role":"user","content":"X"}]'),
    "null content": (
        '[{"role":"user","content":null,"name":"n"}]',
        '[{"role":"user","content":"X","name":"n"}]',
    ),
    "no content": ('[{"role":"user"}]', '[{"role":"user","content":"X"}]'),
    "content of no kind": ('[{"role":"user","content":5}]', '[{"role":"user","content":"X"}]'),
    "the last text part": (
        '[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b","k":1.0},{"type":"image_url"}]}]',
        '[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"bX","k":1.0},{"type":"image_url"}]}]',
    ),
    "parts without a text": (
        '[{"role":"user","content":[{"type":"image_url"}, 5]}]',
        '[{"role":"user","content":[{"type":"image_url"},5,{"type":"text","text":"X"}]}]',
    ),
    "no parts": (
        '[{"role":"user","content":[]}]',
        '[{"role":"user","content":[{"type":"text","text":"X"}]}]',
    ),
    "a text part without text": (
        '[{"role":"user","content":[{"type":"text","text":null}]}]',
        '[{"role":"user","content":[{"type":"text","text":"X"}]}]',
    ),
    "another one speaks last": (
        '[{"role":"user","content":"a"}, {"role":"assistant","content":"b"} ]',
        '[{"role":"user","content":"a"}, {"role":"assistant","content":"b"},{"role":"user","content":"X"} ]',
    ),
    "a message of no kind": ("[ 1 ]", '[ 1,{"role":"user","content":"X"} ]'),
    "other bytes stay": (
        '[ {"role" : "system","big":12345678901234567890} ,\n{"a": "\\u0041","role":"user","content":"\\u00e9"}\n]',
        '[ {"role" : "system","big":12345678901234567890} ,\n{"a":"\\u0041","role":"user","content":"\\u00e9X"}\n]',
    ),
    "no list": ('"text"', '"text"'),
    "an object": ("{}", "{}"),
}


@pytest.mark.parametrize("name", APPENDS)
def test_text_is_added_to_the_last_user_message(name: str) -> None:
    before, after = APPENDS[name]
    assert said(before) == after


def test_messages_that_are_not_there_are_made() -> None:
    assert applied(Overrides(append="a\nb"), '{"model":"m"}') == (
        '{"model":"m","messages":[{"role":"user","content":"a\\nb"}]}',
        ("text added to the last user message",),
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["role", "content", "name"]), json_values, max_size=3), max_size=4
    ),
    st.text(min_size=1, max_size=5),
    st.booleans(),
)
def test_every_message_but_the_last_stays_as_it_was(messages: list[Any], text: str, indented: bool) -> None:
    before = json.dumps(messages, indent=1 if indented else None)
    found = json.loads(said(before, text))
    head = messages[:-1]
    assert found[: len(head)] == head
    last = messages[-1] if messages else None
    if isinstance(last, dict) and last.get("role") == "user":
        assert len(found) == len(messages)
        assert text in json.dumps(found[-1]["content"], ensure_ascii=False) or json.dumps(text)[
            1:-1
        ] in json.dumps(found[-1]["content"])
    else:
        assert found == [*messages, {"role": "user", "content": text}]


@pytest.mark.parametrize(
    ("messages", "gets_it"),
    [
        (b"[%b]" % b",".join([b'{"role":"user","content":"a, b"}'] * 3), True),
        (b"[%b]" % b",".join([b'{"role":"user","content":"a, b"}'] * 4), False),
        (b"[1,2,3,4,5]", False),
        (b'[{"role":"user","content":[%b]}]' % b",".join([b'{"type":"text","text":"a,"}'] * 3), True),
        (b'[{"role":"user","content":[1,2,3,4,5]}]', False),
    ],
)
def test_text_is_added_to_no_list_that_no_server_would_take(
    monkeypatch: pytest.MonkeyPatch, messages: bytes, gets_it: bool
) -> None:
    """Each item costs 90 bytes: the numbers of a 32 MiB body would fill 1.5 GB."""
    monkeypatch.setattr(overrides, "MAX_ITEMS", 3)
    fields, notes = Overrides(append=" more").apply({"messages": msgspec.Raw(messages)})
    assert bool(notes) is gets_it or b'"role":"user","content":" more"' in bytes(fields["messages"])
    assert (bytes(fields["messages"]) == messages) is not bool(notes)
