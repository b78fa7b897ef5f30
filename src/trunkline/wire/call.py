"""The request object: a JSON body to the few values that the gateway reads, everything else left as raw bytes.

Owns the decoding of request bodies (JSON, and the `model` field of multipart forms). Does not own who may call
(policy/keys.py) nor where the call goes (routing/plan.py).

The object is decoded once as `dict[str, Raw]` and written again from that dict, order and values byte for byte. So
duplicate keys collapse to the one that was checked, and a key that another parser could take for one that we read
(`"MODEL"`) is refused: what was checked is what the upstream sees.
"""

import re
from typing import Any

import msgspec

from trunkline.errors import INVALID_JSON, INVALID_REQUEST, Fault

_READ_BY_FOLD = {name.casefold(): name for name in ("model", "stream", "stream_options")}
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder(Any).decode
_encode = msgspec.json.Encoder().encode
_MAX_MODEL = 512
# The one way of writing the field that is read; anything that another parser might take for it is counted too.
_MODEL_PART = re.compile(
    rb"content-disposition:[ \t]*form-data;[ \t]*name=\"model\"[ \t]*\r\n(?:[!-9;-~]++:[\t -~\x80-\xff]*+\r\n)*+\r\n"
    rb"([!-~]{1,512})\r\n--",
    re.IGNORECASE,
)
_MODEL_NAMED = re.compile(rb"name\*?[0-9*]*[ \t]*=[ \t]*(?:\"?model\b|[^;\r\n]*'model\b|\"?[^;\r\n\"]*%)", re.IGNORECASE)


class ParsedBody(msgspec.Struct, gc=False):
    """What the gateway read of one request body. `model` "" where it names none; `body` is what goes upstream."""

    model: str
    stream: bool
    include_usage: bool
    body: bytes


def parse_json(raw: bytes) -> ParsedBody | Fault:
    """Decode a JSON request object; INVALID_JSON or INVALID_REQUEST with the field that is wrong."""
    try:
        fields = _decode_object(raw)
    except msgspec.ValidationError:
        return Fault(INVALID_REQUEST, "the request body must be a JSON object")
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return Fault(INVALID_JSON, f"the request body is not valid JSON: {_reason(error)}")
    for name in fields:
        read = _READ_BY_FOLD.get(name.casefold(), name)
        if read != name:
            return Fault(INVALID_REQUEST, f"`{name}` is ambiguous: write `{read}`", param=name)
    try:
        model = _read(fields, "model")
        stream = _read(fields, "stream")
        options = _read(fields, "stream_options")
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return Fault(INVALID_JSON, f"the request body is not valid JSON: {_reason(error)}")
    if not isinstance(model, str | None):
        return Fault(INVALID_REQUEST, "`model` must be a string", param="model")
    if model is not None and len(model) > _MAX_MODEL:
        return Fault(INVALID_REQUEST, f"`model` is longer than {_MAX_MODEL} characters", param="model")
    if not isinstance(stream, bool | None):
        return Fault(INVALID_REQUEST, "`stream` must be true or false", param="stream")
    if not isinstance(options, dict | None):
        return Fault(INVALID_REQUEST, "`stream_options` must be an object", param="stream_options")
    include_usage = options is not None and options.get("include_usage") is True
    return ParsedBody(model or "", stream is True, include_usage, _encode(fields))


def _read(fields: dict[str, msgspec.Raw], name: str) -> Any:
    value = fields.get(name)
    return None if value is None else _decode_any(value)


def multipart_model(body: bytes) -> str | Fault:
    """The `model` field of a multipart form, "" if there is none; a form that names it twice or oddly is a fault."""
    named = _MODEL_NAMED.findall(body)
    if not named:
        return ""
    found = _MODEL_PART.findall(body)
    if len(named) != 1 or len(found) != 1:
        return Fault(INVALID_REQUEST, 'the form must hold one plain `model` field: `name="model"`', param="model")
    return found[0].decode("ascii")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error).removeprefix("JSON is malformed: ")
