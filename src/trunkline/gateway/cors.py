"""Cross-origin answers for browser clients (Fetch standard, CORS protocol), for the origins that are allowed.

Without `server.cors_origins` no header is sent and browsers refuse on the client's behalf. With it every answer says
`vary: origin`, also one that allows nothing: a cache must not give it to a page of another origin.
"""

from urllib.parse import urlsplit

from trunkline.config.addresses import is_loopback
from trunkline.wire.head import RequestHead

_EXPOSED = (
    b"x-request-id, retry-after, retry-after-ms, x-trunkline-model, x-trunkline-backend, x-trunkline-attempts"
)


class Cors:
    """The header lines for a request of some origin."""

    def __init__(self, origins: list[str]) -> None:
        self._any = "*" in origins
        self._origins = frozenset(origin.encode() for origin in origins)
        self._refused = b"vary: origin\r\n" if origins else b""

    def answer(self, head: RequestHead) -> bytes:
        """Lines for an ordinary answer; they allow nothing where the origin is absent or not allowed."""
        origin = head.fields.get(b"origin")
        if origin is None or not (self._any or origin in self._origins):
            return self._refused
        return b"access-control-allow-origin: %b\r\naccess-control-expose-headers: %b\r\nvary: origin\r\n" % (
            origin,
            _EXPOSED,
        )

    def is_foreign(self, head: RequestHead) -> bool:
        """Whether a web page calls that is neither allowed nor of this machine. Programs send no Origin."""
        origin = head.fields.get(b"origin")
        if origin is None or self._any or origin in self._origins:
            return False
        try:
            host = urlsplit(origin.decode("ascii")).hostname
        except ValueError:
            return True
        return host is None or not is_loopback(host)

    def preflight(self, head: RequestHead) -> bytes:
        """Lines for an answer to OPTIONS: any header may be sent, as the SDKs send many of their own."""
        allowed = self.answer(head)
        if allowed == self._refused:
            return allowed
        asked = head.fields.get(b"access-control-request-headers", b"*")
        return allowed + (
            b"access-control-allow-methods: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
            b"access-control-allow-headers: %b\r\naccess-control-max-age: 600\r\n" % asked
        )
