"""The request object: a JSON body to the few values that the gateway reads, everything else left as raw bytes.

Owns the decoding of request bodies (JSON, and the `model` field of multipart forms). Does not own who may call
(policy/keys.py) nor where the call goes (routing/plan.py).

The object is decoded once as `dict[str, Raw]` and written again from that dict, order and values byte for byte. So
duplicate keys collapse to the one that was checked, and a key that another parser could take for one that we read
(`"MODEL"`) is refused: what was checked is what the upstream sees. What a field holds is skipped, not built, so a body
costs by its bytes; fields cost a hundred times more, so their number is limited, in large bodies while they are read.

A form is passed on as it is, so there the rule is: one plain `model` field, which every parser reads alike, and nothing
that some parser could take for a second one, even inside what a field holds: parsers differ about where that ends.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import cast
from urllib.parse import unquote_to_bytes

import msgspec

from trunkline.errors import INVALID_JSON, INVALID_REQUEST, Fault

_READ_BY_FOLD = {name.casefold(): name for name in ("model", "stream", "stream_options")}
_MAX_MODEL = 512
MAX_FIELDS = 1024
"""Of a request object; the richest APIs have about 50. In a body over `_LARGE` repeated ones count too."""
_MAX_NAME = 1024  # characters of a field's name, in a body over `_LARGE`
_LARGE = 64 * 1024  # bytes; below that the most fields there can be take 3 ms
_TOO_MANY = f"the request object has more than {MAX_FIELDS} fields"


class _StreamOptions(msgspec.Struct, gc=False):
    include_usage: msgspec.Raw = msgspec.Raw()  # not built: it may be an array of millions


_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_model = msgspec.json.Decoder(str | None).decode
_decode_stream = msgspec.json.Decoder(bool | None).decode
_decode_options = msgspec.json.Decoder(_StreamOptions | None).decode
_encode = msgspec.json.Encoder().encode


class ParsedBody(msgspec.Struct, gc=False):
    """What the gateway read of one request body. `model` "" where it names none; `body` is what goes upstream."""

    model: str
    stream: bool
    include_usage: bool
    body: bytes
    lists_models: bool = False
    """It has a field `models` (OpenRouter) or `fallbacks` (LiteLLM): some providers try the models in it too."""
    fields: dict[str, msgspec.Raw] | None = None
    """What `body` was written from; None where the body is no object that was read."""


def parse_json(raw: bytes) -> ParsedBody | Fault:
    """Decode a JSON request object; INVALID_JSON or INVALID_REQUEST with the field that is wrong."""
    name = ""
    try:
        if not raw.isascii():
            raw.decode()  # the decoder does not look into the values that it skips
        fields = _decode_object(raw) if len(raw) <= _LARGE else _decode_large(raw)
        if len(fields) > MAX_FIELDS:
            return Fault(INVALID_REQUEST, _TOO_MANY)
        names = "".join(fields)
        if not (names.isascii() and names.islower()):  # else each name is the same after case folding
            for name in fields:
                read = _READ_BY_FOLD.get(name.casefold(), name)
                if read != name:
                    return Fault(INVALID_REQUEST, f"`{name}` is ambiguous: write `{read}`", param=name)
        value = fields.get(name := "model")
        model = None if value is None else _decode_model(value)
        value = fields.get(name := "stream")
        stream = None if value is None else _decode_stream(value)
        value = fields.get(name := "stream_options")
        options = None if value is None else _decode_options(value)
    except _LimitError as error:
        return Fault(INVALID_REQUEST, str(error))
    except msgspec.ValidationError:
        return Fault(INVALID_REQUEST, _WRONG_TYPE[name], param=name or None)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return Fault(INVALID_JSON, f"the request body is not valid JSON: {_reason(error)}")
    if model is not None and len(model) > _MAX_MODEL:
        return Fault(INVALID_REQUEST, f"`model` is longer than {_MAX_MODEL} characters", param="model")
    lists_models = "models" in fields or "fallbacks" in fields
    include_usage = options is not None and bytes(options.include_usage) == b"true"
    return ParsedBody(model or "", stream is True, include_usage, _encode(fields), lists_models, fields)


class _LimitError(Exception):
    """`str()` says which limit."""


class _Name(str):
    """The name of a field: a type of its own, for which the decoder calls back."""

    __slots__ = ()


def _decode_large(raw: bytes) -> dict[str, msgspec.Raw]:
    """Decode an object and stop at the first field that is too many: a body may hold millions. Raises _LimitError."""
    count = 0

    def take(_: type, name: str) -> _Name:
        nonlocal count
        count += 1
        if count > MAX_FIELDS:
            raise _LimitError(_TOO_MANY)
        if len(name) > _MAX_NAME:
            raise _LimitError(f"the name of a field is longer than {_MAX_NAME} characters")
        return _Name(name)

    fields = msgspec.json.decode(raw, type=dict[_Name, msgspec.Raw], dec_hook=take)
    return cast("dict[str, msgspec.Raw]", fields)


_WRONG_TYPE = {
    "": "the request body must be a JSON object",
    "model": "`model` must be a string",
    "stream": "`stream` must be true or false",
    "stream_options": "`stream_options` must be an object",
}


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    return str(error).removeprefix("JSON is malformed: ")


# In lower case, and `name` first: so it is searched for as fast as a plain text.
_NAME = re.compile(rb"name(?<![\w*-]name)(\*[\w*]*)?(?=\s*=\s*([^;\r\n]{0,200}))")
_NEXT_FIELD = re.compile(rb"[\r\n](?![ \t\r\n])")
_FILENAME = re.compile(rb"(?<![\w*-])filename\*?\s*=\s*(?:\"[^\"]*\"|[^\s;\"]*)", re.IGNORECASE)
_MAX_NAMES = 100  # parameters called `name` in one part; honest ones have one
_MAX_LOOKED = 10_000  # parts and such parameters in all: 40 ms
_NO_LETTER = re.compile(rb"[^a-z]")
_DELIMITER = re.compile(rb"(--[0-9A-Za-z'()+_,./:=?-]{1,70})\r\n")
_BOUNDARY = re.compile(rb";\s*boundary\s*=\s*(\"[^\"]*\"|[^\s;\"]+)", re.IGNORECASE)
# What HTTP libraries write beside the name of a plain field; none of it changes how ASCII text is read.
_BESIDE = (
    rb"(?:content-type:[ \t]*text/plain(?:[ \t]*;[ \t]*charset=\"?(?:utf-8|us-ascii|iso-8859-1)\"?)?[ \t]*\r\n"
    rb"|content-transfer-encoding:[ \t]*(?:7bit|8bit|binary)[ \t]*\r\n"
    rb"|content-length:[ \t]*[0-9]{1,3}[ \t]*\r\n)*"
)
_MODEL_PART = re.compile(
    _BESIDE
    + rb"content-disposition:[ \t]*form-data;[ \t]*(?-i:name=(?:\"model\"|model))[ \t]*\r\n"
    + _BESIDE
    + rb"\r\n([!-~]{1,512})\r\n",
    re.IGNORECASE,
)
_ODD_FORM = Fault(
    INVALID_REQUEST, 'the form must hold one plain `model` field: `name="model"`', param="model"
)


def multipart_model(body: bytes, content_type: bytes = b"") -> str | Fault:
    """The `model` field of a multipart form, "" if there is none; a form that names it twice or oddly is a fault.

    `content_type`: of the request; where it is given, its boundary must be the one that the body begins with.
    """
    named = list(islice(_model_names(body), 2))
    if not named:
        return ""
    begin = _DELIMITER.match(body)
    if len(named) > 1 or begin is None or not _is_boundary(begin[1], content_type):
        return _ODD_FORM
    line = b"\r\n" + begin[0]
    closed = body.find(b"\r\n" + begin[1] + b"--", 0, named[0])
    start = body.rfind(line, 0, named[0])
    part = _MODEL_PART.match(body, start + len(line) if start >= 0 else begin.end())
    if closed >= 0 or part is None or not body.startswith((begin[0], begin[1] + b"--"), part.end()):
        return _ODD_FORM
    return part[1].decode("ascii")


def _model_names(body: bytes) -> Iterator[int]:
    """Where some parser could take a parameter for the name `model` of a field."""
    # `find` is ten times faster than a pattern that ignores case, and a form may hold 25 MB of audio.
    folded = body.lower()
    at = folded.find(b"content-disposition")
    looked = 0
    while at >= 0:
        # As far as the headers go for the parser that sees their end last.
        end = folded.find(b"\r\n\r\n", at) % (len(body) + 1)
        looked += 1
        if looked > _MAX_LOOKED or _is_encoded(body, at, end):
            yield at
        for count, match in enumerate(_NAME.finditer(folded, at, end)):
            looked += 1
            if count >= _MAX_NAMES or _could_be_model(match[1], match[2]):
                yield match.start()
        at = folded.find(b"content-disposition", end)


def _is_encoded(body: bytes, at: int, end: int) -> bool:
    """Whether a field has encoded words (RFC 2047) beside the file's name: what they say depends on the parser."""
    following = _NEXT_FIELD.search(body, at, end)
    field = body[at : following.start() if following is not None else end]
    return b"=?" in field and b"=?" in _FILENAME.sub(b"", field)


def _could_be_model(section: bytes | None, value: bytes) -> bool:
    """Whether a parser could read this as the name `model`: odd quotes, escapes, case, or in sections (RFC 2231)."""
    if section is not None:
        return True
    value = unquote_to_bytes(value).lower().lstrip(b" \t\"'")
    return b"model" in (_NO_LETTER.sub(b"", value), _NO_LETTER.sub(b"", (*value.split(None, 1), b"")[0]))


def _is_boundary(delimiter: bytes, content_type: bytes) -> bool:
    """Whether the body begins with the boundary that its type names, so that every parser sees the same parts."""
    found = [value.strip(b'"') for value in _BOUNDARY.findall(content_type)]
    return not content_type or found == [delimiter[2:]]
