"""Public models over sockets: who is asked for a name, and what the upstream and the client see of it.

What follows a failure is in tests/failover; limits on calls at once and health are in test_places.py, what targets
are known to lack in test_needs.py, backends of the caller's choice in test_pins.py.
"""

from typing import Any

import msgspec
import pytest

from tests.contract.gateway.harness import Reply, World, chat, multipart, on_both_loops, post, running
from trunkline.policy.keys import KeySettings

SAY = [{"role": "user", "content": "hello there"}]
AT_A = {"backend": "a", "model": "sim-small"}
AT_B = {"backend": "b", "model": "sim-large"}


def models(**more: Any) -> dict[str, Any]:
    """One public model `chat`, with these settings besides its one target."""
    return {"chat": {"targets": [AT_A], **more}}


def answered(reply: Reply) -> tuple[int, str | None, str | None]:
    """Status, public model and backend of an answer."""
    named = reply.headers.get("x-trunkline-model"), reply.headers.get("x-trunkline-backend")
    return (reply.status, *named)


def asked(world: World) -> list[tuple[int, str | None]]:
    """By simulator the models that were asked for, simulator after simulator."""
    return [(at, entry.model) for at, sim in enumerate(world.sims) for entry in sim.log]


async def backends_of(world: World, calls: int, request: bytes) -> str:
    """Who answered so many calls, one after another."""
    return "".join([(await world.ask(request)).headers["x-trunkline-backend"] for _ in range(calls)])


# names


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/chat/completions", {"messages": SAY}),
        ("/v1/completions", {"prompt": "hello"}),
        ("/v1/embeddings", {"input": "hello"}),
        ("/v1/responses", {"input": "hello"}),
        ("/v1/messages", {"messages": SAY, "max_tokens": 9}),
    ],
)
@on_both_loops
async def test_the_upstream_is_asked_for_the_targets_model_and_nothing_else_is_changed(
    path: str, fields: dict[str, Any]
) -> None:
    async with running(models=models()) as world:
        before = {"user": "\u00e9\u20ac", "temperature": 1.0}
        body = msgspec.json.encode(before | {"model": "chat"} | fields)
        reply = await world.ask(post(path, body=body))
        assert answered(reply) == (200, "chat", "a")
        assert world.seen.body.encode() == body.replace(b'"chat"', b'"sim-small"')
        assert reply.json["model"] == "sim-small", "the body says what the upstream said"
        await world.quiet()
        assert (world.record.model, world.record.attempts[0].model) == ("chat", "sim-small")


@on_both_loops
async def test_a_model_in_the_path_is_a_public_one_too() -> None:
    async with running(models=models()) as world:
        reply = await world.ask(post("/openai/deployments/chat/chat/completions", {"messages": SAY}))
        assert answered(reply) == (200, "chat", "a")
        assert world.seen.model == "sim-small"


@pytest.mark.parametrize(
    ("name", "public", "upstream"),
    [
        ("chat", "chat", "sim-small"),
        ("gpt-4", "chat", "sim-small"),
        ("claude-3", "chat", "sim-small"),
        ("pass/sim-large", "pass/sim-large", "pass/sim-large"),
        ("pass/own", "pass/own", "sim-embed"),
    ],
)
@on_both_loops
async def test_names_before_aliases_before_globs(name: str, public: str, upstream: str) -> None:
    config = models(aliases=["gpt-4", "claude-*"]) | {
        "pass/*": {"targets": [{"backend": "a"}]},
        "pass/own": {"targets": [{"backend": "a", "model": "sim-embed"}]},
    }
    async with running(models=config) as world:
        for stream in (False, True):
            reply = await world.ask(chat(name, stream=stream))
            assert answered(reply) == (200, public, "a")
            assert world.seen.model == upstream


@on_both_loops
async def test_a_target_that_does_not_speak_the_surface_is_left_out() -> None:
    config = {"m": {"targets": [AT_A, AT_B]}, "alone": {"targets": [AT_A]}}
    async with running(None, None, models=config, backends=[{"provider": "openai"}]) as world:
        for name, status in (("m", 200), ("alone", 400)):
            reply = await world.ask(post("/v1/messages", {"model": name, "messages": SAY, "max_tokens": 9}))
            assert reply.status == status
        assert asked(world) == [(1, "sim-large")]


@on_both_loops
async def test_names_outside_are_unknown_even_if_a_backend_has_them() -> None:
    async with running(models=models(aliases=["Chat-4"]), backends=[{"models": ["sim-small"]}]) as world:
        for name in ("sim-small", "CHAT", "chatt"):
            reply = await world.ask(chat(name))
            assert (reply.status, reply.json["error"]["code"]) == (404, "model_not_found")
        assert "`chat`" in reply.json["error"]["message"]
        assert world.counts == [0]


@on_both_loops
async def test_the_answer_names_the_fallback_that_gave_it() -> None:
    config = models(fallbacks=["other"]) | {"other": {"targets": [AT_B]}}
    async with running("status=500", None, models=config) as world:
        reply = await world.ask(chat("chat", stream=True))
        assert answered(reply) == (200, "other", "b")
        assert asked(world) == [(0, "sim-small"), (1, "sim-large")]


@pytest.mark.parametrize("size", [10, 200_000])
@on_both_loops
async def test_a_form_names_the_targets_model_upstream(size: int) -> None:
    """Short forms are held, long ones stream through: their length changes with the name."""
    config = {"a-long-public-name": {"targets": [AT_A]}, "x": {"targets": [AT_B]}}
    async with running(None, None, models=config) as world:
        for at, (name, model) in enumerate((("a-long-public-name", b"sim-small"), ("x", b"sim-large"))):
            parts = [("language", b"en"), ("model", name.encode()), ("file", b"\x00\r\n" * (size // 3))]
            kind, body = multipart(*parts)
            reply = await world.ask(post("/v1/audio/transcriptions", headers=kind, body=body))
            assert answered(reply) == (200, name, "ab"[at])
            seen = world.sims[at].log[-1]
            sent = multipart(parts[0], ("model", model), parts[2])[1]
            assert seen.body_length == len(sent)
            assert seen.body.encode("latin-1")[:300] == sent[: len(seen.body)][:300]


@pytest.mark.parametrize("size", [10, 200_000])
@on_both_loops
async def test_rules_are_for_forms_too(size: int) -> None:
    rules = [{"for": ["auto"], "use": "chat"}]
    async with running(models=models(), rules=rules) as world:
        kind, body = multipart(("model", b"auto"), ("file", b"x" * size))
        reply = await world.ask(post("/v1/audio/transcriptions", headers=kind, body=body))
        assert answered(reply) == (200, "chat", "a")
        assert world.seen.model == "sim-small"


@on_both_loops
async def test_a_form_that_is_here_whole_goes_to_the_next_target_with_its_name_there() -> None:
    config = models(fallbacks=["other"]) | {"other": {"targets": [AT_B]}}
    async with running("status=500", None, models=config) as world:
        kind, body = multipart(("model", b"chat"), ("file", b"x" * 100))
        reply = await world.ask(post("/v1/audio/transcriptions", headers=kind, body=body))
        assert answered(reply) == (200, "other", "b")
        assert asked(world) == [(0, "sim-small"), (1, "sim-large")]


# rules

TOOL: dict[str, Any] = {"type": "function", "function": {"name": "f", "parameters": {}}}
PICTURE: list[dict[str, Any]] = [
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}
]
SCHEMA: dict[str, Any] = {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}


def said(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


@pytest.mark.parametrize(
    ("when", "fits", "fails"),
    [
        ({"contains_any": ["code", "bug"]}, said("Mend this CODE"), said("hello")),
        ({"contains_all": ["code", "bug"]}, said("a bug in code"), said("a bug")),
        ({"max_chars": 5}, said("12345"), said("123456")),
        ({"min_chars": 5}, said("12345"), said("1234")),
        ({"shorter_than": 5}, said("1234"), said("12345")),
        ({"longer_than": 5}, said("123456"), said("12345")),
        ({"tools": True}, {"tools": [TOOL]}, {}),
        ({"images": True}, {"messages": PICTURE}, {}),
        ({"json_schema": True}, {"response_format": SCHEMA}, {"response_format": {"type": "text"}}),
        ({"stream": True}, {"stream": True}, {}),
        ({"stream": False}, {}, {"stream": True}),
        ({"time": "00:00-24:00", "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}, {}, None),
    ],
)
@on_both_loops
async def test_each_condition_leads_to_another_model(
    when: dict[str, Any], fits: dict[str, Any], fails: dict[str, Any] | None
) -> None:
    config = {"yes": {"targets": [AT_A]}, "no": {"targets": [AT_A]}}
    rules = [{"for": ["auto"], "when": when, "use": "yes"}, {"for": ["auto"], "use": "no"}]
    async with running(models=config, rules=rules) as world:
        for fields, model in ((fits, "yes"), (fails, "no")):
            if fields is not None:
                reply = await world.ask(chat("auto", **fields))
                assert answered(reply) == (200, model, "a")
                assert world.seen.model == "sim-small"


@on_both_loops
async def test_headers_and_who_calls_are_conditions_too() -> None:
    config = {name: {"targets": [AT_A]} for name in ("team", "night", "vip", "rest")}
    rules = [
        {"for": ["auto"], "when": {"headers": {"X-Team": "red*"}}, "use": "team"},
        {"for": ["auto"], "when": {"keys": ["batch-*"]}, "use": "night"},
        {"for": ["auto"], "when": {"key_tags": ["gold", "vip"]}, "use": "vip"},
        {"for": ["auto"], "use": "rest"},
    ]
    keys = [
        KeySettings(name="batch-1", key="k1"),
        KeySettings(name="c", key="k2", tags=["vip"]),
        KeySettings(name="d", key="k3"),
    ]
    async with running(models=config, rules=rules, keys=keys) as world:
        for key, more, model in (
            ("k1", "", "night"),
            ("k2", "", "vip"),
            ("k3", "", "rest"),
            ("k2", "x-team: red-1\r\n", "team"),
            ("k3", "x-team: blue\r\n", "rest"),
        ):
            reply = await world.ask(chat("auto", headers=f"authorization: Bearer {key}\r\n{more}"))
            assert answered(reply) == (200, model, "a")


@on_both_loops
async def test_rules_are_for_the_models_that_they_name_and_their_model_has_no_rules() -> None:
    config = {"one": {"targets": [AT_A]}, "two": {"targets": [AT_A]}}
    rules = [{"for": ["one"], "use": "two"}, {"for": ["two", "go-*"], "use": "one"}]
    async with running(models=config, rules=rules) as world:
        for name, model in (("one", "two"), ("two", "one"), ("go-1", "one")):
            assert answered(await world.ask(chat(name))) == (200, model, "a")
        assert (await world.ask(chat("other"))).status == 404


# strategies


@pytest.mark.parametrize(
    ("strategy", "answers"), [("priority", "aaaa"), ("cost", "aaaa"), ("round_robin", "abab")]
)
@on_both_loops
async def test_strategies_with_an_order(strategy: str, answers: str) -> None:
    async with running(None, None, models={"m": {"targets": [AT_A, AT_B], "strategy": strategy}}) as world:
        assert await backends_of(world, 4, chat("m")) == answers
        assert set(asked(world)) <= {(0, "sim-small"), (1, "sim-large")}


@pytest.mark.parametrize(
    ("weights", "of_backends"), [([3, 1], [1, 1]), ([None, None], [6, 2]), ([None, 1], [3, 9])]
)
@on_both_loops
async def test_weights_are_the_targets_own_or_their_backends(
    weights: list[float | None], of_backends: list[float]
) -> None:
    targets = [one | {"weight": weight} for one, weight in zip((AT_A, AT_B), weights, strict=True)]
    config = {"m": {"targets": targets, "strategy": "weighted"}}
    backends: list[dict[str, Any]] = [{"weight": weight} for weight in of_backends]
    async with running(None, None, models=config, backends=backends) as world:
        assert (await backends_of(world, 8, chat("m"))).count("a") == 6


@on_both_loops
async def test_a_targets_own_priority_wins_over_the_order_written() -> None:
    async with running(None, None, models={"m": {"targets": [AT_A, AT_B | {"priority": 1}]}}) as world:
        assert await backends_of(world, 3, chat("m")) == "bbb"


@pytest.mark.parametrize("strategy", ["least_busy", "latency"])
@on_both_loops
async def test_strategies_that_look_at_the_load(strategy: str) -> None:
    """Whoever has a call under way of which nothing comes gets no second one."""
    async with running(
        "delay_head=forever", None, models={"m": {"targets": [AT_A, AT_B], "strategy": strategy}}
    ) as world:
        stuck = await world.open()
        headers = "x-trunkline-backend: a\r\n"
        stuck.send(chat("m", stream=True, headers=headers))
        await world.sims[0].until(lambda: world.sims[0].in_flight == 1)
        assert await backends_of(world, 4, chat("m", stream=True)) == "bbbb"
        await stuck.leave()
        await world.quiet()


@on_both_loops
async def test_models_that_backends_list_are_divided_by_their_shares() -> None:
    shares = [{"traffic_split": 3.0}, {"traffic_split": 1.0}, {}]
    async with running(None, None, None, backends=shares) as world:
        found = await backends_of(world, 8, chat("sim-small"))
        assert (found.count("a"), found.count("b"), found.count("c")) == (6, 2, 0)


@on_both_loops
async def test_who_has_no_share_takes_over_all_the_same() -> None:
    shares = [{"traffic_split": 1.0}, {}]
    async with running("status=500", None, backends=shares) as world:
        assert answered(await world.ask(chat("sim-small"))) == (200, "sim-small", "b")
        assert world.counts == [1, 1]
