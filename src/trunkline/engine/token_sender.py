"""How a token is asked for: one POST to the identity provider, on the way of the backend that needs it.

Owns the request's head and the bounds of the answer. Does not own what is asked nor how the answer is read
(credentials/oauth2.py).
"""

from urllib.parse import urlsplit

from msgspec import structs

from trunkline.credentials.base import mask
from trunkline.credentials.oauth2 import Fields, Send
from trunkline.engine.fetch import ask
from trunkline.engine.secrets import secrets_of
from trunkline.engine.way import Ground, connector
from trunkline.errors import CONNECT, Answer, Fault
from trunkline.net.clock import Clock
from trunkline.net.pool import Pool
from trunkline.net.url import parse_base_url
from trunkline.routing.backend import BackendSettings

MAX_ANSWER = 64 * 1024  # bytes; a token is 2 KB
MAX_CONNECTIONS = 2


def token_sender(settings: BackendSettings, clock: Clock, on: Ground) -> Send:
    """What POSTs to the `token_url` of a backend; raises ConfigError as `way.connector` does."""
    assert settings.token_url is not None
    try:
        base = parse_base_url(settings.token_url)
    except ValueError as error:  # an example's placeholder, of which a warning has told
        unusable = Fault(CONNECT, f"token_url: {error}")

        async def refuse(url: str, fields: Fields, body: bytes, timeout: float) -> Fault:
            del url, fields, body, timeout
            return unusable

        return refuse
    secrets = secrets_of(settings)
    pool = Pool(connector(settings, base, on), clock, MAX_CONNECTIONS, base.address)
    parts = urlsplit(settings.token_url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    async def send(url: str, fields: Fields, body: bytes, timeout: float) -> Answer | Fault:
        del url  # the one of the settings
        lines = b"".join([b"%b: %b\r\n" % field for field in fields])
        head = b"POST %b HTTP/1.1\r\nhost: %b\r\n%bcontent-length: %d\r\n\r\n" % (
            target.encode(),
            base.host_header,
            lines,
            len(body),
        )
        answer = await ask(pool, head, body, timeout, MAX_ANSWER)
        if isinstance(answer, Answer) and answer.status != 200:
            # The reason goes to clients, and the query of the URL may be a credential too.
            return structs.replace(answer, body=mask(answer.body, secrets))
        return answer

    return send
