"""Whether a whole answer is what it claims to be, before the client gets it.

Owns the verdict on JSON bodies and on empty ones, and reading those of errors. Does not own holding them (relay.py)
nor what errors mean (routing/faults.py).
"""

import time
from typing import TYPE_CHECKING

import msgspec

from trunkline.errors import CUT, MALFORMED, Answer, Fault
from trunkline.providers import overflow
from trunkline.routing.faults import classify
from trunkline.wire.head import Headers
from trunkline.wire.openai import decode_whole
from trunkline.wire.retry_after import parse_retry_after
from trunkline.wire.values import SSE_SURFACES, UNLISTED

if TYPE_CHECKING:
    from trunkline.engine.owner import Owner

_NOTHING = msgspec.Raw()
_NULL = 4  # bytes of the longest JSON value that is no usage


def check_empty(owner: "Owner", status: int, *, framed: bool) -> Fault | msgspec.Raw:
    """Whether an answer may be empty: what asked a model for something may not."""
    call = owner.call
    if not framed:
        return Fault(CUT, "the upstream closed the connection before its answer")
    if call.method == b"POST" and call.surface not in UNLISTED and status == 200:
        return Fault(MALFORMED, "the upstream's answer is empty")
    return _NOTHING


def check_json(owner: "Owner", body: bytes, *, framed: bool) -> Fault | msgspec.Raw:
    """Whether a success with a JSON body is one; the usage that it reports, empty if it does not."""
    call = owner.call
    if call.method != b"POST" and framed and call.surface in UNLISTED:
        return _NOTHING  # a stored file, say: what is in it is nobody's business
    try:
        whole = decode_whole(body)
    except (msgspec.ValidationError, RecursionError):
        if call.surface in SSE_SURFACES:
            return Fault(MALFORMED, "the upstream's answer is JSON, but no object")
        return _NOTHING  # a list, say: TEI's /rerank
    except (msgspec.DecodeError, UnicodeError):
        # Python servers write NaN and Infinity, which is not JSON, and Python clients read it.
        if framed and (b"NaN" in body or b"Infinity" in body):
            return _NOTHING
        return Fault(MALFORMED if framed else CUT, "the upstream's answer says it is JSON and is not")
    # Elsewhere an object with an `error` may be a thing that failed (a job, a stored response), truly told.
    if whole.object == "error" or (whole.error and (whole.object is None or call.surface not in UNLISTED)):
        return refusal(owner, 200, [], body)
    return whole.usage if len(whole.usage) > _NULL else whole.timings


def refusal(owner: "Owner", status: int, headers: Headers, body: bytes) -> Fault:
    """What an error answer means; its body quotes no credential from here on."""
    body = owner.masked(body)
    return classify(
        Answer(status, headers, body),
        parse_retry_after(dict(headers), time.time(), body),
        own_credential=owner.own_credential,
        overflow=overflow.read(status, body),
    )
