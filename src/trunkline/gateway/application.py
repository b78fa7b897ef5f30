"""What stands behind the data port: each request is routed and checked by its head before its body is looked at.

Owns what a head decides: route, method, key, host, who takes the body; and the answers that need no backend. Does not
own framing (net/http1_server.py), what the body decides (entry.py, opaque.py), models and health (surfaces/).
"""

from trunkline.config.addresses import is_loopback
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
from trunkline.gateway.cors import Cors
from trunkline.gateway.entry import Entry
from trunkline.gateway.host import names_this_machine
from trunkline.gateway.opaque import OpaqueRequest
from trunkline.gateway.refusal import refusal_block
from trunkline.gateway.surfaces import openai
from trunkline.gateway.surfaces.models import ModelList
from trunkline.gateway.surfaces.models_forwarded import forwarded
from trunkline.gateway.surfaces.probes import Probes
from trunkline.net.handler import Handler
from trunkline.net.http1_server import ServerConnection
from trunkline.policy.keys import ANONYMOUS
from trunkline.policy.permission import pin_fault
from trunkline.wire.error_body import dialect_of, render
from trunkline.wire.head import RequestHead

_ALL_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


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
        elif entry.__class__ is Entry and entry.as_json and not runtime.draining:
            return entry
        if runtime.draining and isinstance(entry, Entry) and entry.route.operation is not openai.HEALTH:
            entry = _Refused("other", Fault(SHUTTING_DOWN, "the gateway is shutting down", retry_after=1.0))
        if isinstance(entry, Entry):
            if entry.as_json:
                return entry
            operation = entry.route.operation
            if operation is openai.HEALTH:
                return self._probes.handler(entry.route.path, connection, entry.extra)
            if operation is openai.MODELS:
                return self._models.handler(entry.route, entry.key, connection, entry.extra, head)
            if head.method == b"GET" and self._passthrough:
                return forwarded(entry, head, connection, runtime)
            return OpaqueRequest(entry)
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

    def _enter(self, head: RequestHead) -> "Entry | _Refused":
        """What a head alone decides. It depends on the head and the snapshot only, so it holds for equal heads."""
        entry = self._judge(head)
        entry.snapshot = self.runtime.choices
        return entry

    def _judge(self, head: RequestHead) -> "Entry | _Refused":
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
            return Entry(self.runtime, self.cors.answer(head), route, head, ANONYMOUS, as_json=False)
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
            fault = pin_fault(key, pin.decode("latin-1"), self.runtime.board.backends)
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
        return Entry(self.runtime, self.cors.answer(head), route, head, key, as_json=as_json)

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


def _says_json(head: RequestHead) -> bool:
    kind = head.fields.get(b"content-type", b"").lower()
    return kind.startswith(b"application/") and b"json" in kind and b"ndjson" not in kind
