"""What stands behind the data port: each request is routed and checked by its head, then handed to the engine.

Owns the step from a head to a call: route, key, body, model, candidates; and the answers that need no backend.
Does not own framing (net/http1_server.py), the call itself (engine/exchange.py), models and health (surfaces/).
"""

import msgspec
from msgspec import structs

from trunkline.config.addresses import is_loopback
from trunkline.engine.exchange import Exchange
from trunkline.engine.guide import Led, needs_at, view_of
from trunkline.engine.request_view import RequestView
from trunkline.engine.runtime import Runtime
from trunkline.errors import (
    INVALID_REQUEST,
    METHOD_NOT_ALLOWED,
    MODEL_NOT_ALLOWED,
    NOT_FOUND,
    ORIGIN_NOT_ALLOWED,
    SHUTTING_DOWN,
    Fault,
)
from trunkline.gateway.asking import Asking
from trunkline.gateway.cors import Cors
from trunkline.gateway.host import names_this_machine
from trunkline.gateway.refusal import refusal_block, send_refusal
from trunkline.gateway.surfaces import openai
from trunkline.gateway.surfaces.models import ModelList
from trunkline.gateway.surfaces.openai import Route
from trunkline.gateway.surfaces.probes import Probes
from trunkline.net.handler import Handler
from trunkline.net.http1_server import ServerConnection
from trunkline.policy.keys import ANONYMOUS, Key
from trunkline.wire.call import ParsedBody, parse_json
from trunkline.wire.error_body import dialect_of, render
from trunkline.wire.form import multipart_model
from trunkline.wire.head import RequestHead
from trunkline.wire.values import UNLISTED, Call

_ALL_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
# What a backend must speak to be asked; chat completions and what belongs to it are spoken by all.
_NEEDS = {
    surface: surface.partition("/")[0]
    for surface in ("responses", "messages", "responses/other", "messages/other")
}
PEEK = 64 * 1024
"""Bytes of a form that are looked at for its `model` field before the rest streams through."""


class DataApplication:
    """The data port."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._models = ModelList(runtime)
        self.reload()

    def reload(self) -> None:
        """Read the settings that heads are judged by; those that were judged before are judged anew."""
        runtime = self.runtime
        server = runtime.settings.server
        self.cors = Cors(server.cors_origins)
        self._passthrough = runtime.settings.passthrough
        # Elsewhere a key guards the port, or everybody was let in on purpose.
        self._checks_host = runtime.keyring.open and is_loopback(server.host)
        self._hosts = (server.host, *server.allowed_hosts)
        self._probes = Probes(runtime)  # what the one before was told is about other backends

    def on_head(self, head: RequestHead, connection: ServerConnection) -> Handler | None:
        """net.http1_server.Application: route, method, key, before a byte of the body is kept."""
        runtime = self.runtime
        entry = head.memo
        if entry is None or entry.snapshot is not runtime.choices:
            entry = head.memo = self._enter(head)
        elif entry.__class__ is _Entry and entry.as_json and not runtime.draining:
            return entry
        if runtime.draining and isinstance(entry, _Entry) and entry.route.operation is not openai.HEALTH:
            entry = _Refused("other", Fault(SHUTTING_DOWN, "the gateway is shutting down", retry_after=1.0))
        if isinstance(entry, _Entry):
            if entry.as_json:
                return entry
            operation = entry.route.operation
            if operation is openai.HEALTH:
                return self._probes.handler(entry.route.path, connection, entry.extra)
            if operation is openai.MODELS:
                return self._models.handler(entry.route, entry.key, connection, entry.extra, head)
            return _OpaqueRequest(entry)
        request_id = runtime.next_id()
        if entry.fault is None:
            block = b"x-request-id: %b\r\nallow: %b\r\n%b" % (
                request_id,
                _ALL_METHODS,
                self.cors.preflight(head),
            )
            connection.respond(204, block, b"")
        else:
            fault = entry.fault
            block = refusal_block(fault, request_id, self.cors.answer(head) + entry.block)
            body = render(fault, dialect_of(entry.surface), request_id.decode())
            connection.respond(fault.http_status, block, body)
            runtime.observe_refusal(request_id, entry.surface, entry.key, "", fault)
        return None

    def _enter(self, head: RequestHead) -> "_Entry | _Refused":
        """What a head alone decides. It depends on the head and the snapshot only, so it holds for equal heads."""
        entry = self._judge(head)
        entry.snapshot = self.runtime.choices
        return entry

    def _judge(self, head: RequestHead) -> "_Entry | _Refused":
        route = openai.find(head.target, any_path=self._passthrough)
        if head.method == b"OPTIONS" and not (self._passthrough and b"origin" not in head.fields):
            return _Refused("other", None)
        if route is None:
            path = head.target[:200].decode("latin-1")
            return _Refused("other", Fault(NOT_FOUND, f"there is nothing at {path}"))
        operation = route.operation
        if head.method in (
            b"TRACE",
            b"CONNECT",
        ):  # the one echoes our credential, the other is not HTTP any more
            fault = Fault(METHOD_NOT_ALLOWED, f"{head.method.decode()} is not possible here")
            return _Refused(operation.surface, fault, b"allow: %b\r\n" % _ALL_METHODS)
        if self._checks_host and not names_this_machine(head, *self._hosts):
            # Health included: a page must not even learn that a gateway is here.
            named = head.fields[b"host"][:200].decode("latin-1")
            message = (
                f"without keys this gateway answers only to names of this machine, not to `{named}`: call it by "
                "localhost or 127.0.0.1, list the name in server.allowed_hosts, or configure keys"
            )
            return _Refused(operation.surface, Fault(ORIGIN_NOT_ALLOWED, message))
        if operation is openai.HEALTH and head.method in operation.methods:
            return _Entry(self, route, head, ANONYMOUS, as_json=False)
        if operation is openai.HEALTH and not self._passthrough:
            known = b", ".join(operation.methods)
            fault = Fault(
                METHOD_NOT_ALLOWED, f"{head.method.decode()} is not possible here; use {known.decode()}"
            )
            return _Refused(operation.surface, fault, b"allow: %b\r\n" % known)
        targets_list = self._passthrough and operation is openai.MODELS
        if targets_list or (operation.methods and head.method not in operation.methods):
            # Stored completions, deleted models, a target's own list: the backend's answer, whatever it is.
            route.operation = operation = openai.Operation(operation.surface, (), json=False)
        key = self.runtime.keyring.check(head.fields)
        if isinstance(key, Fault):
            return _Refused(operation.surface, key)
        if self.runtime.keyring.open and self.cors.is_foreign(head):
            # Any page on the web can make a browser on this machine send a POST here, and would spend its credit.
            message = "without keys no web page of another origin may call; name it in server.cors_origins"
            return _Refused(operation.surface, Fault(ORIGIN_NOT_ALLOWED, message))
        if (pin := head.fields.get(b"x-trunkline-backend")) is not None:
            fault = self._pin_fault(pin, key)
            if fault is not None:
                return _Refused(operation.surface, fault, key=key.name)
        if key.models is not None and not operation.methods:
            # Whatever model such a request names, it may be about another: jobs, files, stored answers.
            message = (
                f"the key `{key.name}` is limited to some models, and this operation is not about a model"
            )
            return _Refused(operation.surface, Fault(MODEL_NOT_ALLOWED, message), key=key.name)
        as_json = head.method == b"POST" and (operation.json or _says_json(head))
        if as_json and head.fields.get(b"content-encoding", b"identity").lower() != b"identity":
            fault = Fault(INVALID_REQUEST, "compressed request bodies are not accepted: send plain JSON")
            return _Refused(operation.surface, fault)
        return _Entry(self, route, head, key, as_json=as_json)

    def _pin_fault(self, pin: bytes, key: Key) -> Fault | None:
        """Why a request may not choose its backend."""
        if not key.pin:
            message = (
                f"the key `{key.name}` may not choose the backend (x-trunkline-backend); its `pin` is not set"
            )
            return Fault(MODEL_NOT_ALLOWED, message, code="backend_not_allowed")
        if pin.decode("latin-1") not in self.runtime.board.backends:
            message = f"x-trunkline-backend: there is no backend `{pin[:100].decode('latin-1')}`"
            return Fault(INVALID_REQUEST, message, code="backend_not_found")
        return None

    def stop(self) -> None:
        """No more work of its own."""
        self._probes.stop()

    def refusal(self, fault: Fault, head: RequestHead | None) -> tuple[bytes, bytes]:
        """net.http1_server.Application: an answer to a request that the server could not take."""
        request_id = self.runtime.next_id()
        extra, surface = b"", "other"
        if head is not None:
            extra = self.cors.answer(head)
            route = openai.find(head.target, any_path=self._passthrough)
            surface = "other" if route is None else route.operation.surface
        self.runtime.observe_refusal(request_id, surface, "", "", fault)
        body = render(fault, dialect_of(surface), request_id.decode())
        return refusal_block(fault, request_id, extra), body


class _Refused:
    """A head that was judged: `fault`, or None for OPTIONS; `block`: header lines that belong to it."""

    def __init__(self, surface: str, fault: Fault | None, block: bytes = b"", key: str = "") -> None:
        self.surface = surface
        self.fault = fault
        self.block = block
        self.key = key
        self.snapshot: object = None


class _Entry:
    """A head that was let in, shared by all requests with the same head; takes those whose body is JSON."""

    whole = True

    def __init__(
        self, app: DataApplication, route: Route, head: RequestHead, key: Key, *, as_json: bool
    ) -> None:
        self.app = app
        self.route = route
        # Not the head itself: it keeps this entry, and the two would never be let go (heads are not tracked).
        self.content_type = head.fields.get(b"content-type", b"")
        self.key = key
        self.as_json = as_json
        self.extra = app.cors.answer(head)
        # What goes into each call of this head.
        self._runtime = app.runtime
        self._surface = route.operation.surface
        self._needs = _NEEDS.get(self._surface, "")
        self._pin = head.fields.get(b"x-trunkline-backend", b"").decode("latin-1")
        self._choices = app.runtime.choices.known(self._needs, self._pin)
        self.snapshot: object = None
        self._fields = head.fields
        self._method = head.method
        self._headers = head.headers
        self._key_name = key.name
        self._target = route.path + route.query
        self._starts: dict[str, bytes] = {}

    def on_request(self, body: bytes, connection: ServerConnection) -> None:
        """The whole JSON body."""
        parsed = parse_json(body)
        if isinstance(parsed, Fault):
            if self._surface not in UNLISTED or body.lstrip()[:1] == b"{":
                self.refuse(connection, parsed, "")
                return
            # Operations that are not known here may take another JSON value, or none (`/v1/batches/{id}/cancel`).
            parsed = ParsedBody("", False, True, body)
        if self.route.model and not parsed.model:
            parsed = name_model(parsed, self.route.model)
        self.start(connection, parsed, None)

    def start(
        self, connection: ServerConnection, parsed: ParsedBody, length: int | None, form: bytes = b""
    ) -> Exchange | None:
        """Check the model, find the candidates, begin. None: it was refused. `form`: the type of one with a model."""
        runtime = self._runtime
        model = parsed.model
        if self.key.models is not None:
            fault = self._not_allowed(parsed)
            if fault is not None:
                return self.refuse(connection, fault, model)
        if runtime.leads:
            return self._ask_around(connection, parsed, length, form)
        return self._begin(connection, parsed, length, form, None)

    def _begin(
        self,
        connection: ServerConnection,
        parsed: ParsedBody,
        length: int | None,
        form: bytes,
        led: Led | None,
    ) -> Exchange | None:
        """Find the candidates and send. `led`: where rules or a router led the request; None: there are none."""
        runtime = self._runtime
        fields = parsed.fields
        if led is None:
            model, pin, choices = parsed.model, self._pin, self._choices
        else:
            model, pin = led.model, led.pin or self._pin
            choices = runtime.choices.known(self._needs, pin, led=bool(led.by))
            self._outlive()
        choice = choices.get(model)
        if choice is None:
            self._outlive()
            found = runtime.choose(model, self._needs, pin, led=led is not None and bool(led.by))
            if isinstance(found, Fault):
                return self.refuse(connection, found, model)
            choice = found
        needs = needs_at(choice.route, fields) if choice.reads else None
        if fields is not None and choice.touched.isdisjoint(fields) and not choice.fills and led is None:
            fields = None  # no backend wants any of it changed
        call = Call(
            runtime.next_id(),
            self._surface,
            self._method,
            self._target,
            self._headers,
            parsed.body,
            self._key_name,
            parsed.model,
            parsed.stream,
            parsed.include_usage,
            length,
            self.extra,
            self._starts,
            fields,
        )
        if led is not None:
            call.led = led.by
        if form:
            call.form = form
        exchange = Exchange(runtime, call, connection, choice, needs)
        connection.adopt(exchange)
        try:
            exchange.start()
        except Exception as error:  # noqa: BLE001 # the client waits, and nothing else would end this call
            exchange.broke(error)
        return exchange

    def _outlive(self) -> None:
        """Where a reload came between head and body: use no upstream's head that was made for the settings before."""
        if self.snapshot is not self._runtime.choices:
            self._starts = {}

    def _ask_around(
        self, connection: ServerConnection, parsed: ParsedBody, length: int | None, form: bytes
    ) -> Exchange | None:
        """Let the rules, or the operator's router before them, say which model it is for."""
        runtime, key = self._runtime, self.key
        if runtime.router is None and not runtime.guide.rules_of(parsed.model):
            return self._begin(connection, parsed, length, form, None)
        view = view_of(parsed.fields, stream=parsed.stream, headers=self._fields, key=key.name, tags=key.tags)
        if runtime.router is None or parsed.fields is None:
            return self._begin(connection, parsed, length, form, runtime.guide.lead(parsed.model, view))
        asking = Asking(
            runtime,
            view,
            RequestView.of(parsed.model, view, parsed.fields),
            self._needs,
            lambda led: self._begin(connection, parsed, length, form, led),
            lambda fault: self.refuse(connection, fault, parsed.model),
        )
        connection.adopt(asking)
        return None

    def _not_allowed(self, parsed: ParsedBody) -> Fault | None:
        """Why a key that is limited to some models may not send this."""
        key = self.key
        if parsed.lists_models:
            message = f"the key `{key.name}` may not send lists of models (`models`, `fallbacks`)"
            return Fault(MODEL_NOT_ALLOWED, message, param="models")
        # A path that names a model (Azure's) may be what the backend obeys.
        for model in filter(None, (self.route.model, parsed.model)):
            if not key.allows(model):
                message = f"the key `{key.name}` may not use the model `{model[:100]}`"
                return Fault(MODEL_NOT_ALLOWED, message, param="model")
        if parsed.model:
            return None
        message = f"the key `{key.name}` may not use requests that name no model"
        return Fault(MODEL_NOT_ALLOWED, message, param="model")

    def refuse(self, connection: ServerConnection, fault: Fault, model: str) -> None:
        """Answer with an error; no backend was asked."""
        runtime = self.app.runtime
        request_id = runtime.next_id()
        send_refusal(connection, fault, self._surface, request_id, self.extra)
        runtime.observe_refusal(request_id, self._surface, self.key.name, model, fault)

    def on_piece(self, data: bytes, last: bool, connection: ServerConnection) -> None:
        """Never asked for."""

    def on_writable(self, writable: bool) -> None:
        """Nothing is being sent yet."""

    def on_gone(self, fault: Fault) -> None:
        """Nothing was begun."""

    def on_drain_over(self) -> None:
        """Nothing was begun."""


class _OpaqueRequest:
    """A request whose body the gateway does not interpret: forms, audio, anything else. It streams through.

    A form is looked at for its `model`; for a key that is limited to some models it is held whole, so that what was
    checked is what is sent.
    """

    def __init__(self, entry: _Entry) -> None:
        self._entry = entry
        self.whole = entry.key.models is not None
        self._form = entry.content_type.lower().startswith(b"multipart/")
        self._peeked = b""

    def on_request(self, body: bytes, connection: ServerConnection) -> None:
        """The whole body (limited keys)."""
        self._begin(body, connection, None)

    def on_piece(self, data: bytes, last: bool, connection: ServerConnection) -> None:
        """The first pieces of the body; the exchange gets the others."""
        self._peeked += data
        if last:
            self._begin(self._peeked, connection, None)
        elif not self._form or len(self._peeked) >= PEEK:
            self._begin(self._peeked, connection, connection.body_length)

    def on_writable(self, writable: bool) -> None:
        """Nothing is being sent yet."""

    def on_gone(self, fault: Fault) -> None:
        """Nothing was begun."""

    def on_drain_over(self) -> None:
        """Nothing was begun."""

    def _begin(self, body: bytes, connection: ServerConnection, length: int | None) -> None:
        model: str | Fault = ""
        if self._form:
            kind = self._entry.content_type
            model = multipart_model(body if length is None else _whole_parts(body), kind)
        if isinstance(model, Fault):
            self._entry.refuse(connection, model, "")
        else:
            form = self._entry.content_type if model else b""
            if not model and self._entry.key.models is None:
                model = self._entry.route.model
            self._entry.start(connection, ParsedBody(model, False, True, body), length, form)


def _whole_parts(body: bytes) -> bytes:
    """The parts of a form's beginning that are all there: of the next one the name may have come without its value."""
    delimiter = body[: body.find(b"\r\n") + 2]
    return body[: body.rfind(b"\r\n" + delimiter) + 2 + len(delimiter)]


def name_model(parsed: ParsedBody, model: str) -> ParsedBody:
    """The body of a request whose path names the model (Azure's deployments), with the model in it."""
    fields = parsed.fields
    if fields is None:
        fields = msgspec.json.decode(parsed.body, type=dict[str, msgspec.Raw])
    named = {**fields, "model": msgspec.Raw(msgspec.json.encode(model))}
    return structs.replace(parsed, model=model, body=msgspec.json.encode(named), fields=named)


def _says_json(head: RequestHead) -> bool:
    kind = head.fields.get(b"content-type", b"").lower()
    return kind.startswith(b"application/") and b"json" in kind and b"ndjson" not in kind
