"""wire/form.py: what was checked is what the upstream sees, and a new name changes nothing else."""

from email import message_from_bytes
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import INVALID_REQUEST, Fault
from trunkline.wire.form import multipart_model, rename_model

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


@pytest.mark.parametrize("beside", [b"", b"Content-Type: text/plain\r\n", b"content-length:  9\r\n"])
@pytest.mark.parametrize("before", [(), (FILE,), (FILE, disposition(b'name="x"', b"whisper-1"))])
def test_a_model_is_renamed_and_nothing_else(before: tuple[bytes, ...], beside: bytes) -> None:
    def named(value: bytes, length: bytes) -> bytes:
        return form(*before, beside.replace(b"9", length) + MODEL.replace(b"whisper-1", value), FILE)

    body = named(b"whisper-1", b"9")
    assert rename_model(body, TYPE, "openai/whisper large:v3") == named(b"openai/whisper large:v3", b"23")
    assert rename_model(body, TYPE, "whisper-1") == body
    # of a beginning the rest follows
    for end in (-4, -20, -len(FILE)):
        assert rename_model(body[:end], TYPE, "m") + body[end:] == named(b"m", b"1")


def test_what_follows_a_beginning_may_be_half_a_field() -> None:
    begun = form(MODEL, FILE)[:-5] + b'--B\r\nContent-Disposition: form-data; name="mod'
    assert rename_model(begun, TYPE, "m") == begun.replace(b"whisper-1", b"m")


@pytest.mark.parametrize(
    "model",
    ["", " ", " m", "m ", "a\r\nb", "a\nb", "a\rb", "a\tb", "a\x00", "\x7f", "modèle", "\ud800", "--Bx"],
)
def test_names_that_cannot_stand_in_a_form(model: str) -> None:
    with pytest.raises(ValueError, match="this model's name cannot be written in"):
        rename_model(form(MODEL), TYPE, model)


@pytest.mark.parametrize("body", [b"", form(FILE), form(disposition(b'name="MODEL"')), form(MODEL)[:-8]])
def test_a_form_without_a_plain_model_is_not_written(body: bytes) -> None:
    with pytest.raises(ValueError, match="no plain `model` field"):
        rename_model(body, TYPE, "m")


def test_a_form_of_another_boundary_is_not_written() -> None:
    with pytest.raises(ValueError, match="no plain `model` field"):
        rename_model(form(MODEL), TYPE + b"C", "m")


@given(
    st.lists(_parts, max_size=4),
    st.sampled_from(["\r\n", "", "x"]),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=512),
)
def test_the_new_name_is_read_where_the_old_one_was(parts: list[bytes], after: str, model: str) -> None:
    body = form(*parts) + after.encode()
    old = multipart_model(body, TYPE)
    if isinstance(old, Fault) or not old or model.startswith("--B"):
        return
    new = rename_model(body, TYPE, model)
    assert multipart_model(new, TYPE) == model
    assert rename_model(new, TYPE, old) == body
    place = body.index(b"\r\n\r\n" + old.encode() + b"\r\n") + 4
    assert new == body[:place] + model.encode() + body[place + len(old) :]
