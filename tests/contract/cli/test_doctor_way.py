"""What the doctor makes of the way to a backend: settings, URL, name, rules, port, proxy, TLS, credential."""

import datetime as dt
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.contract.cli.examining import answer, error, examined, examined_all, failure, site, states
from tests.contract.gateway.harness import on_both_loops
from tests.contract.net.dialling import free_port
from tests.contract.net.proxies import OK, scripted
from trunkline.simulator.app import start

CA = trustme.CA()


def server_context(*names: str, **options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert(*names, **options).configure_cert(context)
    return context


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    path = str(tmp_path / "ca.pem")
    CA.cert_pem.write_to_path(path)
    return path


KEYS = {
    "'sk-quoted'": "the key has quotes around it",
    "gsk_0123456789": "the key does not begin with `sk-`, as keys of OpenAI do",
    "your-key-here": "the key does not begin with `sk-`, as keys of OpenAI do",
    "sk-your-key-here": "the key looks like an example's placeholder",
}


@pytest.mark.parametrize("key", KEYS)
@on_both_loops
async def test_a_key_that_looks_wrong_is_seen_before_anything_is_called(key: str, tmp_path: Path) -> None:
    steps = await examined(tmp_path, provider="openai", url=f"http://127.0.0.1:{free_port()}", api_key=key)
    assert (steps["configuration"].state, steps["configuration"].says) == ("warn", KEYS[key])
    assert failure(steps).name == "tcp"


@on_both_loops
async def test_a_key_of_the_environment_is_called_by_its_name(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "provider": "groq",
        "url": "https://api.groq.com/openai/v1",
        "proxy": f"http://127.0.0.1:{free_port()}",
    }
    steps = await examined(tmp_path, environ={"GROQ_API_KEY": "sk-0123"}, **settings)
    assert steps["configuration"].fix.startswith("check `GROQ_API_KEY` or `api_key`")


@on_both_loops
async def test_a_file_that_is_no_certificate(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    steps = await examined(tmp_path, url="https://127.0.0.1:1", ca_bundle_path="ca.pem")
    assert failure(steps).name == "configuration"
    assert "not a PEM file of certificates" in failure(steps).says
    assert {step.says for step in steps.values()} == {failure(steps).says, "because of configuration"}


URLS = {
    "http://127.0.0.1:1/v1/models": "end `url` before `/models`: the gateway appends the operation itself",
    "http://127.0.0.1:1/v1/embeddings": "end `url` before `/embeddings`: the gateway appends the operation itself",
    "http://your-server:1": "write the address of your own server",
    "http://api.example.com:1": "write the address of your own server",
}


@pytest.mark.parametrize("url", URLS)
@on_both_loops
async def test_a_url_that_looks_wrong(url: str, tmp_path: Path) -> None:
    steps = await examined(tmp_path, url=url, proxy=f"http://127.0.0.1:{free_port()}")
    assert (steps["url"].state, steps["url"].fix) == ("warn", URLS[url])


@on_both_loops
async def test_a_credential_that_would_travel_in_the_open(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"url": "http://api.provider.com", "proxy": f"http://127.0.0.1:{free_port()}"}
    assert (await examined(tmp_path, **settings, api_key="k"))[
        "url"
    ].fix == "write https:// if the server has it"
    assert (await examined(tmp_path, **settings))["url"].state == "ok"


@on_both_loops
async def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    steps = await examined(tmp_path, url="http://no-such-name.invalid")
    assert failure(steps).name == "dns"
    assert failure(steps).says.startswith("DNS lookup of no-such-name.invalid failed")
    steps = await examined(tmp_path, url="http://no-such-container:8000")
    assert "names of containers and services" in failure(steps).fix


@on_both_loops
async def test_addresses_that_must_not_be_called(tmp_path: Path) -> None:
    for url in ("http://169.254.169.254", "http://metadata.google.internal"):
        steps = await examined(tmp_path, url=url)
        assert (failure(steps).name, steps["dns"].state) == ("egress", "skipped")
        assert "never called" in failure(steps).says
    steps = await examined(tmp_path, url="http://0.0.0.0:8000")
    assert "127.0.0.1" in failure(steps).says


@on_both_loops
async def test_a_port_on_which_the_gateway_itself_would_listen(tmp_path: Path) -> None:
    async with await start(seed=7) as sim:
        (diagnosis,) = await examined_all(tmp_path, [{"url": sim.url}], server={"port": sim.port})
        steps = {step.name: step for step in diagnosis.steps}
        assert steps["egress"].fix == "give one of the two another port (`server.port`, or the server's own)"
        assert diagnosis.well


@on_both_loops
async def test_a_port_where_nobody_listens(tmp_path: Path) -> None:
    steps = await examined(tmp_path, url=f"http://127.0.0.1:{free_port()}", provider="aphrodite")
    assert failure(steps).name == "tcp"
    assert "start the server, or correct host and port in `url`" in failure(steps).fix
    assert "Aphrodite usually listens on port 2242" in failure(steps).fix
    assert "in a container this address is the container itself" in failure(steps).fix


@on_both_loops
async def test_the_usual_port_is_named_where_something_listens_there(tmp_path: Path) -> None:
    # An address of its own: the port may be somebody else's on the usual one.
    with socket.socket() as usual:
        usual.bind(("127.9.8.7", 2242))
        usual.listen()
        steps = await examined(tmp_path, url="http://127.9.8.7:2243", provider="aphrodite")
        assert "port 2242, where something does listen: write that port" in failure(steps).fix


@on_both_loops
async def test_tls_is_named_with_what_it_needs(tmp_path: Path, bundle: str) -> None:
    async with await start(seed=7, ssl=server_context("127.0.0.1")) as sim:
        steps = await examined(tmp_path, url=sim.url)
        assert failure(steps).name == "tls"
        assert "set `ca_bundle_path`" in failure(steps).fix
        steps = await examined(tmp_path, url=sim.url, ca_bundle_path=bundle)
        assert "fail" not in states(steps).values()
        assert steps["tls"].says.startswith("TLSv1.3, certificate until ")
        steps = await examined(tmp_path, url=sim.url, ssl_verify=False)
        assert (steps["tls"].state, steps["configuration"].state) == ("warn", "warn")
        await sim.until(lambda: sim.open_connections == 0)


@on_both_loops
async def test_certificates_that_are_wrong_or_soon_will_be(tmp_path: Path, bundle: str) -> None:
    now = dt.datetime.now(dt.UTC)
    for names, ends, state, words in (
        (["other.example"], 90, "fail", "use a host name in `url` that the certificate is made for"),
        (["127.0.0.1"], -1, "fail", "the server needs a new certificate"),
        (["127.0.0.1"], 5, "warn", "have it renewed at the server"),
    ):
        context = server_context(*names, not_after=now + dt.timedelta(days=ends))
        async with await start(seed=7, ssl=context) as sim:
            steps = await examined(tmp_path, url=sim.url, ca_bundle_path=bundle)
            assert (steps["tls"].state, words in steps["tls"].fix) == (state, True), steps["tls"]


@on_both_loops
async def test_http_and_https_are_told_apart(tmp_path: Path) -> None:
    async with await start(seed=7) as plain, await start(seed=7, ssl=server_context("127.0.0.1")) as secure:
        steps = await examined(tmp_path, url=f"https://127.0.0.1:{plain.port}", timeouts={"connect": 0.3})
        assert failure(steps).name == "tls"
        assert "use http:// in `url` or another port" in failure(steps).fix
        steps = await examined(tmp_path, url=f"http://127.0.0.1:{secure.port}")
        assert (failure(steps).name, failure(steps).fix) == ("models", "write https:// in `url`")
    said = error("Client sent an HTTP request to an HTTPS server.", 400)
    async with site(models=said) as there:  # what Go says, in front of whatever is there
        assert failure(await examined(tmp_path, url=there.url)).fix == "write https:// in `url`"


@on_both_loops
async def test_a_proxy_and_what_it_refuses(tmp_path: Path) -> None:
    async with await start(seed=7) as there:
        port = there.port
        async with scripted(OK, target=port) as (asked, at):
            steps = await examined(tmp_path, url=there.url, proxy=f"http://127.0.0.1:{at}")
            assert "fail" not in states(steps).values()
            assert steps["proxy"].says == f"127.0.0.1:{at}, from `proxy`, connects to 127.0.0.1:{port}"
            steps = await examined(
                tmp_path, url="http://model.server", environ={"http_proxy": f"127.0.0.1:{at}"}
            )
            assert "from http_proxy" in steps["proxy"].says
            assert "model.server is looked up by the proxy" in steps["dns"].says
            assert asked.requests
        refusal = b"HTTP/1.1 407 No\r\nproxy-authenticate: Basic realm=x\r\n\r\n"
        async with scripted(refusal) as (_, at):
            steps = await examined(tmp_path, url=there.url, proxy=f"http://user:hidden-pass@127.0.0.1:{at}")
            assert (failure(steps).name, failure(steps).fix) == (
                "proxy",
                "user name or password in `proxy` are wrong",
            )
    steps = await examined(tmp_path, url="http://a.b", proxy=f"http://127.0.0.1:{free_port()}")
    assert (failure(steps).name, failure(steps).fix) == (
        "tcp",
        "start the server, or correct host and port in `proxy`",
    )


@on_both_loops
async def test_a_key_that_is_needed_and_not_there(tmp_path: Path) -> None:
    async with site() as there, scripted(OK, target=int(there.url.rpartition(":")[2])) as (_, at):
        settings: dict[str, Any] = {
            "url": "http://api.mistral.ai",
            "provider": "mistral",
            "proxy": f"http://127.0.0.1:{at}",
        }
        # Not its own address, which is https: the key of the environment does not go there.
        steps = await examined(tmp_path, environ={"MISTRAL_API_KEY": "k-0123"}, **settings)
        assert steps["credentials"].state == "warn"
        assert steps["credentials"].fix.startswith("set `api_key: ${MISTRAL_API_KEY}`")


@on_both_loops
async def test_a_provider_of_its_own_wants_a_key(tmp_path: Path) -> None:
    context = server_context("api.mistral.ai")
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with await start(seed=7, ssl=context) as sim, scripted(OK, target=sim.port) as (_, at):
        settings: dict[str, Any] = {
            "provider": "mistral",
            "proxy": f"http://127.0.0.1:{at}",
            "ca_bundle_path": "ca.pem",
        }
        steps = await examined(tmp_path, **settings)
        assert (failure(steps).name, failure(steps).fix) == (
            "credentials",
            "set MISTRAL_API_KEY, or `api_key`",
        )
        assert steps["tls"].state == "ok"
        steps = await examined(tmp_path, environ={"MISTRAL_API_KEY": "k-0123"}, **settings)
        assert "fail" not in states(steps).values()
        # Its default model is not in this list, so one that is there is asked, and somebody should know.
        assert steps["models"].fix == "set `default_model` to one that it has: `sim-small`"
        assert steps["completion"].says == "`sim-small` answers"


@on_both_loops
async def test_oauth_tokens(tmp_path: Path) -> None:
    granted = answer('{"access_token":"token-0123456789","token_type":"Bearer","expires_in":3600}')
    refused = answer('{"error":"invalid_client","error_description":"who is it"}', 401)
    client: dict[str, Any] = {"client_id": "me", "client_secret": "hush-hush-hush"}
    async with await start(seed=7, credential="authorization: Bearer token-0123456789") as sim:
        async with site({"/token": granted}) as idp:
            steps = await examined(tmp_path, url=sim.url, token_url=f"{idp.url}/token", **client)
            assert "fail" not in states(steps).values()
            assert steps["credentials"].says == f"a token from {idp.url.removeprefix('http://')}"
        async with site({"/token": refused}) as idp:
            steps = await examined(tmp_path, url=sim.url, token_url=f"{idp.url}/token", **client)
            assert failure(steps).name == "credentials"
            assert failure(steps).fix == "check `client_id` and `client_secret`"
        sim.require("authorization: Bearer another")
        async with site({"/token": granted}) as idp:
            steps = await examined(tmp_path, url=sim.url, token_url=f"{idp.url}/token", **client)
            assert "the token is refused: check `token_scope`" in failure(steps).fix
