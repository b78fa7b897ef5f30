"""One backend as the engine uses it on one event loop: its connections and the heads of its requests.

Owns what is sent to the backend in front of a body: target, credential, which client headers go on. Does not own
connections (net/pool.py) nor when a request is sent (engine/exchange.py).

A client's own credential never goes upstream, except where the backend is a pure pass-through.
"""

from typing import Protocol

from trunkline.config.addresses import is_near
from trunkline.net.clock import Clock
from trunkline.net.connector import Connector
from trunkline.net.dns import Resolver
from trunkline.net.pool import Pool
from trunkline.net.tls import client_context
from trunkline.net.url import BaseUrl, join_raw, parse_base_url
from trunkline.providers.registry import find
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

MAX_PROBES = 4  # connections of the gateway's own to one backend
_MAX_LINES = 256  # request lines that are kept; there are a dozen routes, the rest is what clients make up


class _Sendable(Protocol):
    """The part of a call that its head is made of."""

    @property
    def method(self) -> bytes: ...
    @property
    def target(self) -> bytes: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def starts(self) -> dict[str, bytes]:
        """By backend: what was made of the same client head before."""
        ...


class Upstream:
    """A backend with its pool."""

    def __init__(self, settings: BackendSettings, clock: Clock, resolver: Resolver) -> None:
        self.settings = settings
        self.name = settings.name
        self.base: BaseUrl = parse_base_url(settings.url)
        context = client_context(settings) if self.base.scheme == "https" else None
        connector = Connector(self.base, context, resolver, settings.timeouts.connect)
        self.pool = Pool(connector, clock, settings.max_connections, self.base.address)
        # The gateway's own questions (health, model lists) must not wait behind calls, nor take their places.
        self.probes = Pool(connector, clock, MAX_PROBES, self.base.address)
        self.own_credential = not settings.forward_authorization
        profile = find(settings.provider)
        self.local = profile is not None and (
            profile.local or (profile.local_when_private and is_near(self.base.host))
        )
        own = {name.lower(): value for name, value in settings.headers.items()}
        if settings.api_key:
            own.setdefault("authorization", f"Bearer {settings.api_key}")
        if settings.organization:
            own.setdefault("openai-organization", settings.organization)
        self._own = b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in own.items())
        dropped = _OWN_HOP | {name.encode("latin-1") for name in own}
        self._lines: dict[tuple[bytes, bytes], bytes] = {}
        self._dropped = dropped if settings.forward_authorization else dropped | _CREDENTIALS

    def __repr__(self) -> str:
        return f"<Upstream {self.name} {self.base.address} {self.pool!r}>"

    def head(self, call: _Sendable, length: int | None) -> bytes:
        """The request head for a call. `length`: of the body, -1 chunked, None no body.

        Raises ValueError if the client's target cannot be put below the base URL.
        """
        start = call.starts.get(self.name)
        if start is None:
            start = call.starts[self.name] = self._start(call)
        if length is None:
            return start + b"\r\n"
        if length == CHUNKED:
            return start + b"transfer-encoding: chunked\r\n\r\n"
        return b"%bcontent-length: %d\r\n\r\n" % (start, length)

    def _start(self, call: _Sendable) -> bytes:
        """The head but for the framing of the body."""
        headers = call.headers
        dropped = self._dropped | hop_by_hop(headers)
        passed = b"".join([b"%b: %b\r\n" % pair for pair in headers if pair[0] not in dropped])
        line = self._lines.get((call.method, call.target))
        if line is None:
            line = self._line(call.method, call.target)
        return line + passed

    def _line(self, method: bytes, target: bytes) -> bytes:
        """The request line and the lines that every request of it has."""
        line = b"%b %b HTTP/1.1\r\nhost: %b\r\naccept-encoding: identity\r\n%b" % (
            method,
            join_raw(self.base, target),
            self.base.host_header,
            self._own,
        )
        if len(self._lines) < _MAX_LINES:
            self._lines[method, target] = line
        return line
