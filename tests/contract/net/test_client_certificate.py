"""A client certificate that is missing: with TLS 1.3 the refusal comes after the handshake, on a connection in use."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.net.dialling import CA, certificate, connector, trusting
from tests.contract.simulator.raw import on_both_loops
from trunkline import errors
from trunkline.errors import Fault
from trunkline.net.clock import Clock
from trunkline.net.dns import ConnectFailed
from trunkline.net.pool import Pool
from trunkline.net.receiver import Receiver
from trunkline.wire.head import ResponseHead


@contextlib.contextmanager
def refusing(context: ssl.SSLContext) -> Generator[int]:
    """A TLS server for one connection that refuses it, and then waits for the client to close.

    One that closes at once resets the connection when the request comes, and who writes first never reads the alert.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            accepted, _ = listening.accept()
            wrapped = context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
            with contextlib.suppress(ssl.SSLError):
                wrapped.do_handshake()
            with socket.socket(fileno=wrapped.detach()) as plain, contextlib.suppress(ConnectionError):
                while plain.recv(65536):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


class Failing(Receiver):
    """A receiver whose answer does not come."""

    def __init__(self) -> None:
        self.fault: asyncio.Future[Fault] = asyncio.get_running_loop().create_future()

    def on_head(self, head: ResponseHead, length: int) -> None:
        raise AssertionError(head)

    def on_body(self, data: bytes) -> None:
        raise AssertionError(data)

    def on_end(self, framed: bool) -> None:
        raise AssertionError("an answer")

    def on_fault(self, fault: Fault) -> None:
        self.fault.set_result(fault)

    def on_upstream_writable(self, writable: bool) -> None:
        """Not of interest."""


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@on_both_loops
async def test_the_fault_names_the_certificate(tmp_path: Path, version: ssl.TLSVersion) -> None:
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = certificate("h.example")
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = version
    ca: Any = CA  # its signatures name a pyOpenSSL type that is not installed
    ca.configure_trust(context)
    clock = Clock(asyncio.get_running_loop())
    with refusing(context) as port:
        address = f"h.example:{port}"
        dialler = connector(f"https://{address}", context=trusting(str(tmp_path / "ca.pem")))
        pool = Pool(dialler, clock, 10, address)
        try:
            connection = await pool.open()
            receiver = Failing()
            connection.send(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n", b"", receiver)
            fault = await receiver.fault
        except ConnectFailed as failed:
            fault = failed.fault
    assert fault.kind is errors.TLS
    assert address in fault.message
    assert "client certificate" in fault.message
    assert pool.open_count == 0
    pool.close()
    clock.stop()
