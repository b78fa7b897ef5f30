"""Multipart forms: the model that one names, read and replaced; everything else passes as it is.

Owns the `model` field of forms (RFC 7578). Does not own JSON requests (call.py), nor when a form is looked at
(gateway/opaque.py).

Forms stream through, and what was checked must be what the upstream sees. So the rule is: one plain `model` field,
which every parser reads alike, and nothing that some parser could take for a second one, even inside what a field
holds: parsers differ about where that ends.
"""

import re
from collections.abc import Iterator
from itertools import islice
from urllib.parse import unquote_to_bytes

from trunkline.errors import INVALID_REQUEST, Fault

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
_LENGTH = re.compile(rb"(content-length:[ \t]*)[0-9]{1,3}", re.IGNORECASE)
_WRITABLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")  # blanks at its ends would be lost to some parsers
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
    part = _plain_part(body, content_type, named[0]) if len(named) == 1 else None
    return _ODD_FORM if part is None else part[1].decode("ascii")


def rename_model(body: bytes, content_type: bytes, model: str) -> bytes:
    """A form in which `multipart_model` found a model, or the beginning of one, with another one in its place.

    All else stays byte for byte, but for the length of the field where the form names it.

    Raises:
        ValueError: the form has no plain `model` field, or `model` cannot stand in one, on one line and as ASCII.

    """
    if not _WRITABLE.fullmatch(model):
        raise ValueError(
            "this model's name cannot be written in a form: it is empty, or not ASCII on one line"
        )
    named = next(_model_names(body), None)
    part = None if named is None else _plain_part(body, content_type, named)
    if part is None:
        raise ValueError("the form has no plain `model` field")
    value = model.encode()
    if value.startswith(body[: body.index(b"\r\n")]):
        raise ValueError("this model's name cannot be written in this form: it begins as its delimiter does")
    headers = _LENGTH.sub(b"\\g<1>%d" % len(value), body[part.start() : part.start(1)])
    return b"".join((body[: part.start()], headers, value, body[part.end(1) :]))


def _plain_part(body: bytes, content_type: bytes, named: int) -> re.Match[bytes] | None:
    """The part that is named at `named`, from its first header; group 1 is its value. None: it is not plain."""
    begin = _DELIMITER.match(body)
    if begin is None or not _is_boundary(begin[1], content_type):
        return None
    line = b"\r\n" + begin[0]
    closed = body.find(b"\r\n" + begin[1] + b"--", 0, named)
    start = body.rfind(line, 0, named)
    part = _MODEL_PART.match(body, start + len(line) if start >= 0 else begin.end())
    if closed >= 0 or part is None or not body.startswith((begin[0], begin[1] + b"--"), part.end()):
        return None
    return part


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
