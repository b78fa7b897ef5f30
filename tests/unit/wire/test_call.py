"""wire/call.py: what was checked is what the upstream sees."""

import gc
import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunkline.errors import INVALID_JSON, INVALID_REQUEST, Fault, Kind
from trunkline.wire.call import MAX_FIELDS, ParsedBody, name_model, parse_json


def parsed(raw: bytes) -> ParsedBody:
    body = parse_json(raw)
    assert isinstance(body, ParsedBody)
    return body


def read(raw: bytes) -> ParsedBody:
    """What was read, once it is seen that the body was written from the fields."""
    found = parsed(raw)
    assert found.fields is not None
    assert msgspec.json.encode(found.fields) == found.body
    found.fields = None
    return found


def test_the_fields_that_are_read() -> None:
    raw = b'{"model":"m","stream":true,"stream_options":{"include_usage":true,"x":1},"messages":[]}'
    assert read(raw) == ParsedBody("m", True, True, raw)


@pytest.mark.parametrize(
    ("raw", "model", "stream", "include_usage"),
    [
        (b"{}", "", False, False),
        (b'{"model":null,"stream":null,"stream_options":null}', "", False, False),
        (b'{"model":"","stream":false,"stream_options":{}}', "", False, False),
        (b'{"stream_options":{"include_usage":1}}', "", False, False),
        (b'{"stream_options":{"include_usage":"true"}}', "", False, False),
        (b'{"stream_options":{"include_usage":null}}', "", False, False),
        ('{"model":"zwölf/m:1"}'.encode(), "zwölf/m:1", False, False),
        (b'{"model":"a\\u0062\\ud83d\\ude00"}', "ab\U0001f600", False, False),
        (b'{"model":"%b"}' % (b"x" * 512), "x" * 512, False, False),
    ],
)
def test_values_of_the_fields_that_are_read(
    raw: bytes, model: str, stream: bool, include_usage: bool
) -> None:
    body = parsed(raw)
    assert (body.model, body.stream, body.include_usage, body.body) == (model, stream, include_usage, raw)


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b' { "b" : [ 1 ,\t2.50 ] , "a" : 1E3 }\n', b'{"b":[ 1 ,\t2.50 ],"a":1E3}'),
        (b'{"a":12345678901234567890123456789012345678901234567890.0e-5}', None),
        (b'{"a":1e999,"b":-0,"c":-0.0}', None),
        (b'{"a":"\\u00e4\\/\\n","b":{"x":1,"x":2}}', None),
        ('{"ä":"\u2028\U0001f600"}'.encode(), None),
        (b'{"a":"\x7f"}', None),
    ],
)
def test_values_and_order_stay_byte_for_byte(raw: bytes, body: bytes | None) -> None:
    assert parsed(raw).body == (body or raw)


@pytest.mark.parametrize(
    ("raw", "model", "body"),
    [
        (b'{"model":"a","model":"b"}', "b", b'{"model":"b"}'),
        (b'{"model":"a","x":1,"model":"b"}', "b", b'{"model":"b","x":1}'),
        (b'{"model":"a","mod\\u0065l":"b"}', "b", b'{"model":"b"}'),
        (b'{"model":"a","model":null}', "", b'{"model":null}'),
        (b'{"x":1,"x":[2]}', "", b'{"x":[2]}'),
    ],
)
def test_duplicates_collapse_to_the_one_that_is_read(raw: bytes, model: str, body: bytes) -> None:
    assert read(raw) == ParsedBody(model, False, False, body)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("MODEL", "model"),
        ("Model", "model"),
        ("m\\u004fdel", "model"),
        ("Stream", "stream"),
        ("\u017ftream", "stream"),
        ("\\u017fTREAM", "stream"),
        ("stream_option\u017f", "stream_options"),
        ("STREAM_OPTIONS", "stream_options"),
    ],
)
def test_names_that_another_parser_could_take_for_ours_are_refused(name: str, read: str) -> None:
    for raw in (f'{{"{name}":"b","model":"a"}}', f'{{"model":"a","{name}":"b"}}'):
        fault = parse_json(raw.encode())
        assert isinstance(fault, Fault)
        assert fault.kind is INVALID_REQUEST
        assert f"write `{read}`" in fault.message


@pytest.mark.parametrize("name", ["models", "\u212a", "model ", "stream-options", "xMODEL", "ＭＯＤＥＬ"])  # noqa: RUF001 - wide letters are meant
def test_names_that_only_look_like_ours_pass(name: str) -> None:
    raw = f'{{"{name}":"b","model":"a"}}'.encode()
    assert read(raw) == ParsedBody("a", False, False, raw, name == "models")


@pytest.mark.parametrize(
    ("raw", "kind", "what", "param"),
    [
        (b"", INVALID_JSON, "truncated", None),
        (b"{", INVALID_JSON, "truncated", None),
        (b'{"model":"m"', INVALID_JSON, "truncated", None),
        (b'{"model":"m"}x', INVALID_JSON, "trailing", None),
        (b'{"model":"m"}{}', INVALID_JSON, "trailing", None),
        (b'{"a":1,}', INVALID_JSON, "trailing comma", None),
        (b"{'a':1}", INVALID_JSON, "", None),
        (b'{"a":NaN}', INVALID_JSON, "invalid character", None),
        (b'{"a":-Infinity}', INVALID_JSON, "invalid character", None),
        (b'{"a":01}', INVALID_JSON, "invalid number", None),
        (b'{"a":"\n"}', INVALID_JSON, "invalid character", None),
        (b'{"a":"\x00"}', INVALID_JSON, "invalid character", None),
        (b'{"a":"\\x41"}', INVALID_JSON, "escaped", None),
        (b'{"model":"\\ud800"}', INVALID_JSON, "", None),
        (b'{"\\udfff":1}', INVALID_JSON, "", None),
        (b'{"model":"\xff"}', INVALID_JSON, "byte 10 is not UTF-8", None),
        (b'{"deep":{"down":"\xc0\x80"}}', INVALID_JSON, "byte 17 is not UTF-8", None),
        (b'{"a":"\xed\xa0\x80"}', INVALID_JSON, "not UTF-8", None),
        (b'\xef\xbb\xbf{"a":1}', INVALID_JSON, "invalid character", None),
        ('{"model":"m"}'.encode("utf-16"), INVALID_JSON, "not UTF-8", None),
        ('{"model":"m"}'.encode("utf-16-le"), INVALID_JSON, "", None),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", INVALID_JSON, "nested too deeply", None),
        (
            b'{"stream_options":' + b'{"x":' * 5000 + b"1" + b"}" * 5001,
            INVALID_JSON,
            "nested too deeply",
            None,
        ),
        (b"[]", INVALID_REQUEST, "must be a JSON object", None),
        (b"null", INVALID_REQUEST, "must be a JSON object", None),
        (b'"model"', INVALID_REQUEST, "must be a JSON object", None),
        (b'{"model":1}', INVALID_REQUEST, "`model` must be a string", "model"),
        (b'{"model":["m"]}', INVALID_REQUEST, "`model` must be a string", "model"),
        (b'{"model":"' + b"x" * 513 + b'"}', INVALID_REQUEST, "longer than 512", "model"),
        (b'{"stream":1}', INVALID_REQUEST, "`stream` must be true or false", "stream"),
        (b'{"stream":"true"}', INVALID_REQUEST, "`stream` must be true or false", "stream"),
        (b'{"stream_options":true}', INVALID_REQUEST, "`stream_options` must be an object", "stream_options"),
        (b'{"stream_options":[]}', INVALID_REQUEST, "`stream_options` must be an object", "stream_options"),
    ],
)
def test_bodies_that_are_refused(raw: bytes, kind: Kind, what: str, param: str | None) -> None:
    fault = parse_json(raw)
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.param, fault.http_status) == (kind, param, 400)
    assert what in fault.message


def members(count: int, *, width: int = 1, repeat: bool = False) -> bytes:
    """An object of so many fields; each value has `width` digits."""
    return b"{%b}" % b",".join(b'"%x":%0*d' % (0 if repeat else i, width, 1) for i in range(count)).replace(
        b":0", b":1"
    )


@pytest.mark.parametrize("width", [1, 100])
def test_the_number_of_fields_is_limited(width: int) -> None:
    raw = members(MAX_FIELDS, width=width)
    assert parsed(raw).body == raw
    fault = parse_json(members(MAX_FIELDS + 1, width=width))
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.message) == (INVALID_REQUEST, "the request object has more than 1024 fields")


@pytest.mark.parametrize("repeat", [True, False])
def test_a_body_of_many_fields_is_not_read_to_its_end(repeat: bool) -> None:
    fault = parse_json(members(100_000, repeat=repeat)[:-1] + b", this is not JSON")
    assert isinstance(fault, Fault)
    assert fault.message == "the request object has more than 1024 fields"


def test_in_a_large_body_names_are_limited_too() -> None:
    padding = b'"pad":"%b"' % (b"x" * 70_000)
    raw = b'{"%b":1,%b}' % (b"n" * 1024, padding)
    assert parsed(raw).body == raw
    fault = parse_json(b'{"%b":1,%b}' % (b"n" * 1025, padding))
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.http_status) == (INVALID_REQUEST, 400)
    assert "longer than 1024" in fault.message


def test_a_large_body_is_read_like_a_small_one() -> None:
    padding = b'"pad":"%b"' % (b"x" * 70_000)
    raw = b'{"model":"m","stream":true,"stream_options":{"include_usage":true},%b}' % padding
    assert read(raw) == ParsedBody("m", True, True, raw)
    assert parsed(b'{"model":"a","model":"b",%b}' % padding).body == b'{"model":"b",%b}' % padding
    for wrong in (b'{"MODEL":"b",%b}', b'{"model":1,%b}', b"[%b]".replace(b"%b", b'"%b"'), b"{%b"):
        assert isinstance(parse_json(wrong % padding), Fault)


def test_what_include_usage_holds_is_not_built() -> None:
    """Millions of arrays cost their bytes, not a second of work for the collector: nested deeper than Python builds."""
    raw = b'{"stream_options":{"include_usage":[%b]}}' % b",".join([b"[[]]"] * 1000)
    before = len(gc.get_objects())
    body = parsed(raw)
    assert len(gc.get_objects()) - before < 100
    assert (body.include_usage, body.body) == (False, raw)


_names = st.sampled_from(["model", "stream", "stream_options", "a", "MODEL", "ä", "\u017ftream"]) | st.text(
    max_size=3
)
_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.tuples(_names, _values), max_size=6), st.booleans())
@example([("model", "a"), ("model", "b")], True)
def test_the_upstream_reads_what_was_checked(pairs: list[tuple[str, Any]], plain: bool) -> None:
    """Python's own json is the upstream; like most it takes the last of several equal keys."""
    members = [f"{json.dumps(name, ensure_ascii=plain)} : {json.dumps(value)}" for name, value in pairs]
    raw = f"{{{', '.join(members)}}}".encode()
    body = parse_json(raw)
    if isinstance(body, Fault):
        return
    seen = json.loads(body.body)
    assert seen == json.loads(raw)
    assert list(seen) == list(dict(pairs))
    assert (seen.get("model") or "", seen.get("stream") is True) == (body.model, body.stream)
    assert body.include_usage is ((seen.get("stream_options") or {}).get("include_usage") is True)
    assert parse_json(body.body) == body


@given(
    st.binary(max_size=40)
    | st.text(max_size=20).map(lambda text: f'{{"a":"{text}'.encode("utf-8", "surrogatepass"))
)
def test_garbage_is_a_fault(raw: bytes) -> None:
    body = parse_json(raw)
    if isinstance(body, ParsedBody):
        assert json.loads(body.body) == json.loads(raw)
    else:
        assert body.http_status == 400


@pytest.mark.parametrize("raw", [b"{}", b'{"model": null, "input": [1, 2], "stream": true}'])
def test_the_model_that_a_path_names_is_in_the_body(raw: bytes) -> None:
    before = parsed(raw)
    named = name_model(before, "m")
    assert (named.model, named.stream) == ("m", before.stream)
    assert json.loads(named.body) == json.loads(raw) | {"model": "m"}
    assert named.fields is not None
    assert msgspec.json.encode(named.fields) == named.body
    assert before.fields is not None
    assert before.fields.get("model") != b'"m"', "the one before is as it was"
