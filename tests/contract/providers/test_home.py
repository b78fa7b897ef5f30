"""Hosted providers at their own URLs: real host names, TLS and keys of the environment, as a user writes it.

A CONNECT proxy leads every host to the simulator, which has a certificate for that name. So nothing about the URL, the
key or the host is made up: what is asserted is what would leave for the provider.
"""

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from tests.contract.gateway.harness import World, chat, on_both_loops, post
from tests.contract.net.proxies import scripted
from tests.contract.providers.dialects import ROWS, configured, name_of
from tests.contract.providers.test_calls import credentials
from tests.contract.providers.test_rows import AZURE, PLACES
from trunkline.providers.base import Profile
from trunkline.simulator.app import start

HOSTED = [row for row in ROWS if row.name in PLACES]
CA = trustme.CA()
# A stream of the simulator's that does not depend on the path: some endpoints' paths are of their owners' making.
STREAM = "x-sim-fault: bulk=1\r\n"


@asynccontextmanager
async def at_home(
    folder: Path, host: str, *, environ: dict[str, str], **settings: Any
) -> AsyncGenerator[tuple[World, list[bytes]]]:
    """A gateway, and the CONNECT requests that its proxy got; the first simulator is the provider."""
    CA.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert(host).configure_cert(context)
    async with await start(seed=7, ssl=context) as sim, scripted(target=sim.port) as (proxy, port):
        backend = {"proxy": f"http://127.0.0.1:{port}", "ca_bundle_path": str(folder / "ca.pem"), **settings}
        async with configured(folder, backend, environ=environ) as world:
            world.sims.insert(0, sim)
            yield world, proxy.requests


def place(row: Profile) -> dict[str, str]:
    return {} if row.base_url else {"url": row.url_example.lower()}


@pytest.mark.parametrize("row", HOSTED, ids=name_of)
@on_both_loops
async def test_the_key_of_the_environment_and_the_provider_s_own_url(row: Profile, tmp_path: Path) -> None:
    host, target, _ = PLACES[row.name]
    environ = {name: f"key-of-{name}" for name in row.key_variables}
    key = f"key-of-{row.key_variables[0]}"
    async with at_home(tmp_path, host, environ=environ, provider=row.name, **place(row)) as (world, asked):
        request = chat(stream=True, headers=STREAM + "authorization: Bearer mine\r\n")
        reply = await world.ask(request)
        assert (reply.status, reply.events[-1]) == (200, "[DONE]")
        assert world.seen.target.encode() == target
        assert world.seen.header("host") == host
        own = {"api-key": key} if row.name == "azure" else {"authorization": f"Bearer {key}"}
        assert credentials(world.seen) == own
        assert {request.split(b" ")[1] for request in asked} == {f"{host}:443".encode()}
        assert not [request for request in asked if key.encode() in request]


@pytest.mark.parametrize(
    "row", [row for row in HOSTED if row.default_model or row.default_embedding_model], ids=name_of
)
@on_both_loops
async def test_a_request_without_a_model_gets_the_provider_s(row: Profile, tmp_path: Path) -> None:
    host = PLACES[row.name][0]
    async with at_home(tmp_path, host, environ={}, provider=row.name) as (world, _):
        for path, model in (
            ("/v1/chat/completions", row.default_model),
            ("/v1/embeddings", row.default_embedding_model),
        ):
            await world.ask(post(path, {"input": "x"}, headers=STREAM))
            sent = msgspec.json.decode(world.seen.body)
            assert sent == ({"input": "x", "model": model} if model else {"input": "x"})
            await world.ask(post(path, {"input": "x", "model": "mine"}, headers=STREAM))
            assert msgspec.json.decode(world.seen.body)["model"] == "mine"
        assert credentials(world.seen) == {}, "there is no key, so none is sent"


@pytest.mark.parametrize("case", AZURE)
@on_both_loops
async def test_azure_s_urls(case: str, tmp_path: Path) -> None:
    text, target = AZURE[case]
    settings = dict(line.split(": ", 1) for line in text.splitlines())
    host = settings["url"].removeprefix("https://").partition("/")[0]
    environ = {"AZURE_OPENAI_API_KEY": "env"}
    at_azure = host.endswith(".azure.com")
    is_azure = at_azure or {"deployment_name", "api_version"} <= settings.keys()
    for provider in ("openai", "azure"):
        async with at_home(tmp_path, host, environ=environ, type=provider, **settings) as (world, _):
            assert (await world.ask(chat("gpt-4", stream=True, headers=STREAM))).status == 200
            assert world.seen.target.encode() == target
            assert credentials(world.seen) == ({"api-key": "env"} if at_azure else {})
        async with at_home(tmp_path, host, environ=environ, type=provider, api_key="k", **settings) as (
            world,
            _,
        ):
            await world.ask(post("/v1/embeddings", {"model": "gpt-4", "input": "x"}, headers=STREAM))
            assert world.seen.target.encode() == target.replace(b"chat/completions", b"embeddings")
            own = {"api-key": "k"} if is_azure or provider == "azure" else {"authorization": "Bearer k"}
            assert credentials(world.seen) == own


@on_both_loops
async def test_what_is_no_deployment_s_goes_to_azure_s_resource(tmp_path: Path) -> None:
    host = "r.openai.azure.com"
    settings = {"url": f"https://{host}", "deployment_name": "gpt-4", "api_version": "2024-06-01"}
    async with at_home(tmp_path, host, environ={}, type="azure", **settings) as (world, _):
        for operation, place in (
            ("responses", "/openai/responses"),
            ("embeddings", "/openai/deployments/gpt-4/embeddings"),
        ):
            await world.ask(post(f"/v1/{operation}", {"model": "gpt-4", "input": "x"}))
            assert world.seen.target == f"{place}?api-version=2024-06-01"


@on_both_loops
async def test_a_deployment_is_what_clients_of_azure_s_sdk_name(tmp_path: Path) -> None:
    host = "r.openai.azure.com"
    settings = {"url": f"https://{host}", "deployment_name": "gpt-4", "api_version": "2024-06-01"}
    async with at_home(tmp_path, host, environ={}, type="azure", **settings) as (world, _):
        path = "/openai/deployments/gpt-4/chat/completions"
        say = [{"role": "user", "content": "hi"}]
        for query, sent in (
            ("?api-version=2020-01-01", ""),
            ("?a=1&API-Version=2020-01-01&b=%20", "&a=1&b=%20"),
            ("?a", "&a"),
            ("", ""),
        ):
            reply = await world.ask(post(path + query, {"messages": say}, headers="api-key: mine\r\n"))
            assert reply.status == 200
            # The configured version holds: servers refuse a request that names two.
            assert world.seen.target == f"{path}?api-version=2024-06-01{sent}"
            assert credentials(world.seen) == {}
    async with at_home(tmp_path, "h.test", environ={}, url="https://h.test") as (world, _):
        reply = await world.ask(post(path + "?api-version=2020-01-01", {"messages": say}))
        assert (reply.status, world.seen.target) == (200, "/v1/chat/completions?api-version=2020-01-01")
