"""A head that was let in, and what its JSON bodies decide.

Owns the step from a body to a call: the model, whether the key may use it, who can be asked. Does not own what the
head decides (application.py), bodies that are not interpreted (opaque.py), the call itself (engine/exchange.py).
"""

from trunkline.engine.choices import NEEDS
from trunkline.engine.exchange import Exchange
from trunkline.engine.guide import Led, needs_at, view_of
from trunkline.engine.names import BLANK
from trunkline.engine.request_view import RequestView
from trunkline.engine.runtime import Runtime
from trunkline.engine.shaping import COUNTED
from trunkline.errors import Fault
from trunkline.gateway.asking import Asking
from trunkline.gateway.refusal import send_refusal
from trunkline.gateway.surfaces.openai import Route
from trunkline.net.http1_server import ServerConnection
from trunkline.policy.keys import Key
from trunkline.policy.permission import body_fault
from trunkline.wire.call import ParsedBody, name_model, parse_json
from trunkline.wire.head import RequestHead
from trunkline.wire.values import UNLISTED, Call


class Entry:
    """A head that was let in, shared by all requests with the same head; takes those whose body is JSON."""

    whole = True

    def __init__(
        self, runtime: Runtime, extra: bytes, route: Route, head: RequestHead, key: Key, *, as_json: bool
    ) -> None:
        self.route = route
        # Not the head itself: it keeps this entry, and the two would never be let go (heads are not tracked).
        self.content_type = head.fields.get(b"content-type", b"")
        self.key = key
        self.as_json = as_json
        self.extra = extra
        # What goes into each call of this head.
        self._runtime = runtime
        self._surface = route.operation.surface
        self._needs = NEEDS.get(self._surface, "")
        self._pin = head.fields.get(b"x-trunkline-backend", b"").decode("latin-1")
        self._choices = runtime.choices.known(self._needs, self._pin, key=key)
        self._counted = self._surface in COUNTED
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
        self,
        connection: ServerConnection,
        parsed: ParsedBody,
        length: int | None,
        form: bytes = b"",
        led: Led | None = None,
    ) -> Exchange | None:
        """Check the model, find the candidates, begin. None: it was refused, or waits.

        `form`: the type of one with a model. `led`: where rules or a router led the request; None: nobody was asked.
        """
        runtime = self._runtime
        model, fields = parsed.model, parsed.fields
        led_by = ""
        if led is None:
            if self.key.models is not None:
                fault = body_fault(self.key, parsed, self.route.model, runtime.choices.names.base)
                if fault is not None:
                    return self.refuse(connection, fault, model)
            if runtime.leads:
                return self._ask_around(connection, parsed, length, form)
            pin, choices = self._pin, self._choices
        else:
            model, led_by, pin = led.model, led.by, led.pin or self._pin
            choices = runtime.choices.known(self._needs, pin, led=bool(led_by), key=self.key)
            self._outlive()
        if not model and fields is not None:
            model = runtime.choices.blank
        choice = choices.get(model)
        if choice is None:
            self._outlive()
            found = runtime.choose(model, self._needs, pin, led=bool(led_by), key=self.key)
            if isinstance(found, Fault):
                return self.refuse(connection, found, "" if model == BLANK else model)
            choice = found
        needs = needs_at(choice.route, fields) if choice.reads else None
        if (
            fields is not None
            and choice.touched.isdisjoint(fields)
            and not choice.edits
            and not led_by
            and not (parsed.stream and choice.counts and self._counted and not parsed.include_usage)
        ):
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
            led_by,
            form,
        )
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
        names = runtime.choices.names
        model = names.base(parsed.model)
        if runtime.router is None and not runtime.guide.rules_of(model):
            return self.start(connection, parsed, length, form, Led(parsed.model))
        variant = parsed.model[len(model) :]
        view = view_of(parsed.fields, stream=parsed.stream, headers=self._fields, key=key.name, tags=key.tags)
        if runtime.router is None or parsed.fields is None:
            led = names.carried(runtime.guide.lead(model, view), variant)
            return self.start(connection, parsed, length, form, led)
        asking = Asking(
            runtime,
            view,
            RequestView.of(model, view, parsed.fields),
            self._needs,
            lambda led: self.start(connection, parsed, length, form, names.carried(led, variant)),
            lambda fault: self.refuse(connection, fault, parsed.model),
        )
        connection.adopt(asking)
        return None

    def refuse(self, connection: ServerConnection, fault: Fault, model: str) -> None:
        """Answer with an error; no backend was asked."""
        runtime = self._runtime
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
