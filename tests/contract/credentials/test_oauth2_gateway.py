"""OAuth2 behind a running gateway: one token for all calls, renewed once when it is refused, never a call without."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.contract.credentials.calling import CLIENT, SECRET, IdentityProvider
from tests.contract.gateway.harness import World, chat, get, multipart, on_both_loops, post, running

ONE, TWO, THREE = "tok-canary-one", "tok-canary-two", "tok-canary-three"
LONG_GONE = "https://127.0.0.1:1/token"


def asking(idp: IdentityProvider, **changes: Any) -> dict[str, Any]:
    """The settings of a backend that wants tokens."""
    return {
        "client_id": CLIENT,
        "client_secret": SECRET,
        "token_url": f"{idp.base}/token",
        "ca_bundle_path": idp.ca,
    } | changes


def granting(*tokens: str, lifetime: Any = 3600) -> list[list[Any]]:
    """Answers of the identity provider with these tokens, one each."""
    answers = [{"access_token": token, "token_type": "Bearer", "expires_in": lifetime} for token in tokens]
    return [[200, [], json.dumps(answer), 0] for answer in answers]


def bearers(world: World, sim: int = 0) -> list[str | None]:
    return [entry.header("authorization") for entry in world.sims[sim].log]


async def together(world: World, *requests: bytes) -> list[int]:
    replies = await asyncio.gather(*(world.ask(request) for request in requests))
    return [reply.status for reply in replies]


@on_both_loops
async def test_one_token_for_all_calls(idp: IdentityProvider) -> None:
    async with running(backends=[asking(idp)]) as world:
        mine = "authorization: Bearer mine\r\n"
        requests = [chat(headers=mine, stream=index % 2 == 0) for index in range(24)]
        assert await together(world, *requests) == [200] * 24
        assert (
            await together(world, chat(), post("/v1/embeddings", {"model": "m", "input": "x"})) == [200] * 2
        )
        assert (await world.ask(get("/v1/files"))).status == 200
        (line,) = set(bearers(world))
        assert line is not None
        assert line.startswith("Bearer ")
        assert line != "Bearer mine"
        assert (await idp.control())["asked"] == 1
        assert await idp.ask(f"authorization: {line}\r\n".encode()) == 200, "it is the token that was issued"


@on_both_loops
async def test_health_and_lists_carry_it_too(idp: IdentityProvider) -> None:
    async with running(backends=[asking(idp)]) as world:
        await together(world, get("/health"), get("/v1/models"), chat())
        assert len(set(bearers(world))) == 1
        assert None not in bearers(world)
        assert (await idp.control())["asked"] == 1


@on_both_loops
async def test_backends_of_one_client_share_a_token_and_others_do_not(idp: IdentityProvider) -> None:
    await idp.control(instead=granting(ONE, TWO))
    other = asking(idp, token_scope="read", models=["c"])
    models = [asking(idp, models=["a"]), asking(idp, models=["b"]), other]
    async with running(None, None, None, backends=models) as world:
        for model in ("a", "b", "a", "c", "c"):
            assert (await world.ask(chat(model))).status == 200
        assert bearers(world, 0) == [f"Bearer {ONE}"] * 2
        assert bearers(world, 1) == [f"Bearer {ONE}"]
        assert bearers(world, 2) == [f"Bearer {TWO}"] * 2
        assert (await idp.control())["asked"] == 2


@pytest.mark.parametrize("stream", [False, True])
@on_both_loops
async def test_a_refused_token_is_renewed_and_the_call_repeated_once(
    idp: IdentityProvider, stream: bool
) -> None:
    await idp.control(instead=granting(ONE, TWO, THREE))
    async with running(backends=[asking(idp)]) as world:
        sim = world.sims[0]
        sim.require(f"authorization: Bearer {TWO}")
        reply = await world.ask(chat(stream=stream))
        assert (reply.status, reply.headers["x-trunkline-attempts"]) == (200, "2")
        assert bearers(world) == [f"Bearer {ONE}", f"Bearer {TWO}"]
        await world.quiet()
        assert world.faults == [("a", "auth"), ("a", "")]
        assert (await world.ask(chat(stream=stream))).status == 200
        assert (await idp.control())["asked"] == 2, "the new token serves from here on"
        sim.require("authorization: Bearer nobody-has-this")
        reply = await world.ask(chat(stream=stream))
        assert reply.status == 401
        assert bearers(world)[-2:] == [f"Bearer {TWO}", f"Bearer {THREE}"]
        await world.quiet()
        assert world.faults == [("a", "auth"), ("a", "auth")]
        assert (await idp.control())["asked"] == 3
        assert TWO.encode() not in reply.raw


@on_both_loops
async def test_many_refused_calls_renew_it_once(idp: IdentityProvider) -> None:
    await idp.control(instead=granting(ONE, TWO))
    async with running(backends=[asking(idp)]) as world:
        assert (await world.ask(chat())).status == 200
        world.sims[0].require(f"authorization: Bearer {TWO}")
        assert await together(world, *[chat(stream=index % 2 == 0) for index in range(16)]) == [200] * 16
        assert (await idp.control())["asked"] == 2
        assert set(bearers(world)) == {f"Bearer {ONE}", f"Bearer {TWO}"}


@on_both_loops
async def test_a_refused_upload_is_not_repeated_but_the_next_one_has_a_new_token(
    idp: IdentityProvider,
) -> None:
    await idp.control(instead=granting(ONE, TWO))
    async with running(backends=[asking(idp)]) as world:
        kind, body = multipart(("model", b"m"), ("file", bytes(200_000)))
        upload = post("/v1/audio/transcriptions", body=body, headers=kind)
        assert (await world.ask(upload)).status == 200
        world.sims[0].require(f"authorization: Bearer {TWO}")
        assert [(await world.ask(upload)).status for _ in range(2)] == [401, 200]
        assert bearers(world) == [f"Bearer {ONE}", f"Bearer {ONE}", f"Bearer {TWO}"]


@on_both_loops
async def test_another_backend_is_asked_when_a_new_token_is_refused_too(idp: IdentityProvider) -> None:
    await idp.control(instead=granting(ONE, TWO))
    async with running(None, None, backends=[asking(idp), {"api_key": "sk-up-canary"}]) as world:
        world.sims[0].require("authorization: Bearer nobody-has-this")
        reply = await world.ask(chat())
        assert (reply.status, reply.headers["x-trunkline-backend"]) == (200, "b")
        assert bearers(world, 1) == ["Bearer sk-up-canary"]
        await world.quiet()
        assert world.faults == [("a", "auth"), ("a", "auth"), ("b", "")]


@on_both_loops
async def test_a_token_that_ends_is_fetched_anew(idp: IdentityProvider) -> None:
    await idp.control(instead=granting(ONE, TWO, lifetime="1"))
    async with running(backends=[asking(idp, token_refresh_margin=0.0)]) as world:
        while len(set(bearers(world))) < 2:
            assert (await world.ask(chat())).status == 200
            await asyncio.sleep(0.05)
        assert set(bearers(world)) == {f"Bearer {ONE}", f"Bearer {TWO}"}


NO_TOKENS: list[tuple[list[Any], str]] = [
    ([400, [], '{"error":"invalid_client","error_description":"AADSTS7000215: wrong"}', 0], "AADSTS7000215: wrong"),
    ([401, [], f'{{"error":"invalid_client","error_description":"not {SECRET}"}}', 0], "invalid_client: not ***"),
    ([503, [], "<html>maintenance</html>", 0], "503"),
    ([302, [["location", "https://127.0.0.1:1/"]], "", 0], "redirects are not followed"),
    ([200, [], '{"token_type":"Bearer"}', 0], "access_token"),
    ([200, [], " " * 70_000, 0], "longer than 65536 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "reason"), NO_TOKENS)
@pytest.mark.parametrize("stream", [False, True])
@on_both_loops
async def test_without_a_token_there_is_no_call(
    idp: IdentityProvider, answer: list[Any], reason: str, stream: bool
) -> None:
    await idp.control(instead=[answer] * 2)
    async with running(backends=[asking(idp)]) as world:
        reply = await world.ask(chat(stream=stream))
        error = reply.json["error"]
        assert (reply.status, error["code"]) == (502, "upstream_error")
        assert error["message"].startswith(f"no OAuth2 token from {idp.base.removeprefix('https://')}: ")
        assert reason in error["message"]
        assert SECRET.encode() not in reply.raw
        assert world.counts == [0]
        await world.quiet()
        assert (world.record.fault, world.record.status, world.faults) == ("auth", 502, [("a", "auth")])
    async with running(None, None, backends=[asking(idp, token_url=LONG_GONE), {}]) as world:
        reply = await world.ask(chat(stream=stream))
        assert (reply.status, reply.headers["x-trunkline-backend"]) == (200, "b")
        assert world.counts == [0, 1]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/files"])
@on_both_loops
async def test_nobody_at_the_identity_provider_s_address(idp: IdentityProvider, path: str) -> None:
    async with running(backends=[asking(idp, token_url=LONG_GONE)]) as world:
        reply = await world.ask(post(path, {"model": "m", "messages": []}))
        assert reply.status == 502
        assert "no OAuth2 token from 127.0.0.1:1: TCP connection to 127.0.0.1:1 failed" in reply.body.decode()
        health = await world.ask(get("/health"))
        assert health.status == 503
        assert "no OAuth2 token" in health.json["error"]
        assert world.counts == [0]


@on_both_loops
async def test_the_backend_s_trust_holds_for_its_identity_provider(idp: IdentityProvider) -> None:
    async with running(backends=[asking(idp, ca_bundle_path=None)]) as world:
        message = (await world.ask(chat())).json["error"]["message"]
        assert "certificate verify failed" in message
        assert "ca_bundle_path" in message
        assert world.counts == [0]
    async with running(backends=[asking(idp, ca_bundle_path=None, ssl_verify=False)]) as world:
        assert (await world.ask(chat())).status == 200


@on_both_loops
async def test_a_client_that_leaves_while_a_token_is_fetched_spoils_nothing(idp: IdentityProvider) -> None:
    slow = granting(ONE)
    slow[0][3] = 0.3
    await idp.control(instead=slow)
    async with running(backends=[asking(idp)]) as world:
        client = await world.open()
        client.send(chat())
        while not world.gateway.runtime.live:
            await asyncio.sleep(0)
        await client.leave()
        assert (await world.ask(chat())).status == 200
        assert bearers(world) == [f"Bearer {ONE}"]
        assert (await idp.control())["asked"] == 1


@on_both_loops
async def test_nothing_shows_secrets(idp: IdentityProvider, capfd: pytest.CaptureFixture[str]) -> None:
    await idp.control(instead=[*granting(ONE, TWO), [400, [], f'{{"error":"{SECRET} {TWO}"}}', 0]])
    seen: list[bytes] = []
    async with running(backends=[asking(idp)]) as world:
        for said in (ONE, quote(quote(SECRET, safe=""))):
            for form in range(1, 16):
                spec = f"x-sim-fault: error_form={form};message=you sent {said}\r\n"
                for stream in (False, True):
                    reply = await world.ask(chat(headers=spec, stream=stream))
                    assert b"you sent ***" in reply.body, (form, said)
                    seen.append(reply.raw)
        world.sims[0].require("authorization: Bearer nobody-has-this")
        requests = (chat(), chat(stream=True), get("/health"), get("/v1/models"), get("/v1/x"))
        seen += [(await world.ask(request)).raw for request in requests]
        seen.append((await world.ask_admin("/metrics")).raw)
        await world.quiet()
        seen.append(repr((world.records, world.gateway.runtime, world.gateway.settings)).encode())
        seen.append(repr([vars(upstream)["oauth"] for upstream in world.gateway.runtime.upstreams]).encode())
        seen.append(world.gateway.ready_line().encode())
    seen.append("".join(capfd.readouterr()).encode())
    for secret in (SECRET, quote(SECRET, safe=""), ONE, TWO):
        assert not [text for text in seen if secret.encode() in text]
