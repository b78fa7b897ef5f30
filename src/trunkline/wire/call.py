"""The request object: a JSON body to the few values that the gateway reads, everything else left as raw bytes.

Owns the decoding of JSON requests. Does not own forms (form.py), who may call (policy/keys.py) nor where the call goes
(routing/route.py).

The object is decoded once as `dict[str, Raw]` and written again from that dict, order and values byte for byte. So
duplicate keys collapse to the one that was checked, and a key that another parser could take for one that we read
(`"MODEL"`) is refused: what was checked is what the upstream sees. What a field holds is skipped, not built, so a body
costs by its bytes; fields cost a hundred times more, so their number is limited, in large bodies while they are read.
"""

from typing import cast

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


def name_model(parsed: ParsedBody, model: str) -> ParsedBody:
    """The body of a request whose path names the model (Azure's deployments), with the model in it."""
    named = {**(parsed.fields or {}), "model": msgspec.Raw(_encode(model))}
    return msgspec.structs.replace(parsed, model=model, body=_encode(named), fields=named)


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
