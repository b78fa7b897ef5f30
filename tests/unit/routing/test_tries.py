"""routing/tries.py: what may come next, and going on."""

from tests.unit.routing.world import pool, route, target
from trunkline.routing.backend import CapabilitySettings
from trunkline.routing.needs import Needs
from trunkline.routing.route import OF_CONTEXT, Pick
from trunkline.routing.target import BackendState, Target
from trunkline.routing.tries import Fallback, Next, Retry, Tries


def test_what_may_come_next() -> None:
    shared = BackendState("a")
    present, sibling = Target(shared, "m"), Target(shared, "n")
    blind = target("b", abilities=CapabilitySettings(vision=False))
    small = target("c", abilities=CapabilitySettings(context_window=100))
    large = target("d", abilities=CapabilitySettings(context_window=1000))
    one = route([present, sibling, blind, small, large])
    them = one.tiers[0].candidates
    tries = Tries(one, Pick(0, them[0]), streamed=True, deadline=9.0)

    def left(unknown: bool = True) -> list[int]:
        return [at for at, candidate in enumerate(them) if tries.allowed(unknown=unknown)(candidate)]

    assert left() == [1, 2, 3, 4]
    tries.needs = Needs(vision=True)
    assert left() == [1, 3, 4]
    tries.window = 101
    assert left() == [1, 4]
    assert left(unknown=False) == [4]
    tries.spoil_backend()
    assert left() == [4]


def test_going_on() -> None:
    a, b, c, d = (target(name) for name in "abcd")
    one = route([a, b], [c], context=pool("big", [d]))
    own, other = one.tiers
    tries = Tries(one, Pick(0, own.candidates[0]), streamed=True, deadline=9.0)
    assert tries.again(0.5) == Retry(0.5)
    assert (tries.repeats, tries.attempts) == (1, 2)
    back = Pick(0, own.candidates[1])
    assert tries.move(back) == Next(back)
    assert (tries.repeats, tries.attempts, tries.tried) == (0, 3, {a, b})
    away = Pick(1, other.candidates[0])
    assert tries.move(away) == Fallback(away, "m1")
    assert one.context is not None
    far = Pick(OF_CONTEXT, one.context.candidates[0])
    assert tries.move(far) == Fallback(far, "big")
    assert tries.move(back) == Next(back)
    assert repr(tries) == "<Tries 6 at <Target b/m usable, 0 in flight>>"
