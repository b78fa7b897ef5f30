"""How a finished call came about, kept beside its record: what explain.py needs and nothing else can tell.

Owns the values. A call that was answered at once leaves its `Choice`, which exists anyway, and nothing is computed for
it; one whose first attempt failed leaves an `Origin`.
"""

from typing import TYPE_CHECKING

import msgspec

from trunkline.routing.decision import Decision

if TYPE_CHECKING:
    from trunkline.engine.choices import Choice
    from trunkline.engine.failover import Failover
    from trunkline.engine.splicing import Splicing


class Spliced(msgspec.Struct, frozen=True, gc=False):
    """What was done about a stream that was cut after its client had content.

    `how`: `comparing` (it was said again from the start, and compared), `continuing` (a prefill was taken), ""
    nothing, and `why` says why. `joined`: the second answer came to where the first was cut; `diverged`: it differed.
    """

    cut: str
    how: str = ""
    joined: bool = False
    diverged: bool = False
    why: str = ""

    @property
    def outcome(self) -> str:
        """In one word, for counters."""
        if not self.how:
            return "refused"
        return "diverged" if self.diverged else "joined" if self.joined else "failed"


class Origin(msgspec.Struct, frozen=True, gc=False):
    """A call of which an attempt failed. `decision`: the candidates when the first one had.

    `evicted`: turns that were left out of the request, as `x-trunkline-evicted` says it. `spent`: the retry budget
    refused a repeat.
    """

    choice: "Choice"
    decision: Decision
    evicted: str
    spent: bool
    spliced: Spliced | None


def origin_of(choice: "Choice", failover: "Failover", splicing: "Splicing | None") -> Origin:
    """What is kept of a call that has ended."""
    return Origin(choice, failover.decision, failover.evicted.decode(), failover.spent, _spliced(splicing))


def _spliced(splicing: "Splicing | None") -> Spliced | None:
    if splicing is None or splicing.cut is None:
        return None
    joint = splicing.joint
    if joint is None:
        return Spliced(splicing.cut.kind.name, why=splicing.why)
    how = "comparing" if splicing.fields is None else "continuing"
    return Spliced(splicing.cut.kind.name, how, joint.joined, joint.diverged, splicing.why)
