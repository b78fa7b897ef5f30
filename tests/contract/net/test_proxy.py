"""Connections through proxies: a real tinyproxy, and scripted ones for what a well-behaved proxy does not do."""

import asyncio
import base64
import datetime as dt
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.net.dialling import (
    CA,
    LOOPS,
    Client,
    Run,
    certificate,
    connector,
    failure,
    free_port,
    greeted,
    listening,
    names,
    open_sockets,
    settled,
    silent,
    trusting,
)
from tests.contract.net.proxies import IN_URL, OK, PASSWORD, USER, scripted, tinyproxy
from tests.contract.net.serving import until
from tests.contract.net.upstreams import GET, Receiver
from trunkline import errors
from trunkline.errors import PROXY
from trunkline.net.clock import Clock
from trunkline.net.connector import Connector
from trunkline.net.dns import ConnectFailed
from trunkline.net.egress import Named, Rules
from trunkline.net.pool import Pool
from trunkline.net.proxy import parse_proxy
from trunkline.net.tls import proxy_context
from trunkline.net.tunnel import MAX_ANSWER
from trunkline.routing.backend import BackendSettings

PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


@pytest.fixture
def ca_bundle(tmp_path: Path) -> str:
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a tinyproxy that wants credentials, without them."""
    with tinyproxy(tmp_path_factory.mktemp("proxy"), f"BasicAuth {USER} {PASSWORD}") as port:
        yield f"127.0.0.1:{port}"


def through(proxy: str, url: str, source: str = "`proxy`", **options: Any) -> Connector:
    return connector(url, proxy=parse_proxy(proxy, source), **options)


# A real proxy


def test_plain_http_goes_through_a_tunnel(run: Run, real: str) -> None:
    async def main() -> None:
        async with listening() as (server, port):
            target = through(f"http://{IN_URL}@{real}", f"http://localhost:{port}")
            assert repr(target) == f"<Connector localhost:{port} plain by <Proxy http://{real} from `proxy`>>"
            assert "hello" in (await greeted(target)).events
            assert server.made == 1

    run(main())


def test_tls_goes_through_a_tunnel(run: Run, real: str, ca_bundle: str) -> None:
    async def main() -> None:
        async with listening(context=certificate("localhost")) as (server, port):
            target = through(
                f"http://{IN_URL}@{real}", f"https://localhost:{port}", context=trusting(ca_bundle)
            )
            transport, client = await target.connect(Client)
            assert transport.get_extra_info("ssl_object").version() == "TLSv1.3"
            while "hello" not in client.events:
                await asyncio.sleep(0)
            assert server.names == ["localhost"]
            transport.abort()
            await client.lost
            await server.gone.wait()

    run(main())


def test_the_name_is_resolved_by_the_proxy(run: Run, real: str) -> None:
    async def main() -> None:
        async with listening() as (_, port):
            # Our own resolver would lead elsewhere, and is asked for no name at all.
            target = through(
                f"http://{IN_URL}@{real}", f"http://localhost:{port}", resolver=names("192.0.2.1")
            )
            await greeted(target)

    run(main())


@pytest.mark.parametrize(
    ("credentials", "words"),
    [
        ("", "write them in `proxy`: http://user:password@"),
        (f"{USER}:wr0ng@", "user name or password in `proxy` are wrong"),
    ],
)
def test_credentials_that_are_missing_or_wrong(run: Run, real: str, credentials: str, words: str) -> None:
    async def main() -> None:
        fault = await failure(through(f"http://{credentials}{real}", "https://localhost:1"), PROXY)
        assert fault.message.startswith(
            f"connection to localhost:1 through proxy {real} failed: it wants credentials"
        )
        assert words in fault.message
        assert "wr0ng" not in fault.message

    run(main())


def test_what_the_proxy_cannot_reach(run: Run, real: str) -> None:
    async def main() -> None:
        url = f"http://localhost:{free_port()}"
        fault = await failure(through(f"http://{IN_URL}@{real}", url), PROXY)
        assert "it could not reach localhost:" in fault.message
        fault = await failure(through(f"http://{IN_URL}@{real}", "http://nosuch.invalid:1"), PROXY)
        assert "it could not reach nosuch.invalid:1 (500)" in fault.message

    run(main())


def test_what_the_proxy_does_not_allow(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        with tinyproxy(tmp_path, "ConnectPort 443") as port:
            target = through(f"127.0.0.1:{port}", "http://localhost:8443", source="ALL_PROXY")
            fault = await failure(target, PROXY)
            assert "it does not allow connections to localhost:8443 (403)" in fault.message
            assert "list the host in NO_PROXY" in fault.message

    run(main())


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (lambda: certificate("other.example"), "host name in `url`"),
        (
            lambda: certificate("localhost", not_before=PAST, not_after=PAST + dt.timedelta(days=1)),
            "certificate has expired",
        ),
    ],
    ids=["wrong host", "expired"],
)
def test_a_bad_certificate_behind_a_proxy(
    run: Run, real: str, ca_bundle: str, server: Callable[[], ssl.SSLContext], words: str
) -> None:
    async def main() -> None:
        before = open_sockets()
        async with listening(context=server()) as (_, port):
            proxy, url = f"http://{IN_URL}@{real}", f"https://localhost:{port}"
            fault = await failure(through(proxy, url, context=trusting(ca_bundle)), errors.TLS)
            assert fault.message.startswith(f"TLS handshake with localhost:{port} failed: ")
            assert words in fault.message
            fault = await failure(through(proxy, url, context=trusting()), errors.TLS)
            assert "certificate" in fault.message
            await greeted(through(proxy, url, context=trusting(ssl_verify=False)))
        assert await settled(before) <= before

    run(main())


def test_a_pool_works_through_a_proxy(run: Run, real: str, ca_bundle: str) -> None:
    async def main() -> None:
        clock = Clock(asyncio.get_running_loop())

        gone = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            await reader.read()
            writer.transport.abort()
            gone.set()

        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=certificate("localhost"))
        async with server:
            port = server.sockets[0].getsockname()[1]
            url = f"https://localhost:{port}"
            target = through(f"http://{IN_URL}@{real}", url, context=trusting(ca_bundle))
            pool = Pool(target, clock, 1, f"localhost:{port}")
            connection = await pool.open()
            receiver = Receiver()
            connection.send(GET, b"", receiver)
            await until(lambda: pool.idle == 1)
            assert receiver.body == b"ok"
            pool.close()
            await gone.wait()
        clock.stop()

    run(main())


# A proxy that is itself reached by TLS


@pytest.mark.parametrize("secure", [False, True], ids=["plain upstream", "tls upstream"])
def test_an_https_proxy(run: Run, ca_bundle: str, secure: bool) -> None:
    async def main() -> None:
        before = open_sockets()
        context = certificate("h.example") if secure else None
        async with (
            listening(context=context) as (server, port),
            scripted(target=port, context=certificate("proxy.example")) as (proxy, proxy_port),
        ):
            target = through(
                f"https://{IN_URL}@proxy.example:{proxy_port}",
                f"{'https' if secure else 'http'}://h.example:{port}",
                context=trusting(ca_bundle) if secure else None,
                proxy_context=trusting(ca_bundle),
            )
            assert "hello" in (await greeted(target)).events
            await proxy.gone.wait()
            credentials = base64.b64encode(f"{USER}:{PASSWORD}".encode())
            assert proxy.requests == [
                b"CONNECT h.example:%d HTTP/1.1\r\nhost: h.example:%d\r\nuser-agent: trunkline\r\n"
                b"proxy-authorization: Basic %b\r\n\r\n" % (port, port, credentials)
            ]
            await server.gone.wait()
        assert await settled(before) <= before

    run(main())


def test_an_https_proxy_with_a_bad_certificate(run: Run, ca_bundle: str) -> None:
    async def main() -> None:
        async with scripted(context=certificate("other.example")) as (proxy, port):
            target = through(
                f"https://proxy.example:{port}", "http://h.example", proxy_context=trusting(ca_bundle)
            )
            fault = await failure(target, errors.TLS)
            assert fault.message.startswith(f"TLS handshake with proxy proxy.example:{port} failed: ")
            assert "use a host name in `proxy`" in fault.message
            assert proxy.requests == []

    run(main())


def test_a_bad_certificate_behind_an_https_proxy(run: Run, ca_bundle: str) -> None:
    async def main() -> None:
        before = open_sockets()
        async with (
            listening(context=certificate("other.example")) as (_, port),
            scripted(target=port, context=certificate("proxy.example")) as (proxy, proxy_port),
        ):
            target = through(
                f"https://proxy.example:{proxy_port}",
                f"https://h.example:{port}",
                context=trusting(ca_bundle),
                proxy_context=trusting(ca_bundle),
            )
            fault = await failure(target, errors.TLS)
            assert fault.message.startswith(f"TLS handshake with h.example:{port} failed: certificate verify")
            await proxy.gone.wait()
        assert await settled(before) <= before

    run(main())


def test_a_client_certificate_is_not_for_the_proxy(ca_bundle: str) -> None:
    # The file is not even opened for it.
    settings = BackendSettings(
        name="b", url="https://h", ca_bundle_path=ca_bundle, client_cert_path="nowhere.pem"
    )
    assert proxy_context(settings).verify_mode is ssl.CERT_REQUIRED


# Proxies that are down, or are none


def test_a_proxy_that_is_down(run: Run) -> None:
    async def main() -> None:
        port = free_port()
        fault = await failure(through(f"127.0.0.1:{port}", "http://h.example", "HTTP_PROXY"), errors.CONNECT)
        assert fault.message.startswith(
            f"TCP connection to proxy 127.0.0.1:{port} failed: connection refused"
        )

    run(main())


def test_a_proxy_whose_name_does_not_exist(run: Run) -> None:
    async def main() -> None:
        target = through("proxy.example:1", "http://h.example", "HTTPS_PROXY", resolver=names())
        fault = await failure(target, errors.DNS)
        assert fault.message.startswith("DNS lookup of proxy.example failed: ")
        assert fault.message.endswith("check the host name in HTTPS_PROXY")

    run(main())


def test_a_proxy_that_says_nothing_is_given_up_in_time(run: Run) -> None:
    async def main() -> None:
        before = open_sockets()
        with silent() as port:
            target = through(f"127.0.0.1:{port}", "http://h.example", timeout=0.1)
            fault = await failure(target, errors.CONNECT_TIMEOUT)
            assert fault.message.startswith(
                f"connection to h.example:80 through proxy 127.0.0.1:{port} took longer than 0.1 s; "
            )
        assert await settled(before) <= before

    run(main())


def test_an_upstream_that_says_nothing_behind_a_proxy_is_given_up_in_time(run: Run, real: str) -> None:
    async def main() -> None:
        before = open_sockets()
        with silent() as port:
            target = through(
                f"http://{IN_URL}@{real}", f"https://localhost:{port}", context=trusting(), timeout=0.3
            )
            fault = await failure(target, errors.CONNECT_TIMEOUT)
            assert fault.message.startswith(f"TLS handshake with localhost:{port} took longer than 0.3 s; ")
        assert await settled(before) <= before

    run(main())


@pytest.mark.parametrize("secure", [False, True], ids=["http proxy", "https proxy"])
def test_a_connect_that_is_cancelled_leaves_nothing_open(run: Run, ca_bundle: str, secure: bool) -> None:
    async def main() -> None:
        before = open_sockets()
        context = certificate("proxy.example") if secure else None
        async with scripted(b"", context=context) as (proxy, port):
            target = through(
                f"{'https' if secure else 'http'}://proxy.example:{port}",
                "https://h.example",
                context=trusting(),
                proxy_context=trusting(ca_bundle) if secure else None,
            )
            task = asyncio.ensure_future(target.connect(Client))
            while not proxy.requests:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await proxy.gone.wait()
        assert await settled(before) <= before

    run(main())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "it closed the connection; check that `proxy` names an HTTP proxy"),
        (b"HTTP/1.1 200", "its answer is not HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "its answer is not HTTP"),
        (b"\x05\xff", "its answer is not HTTP"),
        (b"220 mail.example ESMTP\r\n\r\n", "its answer is not HTTP (malformed response head)"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"a" * (MAX_ANSWER + 1), "its answer is not HTTP"),
        (OK, "closed the connection"),
        (OK + b"surprise", "it sent something of its own after its answer"),
        (b"HTTP/1.1 407 No\r\nproxy-authenticate: NTLM\r\n\r\n<html>", "it does not take Basic"),
        (b"HTTP/1.1 405 No\r\ncontent-length: 0\r\n\r\n", "did not accept the CONNECT request (405)"),
    ],
)
def test_answers_that_are_no_tunnel(run: Run, answer: bytes, words: str) -> None:
    async def main() -> None:
        before = open_sockets()
        async with scripted(answer, hang_up=True) as (_, port):
            target = through(f"127.0.0.1:{port}", "https://h.example", context=trusting())
            with pytest.raises(ConnectFailed) as caught:
                await target.connect(Client)
            # A hang-up right after a good answer is seen at once, or in the handshake that follows.
            assert caught.value.fault.kind in ((PROXY, errors.TLS) if answer == OK else (PROXY,))
            assert words in caught.value.fault.message
        assert await settled(before) <= before

    run(main())


def test_what_comes_early_through_a_tunnel_is_not_lost(run: Run) -> None:
    async def main() -> None:
        # The upstream's greeting comes with the proxy's answer, before the final protocol stands.
        async with scripted(OK + b"hello") as (proxy, port):
            client = await greeted(through(f"127.0.0.1:{port}", "http://h.example"))
            assert client.events[:2] == ["made", "hello"]
            await proxy.gone.wait()

    run(main())


# What must not be called, not even by a proxy


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "2852039166", "0xa9fea9fe", "[::ffff:a9fe:a9fe]", "metadata.google.internal."]
)
def test_a_proxy_is_not_asked_for_metadata(run: Run, host: str) -> None:
    async def main() -> None:
        async with scripted() as (proxy, port):
            fault = await failure(through(f"127.0.0.1:{port}", f"http://{host}"), errors.EGRESS)
            assert fault.message.startswith("egress to ")
            assert "cloud metadata" in fault.message
            assert proxy.requests == []

    run(main())


def test_rules_for_what_is_named_over_http_hold_for_the_proxy_and_what_it_is_asked(run: Run) -> None:
    async def main() -> None:
        rules = Rules(Named.OVER_HTTP)
        async with listening() as (server, port), scripted(target=port) as (proxy, proxy_port):
            own = through(f"127.0.0.1:{proxy_port}", f"http://h.example:{port}", egress=rules)
            fault = await failure(own, errors.EGRESS)
            assert fault.message.startswith(
                f"egress to proxy 127.0.0.1:{proxy_port} refused: 127.0.0.1 is not a public"
            )
            for host in ("10.0.0.1", "localhost"):
                url = f"http://{host}:{port}"
                fault = await failure(
                    through(f"127.0.0.1:{proxy_port}", url, "ALL_PROXY", egress=rules), errors.EGRESS
                )
                assert "egress.allow_networks" in fault.message
            assert proxy.requests == []
            # The environment's proxy is the operator's own.
            environment = f"127.0.0.1:{proxy_port}", f"http://h.example:{port}", "ALL_PROXY"
            await greeted(through(*environment, egress=rules))
            await server.gone.wait()
            await proxy.gone.wait()

    run(main())
