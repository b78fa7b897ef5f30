"""The ways to a backend through the running gateway: proxies, private CAs, and the addresses that are never called."""

import contextlib
import ssl
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
import trustme

from tests.contract.gateway.harness import World, chat, get, on_both_loops, post, running
from tests.contract.net.proxies import IN_URL, PASSWORD, USER, scripted, tinyproxy
from trunkline.simulator.app import Simulator, start

CA = trustme.CA()
SAY = {"model": "sim-small", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}


@pytest.fixture(autouse=True)
def no_proxy_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A tinyproxy that wants credentials, as a URL with them."""
    with tinyproxy(tmp_path_factory.mktemp("proxy"), f"BasicAuth {USER} {PASSWORD}") as port:
        yield f"http://{IN_URL}@127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def over_tls(name: str) -> AsyncGenerator[Simulator]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert(name).configure_cert(context)
    async with await start(seed=7, ssl=context) as sim:
        yield sim


async def refusal(world: World, request: bytes | None = None) -> str:
    """The message of a 502, in the record as `kind: message`."""
    reply = await world.ask(request or chat())
    assert (reply.status, reply.json["error"]["code"]) == (502, "upstream_error")
    assert reply.headers["x-should-retry"] == "false"
    await world.quiet()
    assert world.record.attempts[-1].fault == world.record.fault
    return f"{world.record.fault}: {reply.json['error']['message']}"


@pytest.mark.parametrize("tls", [False, True])
@on_both_loops
async def test_calls_through_a_real_proxy(tls: bool, real: str, bundle: str) -> None:
    async with over_tls("localhost") as secure, running() as world:
        port = secure.port if tls else world.sims[0].port
        url = f"{'https' if tls else 'http'}://localhost:{port}"
        async with running(backends=[{"url": url, "proxy": real, "ca_bundle_path": bundle}]) as other:
            for stream in (False, True):
                assert (await other.ask(chat(stream=stream))).status == 200
            assert (await other.ask(get("/health"))).status == 200
        log = (secure if tls else world.sims[0]).log
        assert [entry.target for entry in log] == ["/v1/chat/completions"] * 2 + ["/v1/models"]
        assert not [name for entry in log for name, _ in entry.headers if name.lower().startswith("proxy-")]


@on_both_loops
async def test_a_proxy_of_the_environment_and_its_exceptions(
    real: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scripted(b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n") as (proxy, port):
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        async with running() as world:
            message = await refusal(world)
            assert f" through proxy 127.0.0.1:{port} failed: it does not allow connections to " in message
            assert message.startswith("proxy: ")
            assert "NO_PROXY" in message
            assert len(proxy.requests) == 1
        for setting in ({"proxy": "none"}, {"proxy": real}):
            async with running(backends=[setting]) as world:
                assert (await world.ask(chat())).status == 200
        monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
        async with running() as world:
            assert (await world.ask(chat())).status == 200
        assert len(proxy.requests) == 1


@on_both_loops
async def test_what_a_proxy_refuses_is_said(real: str) -> None:
    wrong = real.replace(IN_URL, "tess:wrong")
    async with running(backends=[{"proxy": wrong}]) as world:
        message = await refusal(world)
        assert message.startswith("proxy: ")
        assert "user name or password in `proxy` are wrong" in message
        assert world.counts == [0]
    async with running(backends=[{"proxy": "http://127.0.0.1:1"}]) as world:
        assert "127.0.0.1:1" in await refusal(world)
    async with running(None, None, backends=[{"proxy": wrong}, {}]) as world:
        reply = await world.ask(chat())
        assert (reply.status, reply.headers["x-trunkline-backend"]) == (200, "b")
        await world.quiet()
        assert world.faults == [("a", "proxy"), ("b", "")]


@on_both_loops
async def test_a_private_ca(bundle: str) -> None:
    async with over_tls("localhost") as secure:
        url = f"https://localhost:{secure.port}"
        async with running(backends=[{"url": url, "ca_bundle_path": bundle}]) as world:
            for stream in (False, True):
                assert (await world.ask(chat(stream=stream))).status == 200
        async with running(backends=[{"url": url}]) as world:
            message = await refusal(world)
            assert message.startswith(
                f"tls: TLS handshake with localhost:{secure.port} failed: certificate verify"
            )
            assert "ca_bundle_path" in message
        async with running(backends=[{"url": url, "ssl_verify": False}]) as world:
            assert (await world.ask(chat())).status == 200
        wrong = {"url": f"https://127.0.0.1:{secure.port}", "ca_bundle_path": bundle}
        async with running(backends=[wrong]) as world:
            message = await refusal(world)
            assert "IP address mismatch" in message
            assert "use a host name in `url` that the certificate is made for" in message
        assert len(secure.log) == 3


METADATA = [
    "http://169.254.169.254",
    "http://169.254.169.254.:80/latest/meta-data?x=1",
    "http://2852039166/v1",
    "http://0xa9fea9fe",
    "http://0251.0376.0251.0376",
    "http://169.254.43518",
    "http://[::ffff:169.254.169.254]",
    "http://[64:ff9b::a9fe:a9fe]",
    "http://[fd00:ec2::254]",
    "http://metadata.google.internal/v1",
    "http://METADATA.google.internal.",
    "http://100.100.100.200",
    "https://168.63.129.16",
]


@pytest.mark.parametrize("url", METADATA)
@on_both_loops
async def test_cloud_metadata_is_never_called(url: str) -> None:
    async with scripted(b"HTTP/1.1 200 OK\r\n\r\n") as (proxy, port):
        for way in ({}, {"proxy": f"http://127.0.0.1:{port}"}):
            async with running(backends=[{"url": url, **way}]) as world:
                message = await refusal(world)
                assert message.startswith("egress: egress to ")
                assert "cloud metadata" in message
                assert "never called" in message
                reply = await world.ask(post("/v1/messages", SAY))
                assert (reply.status, reply.json["error"]["type"]) == (502, "api_error")
                health = await world.ask(get("/health"))
                assert health.status == 503
                assert "cloud metadata" in health.json["error"]
        assert proxy.requests == []


@on_both_loops
async def test_neither_is_it_a_token_endpoint_nor_a_proxy() -> None:
    oauth = {"client_id": "c", "client_secret": "s", "token_url": "http://169.254.169.254/token"}
    async with running(backends=[oauth]) as world:
        message = await refusal(world)
        assert message.startswith(
            "auth: no OAuth2 token from 169.254.169.254: egress to 169.254.169.254:80 refused"
        )
        assert world.counts == [0]
    async with running(backends=[{"proxy": "http://169.254.169.254:3128"}]) as world:
        assert "cloud metadata" in await refusal(world)
        assert world.counts == [0]


@on_both_loops
async def test_a_token_is_asked_for_on_the_backend_s_way() -> None:
    async with scripted(b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n") as (proxy, port):
        oauth = {"client_id": "c", "client_secret": "s-canary-1", "token_url": "https://idp.test/token?x=1"}
        async with running(backends=[oauth | {"proxy": f"http://127.0.0.1:{port}"}]) as world:
            message = await refusal(world)
            assert message.startswith(
                "auth: no OAuth2 token from idp.test: connection to idp.test:443 through proxy "
            )
            assert world.counts == [0]
        assert {request.split(b"\r\n")[0] for request in proxy.requests} == {b"CONNECT idp.test:443 HTTP/1.1"}


@on_both_loops
async def test_another_backend_is_asked_instead() -> None:
    async with running(None, None, backends=[{"url": "http://169.254.169.254"}, {}]) as world:
        reply = await world.ask(chat())
        assert (reply.status, reply.headers["x-trunkline-backend"]) == (200, "b")
        await world.quiet()
        assert world.faults == [("a", "egress"), ("b", "")]


@on_both_loops
async def test_addresses_that_are_no_server_s() -> None:
    for url in ("http://0.0.0.0:8000", "http://[::]:8000", "http://224.0.0.1"):
        async with running(backends=[{"url": url}]) as world:
            assert "is not the address of a server" in await refusal(world)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "0x7f000001", "[::ffff:127.0.0.1]"])
@on_both_loops
async def test_the_gateway_does_not_call_itself(host: str) -> None:
    """The port is known when it listens, and is 0 in the settings: so the backend's port is chosen first."""
    async with running() as free:
        port = free.gateway.server.port
    for own in ("server", "admin"):
        async with running(backends=[{"url": f"http://{host}:{port}"}]) as world:
            listening = world.gateway.runtime.listening
            assert ("127.0.0.1", world.gateway.server.port) in listening
            assert ("127.0.0.1", world.gateway.admin.port) in listening
            # As if the port in the settings had been the one of the listener.
            at = listening.index(("127.0.0.1", getattr(world.gateway, own).port))
            listening[at] = ("127.0.0.1", port)
            message = await refusal(world)
            assert message.startswith("egress: ")
            assert "is this gateway itself; check host and port in `url`" in message
