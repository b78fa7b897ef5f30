"""One backend as the engine uses it on one event loop: its connections and the heads of its requests.

Owns what is sent to the backend in front of a body: target, credential, which client headers go on. Does not own
connections (net/pool.py), the way to them (way.py) nor when a request is sent (engine/attempts.py).

A client's own credential never goes upstream, except where the backend is a pure pass-through.
"""

from typing import Protocol

from trunkline.config.addresses import is_near
from trunkline.credentials.base import Credential, mask
from trunkline.credentials.oauth2 import ClientCredentials, Tokens
from trunkline.credentials.static import StaticCredential
from trunkline.engine.secrets import secrets_of
from trunkline.engine.token_sender import token_sender
from trunkline.engine.way import Ground, connector, way_of
from trunkline.errors import Fault
from trunkline.net.clock import Clock
from trunkline.net.pool import Pool
from trunkline.net.url import BaseUrl, azure_at, azure_resource, join, join_raw, parse_base_url
from trunkline.providers.base import Profile
from trunkline.providers.dialects import DIALECTS, Dialect
from trunkline.providers.registry import PROVIDERS, find
from trunkline.providers.shape import Shaper, shaper
from trunkline.routing.backend import BackendSettings
from trunkline.wire.head import CHUNKED, Headers, hop_by_hop

_CREDENTIALS = frozenset(
    (
        b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie", b"x-litellm-api-key",
        b"ocp-apim-subscription-key",
        # Whose account a credential of the client's would be for.
        b"openai-organization", b"openai-project",
    )
)  # fmt: skip
# RFC 9110 7.6.1, and what the gateway decides itself for its own connection.
_OWN_HOP = frozenset(
    (
        b"host", b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"proxy-connection",
        b"proxy-authorization", b"te", b"trailer", b"upgrade", b"expect", b"accept-encoding", b"http2-settings",
        b"x-trunkline-backend",  # meant for the gateway
    )
)  # fmt: skip

MAX_PROBES = 4  # connections of the gateway's own to one backend
_MAX_LINES = 256  # request lines that are kept; there are a dozen routes, the rest is what clients make up


class Sendable(Protocol):
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
    """A backend with its pool. Raises ConfigError if a file or URL of its settings cannot be used."""

    def __init__(self, settings: BackendSettings, clock: Clock, on: Ground, tokens: Tokens) -> None:
        self.settings = settings
        self.name = settings.name
        self.row: Profile = find(settings.provider) or PROVIDERS["openai_compat"]
        self.base: BaseUrl = parse_base_url(settings.url)
        self.connector = connector(settings, self.base, on)
        self.pool = Pool(self.connector, clock, settings.max_connections, self.base.address)
        # The gateway's own questions (health, model lists) must not wait behind calls, nor take their places.
        self.probes = Pool(self.connector, clock, MAX_PROBES, self.base.address)
        self.own_credential = not settings.forward_authorization
        self.oauth = _oauth(settings, clock, on, tokens)
        """Whose token every request carries; None: the credential does not change, and is part of each head."""
        self.local = self.row.local or (self.row.local_when_private and is_near(self.base.host))
        self.shaper: Shaper | None = shaper(
            self.row,
            strict_params=settings.strict_params,
            openai_strict=settings.openai_strict,
            max_tokens_param_name=settings.max_tokens_param_name,
            deployment_name=settings.deployment_name,
            api_version=settings.api_version,
        )
        self.dialect: Dialect | None = None if settings.native == "never" else DIALECTS.get(self.row.dialect)
        """The API in which chats can be asked for too; `native` or the request says when."""
        self.native = self.dialect is not None and settings.native == "always"
        """Whether all of them are."""
        # Beside its name in `Call.starts`: no backend has one with a blank.
        self._native_start = f"{self.name} native"
        self.fills = bool(settings.default_model or settings.default_embedding_model)
        """Whether it has a model for requests that name none."""
        own = {name.lower(): value for name, value in settings.headers.items()}
        if settings.organization:
            own.setdefault("openai-organization", settings.organization)
        self._own = own
        self._polite = {
            name.encode(): value.encode() for name, value in self.row.headers.items() if name not in own
        }
        self._lines: dict[tuple[bytes, bytes], bytes] = {}
        dropped = _OWN_HOP | {name.encode("latin-1") for name in own}
        if not settings.forward_authorization:
            dropped = dropped | _CREDENTIALS | {(settings.auth or self.row.auth).lower().encode("latin-1")}
        self._dropped = dropped
        self._secrets = secrets_of(settings)

    def __repr__(self) -> str:
        return f"<Upstream {self.name} {self.base.address} {self.pool!r}>"

    def speaks(self, surface: str) -> bool:
        """Whether it has the API of a surface beside chat completions: `responses` or `messages`."""
        return surface in self.row.surfaces

    def touched(self, model: str) -> frozenset[str]:
        """The fields of which one must be in a request for `model` for `shaping.shape` to change it."""
        fields = frozenset[str]() if self.shaper is None else self.shaper.touched(model)
        return fields if self.dialect is None else fields | self.dialect.fields

    def mask(self, text: bytes) -> bytes:
        """An upstream's own words without the credentials that it was sent: some quote the key that they refuse."""
        return mask(self.oauth.mask(text) if self.oauth is not None else text, self._secrets)

    async def authorization(self) -> bytes | Fault:
        """The credential's line where it is not part of the head; a fault if there is none to be had."""
        return b"" if self.oauth is None else await self.oauth.obtain()

    def head(self, call: Sendable, length: int | None, authorization: bytes = b"") -> bytes:
        """The request head for a call. `length`: of the body, -1 chunked, None no body.

        Raises ValueError if the client's target cannot be put below the base URL.
        """
        start = call.starts.get(self.name)
        if start is None:
            start = call.starts[self.name] = self._start(call)
        if length is None:
            return b"%b%b\r\n" % (start, authorization)
        if length == CHUNKED:
            return b"%b%btransfer-encoding: chunked\r\n\r\n" % (start, authorization)
        return b"%b%bcontent-length: %d\r\n\r\n" % (start, authorization, length)

    def native_head(self, call: Sendable, dialect: Dialect, length: int, authorization: bytes = b"") -> bytes:
        """The same for a call that is asked for in the backend's dialect, below the server's root."""
        start = call.starts.get(self._native_start)
        if start is None:
            path = dialect.path.encode()
            line = self._render(call.method, join(self.base, dialect.path), path)
            start = call.starts[self._native_start] = line + self._passed(call)
        return b"%b%bcontent-length: %d\r\n\r\n" % (start, authorization, length)

    def _start(self, call: Sendable) -> bytes:
        """The head but for the framing of the body."""
        line = self._lines.get((call.method, call.target))
        if line is None:
            line = self._line(call.method, call.target)
        return line + self._passed(call)

    def _passed(self, call: Sendable) -> bytes:
        """The client's own lines, and those that its provider is given where the client has none of that name."""
        headers = call.headers
        dropped = self._dropped
        if b"connection" in dict(headers):
            dropped = dropped | hop_by_hop(headers)
        passed = [pair for pair in headers if pair[0] not in dropped]
        if self._polite:
            names = {name for name, _ in passed}
            passed += [(name, value) for name, value in self._polite.items() if name not in names]
        return b"".join([b"%b: %b\r\n" % pair for pair in passed])

    def question(self, method: bytes, path: bytes, headers: Headers) -> bytes:
        """The head of a question of the gateway's own, but for a token and the framing of the body.

        Unlike a client's, its path is one of the server where it is none of the API: `/props` of `http://h/v1`.
        """
        base = self._base_of(path)
        by_version = self.settings.api_version and not self.settings.deployment_name
        # Azure's list of models is always the resource's: `azure_at` leads there from a deployment only.
        if by_version and path == b"/v1/models" and "/v1/models" in self.row.paths:
            base = azure_resource(self.base, self.settings.api_version)
        head = self._render(method, join(base, path.decode("ascii")), path)
        return head + b"".join([b"%b: %b\r\n" % pair for pair in [*self._polite.items(), *headers]])

    def _line(self, method: bytes, target: bytes) -> bytes:
        """The request line and the lines that every request of it has."""
        passed = _without_version(target) if self.settings.api_version else target
        line = self._render(method, join_raw(self._base_of(target), passed), target)
        if len(self._lines) < _MAX_LINES:
            self._lines[method, target] = line
        return line

    def _base_of(self, target: bytes) -> BaseUrl:
        """The base below which a target is served."""
        path = target.partition(b"?")[0].decode("latin-1")
        return azure_at(self.base, self.settings.deployment_name, self.settings.api_version, path)

    def _render(self, method: bytes, joined: bytes, target: bytes) -> bytes:
        own = "".join(f"{name}: {value}\r\n" for name, value in self._own.items()).encode("latin-1")
        if self.oauth is None:
            path = target.partition(b"?")[0].decode("latin-1")
            credential = StaticCredential(self.row.auth_at(path, self.settings.auth), self.settings.api_key)
            authorization = credential.header(0.0)
            # A header of the settings is what somebody wrote there on purpose.
            if authorization.partition(b":")[0].decode() not in self._own:
                own += authorization
        return b"%b %b HTTP/1.1\r\nhost: %b\r\naccept-encoding: identity\r\n%b" % (
            method,
            joined,
            self.base.host_header,
            own,
        )


def _without_version(target: bytes) -> bytes:
    """A target without the version that clients of Azure's SDK name: the backend has its own, and two contradict."""
    path, mark, query = target.partition(b"?")
    kept = [part for part in query.split(b"&") if part.partition(b"=")[0].lower() != b"api-version"]
    return path + mark + b"&".join(kept) if any(kept) else path


def _oauth(settings: BackendSettings, clock: Clock, on: Ground, tokens: Tokens) -> Credential | None:
    if not (settings.client_id and settings.client_secret and settings.token_url):
        return None
    client = ClientCredentials(
        token_url=settings.token_url,
        client_id=settings.client_id,
        client_secret=settings.client_secret,
        scope=settings.token_scope or "",
        margin=settings.token_refresh_margin,
        timeout=settings.timeouts.connect,
    )
    return tokens.credential(client, token_sender(settings, clock, on), way_of(settings))
