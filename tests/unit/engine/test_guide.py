"""engine/guide.py: where rules lead a request, and what it needs."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.engine import guide as module
from trunkline.engine.guide import Guide, Led, needs_of, view_of
from trunkline.engine.router import Pinned
from trunkline.errors import MODEL_UNKNOWN, Fault
from trunkline.routing.needs import Needs
from trunkline.routing.rules import RuleSettings


def guide(*rules: dict[str, Any]) -> Guide:
    return Guide(msgspec.convert(list(rules), list[RuleSettings]))


def raw(**fields: Any) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}


def led(one: Guide, model: str, fields: dict[str, msgspec.Raw] | None = None, **more: Any) -> Led:
    who: dict[str, Any] = {"stream": False, "headers": {}, "key": "k", "tags": ()}
    return one.lead(model, view_of(fields, **(who | more)))


def test_the_first_rule_that_matches_says_which_it_was() -> None:
    one = guide(
        {"for": ["auto"], "when": {"contains_any": ["code"]}, "use": "coder"},
        {"for": ["auto"], "when": {"stream": True}, "use": "quick"},
        {"for": ["auto", "any-*"], "when": {"key_tags": ["gold"]}, "use": "good"},
        {"for": ["auto"], "use": "rest"},
    )
    talk = raw(messages=[{"role": "user", "content": "some code"}])
    assert led(one, "auto", talk, stream=True) == Led("coder", "rules[0]")
    assert led(one, "auto", raw(messages=[]), stream=True) == Led("quick", "rules[1]")
    assert led(one, "any-1", talk, tags=("gold",)) == Led("good", "rules[2]")
    assert led(one, "auto", None) == Led("rest", "rules[3]"), "a form has no text, and rules all the same"
    assert led(one, "any-1") == Led("any-1")
    assert led(one, "other", talk) == Led("other")
    assert repr(one).startswith("<Guide ")


def test_names_that_clients_make_up_do_not_grow_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_KNOWN", 5)
    one = guide({"for": ["a-*"], "use": "b"})
    for at in range(30):
        assert led(one, f"a-{at}") == Led("b", "rules[0]")
        assert led(one, f"c-{at}") == Led(f"c-{at}")
        assert len(one._known) <= 5


def test_rules_see_the_servers_local_time() -> None:
    view = view_of(None, stream=False, headers={b"x": b"y"}, key="k", tags=("t",))
    assert 0 <= view.minute < 24 * 60
    assert 0 <= view.weekday < 7
    assert (view.headers, view.key, view.tags) == ({b"x": b"y"}, "k", ("t",))


def test_needs_are_what_the_request_brings() -> None:
    assert needs_of(None) is None
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]
    found = needs_of(raw(messages=picture, tools=[{}], response_format={"type": "json_schema"}))
    assert found is not None
    assert (found.tools, found.vision, found.json_schema) == (True, True, True)
    assert needs_of({}) == Needs()


def test_only_what_somebody_lacks_is_looked_for() -> None:
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x" * 900}}]}]
    fields = raw(messages=picture, tools=[{}], response_format={"type": "json_schema"})
    assert needs_of(fields, Needs()) == Needs()
    assert needs_of(fields, Needs(tools=True)) == Needs(tools=True)
    assert needs_of(fields, Needs(vision=True)) == Needs(vision=True)
    assert needs_of(fields, Needs(json_schema=True)) == Needs(json_schema=True)
    found = needs_of(fields, Needs(tokens=50))
    assert found is not None
    assert found.tokens > 50


def test_a_router_comes_before_the_rules_where_it_leads_somewhere() -> None:
    one = guide({"for": ["auto"], "use": "rest"})
    view = view_of(None, stream=False, headers={}, key="k", tags=())
    lost = Fault(MODEL_UNKNOWN, "nobody has it")
    asked: list[Led] = []

    def find(led: Led) -> Fault | str:
        asked.append(led)
        return lost if led.model == "nowhere" else "a choice"

    assert one.follow(None, "auto", view, find) == (Led("rest", "rules[0]"), None)
    assert asked == []
    assert one.follow("m", "auto", view, find) == (Led("m", "router"), None)
    assert one.follow(Pinned("b", "m"), "auto", view, find) == (Led("m", "router", "b"), None)
    assert one.follow("nowhere", "auto", view, find) == (Led("rest", "rules[0]"), lost)
    assert one.follow("nowhere", "other", view, find) == (Led("other"), lost)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9000}},
        {"type": "image", "source": {"type": "base64", "data": "A" * 9000}},
        {"type": "input_audio", "input_audio": {"data": "A" * 9000, "format": "wav"}},
        {"type": "file", "file": {"file_data": "A" * 9000}},
    ],
)
def test_of_pictures_and_sounds_the_size_says_nothing(part: dict[str, Any]) -> None:
    needs = needs_of(raw(messages=[{"role": "user", "content": [part]}]), Needs(tokens=100))
    assert needs is not None
    assert needs.tokens == 0


@given(
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=400),
    st.none() | st.integers(-10, 100_000) | st.text(max_size=3),
    st.sampled_from(["max_tokens", "max_completion_tokens", "max_output_tokens"]),
    st.integers(1, 200),
)
def test_a_request_is_never_taken_for_longer_than_its_text_and_the_answers_limit(
    text: str, limit: Any, name: str, window: int
) -> None:
    fields = raw(messages=[{"role": "user", "content": text}], **{name: limit})
    needs = needs_of(fields, Needs(tokens=window))
    assert needs is not None
    answer = max(limit, 0) if isinstance(limit, int) else 0
    assert needs.tokens <= answer + sum(map(len, fields.values())) / 4
    assert needs.tokens == 0 or needs.tokens > window, "what fits everywhere is not worth a number"
    assert needs.tokens >= answer or answer <= window
