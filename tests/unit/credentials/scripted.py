"""An identity provider on a script, with a clock of its own."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from trunkline import errors
from trunkline.credentials.base import Credential
from trunkline.credentials.oauth2 import ClientCredentials, Fields, OAuth2Credential
from trunkline.errors import Answer, Fault

URL = "https://user:pw@login.example:8443/tenant/token?x=1"
SECRET = "p+q/s3cr3t &=%ü"
SETTINGS = ClientCredentials(token_url=URL, client_id="me@home", client_secret=SECRET)
DEAD = Fault(errors.CONNECT, "TCP connection to login.example:8443 refused")
T0 = 1000.0

Reply = Answer | Fault


def says(status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = (), **body: Any) -> Answer:
    return Answer(status, list(headers), msgspec.json.encode(body))


def line(token: str) -> bytes:
    return f"authorization: Bearer {token}\r\n".encode()


class Provider:
    """An identity provider and a clock. It gives token t-1, t-2, ... or what `replies` say, while `open`."""

    def __init__(self, **fields: Any) -> None:
        self.now = T0
        self.fields = fields
        self.replies: list[Reply] = []
        self.asked: list[tuple[str, Fields, bytes, float]] = []
        self.given = 0
        self.takes = 0.0
        self.open = asyncio.Event()
        self.open.set()

    def clock(self) -> float:
        return self.now

    async def send(self, url: str, fields: Fields, body: bytes, timeout: float) -> Reply:
        self.asked.append((url, fields, body, timeout))
        await self.open.wait()
        self.now += self.takes
        if self.replies:
            return self.replies.pop(0)
        self.given += 1
        return says(access_token=f"t-{self.given}", token_type="Bearer", **self.fields)

    def credential(self, settings: ClientCredentials = SETTINGS) -> OAuth2Credential:
        return OAuth2Credential(settings, self.send, self.clock)


async def landed(credential: OAuth2Credential) -> None:
    """Wait for a fetch behind the back of requests."""
    while credential._flight is not None:
        await asyncio.sleep(0)


async def request(credential: Credential, now: float) -> bytes | Fault:
    """What the engine does for each request."""
    line = credential.header(now)
    return line if line is not None else await credential.obtain()


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())
