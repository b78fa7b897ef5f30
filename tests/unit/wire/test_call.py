"""wire/call.py: what was checked is what the upstream sees, in JSON and in forms."""

import gc
import json
from email import message_from_bytes
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunkline.errors import INVALID_JSON, INVALID_REQUEST, Fault, Kind
from trunkline.wire.call import MAX_FIELDS, ParsedBody, multipart_model, parse_json


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


# forms

TYPE = b"multipart/form-data; boundary=B"
FILE = b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\nRIFF\xff--\r\n'
MODEL = b'Content-Disposition: form-data; name="model"\r\n\r\nwhisper-1'


def form(*parts: bytes, boundary: bytes = b"B") -> bytes:
    return b"".join(b"--%b\r\n%b\r\n" % (boundary, part) for part in parts) + b"--%b--\r\n" % boundary


@pytest.mark.parametrize(
    "body",
    [
        form(MODEL),
        form(FILE, MODEL),
        form(MODEL, FILE),
        form(FILE, MODEL, FILE)[:-4],  # the rest streams through
        form(b"content-disposition:form-data; name=model\r\n\r\nwhisper-1"),  # .NET writes no quotes
        form(b"Content-Type: text/plain; charset=utf-8\r\n" + MODEL),  # and the type first
        form(
            MODEL.replace(
                b"\r\n\r\n", b"\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: 9\r\n\r\n"
            )
        ),
        form(MODEL.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")),
        form(FILE.replace(b"a.wav", b"model"), MODEL),
        form(FILE.replace(b"a.wav", b"100%.wav"), MODEL),
        form(FILE.replace(b'"a.wav"', b"a; filename*=utf-8''%E4.wav"), MODEL),
        form(FILE.replace(b"a.wav", b"=?utf-8?B?w6Qud2F2?="), MODEL),
        form(FILE.replace(b"\r\n\r\n", b"\r\nX-Subject: =?utf-8?Q?name=3Dmodel?=\r\n\r\n"), MODEL),
        form(b'Content-Disposition: form-data; name="model_id"\r\n\r\nx', MODEL),
        form(b'Content-Disposition: form-data; name="prompt"\r\n\r\n<input name="model">', MODEL),
        form(b'Content-Disposition: form-data; name="prompt"\r\n\r\nname=model', MODEL),
    ],
)
def test_the_model_of_a_form(body: bytes) -> None:
    assert multipart_model(body) == "whisper-1"
    assert multipart_model(body, TYPE) == "whisper-1"
    assert multipart_model(body, b'Multipart/Form-Data;BOUNDARY = "B" ; x=y') == "whisper-1"


@pytest.mark.parametrize(
    "body", [b"", b"x", form(), form(FILE), form(FILE, FILE), b'--B\r\nname="model"', FILE]
)
def test_forms_without_a_model(body: bytes) -> None:
    assert multipart_model(body, TYPE) == ""


def disposition(parameters: bytes, value: bytes = b"x") -> bytes:
    return b"Content-Disposition: form-data; %b\r\n\r\n%b" % (parameters, value)


SMUGGLED = [
    form(MODEL, MODEL),
    form(MODEL, FILE, disposition(b'name="model"')),
    # another spelling of the name beside the plain one, or alone
    *[
        form(*parts)
        for parameters in (
            *(
                b'name="MODEL"',
                b'Name="model"',
                b"name=Model",
                b"name='model'",
                b'name = "model"',
                b'name="model',
            ),
            *(
                b'name="mod\\el"',
                b'name="model\\"',
                b'name=" model"',
                b'name="model "',
                b'name="model";x=y',
                b"name=model;",
            ),
            *(
                b"name*=utf-8''model",
                b"name*=utf-8''%6dodel",
                b'name*0="mod"; name*1="el"',
                b"name*0*=model",
                b"name*=x",
            ),
            *(
                b'name="%6Dodel"',
                b'name="mo" "del"',
                b'name="mo"del"',
                b'name="model" x',
                b'name="model[]"',
                b'name="model\x00"',
            ),
            *(
                b'filename="a"; name="model"',
                b'name="model"; filename="a"',
                b'name="x"; name="model"',
                b'x; name="model"',
            ),
            *(
                b'name="model"; name="x"',
                b'\r\n name="model"',
                b'name=\r\n "model"',
                b'name="model"\tx',
                b'name="model"\x0b',
            ),
            *(
                b'name="=?utf-8?Q?model?="',
                b'name="=?utf-8?b?bW9kZWw=?="',
                b"name==?us-ascii?q?=6dodel?=",
                b'name="mo=?utf-8?Q?del?="',
                b'name="=?cp037?B?lJaEhZM=?="',
                b'filename="a"; name="=?x?Q?y?="',
                b'name="=?utf-8?Q?mo?=\r\n =?utf-8?Q?del?="',
                b'=?utf-8?Q?=3Bname=3Dmodel?="',
            ),
        )
        for parts in ((disposition(parameters), MODEL), (disposition(parameters),))
    ],
    form(b"Content-Disposition: =?utf-8?Q?form-data=3B_name=3D=22model=22?=\r\n\r\nx", MODEL),
    # other kinds of part
    *[
        form(MODEL.replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n"))
        for line in (
            *(
                b"Content-Transfer-Encoding: quoted-printable",
                b"Content-Transfer-Encoding: base64",
                b"X: y",
                b" x",
                b"x",
            ),
            *(
                b"Content-Type: application/json",
                b"Content-Type: text/plain; charset=utf-16",
                b"Content-Disposition: x",
            ),
        )
    ],
    form(MODEL.replace(b"form-data", b"attachment")),
    form(MODEL.replace(b"\r\n", b"\n")),
    form(MODEL).replace(b"\r\n", b"\n"),
    # values that are not plain text on one line
    *[
        form(disposition(b'name="model"', value))
        for value in (
            b"",
            b"a b",
            b" a",
            b"a\tb",
            b"a\r\nb",
            b"a\nb",
            b"\xe4",
            b"a\x00",
            b"x" * 513,
            b"a\r\n--C",
            b"a\r\n--Bx",
        )
    ],
    form(MODEL)[:-8],
    form(MODEL)[:-20],
    # before the first and behind the last delimiter, or with another one
    b"preamble\r\n" + form(MODEL),
    b"\r\n" + form(MODEL),
    b"--B \r\n" + form(MODEL)[5:],
    form(FILE) + form(MODEL),
    form(FILE) + b"\r\n" + MODEL,
    form(FILE, MODEL)[2:],
    # more names than a part has
    form(disposition(b"; ".join([b'name="x"'] * 101))),
    form(disposition(b'; name="x"' * 200 + b'; name="model"')),
    # more parts than a form has
    form(*[disposition(b'name="x"')] * 6000),
]


@pytest.mark.parametrize("body", SMUGGLED)
def test_forms_that_can_be_read_in_two_ways_are_refused(body: bytes) -> None:
    fault = multipart_model(body)
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.param) == (INVALID_REQUEST, "model")


@pytest.mark.parametrize(
    "content_type",
    [
        b"multipart/form-data",
        b"multipart/form-data; boundary=C",
        b"multipart/form-data; boundary=B; boundary=C",
        b"multipart/form-data; boundary=C; boundary=B",
        b"multipart/form-data; boundary=",
        b'multipart/form-data; boundary="B',
        b"multipart/form-data; xboundary=B",
    ],
)
def test_the_body_begins_with_the_boundary_of_its_type(content_type: bytes) -> None:
    assert isinstance(multipart_model(form(FILE, MODEL), content_type), Fault)
    assert multipart_model(form(FILE), content_type) == ""


_parts = st.sampled_from(
    [
        MODEL,
        FILE,
        disposition(b'name="x"'),
        disposition(b'name="MODEL"'),
        disposition(b"name=model", b"y"),
        b"",
        b"X: y",
        disposition(b'name="x"', b"--B\r\n" + MODEL),
        disposition(b"name*=model"),
        disposition(b'name="model"', b"a\r\n--C"),
    ]
)


@given(
    st.lists(_parts, max_size=4),
    st.sampled_from([b"B", b"C"]),
    st.sampled_from([b"", b"x", b"--C\r\n", b"--B\r\n"]),
)
def test_another_parser_finds_the_same_model(parts: list[bytes], boundary: bytes, before: bytes) -> None:
    """Python's email package is the other parser; what it finds is what was read, wherever something was read."""
    body = before + form(*parts, boundary=boundary)
    model = multipart_model(body, TYPE)
    if isinstance(model, Fault) or not model:
        return
    message: Any = message_from_bytes(b"Content-Type: " + TYPE + b"\r\n\r\n" + body)
    values = [
        part.get_payload()
        for part in message.get_payload()
        if part.get_param("name", header="content-disposition") == "model"
    ]
    assert values == [model]
