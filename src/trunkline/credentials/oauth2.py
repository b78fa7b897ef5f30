"""OAuth2 client credentials (RFC 6749 4.4): one token for all who need it, renewed before it ends.

Owns when a token is fetched, how long it is used, and who waits for it. Does not own the connection to the identity
provider (the caller's `send`, with the TLS, proxy and egress settings of the backend) nor the reading of its answers
(token_answer.py).

    seconds since it was asked for     what a request gets
    0 .. lifetime - margin             the token
    .. lifetime                        the token; the first such request starts a fetch behind its back
    afterwards                         it waits for the fetch, together with all others

A token whose whole lifetime is within the margin serves those who waited for it; the next request asks again.
A fetch that failed is not repeated for a while, which doubles: until then those who hold a valid token use it, and
all others get the reason at once. A fetch belongs to nobody: whoever leaves does not end it for the rest.

A token that an upstream refused with 401 is put aside while another is fetched. If none is to be had it comes back
until its end: one backend's 401 is no proof, and with a dead identity provider it may be the last token there is.
"""

import asyncio
import hashlib
import re
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import msgspec

from trunkline.credentials.base import header_line, mask
from trunkline.credentials.token_answer import Granted, read_answer
from trunkline.errors import AUTH, SHUTTING_DOWN, Answer, Fault
from trunkline.wire.retry_after import parse_retry_after

Fields = tuple[tuple[bytes, bytes], ...]
Send = Callable[[str, Fields, bytes, float], Awaitable[Answer | Fault]]
"""POST: URL, header fields (the sender adds host and content-length), body, seconds until it gives up."""

SHORTEST_TRY = 0.1  # seconds in which an answer may be hoped for
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds between a failed fetch and the next
MAX_FORCED, FORCED_WINDOW = 5, 60.0
"""So many tokens in so many seconds are given up because of a 401. An upstream that refuses every token (a wrong
scope, say) must not make each of its requests one to the identity provider too."""

_FIELDS: Fields = (
    (b"content-type", b"application/x-www-form-urlencoded"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"identity"),
    (b"user-agent", b"trunkline"),  # some identity providers refuse requests without one
)
_HOST = re.compile(r"[A-Za-z]+://(?:[^/?#]*@)?([^/?#]*)")
_NEVER = float("-inf")


class ClientCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks whom for what. `margin`, `timeout`: seconds; renewed so long before it ends, limit of one fetch."""

    token_url: str
    client_id: str
    client_secret: str
    scope: str = ""
    margin: float = 60.0
    timeout: float = 10.0

    def __repr__(self) -> str:
        return f"<ClientCredentials {self.client_id} at {host_of(self.token_url)}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What rich shows in place of the repr (tracebacks with locals)."""
        return [("client_id", self.client_id)]


class OAuth2Credential:
    """A credential (base.Credential) that fetches its token. Belongs to one event loop."""

    def __init__(self, settings: ClientCredentials, send: Send, clock: Callable[[], float]) -> None:
        """`clock` gives the same seconds as the `now` of `header`."""
        self._settings = settings
        self._send = send
        self._clock = clock
        asked = {
            "grant_type": "client_credentials",
            "client_id": settings.client_id,
            "client_secret": settings.client_secret,
        }
        self._body = urlencode(asked | ({"scope": settings.scope} if settings.scope else {})).encode()
        secret = settings.client_secret
        forms = (secret, quote(secret, safe=""), quote_plus(secret))
        self._secrets = tuple(form.encode() for form in forms)
        # the token: `_line` is what is sent
        self._line: bytes = b""
        self._previous: bytes = b""
        self._fresh_until = _NEVER
        self._good_until: float = _NEVER
        self._aside_until: float = (
            _NEVER  # the end of `_previous`, if it was put aside and no other token has come
        )
        self._short = False
        # fetching it
        self._flight: asyncio.Task[bytes | Fault] | None = None
        self._failures = 0
        self._paused_until = _NEVER
        self._fault: Fault | None = None
        self._forced: deque[float] = deque(maxlen=MAX_FORCED)

    def __repr__(self) -> str:
        state = "failed" if self._fault else "has a token" if self._line else "new"
        asked = f"{self._settings.client_id} at {host_of(self._settings.token_url)}"
        return f"<OAuth2Credential {asked}: {'fetching' if self._flight else state}>"

    def header(self, now: float) -> bytes | None:
        if now < self._fresh_until:
            return self._line
        if now >= self._good_until:
            return None
        if now >= self._paused_until:
            if self._short:
                return None
            if self._flight is None:
                self._launch()
        return self._line

    async def obtain(self) -> bytes | Fault:
        now = self._clock()
        line = self.header(now)
        if line is not None:
            return line
        if self._fault is not None and now < self._paused_until:
            return self._fault
        flight = self._flight or self._launch()
        # Unlike `await flight`: being cancelled here does not cancel the flight.
        await asyncio.wait((flight,))
        if flight.cancelled():
            return Fault(SHUTTING_DOWN, "the gateway is shutting down")
        outcome = flight.result()
        if isinstance(outcome, Fault) and self._clock() < self._good_until:
            return self._line
        return outcome

    def invalidate(self, line: bytes) -> bool:
        if line != self._line:
            return True  # somebody else was first: there is a newer one, or there will be
        now = self._clock()
        if now < self._paused_until:
            return False  # a fetch has just failed: there is no other token, so this one stays for the rest
        if len(self._forced) == MAX_FORCED and now - self._forced[0] < FORCED_WINDOW:
            return False
        self._forced.append(now)
        self._previous, self._line = self._line, b""
        self._aside_until = self._good_until
        self._fresh_until = self._good_until = _NEVER
        return True

    def mask(self, text: bytes) -> bytes:
        return mask(text, self._all_secrets())

    def close(self) -> None:
        """Give up a fetch; who waits for it is told."""
        if self._flight is not None:
            self._flight.cancel()

    def _launch(self) -> "asyncio.Task[bytes | Fault]":
        flight = self._flight = asyncio.get_running_loop().create_task(self._fly())
        flight.add_done_callback(self._landed)  # before those who wait are woken: they were added later
        return flight

    def _landed(self, flight: "asyncio.Task[bytes | Fault]") -> None:
        self._flight = None

    async def _fly(self) -> bytes | Fault:
        """Fetch a token; both outcomes are noted here."""
        # The lifetime is counted from the question: an answer that was slow to come is not good for longer.
        asked_at = self._clock()
        answer = await self._ask(asked_at)
        read = answer if isinstance(answer, Fault) else read_answer(answer, self._all_secrets())
        if isinstance(read, Granted):
            settings = self._settings
            self._previous = self._line or self._previous
            self._line = header_line("authorization", read.value)
            self._good_until = asked_at + read.lifetime
            self._fresh_until = self._good_until - settings.margin
            self._short = read.lifetime <= settings.margin
            self._aside_until = _NEVER
            self._failures, self._fault, self._paused_until = 0, None, _NEVER
            return self._line
        if self._clock() < self._aside_until:
            # Those who were refused try it once more and get the upstream's own 401.
            self._line, self._good_until = self._previous, self._aside_until
        self._aside_until = _NEVER
        pause = min(FIRST_PAUSE * 2 ** min(self._failures, 10), LONGEST_PAUSE)
        if isinstance(answer, Answer):
            pause = max(pause, min(parse_retry_after(dict(answer.headers)) or 0.0, LONGEST_PAUSE))
        self._failures += 1
        self._paused_until = self._clock() + pause
        reason = read.message if isinstance(read, Fault) else read
        host = host_of(self._settings.token_url)
        self._fault = Fault(AUTH, f"no OAuth2 token from {host}: {reason}", status=502)
        return self._fault

    async def _ask(self, asked_at: float) -> Answer | Fault:
        """Ask, and once more if nothing or a 5xx came and there is time."""
        url, timeout = self._settings.token_url, self._settings.timeout
        answer = await self._send(url, _FIELDS, self._body, timeout)
        left = asked_at + timeout - self._clock()
        if (isinstance(answer, Fault) or answer.status >= 500) and left > SHORTEST_TRY:
            answer = await self._send(url, _FIELDS, self._body, left)
        return answer

    def _all_secrets(self) -> tuple[bytes, ...]:
        """The client secret in all its forms, and the tokens."""
        tokens = (line.rpartition(b" ")[2].strip() for line in (self._line, self._previous))
        return (*self._secrets, *tokens)


class Tokens:
    """The OAuth2 credentials of one event loop: backends that are the same client share one token."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._credentials: dict[Hashable, OAuth2Credential] = {}

    def credential(self, settings: ClientCredentials, send: Send, way: Hashable = None) -> OAuth2Credential:
        """The credential of a backend; `margin` and `timeout` are those of the first backend that shares it.

        `way`: what `send` differs in from that of other backends (TLS, proxy). A token that came by one way, or the
        failure to get one, says nothing about another.
        """
        secret = hashlib.sha256(settings.client_secret.encode()).digest()
        key = (settings.token_url, settings.client_id, settings.scope, secret, way)
        found = self._credentials.get(key)
        if found is None:
            found = self._credentials[key] = OAuth2Credential(settings, send, self._clock)
        return found

    def close(self) -> None:
        """Give up all fetches."""
        for credential in self._credentials.values():
            credential.close()


def host_of(url: str) -> str:
    """The host and port in a URL: what messages show of it."""
    match = _HOST.match(url)
    return match[1] if match else "the token endpoint"
