"""Which names an open gateway on loopback answers to: a page whose name was rebound to this machine gets nothing."""

import pytest

from tests.contract.gateway.harness import World, chat, get, on_both_loops, post, running
from trunkline.policy.keys import KeySettings

REBOUND = "evil.test:8080"


def named(request: bytes, host: str) -> bytes:
    return request.replace(b"host: localhost", b"host: %b" % host.encode(), 1)


async def refused(world: World, request: bytes, host: str) -> str:
    """The message of the refusal."""
    reply = await world.ask(named(request, host))
    assert (reply.status, reply.json["error"]["code"]) == (403, "origin_not_allowed")
    assert reply.headers["x-should-retry"] == "false"
    return reply.json["error"]["message"]


@on_both_loops
async def test_a_foreign_name_gets_nothing() -> None:
    async with running() as world:
        for request in (
            *(chat(), chat(stream=True), get("/v1/models"), get("/v1/files"), get("/health")),
            *(get("/health/ready"), post("/v1/files", body=b"x"), post("/api/v1/chat/completions", {})),
        ):
            message = await refused(world, request, REBOUND)
            assert "`evil.test:8080`" in message
            assert "server.allowed_hosts" in message
            assert "keys" in message
        reply = await world.ask(named(post("/v1/messages", {}), REBOUND))
        assert (reply.status, reply.json["type"]) == (403, "error")
        assert world.counts == [0]
        # The same connection goes on, and the judgement belongs to the head.
        client = await world.open()
        for host, status in (("localhost", 200), (REBOUND, 403), ("localhost", 200), (REBOUND, 403)):
            client.send(named(chat(), host))
            assert (await client.answer()).status == status
        await client.leave()


@pytest.mark.parametrize(
    "host", ["localhost:8080", "LOCALHOST", "app.localhost:1", "127.0.0.1:8080", "127.8.8.8", "[::1]:8080"]
)
@on_both_loops
async def test_names_of_this_machine_are_known(host: str) -> None:
    async with running() as world:
        assert (await world.ask(named(chat(), host))).status == 200
        assert (await world.ask(b"GET /health HTTP/1.0\r\nconnection: close\r\n\r\n")).status == 200


@on_both_loops
async def test_other_names_are_allowed_by_the_configuration() -> None:
    async with running(server={"allowed_hosts": ["Host.Docker.Internal"]}) as world:
        for host in ("host.docker.internal:8080", "HOST.docker.internal", "localhost"):
            assert (await world.ask(named(chat(), host))).status == 200
        await refused(world, chat(), "docker.internal")
    async with running(server={"host": "localhost"}) as world:
        assert (await world.ask(named(chat(), "127.0.0.1"))).status == 200


@on_both_loops
async def test_where_a_key_guards_the_port_any_name_will_do() -> None:
    async with running(keys=[KeySettings(name="k", key="secret")]) as world:
        for headers, status in (("authorization: Bearer secret\r\n", 200), ("", 401)):
            reply = await world.ask(named(chat(headers=headers), "gateway.example.com"))
            assert reply.status == status
        assert (await world.ask(named(get("/health"), "10.0.0.7:8080"))).status == 200


@on_both_loops
async def test_who_listens_for_the_network_answers_to_any_name() -> None:
    async with running(server={"host": "0.0.0.0"}) as world:
        assert (await world.ask(named(chat(), "gateway.example.com"))).status == 200


@on_both_loops
async def test_pass_through_on_loopback_is_guarded_too() -> None:
    async with running(passthrough=True) as world:
        await refused(world, get("/anything"), REBOUND)
        assert world.counts == [0]
        assert (await world.ask(get("/v1/models"))).status == 200
