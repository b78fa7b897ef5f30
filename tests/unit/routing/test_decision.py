"""routing/decision.py: the candidates and what spoke against them."""

import msgspec

from tests.unit.routing.world import eject, route, target
from trunkline.routing.backend import CapabilitySettings
from trunkline.routing.decision import decide
from trunkline.routing.needs import Needs


def test_all_candidates_with_reasons() -> None:
    a, b, c = target("a"), target("b", abilities=CapabilitySettings(tools=False)), target("c")
    d = target("d")
    one = route([a, b], [c, d], strategy="least_busy")
    eject(c, 0.0)
    a.begin(0.0)
    found = decide(
        one, 1.0, streamed=True, needs=Needs(tools=True), tried=frozenset((d,)), asked="auto", rule="rules[0]"
    )
    assert (found.asked, found.model, found.rule) == ("auto", "m0", "rules[0]")
    assert [(one.tier, one.model, one.backend, one.score, one.against) for one in found.candidates] == [
        (0, "m0", "a", 2.0, ""),
        (0, "m0", "b", 1.0, "no tools"),
        (1, "m1", "c", 1.0, "ejected"),
        (1, "m1", "d", 1.0, "tried"),
    ]
    assert found.candidates[0].strategy == "least_busy"
    assert msgspec.json.decode(msgspec.json.encode(found))["candidates"][0]["target"] == "m"


def test_asking_changes_no_turn() -> None:
    one = route([target("a"), target("b")], strategy="round_robin")
    first = decide(one, 0.0, streamed=False)
    assert first == decide(one, 0.0, streamed=False)
    assert first.asked == "m0"
