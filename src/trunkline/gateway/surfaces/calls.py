"""What the admin port tells of calls: the last ones, one of them, and what would happen to a request now.

Owns the reading of these requests and their answers as JSON. Does not own what is told (engine/explain.py,
engine/explain_request.py).
"""

from urllib.parse import parse_qsl

import msgspec

from trunkline.engine.explain import explain_call, last_calls
from trunkline.engine.explain_request import Asked, explain_request
from trunkline.engine.runtime import RECORDS, Runtime
from trunkline.errors import INVALID_REQUEST, NOT_FOUND, Fault
from trunkline.gateway.surfaces import openai
from trunkline.gateway.surfaces.local import Reply
from trunkline.policy.keys import ANONYMOUS, Key, key_of
from trunkline.wire.call import name_model, parse_json
from trunkline.wire.error_body import render
from trunkline.wire.head import RequestHead

LISTED = 50
"""Calls in a list where no number is asked for."""
_PATH = b"/v1/chat/completions"


def refused(fault: Fault) -> Reply:
    """An error as an answer."""
    return Reply(fault.http_status, render(fault, "openai"))


def told(value: object) -> Reply:
    """A value as an answer."""
    return Reply(200, msgspec.json.format(msgspec.json.encode(value)) + b"\n")


async def list_calls(runtime: Runtime, query: bytes) -> Reply:
    """`GET /calls?limit=N`: newest first."""
    given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    limit = given.pop("limit", str(LISTED))
    for name in given:
        message = f"`{name[:100]}` is not a parameter of /calls; there is `limit`"
        return refused(Fault(INVALID_REQUEST, message, param=name[:100]))
    if not (limit.isascii() and limit.isdigit() and 0 < int(limit[:6]) <= RECORDS and len(limit) < 7):
        message = f"`limit` must be a number from 1 to {RECORDS}"
        return refused(Fault(INVALID_REQUEST, message, param="limit"))
    kept = len(runtime.records)
    return told({"calls": last_calls(runtime, int(limit)), "kept": kept, "kept_at_most": RECORDS})


async def one_call(runtime: Runtime, request_id: str) -> Reply:
    """`GET /calls/ID`."""
    found = explain_call(runtime, request_id)
    if found is not None:
        return told(found)
    under_way = any(exchange.call.request_id.decode() == request_id for exchange in runtime.live)
    if under_way:
        message = f"the call `{request_id[:100]}` is under way; it is told about when it is over"
    else:
        kept = len(runtime.records)
        message = (
            f"no call `{request_id[:100]}` among the last {kept} (of {RECORDS} that are kept at most); "
            "its id is the header x-request-id of its answer"
        )
    return refused(Fault(NOT_FOUND, message, code="call_under_way" if under_way else "call_not_found"))


async def explain(runtime: Runtime, head: RequestHead, body: bytes) -> Reply:
    """`POST /explain?path=/v1/...`: what would happen to this request now."""
    asked = _asked(runtime, head, body)
    return refused(asked) if isinstance(asked, Fault) else told(await explain_request(runtime, asked))


def _asked(runtime: Runtime, head: RequestHead, body: bytes) -> Asked | Fault:
    given = dict(parse_qsl(head.target.partition(b"?")[2], keep_blank_values=True))
    path = given.pop(b"path", _PATH)
    for name in given:
        text = name[:100].decode("latin-1")
        return Fault(INVALID_REQUEST, f"`{text}` is not a parameter of /explain; there is `path`", param=text)
    route = openai.find(path, any_path=False)
    if route is None or b"POST" not in route.operation.methods or not route.operation.json:
        message = f"`path` must be one that takes a JSON request, like {_PATH.decode()}"
        return Fault(INVALID_REQUEST, message, param="path")
    key = _key(runtime, head.fields.get(b"x-trunkline-key", b"").decode("latin-1"))
    if isinstance(key, Fault):
        return key
    parsed = parse_json(body)
    if isinstance(parsed, Fault):
        return parsed
    if route.model and not parsed.model:
        parsed = name_model(parsed, route.model)
    return Asked(parsed, route.operation.surface, route.path, route.model, head.fields, key)


def _key(runtime: Runtime, name: str) -> Key | Fault:
    """The key of this name; none named: one that may do everything."""
    if not name:
        return ANONYMOUS
    for item in runtime.settings.keys:
        if item.name == name:
            return key_of(item)
    names = ", ".join(item.name for item in runtime.settings.keys) or "none at all"
    message = f"x-trunkline-key: there is no key `{name[:100]}`; there are: {names}"
    return Fault(INVALID_REQUEST, message, param="x-trunkline-key")
