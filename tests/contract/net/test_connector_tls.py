import asyncio
import contextlib
import datetime as dt
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.net.dialling import (
    CA,
    LONG,
    LOOPS,
    Client,
    Run,
    alerting,
    certificate,
    connector,
    failure,
    greeted,
    listening,
    open_sockets,
    settled,
    silent,
    trusting,
)
from trunkline import errors
from trunkline.net.tls import server_context, tls_fault


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


@pytest.fixture
def ca_bundle(tmp_path: Path) -> str:
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


def test_tls_with_a_ca_bundle(run: Run, ca_bundle: str) -> None:
    async def main() -> None:
        async with listening(context=certificate("h.example")) as (server, port):
            target = connector(f"https://h.example:{port}", context=trusting(ca_bundle))
            assert repr(target) == f"<Connector h.example:{port} tls>"
            assert "hello" in (await greeted(target)).events
            assert server.names == ["h.example"]

    run(main())


def test_a_name_with_a_dot_at_the_end(run: Run, ca_bundle: str) -> None:
    async def main() -> None:
        async with listening(context=certificate("h.example")) as (server, port):
            await greeted(connector(f"https://h.example.:{port}", context=trusting(ca_bundle)))
            assert server.names == ["h.example"]

    run(main())


def test_tls_to_an_address(run: Run, ca_bundle: str) -> None:
    async def main() -> None:
        async with listening(context=certificate("127.0.0.1")) as (server, port):
            await greeted(connector(f"https://127.0.0.1:{port}", context=trusting(ca_bundle)))
            assert server.names == [None]

    run(main())


def test_our_own_listener_agrees_on_http_1_1(run: Run, ca_bundle: str, tmp_path: Path) -> None:
    async def main() -> None:
        CA.issue_cert("h.example").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "cert.pem"))
        async with listening(context=server_context(str(tmp_path / "cert.pem"), None)) as (_, port):
            target = connector(f"https://h.example:{port}", context=trusting(ca_bundle))
            transport, client = await target.connect(Client)
            assert transport.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
            transport.abort()
            await client.lost

    run(main())


PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (
            lambda: certificate("other.example"),
            ["certificate verify failed", "h.example", "host name in `url`"],
        ),
        (lambda: certificate("127.0.0.1"), ["certificate verify failed", "h.example", "host name in `url`"]),
        (
            lambda: certificate("h.example", not_before=PAST, not_after=PAST + dt.timedelta(days=1)),
            ["certificate has expired", "new certificate"],
        ),
    ],
    ids=["wrong host", "address only", "expired"],
)
def test_a_bad_certificate_is_refused(
    run: Run, ca_bundle: str, server: Callable[[], ssl.SSLContext], words: list[str]
) -> None:
    async def main() -> None:
        async with listening(context=server()) as (_, port):
            target = connector(f"https://h.example:{port}", context=trusting(ca_bundle))
            fault = await failure(target, errors.TLS)
            assert fault.message.startswith(f"TLS handshake with h.example:{port} failed: ")
            assert all(word in fault.message for word in words)
            # The same server does for those who do not look.
            await greeted(connector(f"https://h.example:{port}", context=trusting(ssl_verify=False)))

    run(main())


def test_an_untrusted_ca_is_refused_with_the_way_out(run: Run) -> None:
    async def main() -> None:
        async with listening(context=certificate("h.example")) as (_, port):
            target = connector(f"https://h.example:{port}", context=trusting())
            fault = await failure(target, errors.TLS)
            assert "set `ca_bundle_path` to the PEM file of the CA" in fault.message

    run(main())


def test_without_verification_the_server_still_sees_its_name(run: Run) -> None:
    async def main() -> None:
        async with listening(context=certificate("other.example")) as (server, port):
            await greeted(connector(f"https://h.example:{port}", context=trusting(ssl_verify=False)))
            assert server.names == ["h.example"]

    run(main())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_that_is_required(
    run: Run, ca_bundle: str, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    async def main() -> None:
        cert = tmp_path / "client.pem"
        CA.issue_cert("client.example").private_key_and_cert_chain_pem.write_to_path(str(cert))
        context = certificate("h.example")
        context.verify_mode = ssl.CERT_REQUIRED
        context.maximum_version = version
        ca: Any = CA  # its signatures name a pyOpenSSL type that is not installed
        ca.configure_trust(context)
        async with listening(context=context) as (_, port):
            url = f"https://h.example:{port}"
            await greeted(connector(url, context=trusting(ca_bundle, client_cert_path=str(cert))))
        with alerting(context) as port:
            url = f"https://h.example:{port}"
            without = connector(url, context=trusting(ca_bundle))
            if version is ssl.TLSVersion.TLSv1_2:
                fault = await failure(without, errors.TLS)
            else:
                # In TLS 1.3 the client is done before the server has looked at its certificate.
                _, client = await without.connect(Client)
                error = await client.lost
                assert isinstance(error, OSError)
                fault = tls_fault(f"h.example:{port}", error)
            assert "client certificate" in fault.message

    run(main())


def test_an_old_server_is_refused(run: Run, ca_bundle: str) -> None:
    async def main() -> None:
        context = trusting(ca_bundle)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        server = certificate("h.example")
        server.maximum_version = ssl.TLSVersion.TLSv1_2
        with alerting(server) as port:
            fault = await failure(connector(f"https://h.example:{port}", context=context), errors.TLS)
            assert "protocol version" in fault.message

    run(main())


def test_a_plain_server_on_a_tls_port(run: Run, ca_bundle: str) -> None:
    async def main() -> None:
        async with listening() as (_, port):
            target = connector(f"https://h.example:{port}", context=trusting(ca_bundle))
            fault = await failure(target, errors.TLS)
            assert "http:// in `url`" in fault.message

    run(main())


def test_a_server_that_hangs_up_during_the_handshake(run: Run, ca_bundle: str) -> None:
    async def main() -> None:
        def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            target = connector(f"https://h.example:{port}", context=trusting(ca_bundle))
            fault = await failure(target, errors.TLS)
            assert "closed the connection" in fault.message

    run(main())


def test_a_handshake_that_hangs_is_given_up_in_time(run: Run, ca_bundle: str) -> None:
    async def main() -> None:
        before = open_sockets()
        with silent() as port:
            target = connector(f"https://h.example:{port}", context=trusting(ca_bundle), timeout=0.1)
            fault = await failure(target, errors.CONNECT_TIMEOUT)
            assert fault.message.startswith(f"TLS handshake with h.example:{port} took longer than 0.1 s; ")
        assert await settled(before) <= before

    run(main())


def test_a_connect_cancelled_as_the_handshake_ends_does_not_wait_for_the_server(
    run: Run, ca_bundle: str
) -> None:
    finished = threading.Event()
    context = certificate("h.example")

    class Leaver(Client):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            # The connector learns of the end of the handshake after the protocol does.
            tasks[0].cancel()

    def serve(sock: socket.socket) -> None:
        accepted, _ = sock.accept()
        with contextlib.suppress(OSError), context.wrap_socket(accepted, server_side=True):
            # Neither reads nor answers the client's close_notify.
            finished.wait(LONG)

    tasks: list[asyncio.Task[Any]] = []

    async def main() -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            sock.listen(1)
            thread = threading.Thread(target=serve, args=(sock,))
            before = open_sockets()
            thread.start()
            target = connector(f"https://h.example:{sock.getsockname()[1]}", context=trusting(ca_bundle))
            tasks.append(asyncio.ensure_future(target.connect(Leaver)))
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
            # The server's end may still be there; ours is gone.
            left = await settled(before + 1)
            finished.set()
            thread.join(LONG)
            assert left <= before + 1

    run(main())
