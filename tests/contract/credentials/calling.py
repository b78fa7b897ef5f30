"""The client's side of the OAuth2 server: a `send` over real TLS, and the server's controls."""

import asyncio
import json
import ssl
from typing import Any

import h11
import msgspec

from trunkline import errors
from trunkline.credentials.oauth2 import ClientCredentials, Fields, OAuth2Credential, Send
from trunkline.errors import Answer, Fault
from trunkline.net.tls import client_context, tls_fault
from trunkline.routing.backend import BackendSettings

CLIENT, SECRET = "gateway@example", "p+q/s3cr3t &=%ü"
NOTHING: dict[str, Any] = {
    "instead": [],
    "expires_in": 3600,
    "token_type": "Bearer",
    "asked": 0,
    "refused": 0,
    "served": 0,
}


def sender(settings: BackendSettings) -> Send:
    """POST with the TLS settings of a backend, one connection each."""
    context = client_context(settings)

    async def send(url: str, fields: Fields, body: bytes, timeout: float) -> Answer | Fault:
        host, _, rest = url.removeprefix("https://").partition(":")
        port, _, path = rest.partition("/")
        head = [(b"host", f"{host}:{port}".encode()), (b"content-length", str(len(body)).encode()), *fields]
        try:
            async with asyncio.timeout(timeout):
                return await exchange(host, int(port), context, h11.Request(
                    method="POST", target=f"/{path}", headers=head
                ), body)  # fmt: skip
        except TimeoutError:
            return Fault(errors.CONNECT_TIMEOUT, f"no answer within {timeout:g} s")
        except ssl.SSLError as error:
            return tls_fault(f"{host}:{port}", error)
        except OSError as error:
            return Fault(errors.CONNECT, f"TCP connection to {host}:{port} failed: {error.strerror}")

    return send


async def exchange(
    host: str, port: int, context: ssl.SSLContext, request: h11.Request, body: bytes
) -> Answer:
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        connection = h11.Connection(h11.CLIENT)
        for event in (request, h11.Data(data=body), h11.EndOfMessage()):
            writer.write(connection.send(event) or b"")
        status, headers, data = 0, [], b""
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Response):
                status, headers = event.status_code, [(bytes(k), bytes(v)) for k, v in event.headers]
            elif isinstance(event, h11.Data):
                data += bytes(event.data)
        return Answer(status, headers, data)
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


class IdentityProvider:
    """The server process, and the clock that its clients go by."""

    def __init__(self, port: int, ca: str) -> None:
        self.base = f"https://127.0.0.1:{port}"
        self.ca = ca
        self.now = 0.0

    def backend(self, **changes: Any) -> BackendSettings:
        settings = BackendSettings(name="b", url=self.base, ca_bundle_path=self.ca)
        return msgspec.structs.replace(settings, **changes)

    def credential(self, tls: BackendSettings | None = None, **changes: Any) -> OAuth2Credential:
        asked = ClientCredentials(token_url=f"{self.base}/token", client_id=CLIENT, client_secret=SECRET)
        send = sender(tls or self.backend())
        return OAuth2Credential(msgspec.structs.replace(asked, **changes), send, lambda: self.now)

    async def control(self, **changes: Any) -> dict[str, Any]:
        body = json.dumps(changes).encode()
        answer = await sender(self.backend())(f"{self.base}/control", (), body, 10.0)
        assert isinstance(answer, Answer), answer
        return json.loads(answer.body)

    def reset(self) -> None:
        self.now = 0.0
        asyncio.run(self.control(scopes=[], revoke=True, **NOTHING))

    async def ask(self, line: bytes) -> int:
        """The status of the resource's answer to a request with this header line."""
        name, _, value = line.rstrip().partition(b": ")
        answer = await sender(self.backend())(f"{self.base}/resource", ((name, value),), b"", 30.0)
        assert isinstance(answer, Answer), answer
        return answer.status
