"""One backend as the engine uses it on one event loop: its connections and the heads of its requests.

Owns what is sent to the backend in front of a body: target, credential, which client headers go on. Does not own
connections (net/pool.py) nor when a request is sent (engine/exchange.py).

A client's own credential never goes upstream, except where the backend is a pure pass-through.
"""

from typing import Protocol

from trunkline.net.clock import Clock
from trunkline.net.connector import Connector
from trunkline.net.dns import Resolver
from trunkline.net.pool import Pool
from trunkline.net.tls import client_context
from trunkline.net.url import BaseUrl, join_raw, parse_base_url
from trunkline.routing.backend import BackendSettings
from trunkline.wire.head import CHUNKED, Headers, hop_by_hop

_CREDENTIALS = frozenset((b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie"))
# RFC 9110 7.6.1, and what the gateway decides itself for its own connection.
_OWN_HOP = frozenset(
    (
        b"host", b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"proxy-connection",
        b"proxy-authorization", b"te", b"trailer", b"upgrade", b"expect", b"accept-encoding", b"http2-settings",
    )
)  # fmt: skip
_PLAIN_CONNECTION = (None, b"keep-alive", b"close")
_MAX_TARGETS = 256  # request targets whose heads are kept; there are a dozen routes


class _Sendable(Protocol):
    """The part of a call that its head is made of."""

    @property
    def method(self) -> bytes: ...
    @property
    def target(self) -> bytes: ...
    @property
    def headers(self) -> Headers: ...


class Upstream:
    """A backend with its pool."""

    def __init__(self, settings: BackendSettings, clock: Clock, resolver: Resolver) -> None:
        self.settings = settings
        self.name = settings.name
        self.base: BaseUrl = parse_base_url(settings.url)
        context = client_context(settings) if self.base.scheme == "https" else None
        connector = Connector(self.base, context, resolver, settings.timeouts.connect)
        self.pool = Pool(connector, clock, settings.max_connections)
        self.own_credential = not settings.forward_authorization
        own = {name.lower(): value for name, value in settings.headers.items()}
        if settings.api_key:
            own.setdefault("authorization", f"Bearer {settings.api_key}")
        if settings.organization:
            own.setdefault("openai-organization", settings.organization)
        self._own = b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in own.items())
        dropped = _OWN_HOP | {name.encode("latin-1") for name in own}
        self._dropped = dropped if settings.forward_authorization else dropped | _CREDENTIALS
        self._starts: dict[tuple[bytes, bytes], bytes] = {}

    def __repr__(self) -> str:
        return f"<Upstream {self.name} {self.base.address} {self.pool!r}>"

    def head(self, call: _Sendable, length: int | None) -> bytes:
        """The request head for a call. `length`: of the body, -1 chunked, None no body.

        Raises ValueError if the client's target cannot be put below the base URL.
        """
        start = self._starts.get((call.method, call.target)) or self._start(call.method, call.target)
        dropped = self._dropped
        headers = call.headers
        for name, value in headers:
            if name == b"connection" and value not in _PLAIN_CONNECTION:
                dropped = dropped | hop_by_hop(headers)
                break
        passed = b"".join([b"%b: %b\r\n" % pair for pair in headers if pair[0] not in dropped])
        if length is None:
            return b"%b%b\r\n" % (start, passed)
        if length == CHUNKED:
            return b"%b%btransfer-encoding: chunked\r\n\r\n" % (start, passed)
        return b"%b%bcontent-length: %d\r\n\r\n" % (start, passed, length)

    def _start(self, method: bytes, target: bytes) -> bytes:
        start = b"%b %b HTTP/1.1\r\nhost: %b\r\naccept-encoding: identity\r\n%b" % (
            method,
            join_raw(self.base, target),
            self.base.host_header,
            self._own,
        )
        if len(self._starts) < _MAX_TARGETS and b"?" not in target:
            self._starts[method, target] = start
        return start
