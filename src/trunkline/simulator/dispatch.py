"""From a request to the script of its answer.

Owns the route table, the key check, which fault applies, and the simulator's own pages under `/__`. Does not own
the surfaces' contents nor sockets. Order: own pages, key, fault, route.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import parse_qs, unquote

import msgspec

from trunkline.simulator import faults
from trunkline.simulator.answer import (
    SSE,
    Answer,
    Dialect,
    Event,
    Refusal,
    error_answer,
    json_answer,
    stream_type,
)
from trunkline.simulator.error_forms import form_answer
from trunkline.simulator.faults import HEALTHY, MARK, Fault, SpecError
from trunkline.simulator.request import Request
from trunkline.simulator.script import Step, Terms, script
from trunkline.simulator.state import OWN, Entry, State
from trunkline.simulator.surfaces import (
    chat,
    completions,
    listing,
    messages,
    ollama,
    responses,
    rest,
    vectors,
)
from trunkline.simulator.surfaces.base import CREATED, Ask, encode

Surface = Callable[[Ask], Answer]

ROUTES: Final[dict[str, tuple[str, Surface]]] = {
    "/chat/completions": ("POST", chat.answer),
    "/completions": ("POST", completions.answer),
    "/responses": ("POST", responses.answer),
    "/messages": ("POST", messages.answer),
    "/embeddings": ("POST", vectors.embeddings),
    "/rerank": ("POST", vectors.rerank),
    "/moderations": ("POST", vectors.moderations),
    "/audio/speech": ("POST", rest.speech),
    "/audio/transcriptions": ("POST", rest.transcription),
    "/images/generations": ("POST", rest.images),
    "/models": ("GET", listing.models),
    "/api/chat": ("POST", ollama.answer),
    "/api/tags": ("GET", listing.tags),
    "/api/version": ("GET", ollama.version),
    "/api/show": ("POST", listing.show),
    "/props": ("GET", listing.props),
    "/info": ("GET", listing.info),
    "/health": ("GET", rest.health),
}
"""Paths without /v1, and the method of each. /models/{id} and the echo are patterns: see `_surface`."""

_DIALECTS: Final[dict[str, Dialect]] = {
    "/messages": "anthropic",
    "/responses": "responses",
    "/api/chat": "ollama",
}
_SHAPES: Final[dict[Dialect, str]] = {"anthropic": "anthropic", "ollama": "string"}
"""Of errors, where they are not OpenAI's."""
_MODEL_PREFIX: Final = "/models/"
_PREFIX: Final = re.compile(
    r"(?:/v1/openai|/v1beta/openai|(?:/openai|/api|/inference|/compatibility)?/v1)(?=/)"
)
"""What providers have before their paths: Groq, OpenRouter, Fireworks, Cohere, Gemini, DeepInfra."""
_AZURE: Final = re.compile(r"/openai(?:/deployments/([^/]+))?(?=/)(?!/v1/)")
_FORM_MODEL = re.compile(rb'name="?model"?[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]*)\r\n')
_FORM_SEARCHED = 64 * 1024  # forms put the model before the file, or clients that follow the SDKs do


def _own_page(state: State, request: Request) -> Answer:
    """The simulator's own pages."""
    match request.method, request.path:
        case "GET", "/__log":
            return json_answer(list(state.log))
        case "GET", "/__stats":
            return json_answer(state.stats())
        case "POST", "/__reset":
            state.reset()
            return json_answer({"ok": True})
        case _:
            return error_answer(404, "there are GET /__log, GET /__stats and POST /__reset", code="not_found")


def steps_for(state: State, request: Request, entry: Entry) -> Iterator[Step]:
    """Decide the answer to a complete request, note in `entry` what was decided, and give its script."""
    if request.path.startswith(OWN):
        return script(_own_page(state, request), HEALTHY, _terms(request, "sim-own"))
    path = _strip(request.path)
    dialect = _dialect(path)
    fault = HEALTHY
    try:
        _check_key(state.settings.api_key, request)
        _check_credential(state.credential, request)
        _check_version(request)
        entry.model = _model(request, path)
        fault = _fault(state, request, entry)
        _check_credential(fault.credential, request)
        answer = _struck(fault, dialect) or _served(state, request, entry, path, fault)
    except Refusal as refusal:
        answer = error_answer(
            refusal.status, str(refusal), shape=_shape(dialect), code=refusal.code, param=refusal.param
        )
    if fault.empty_stream:
        answer = Answer(content_type=stream_type(dialect), events=(), dialect=dialect)
    entry.status = answer.status
    return script(answer, fault, _terms(request, f"sim-{entry.number}"))


def _terms(request: Request, request_id: str) -> Terms:
    return Terms(
        head_only=request.method == "HEAD",
        http10=request.minor == 0,
        close=request.wants_close,
        request_id=request_id,
    )


def _strip(path: str) -> str:
    """The path without /v1, what else stands for it, and a trailing slash."""
    found = _AZURE.match(path) or _PREFIX.match(path)
    return (path if found is None else path[found.end() :]).rstrip("/") or "/"


def _dialect(path: str) -> Dialect:
    return _DIALECTS.get(path, "openai")


def _shape(dialect: Dialect) -> str:
    return _SHAPES.get(dialect, "openai")


def _check_key(key: str | None, request: Request) -> None:
    if key is None or request.path == "/health":
        return
    scheme, _, token = (request.header("authorization") or "").partition(" ")
    sent = (
        token.strip()
        if scheme.lower() == "bearer"
        else request.header("x-api-key") or request.header("api-key")
    )
    if sent != key:
        raise Refusal(401, "Incorrect API key provided", code="invalid_api_key")


def _check_credential(wanted: str | None, request: Request) -> None:
    """One exact header; /health is for everybody."""
    if wanted is None or request.path == "/health":
        return
    name, _, value = wanted.partition(":")
    if request.header(name) != value.strip():
        raise Refusal(401, f"the credential in {name} is missing or wrong", code="invalid_api_key")


def _check_version(request: Request) -> None:
    """Azure serves its own paths only to those who name a version."""
    if _AZURE.match(request.path) and not parse_qs(request.target.partition("?")[2]).get("api-version"):
        raise Refusal(404, "Resource not found", code="404")


class _Named(msgspec.Struct):
    model: str | None = None


def _model(request: Request, path: str) -> str | None:
    """The model a request names: in its path, its JSON or its form. Azure's deployment wins, but for the fault."""
    azure = _AZURE.match(request.path)
    if azure is not None and azure[1] is not None:
        deployment, named = unquote(azure[1]), _named(request)
        return deployment if MARK in deployment or MARK not in (named or "") else deployment + _spec(named)
    if path.startswith(_MODEL_PREFIX):
        return unquote(path.removeprefix(_MODEL_PREFIX))
    return _named(request)


def _spec(model: str | None) -> str:
    _, mark, spec = (model or "").partition(MARK)
    return mark + spec


def _named(request: Request) -> str | None:
    """The model in the body."""
    if not request.body:
        return None
    if (request.header("content-type") or "").lower().startswith("multipart/"):
        found = _FORM_MODEL.search(request.body, 0, _FORM_SEARCHED)
        return found[1].decode(errors="replace") if found else None
    try:
        return msgspec.json.decode(request.body, type=_Named).model
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None  # the surface says what is wrong with it


def _fault(state: State, request: Request, entry: Entry) -> Fault:
    """The fault that strikes this request: the switched one, else the header's (also an empty one), else the name's."""
    header = state.switched(entry.model)
    if header is None:
        header = request.header("x-sim-fault")
    entry.fault = faults.split_model(entry.model or "")[1] if header is None else header
    if entry.fault is None:
        return HEALTHY
    try:
        fault = faults.parse(entry.fault)
    except SpecError as error:
        raise Refusal(400, str(error), code="invalid_fault", param=error.item) from None
    entry.applied = fault != HEALTHY and state.strikes(entry.model or "", entry.fault, fault)
    return fault if entry.applied else HEALTHY


def _struck(fault: Fault, dialect: Dialect) -> Answer | None:
    """The answer that a fault puts in place of the surface's own."""
    if fault.status is not None:
        headers = [] if fault.retry_after is None else [("retry-after", fault.retry_after)]
        message = fault.message or f"the simulator was asked for status {fault.status}"
        if fault.error_form is not None:
            return form_answer(fault.error_form, fault.status, message, headers)
        shape = fault.body or _shape(dialect)
        return error_answer(fault.status, message, shape=shape, code=fault.code, headers=headers)
    if fault.redirect is not None:
        return Answer(status=302, content_type="", headers=[("location", fault.redirect)])
    if fault.bytes is not None:
        return Answer(content_type="application/octet-stream", filler=fault.bytes)
    if fault.bulk is not None:
        # Chunks, two events at the end: the finish and [DONE].
        return Answer(content_type=SSE, events=_bulk(fault.bulk), count=fault.bulk + 2)
    return None


def _bulk(number: int) -> Iterator[Event]:
    """That many content events, one at a time: the stream may be longer than memory."""
    head = (
        b'{"id":"chatcmpl-bulk","object":"chat.completion.chunk","created":%d,"model":"bulk","choices":'
        % CREATED
    )
    for index in range(number):
        yield Event(b'%b[{"index":0,"delta":{"content":" w%d"},"finish_reason":null}]}' % (head, index))
    yield Event(head + b'[{"index":0,"delta":{},"finish_reason":"stop"}]}', tag="finish")
    yield Event(b"[DONE]", tag="done")


def _served(state: State, request: Request, entry: Entry, path: str, fault: Fault) -> Answer:
    model = entry.model or state.settings.models[0]
    ask = Ask(
        request=request,
        path=path,
        model=model,
        base=faults.split_model(model)[0],
        fault=fault,
        seed=state.settings.seed,
        models=state.settings.models,
        model_list=state.settings.model_list,
        words=state.settings.words,
    )
    return _surface(request, path)(ask)


def _surface(request: Request, path: str) -> Surface:
    method, surface = ROUTES.get(path, ("", rest.echo))
    if path.startswith(_MODEL_PREFIX) and request.method in ("GET", "HEAD"):
        return listing.model
    if not method:
        if not request.path.startswith("/v1/"):
            raise Refusal(404, f"unknown path {request.path}", code="not_found")
        return surface
    if request.method != method and not (request.method == "HEAD" and method == "GET"):
        raise Refusal(405, f"{request.path} wants {method}", code="method_not_allowed")
    return surface


def too_early(status: int, message: str) -> bytes:
    """The answer to something that is not a request; the connection ends with it."""
    body = encode(
        {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
    )
    head = (
        f"HTTP/1.1 {status} Bad Request\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    )
    return head.encode() + b"connection: close\r\n\r\n" + body
