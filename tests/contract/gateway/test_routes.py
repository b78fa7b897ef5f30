"""Which requests reach a backend, under which path, and what the others are told."""

import asyncio
import json

import pytest

from tests.contract.gateway.harness import World, chat, get, on_both_loops, post, running
from trunkline.policy.keys import KeySettings

BODY = {"model": "sim-small", "input": "x", "prompt": "x", "messages": [{"role": "user", "content": "hi"}]}
LISTED = {
    "/chat/completions": BODY,
    "/completions": BODY,
    "/embeddings": BODY,
    "/moderations": BODY,
    "/rerank": {"model": "sim-small", "query": "a", "documents": ["a b", "c"]},
    "/responses": BODY,
    "/messages": BODY | {"max_tokens": 10},
    "/images/generations": BODY,
    "/audio/speech": BODY | {"voice": "x"},
}


@pytest.mark.parametrize("prefix", ["/v1", "/api/v1", "/openai/v1", ""])
@pytest.mark.parametrize("slash", ["", "/"])
@on_both_loops
async def test_listed_operations_are_found_under_every_spelling(prefix: str, slash: str) -> None:
    async with running() as world:
        for path, body in LISTED.items():
            reply = await world.ask(post(prefix + path + slash + "?a=1&b=%2F", body))
            assert reply.status == 200, (path, reply.body)
            assert world.seen.target == "/v1" + path + "?a=1&b=%2F"
            assert world.record.surface == path.split("/")[1]


@on_both_loops
async def test_azure_deployments_name_the_model_in_their_path() -> None:
    async with running() as world:
        body = {"messages": BODY["messages"]}
        for value in (body, body | {"model": None}, body | {"model": ""}):
            reply = await world.ask(
                post("/openai/deployments/sim%2Dlarge/chat/completions?api-version=2024-06-01", value)
            )
            assert reply.status == 200
            assert reply.json["model"] == "sim-large"
            assert world.seen.target == "/v1/chat/completions?api-version=2024-06-01"
            assert json.loads(world.seen.body)["model"] == "sim-large"
            assert world.seen.body.count('"model"') == 1
            assert world.record.model == "sim-large"
        reply = await world.ask(
            post("/openai/deployments/sim-large/chat/completions", body | {"model": "sim-small"})
        )
        assert (reply.json["model"], world.record.model) == ("sim-small", "sim-small")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@on_both_loops
async def test_other_paths_below_v1_pass_with_method_query_and_body(method: str) -> None:
    async with running() as world:
        for path in ("/v1/files/file-1/content?limit=2&x=%20", "/v1/batches/b/cancel", "/v1/x"):
            body = b"" if method == "GET" else b'{"model":"sim-small", "n": 1.50}'
            head = "content-type: application/json\r\n"
            reply = await world.ask(post(path, body=body, headers=head).replace(b"POST", method.encode(), 1))
            assert reply.status == 200
            echo = reply.json
            assert (echo["method"], echo["path"]) == (method, path)
            assert json.loads(echo["body_text"] or "null") == json.loads(body or b"null")
        reply = await world.ask(post("/api/v1/things?q", {"model": "m"}))
        assert reply.json["path"] == "/v1/things?q"


@on_both_loops
async def test_json_bodies_that_are_no_object_pass_where_the_operation_is_not_known() -> None:
    async with running() as world:
        for body in (b"", b"[1, 2]", b'"x"', b" "):
            reply = await world.ask(
                post("/v1/responses/r/cancel", body=body, headers="content-type: application/json\r\n")
            )
            assert (reply.status, reply.json["body_text"]) == (200, body.decode())
        reply = await world.ask(
            post("/v1/things", body=b'{"model":', headers="content-type: application/json\r\n")
        )
        assert (reply.status, reply.json["error"]["code"]) == (400, "invalid_json")
        reply = await world.ask(post("/v1/chat/completions", body=b"[]"))
        assert (reply.status, reply.json["error"]["code"]) == (400, "invalid_request")


@on_both_loops
async def test_head_is_answered_wherever_get_is() -> None:
    async with running(discovery=300.0) as world:
        for path in (
            "/health",
            "/health/live",
            "/health/ready",
            "/v1/models",
            "/v1/models/sim-small",
            "/v1/x",
        ):
            plain = await world.ask(get(path))
            head = await world.ask(get(path, method="HEAD"))
            assert (head.status, head.payload) == (plain.status, b""), path
            assert head.headers["content-type"] == plain.headers["content-type"]
        lengths = {
            path: (await world.ask(get(path, method="HEAD"))).headers for path in ("/v1/models", "/v1/x")
        }
        assert int(lengths["/v1/models"]["content-length"]) > 100
        assert int(lengths["/v1/x"]["content-length"]) > 100, "the length that a GET would have"
        client = await world.open()
        client.send(get("/v1/x", method="HEAD") + get("/v1/x") + get("/nope", method="HEAD") + get("/v1/x"))
        assert (await client.answer(no_body=True)).status == 200
        assert (await client.answer()).json["method"] == "GET"
        assert (await client.answer(no_body=True)).status == 404
        assert (await client.answer()).json["method"] == "GET"
        await client.leave()


@on_both_loops
async def test_options_needs_no_key_and_cors_answers_the_origins_it_knows() -> None:
    keys = [KeySettings(name="k", key="secret")]
    async with running(keys=keys, server={"cors_origins": ["https://app.test"]}) as world:
        ask = "access-control-request-method: POST\r\naccess-control-request-headers: x-stainless-os\r\n"
        reply = await world.ask_to_end(
            get(
                "/v1/chat/completions",
                method="OPTIONS",
                headers=f"origin: https://app.test\r\n{ask}connection: close\r\n",
            )
        )
        assert reply.status == 204
        assert reply.headers["access-control-allow-origin"] == "https://app.test"
        assert reply.headers["access-control-allow-headers"] == "x-stainless-os"
        assert "POST" in reply.headers["access-control-allow-methods"]
        assert reply.headers["x-request-id"]
        reply = await world.ask_to_end(
            get("/v1/models", method="OPTIONS", headers="origin: https://evil.test\r\nconnection: close\r\n")
        )
        assert reply.status == 204
        assert not [name for name in reply.headers if name.startswith("access-control")]
        for status, headers in ((200, "authorization: Bearer secret\r\n"), (401, "")):
            reply = await world.ask(chat(headers=f"origin: https://app.test\r\n{headers}"))
            assert reply.status == status
            assert reply.headers["access-control-allow-origin"] == "https://app.test"
            assert "x-request-id" in reply.headers["access-control-expose-headers"]
            assert reply.headers["vary"] == "origin"
        reply = await world.ask(chat(headers="authorization: Bearer secret\r\norigin: https://evil.test\r\n"))
        assert "access-control-allow-origin" not in reply.headers


@on_both_loops
async def test_cors_is_off_until_it_is_configured_and_a_star_means_all() -> None:
    async with running() as world:
        reply = await world.ask(chat(headers="origin: https://app.test\r\n"))
        assert not [name for name in reply.headers if name.startswith("access-control")]
    async with running(server={"cors_origins": ["*"]}) as world:
        reply = await world.ask(chat(headers="origin: https://app.test\r\n"))
        assert reply.headers["access-control-allow-origin"] == "https://app.test"


@on_both_loops
async def test_unknown_paths_and_wrong_methods_get_json() -> None:
    async with running() as world:
        for path in ("/", "/v2/chat/completions", "/v1", "/favicon.ico", "/v1x/chat/completions"):
            reply = await world.ask(get(path))
            assert (reply.status, reply.json["error"]["code"]) == (404, "not_found"), path
            assert reply.headers["content-type"] == "application/json"
            assert reply.headers["x-should-retry"] == "false"
        reply = await world.ask(post("/health", {}))
        assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
        assert world.counts == [0]


@on_both_loops
async def test_other_methods_on_listed_paths_are_the_backends_to_answer() -> None:
    async with running() as world:
        for request in (get("/v1/chat/completions"), get("/v1/messages"), post("/v1/models", {})):
            reply = await world.ask(request)
            assert reply.headers["x-trunkline-backend"]
        assert [(entry.method, entry.target) for entry in world.sims[0].log] == [
            ("GET", "/v1/chat/completions"),
            ("GET", "/v1/messages"),
            ("POST", "/v1/models"),
        ]


@on_both_loops
async def test_errors_have_the_shape_of_the_surface() -> None:
    keys = [KeySettings(name="k", key="secret", models=["sim-small"])]
    key = "x-api-key: secret\r\n"
    async with running(keys=keys, server={"max_body": 5000}) as world:
        for request, status, kind in (
            (post("/v1/messages", BODY), 401, "authentication_error"),
            (get("/v1/messages", headers=key), 403, "permission_error"),
            (post("/v1/messages", body=b"{", headers=key), 400, "invalid_request_error"),
            (post("/v1/messages", BODY | {"model": "other"}, headers=key), 403, "permission_error"),
            (post("/v1/messages", BODY | {"x": "y" * 9000}, headers=key), 413, "request_too_large"),
        ):
            client = await world.open()
            client.send(request)
            reply = await client.answer()
            await client.leave()
            assert (reply.status, reply.json["type"], reply.json["error"]["type"]) == (status, "error", kind)
            assert reply.json["request_id"] == reply.headers["x-request-id"]
        reply = await world.ask(post("/v1/chat/completions", body=b"{", headers=key))
        assert reply.json["error"].keys() == {"message", "type", "param", "code"}
        assert world.counts == [0]


@on_both_loops
async def test_absolute_targets_are_taken_by_their_path_and_dot_segments_refused() -> None:
    async with running() as world:
        reply = await world.ask(get("http://elsewhere.test/v1/things?a"))
        assert (reply.status, reply.json["path"]) == (200, "/v1/things?a")
        assert dict(reply.json["headers"])["host"] == world.sims[0].url.removeprefix("http://")
        for target in (
            "http://elsewhere.test?x=/v1/things",
            "http://elsewhere.test",
            "/v1/../admin",
            "/v1/./x",
            "/v1/%2e%2E/x",
            "/v1/x/..",
            "/v1//x",
            "/v1/a%2f%2e%2e/x",
        ):
            reply = await world.ask(get(target))
            assert reply.status == 404, target
        for target in ("/v1/a/%2e%2e%2fx", "/v1/..;/x"):
            reply = await world.ask(get(target))
            assert (reply.status, reply.json["error"]["code"]) == (400, "invalid_request"), target
            assert reply.headers["x-trunkline-attempts"] == "1"
        assert world.counts == [1]
        reply = await world.ask(get("/v1/things"))
        assert reply.headers["x-trunkline-attempts"] == "1"


async def _pipelined(world: World, requests: list[bytes]) -> list[int]:
    client = await world.open()
    client.send(b"".join(requests))
    statuses = [(await client.answer()).status for _ in requests]
    await client.leave()
    return statuses


@on_both_loops
async def test_pipelined_requests_are_answered_in_order() -> None:
    async with running() as world:
        requests = [chat("sim-small!delay_head=0.05"), get("/nope"), chat(stream=True), get("/health/live")]
        assert await _pipelined(world, requests) == [200, 404, 200, 200]
        await asyncio.wait_for(world.quiet(), 5)
        assert len(world.records) == 3


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://evil.example:8080", 403),
        ("null", 403),
        ("http://localhost:3000", 200),
        ("http://127.0.0.1", 200),
    ],
)
@on_both_loops
async def test_without_keys_foreign_web_pages_are_refused(origin: str, status: int) -> None:
    async with running() as world:
        reply = await world.ask(chat(headers=f"origin: {origin}\r\n"))
        assert reply.status == status
        assert world.counts == [int(status == 200)]
    async with running(server={"cors_origins": [origin]}) as world:
        assert (await world.ask(chat(headers=f"origin: {origin}\r\n"))).status == 200


@on_both_loops
async def test_tracing_is_never_relayed() -> None:
    async with running() as world:
        for method in ("TRACE", "CONNECT"):
            reply = await world.ask(f"{method} /v1/x HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
            assert reply.status == 405
        assert world.counts == [0]
