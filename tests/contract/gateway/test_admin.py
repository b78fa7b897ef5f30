"""The admin port: who may ask, and that every answer can be found again."""

import pytest

from tests.contract.gateway.harness import on_both_loops, running


@on_both_loops
async def test_every_answer_has_a_request_id_of_its_own() -> None:
    async with running() as world:
        replies = [
            await world.ask_admin(path, method=method)
            for path, method in (
                ("/metrics", "GET"),
                ("/health", "GET"),
                ("/nope", "GET"),
                ("/health", "POST"),
            )
        ]
        assert [reply.status for reply in replies] == [200, 200, 404, 405]
        ids = {reply.headers["x-request-id"] for reply in replies}
        assert len(ids) == 4
        assert all(ids)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8081", "[::1]:8081"])
@on_both_loops
async def test_a_program_of_this_machine_is_answered(host: str) -> None:
    async with running() as world:
        assert (await world.ask_admin("/metrics", host=host)).status == 200


@on_both_loops
async def test_a_page_that_was_rebound_to_this_machine_is_refused() -> None:
    async with running() as world:
        for path in ("/metrics", "/health", "/nope"):
            reply = await world.ask_admin(path, host="evil.test:8081")
            assert (reply.status, reply.json["error"]["code"]) == (403, "origin_not_allowed")
            assert "evil.test" in reply.json["error"]["message"]
            assert "localhost" in reply.json["error"]["message"]
            assert reply.headers["x-request-id"]
