"""Started from TARGET_BASE_URL: every path and method is forwarded as it is, with the caller's own credential."""

import pytest

from tests.contract.gateway.harness import chat, get, on_both_loops, post, running

OPEN = {"forward_authorization": True, "provider": "custom"}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"])
@on_both_loops
async def test_any_method_and_path_below_v1(method: str) -> None:
    async with running(passthrough=True, backends=[OPEN]) as world:
        for path in ("/v1/anything/else?param1=value1&b=%20", "/v1/x/"):
            reply = await world.ask(
                get(path, method=method, headers="authorization: Bearer mine\r\ncookie: a=b\r\n")
            )
            assert (reply.status, reply.json["method"], reply.json["path"]) == (200, method, path)
            assert world.seen.header("authorization") == "Bearer mine"
            assert world.seen.header("cookie") == "a=b"


@on_both_loops
async def test_paths_are_not_respelled() -> None:
    async with running(passthrough=True, backends=[OPEN]) as world:
        for path in (
            "/",
            "/chat/completions",
            "/api/v1/models",
            "/models",
            "/api/tags?x=1",
            "/openai/deployments/d/chat/completions",
        ):
            await world.ask(get(path))
            assert world.seen.target == path
        for path in ("/v1/models", "/v1/models/sim-small"):
            reply = await world.ask(get(path, headers="authorization: Bearer mine\r\n"))
            assert reply.status == 200
            assert (world.seen.target, world.seen.header("authorization")) == (path, "Bearer mine")
        reply = await world.ask(get("/v1/../x"))
        assert reply.status == 400
    base = [{**OPEN, "url": None}]
    async with running(passthrough=True) as world:
        base[0]["url"] = world.sims[0].url + "/v1/"
        async with running(passthrough=True, backends=base) as other:
            for path in ("/v1/x", "/x"):
                assert (await other.ask(get(path))).json["path"] == "/v1/x"


@on_both_loops
async def test_bodies_pass_and_json_is_checked_where_it_is_expected() -> None:
    async with running(passthrough=True, backends=[OPEN]) as world:
        for kind, body in (
            ("text/plain", b"{"),
            ("application/x-www-form-urlencoded", b"a=b"),
            ("application/octet-stream", bytes(9)),
        ):
            reply = await world.ask(post("/v1/x", body=body, headers=f"content-type: {kind}\r\n"))
            assert reply.json["body_text"] == body.decode()
            assert dict(reply.json["headers"])["content-type"] == kind
        reply = await world.ask(chat(stream=True))
        assert reply.events[-1] == "[DONE]"
        for path in ("/v1/chat/completions", "/v1/custom"):
            reply = await world.ask(post(path, body=b'{"a":', headers="content-type: application/json\r\n"))
            assert (reply.status, reply.json["error"]["code"]) == (400, "invalid_json")


@on_both_loops
async def test_health_is_the_gateways_own_and_preflights_too() -> None:
    async with running(passthrough=True, backends=[OPEN], server={"cors_origins": ["*"]}) as world:
        reply = await world.ask(get("/health"))
        assert reply.json == {"status": "healthy", "target_url": world.sims[0].url}
        client = await world.open()
        client.send(get("/v1/x", method="OPTIONS", headers="origin: http://a.test\r\n"))
        reply = await client.answer()
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (204, "http://a.test")
        assert world.counts == [1]


@pytest.mark.parametrize(
    ("spec", "status", "code"),
    [
        ("delay_head=forever", 504, "upstream_timeout"),
        ("reset=accept", 502, "upstream_error"),
        ("close=head", 502, "upstream_error"),
    ],
)
@on_both_loops
async def test_failures_have_the_openai_shape(spec: str, status: int, code: str) -> None:
    timeouts = {"total": 0.3} if status == 504 else {}  # on a slow machine others could take as long
    async with running(spec, passthrough=True, backends=[OPEN], timeouts=timeouts) as world:
        for request in (chat(), get("/v1/x")):
            reply = await world.ask(request)
            assert (reply.status, reply.json["error"]["code"]) == (status, code)
            assert reply.json["error"].keys() == {"message", "type", "param", "code"}


@on_both_loops
async def test_the_targets_errors_are_unchanged_also_401() -> None:
    for spec in ("status=401;body=detail", "status=503;body=text;retry_after=9", "status=404;body=html"):
        async with running(spec, passthrough=True, backends=[OPEN]) as world:
            plain = await world.direct(chat(headers=f"x-sim-fault: {spec}\r\n"))
            reply = await world.ask(chat())
            assert (reply.status, reply.body) == (plain.status, plain.body)
            for name in ("content-type", "retry-after"):
                assert reply.headers.get(name) == plain.headers.get(name)
    async with running(passthrough=True, backends=[{**OPEN, "url": "http://127.0.0.1:1"}]) as world:
        reply = await world.ask(get("/anything"))
        assert (reply.status, reply.json["error"]["code"]) == (502, "upstream_error")
