"""What stands behind the data port: each request is routed and checked by its head, then handed to the engine.

Owns the step from a head to a call: route, key, body, model, candidates; and the answers that need no backend.
Does not own framing (net/http1_server.py), the call itself (engine/exchange.py), models and health (surfaces/).
"""

from trunkline.engine.exchange import Exchange
from trunkline.engine.runtime import Runtime
from trunkline.errors import (
    INVALID_REQUEST,
    METHOD_NOT_ALLOWED,
    MODEL_NOT_ALLOWED,
    NOT_FOUND,
    OVERLOADED,
    Fault,
)
from trunkline.gateway.cors import Cors
from trunkline.gateway.refusal import refusal_block, send_refusal
from trunkline.gateway.surfaces import openai
from trunkline.gateway.surfaces.models import ModelList
from trunkline.gateway.surfaces.openai import Route
from trunkline.gateway.surfaces.probes import Probes
from trunkline.net.http1_server import Handler, ServerConnection
from trunkline.policy.keys import Key
from trunkline.wire.call import ParsedBody, multipart_model, parse_json
from trunkline.wire.error_body import render
from trunkline.wire.head import RequestHead
from trunkline.wire.values import Call, dialect_of

PEEK = 64 * 1024
"""Bytes of a form that are looked at for its `model` field before the rest streams through."""


class DataApplication:
    """The data port."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.cors = Cors(runtime.settings.server.cors_origins)
        self._passthrough = runtime.settings.passthrough
        self._models = ModelList(runtime)
        self._probes = Probes(runtime)

    def on_head(self, head: RequestHead, connection: ServerConnection) -> Handler | None:
        """net.http1_server.Application: route, method, key, before a byte of the body is kept."""
        runtime = self.runtime
        route = openai.find(head.target, any_path=self._passthrough)
        if head.method == b"OPTIONS" and not (self._passthrough and b"origin" not in head.fields):
            connection.respond(204, self.cors.preflight(head) + b"allow: GET, HEAD, POST, OPTIONS\r\n", b"")
            return None
        if route is None:
            path = head.target[:200].decode("latin-1")
            return self._refuse(connection, head, "other", Fault(NOT_FOUND, f"there is nothing at {path}"))
        operation = route.operation
        if operation is openai.HEALTH and head.method in operation.methods:
            return self._probes.handler(route.path, connection)
        if operation.methods and head.method not in operation.methods and not self._passthrough:
            known = ", ".join(method.decode() for method in operation.methods)
            fault = Fault(METHOD_NOT_ALLOWED, f"{head.method.decode()} is not possible here; use {known}")
            return self._refuse(connection, head, operation.surface, fault)
        key = runtime.keyring.check(head.fields)
        if isinstance(key, Fault):
            return self._refuse(connection, head, operation.surface, key)
        if runtime.draining:
            fault = Fault(OVERLOADED, "the gateway is shutting down", retry_after=1.0)
            return self._refuse(connection, head, operation.surface, fault)
        if operation is openai.MODELS and head.method in operation.methods and not self._passthrough:
            return self._models.handler(route, key, connection, self.cors.answer(head))
        as_json = head.method == b"POST" and (operation.json or (operation is openai.ANY and _says_json(head)))
        if as_json:
            if head.fields.get(b"content-encoding", b"identity").lower() != b"identity":
                fault = Fault(INVALID_REQUEST, "compressed request bodies are not accepted: send plain JSON")
                return self._refuse(connection, head, operation.surface, fault)
            return _JsonRequest(self, route, head, key, connection)
        return _OpaqueRequest(self, route, head, key, connection)

    def refusal(self, fault: Fault, head: RequestHead | None) -> tuple[bytes, bytes]:
        """net.http1_server.Application: an answer to a request that the server could not take."""
        extra = self.cors.answer(head) if head is not None else b""
        return refusal_block(fault, self.runtime.next_id(), extra), render(fault, "openai")

    def _refuse(self, connection: ServerConnection, head: RequestHead, surface: str, fault: Fault) -> None:
        request_id = self.runtime.next_id()
        block = refusal_block(fault, request_id, self.cors.answer(head))
        connection.respond(fault.http_status, block, render(fault, dialect_of(surface), request_id.decode()))
        self.runtime.observe_refusal(request_id, surface, "", "", fault)


class _Request:
    """A request that was let in, until its exchange is over."""

    whole = True

    def __init__(
        self, app: DataApplication, route: Route, head: RequestHead, key: Key, connection: ServerConnection
    ) -> None:
        self._app = app
        self._route = route
        self._head = head
        self._key = key
        self._connection = connection
        self._exchange: Exchange | None = None

    def on_request(self, body: bytes) -> None:
        """The whole body."""
        raise NotImplementedError

    def on_piece(self, data: bytes, last: bool) -> None:
        """A piece of the body."""
        raise NotImplementedError

    def on_writable(self, writable: bool) -> None:
        """The client stopped, or began again, to read."""
        if self._exchange is not None:
            self._exchange.client_writable(writable)

    def on_gone(self, fault: Fault) -> None:
        """The client left."""
        if self._exchange is not None:
            self._exchange.client_gone(fault)

    def on_drain_over(self) -> None:
        """The gateway cannot wait any longer."""
        if self._exchange is not None:
            self._exchange.shut_down()

    def _start(self, parsed: ParsedBody, *, length: int | None = None) -> None:
        """Check the model, find the candidates, begin."""
        app, route, key = self._app, self._route, self._key
        runtime = app.runtime
        model = parsed.model or route.model
        if key.models is not None and not (model and key.allows(model)):
            what = f"the model `{model[:100]}`" if model else "requests that name no model"
            self._refuse(Fault(MODEL_NOT_ALLOWED, f"the key `{key.name}` may not use {what}", param="model"), model)
            return
        candidates = runtime.candidates(model)
        if isinstance(candidates, Fault):
            self._refuse(candidates, model)
            return
        head = self._head
        call = Call(
            request_id=runtime.next_id(),
            surface=route.operation.surface,
            method=head.method,
            target=route.path + route.query,
            headers=head.headers,
            body=parsed.body,
            key=key.name,
            model=model,
            stream=parsed.stream,
            include_usage=parsed.include_usage,
            length=length,
            extra=app.cors.answer(head),
        )
        self._exchange = exchange = Exchange(runtime, call, self._connection, candidates)
        exchange.start()

    def _refuse(self, fault: Fault, model: str = "") -> None:
        app = self._app
        surface = self._route.operation.surface
        request_id = app.runtime.next_id()
        send_refusal(self._connection, fault, surface, request_id, app.cors.answer(self._head))
        app.runtime.observe_refusal(request_id, surface, self._key.name, model, fault)


class _JsonRequest(_Request):
    """A request whose body is a JSON object."""

    def on_request(self, body: bytes) -> None:
        """The whole body."""
        parsed = parse_json(body)
        if isinstance(parsed, Fault):
            self._refuse(parsed)
        else:
            self._start(parsed)


class _OpaqueRequest(_Request):
    """A request whose body the gateway does not interpret: forms, audio, anything else. It streams through.

    A form is looked at for its `model`; for a key that is limited to some models it is held whole, so that what was
    checked is what is sent.
    """

    def __init__(
        self, app: DataApplication, route: Route, head: RequestHead, key: Key, connection: ServerConnection
    ) -> None:
        super().__init__(app, route, head, key, connection)
        self.whole = key.models is not None
        self._form = head.fields.get(b"content-type", b"").lower().startswith(b"multipart/")
        self._peeked = b""

    def on_request(self, body: bytes) -> None:
        """The whole body (limited keys)."""
        self._begin(body, whole=True)

    def on_piece(self, data: bytes, last: bool) -> None:
        """A piece of the body."""
        if self._exchange is not None:
            self._exchange.request_piece(data, last=last)
            return
        self._peeked += data
        if last or not self._form or len(self._peeked) >= PEEK:
            self._begin(self._peeked, whole=last)

    def _begin(self, body: bytes, *, whole: bool) -> None:
        model = multipart_model(body) if self._form else ""
        if isinstance(model, Fault):
            self._refuse(model)
            return
        parsed = ParsedBody(model, False, True, body)
        self._start(parsed, length=None if whole else self._head.length)


def _says_json(head: RequestHead) -> bool:
    kind = head.fields.get(b"content-type", b"").lower()
    return kind.startswith(b"application/") and b"json" in kind and b"ndjson" not in kind
