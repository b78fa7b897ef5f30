"""How a finished call came about, kept beside its record: what explain.py needs and nothing else can tell.

Owns the values. A call that was answered at once leaves its `Choice`, which exists anyway, and nothing is computed for
it; one of which an attempt failed, or whose needs decided who was asked, leaves an `Origin`. The candidates are no
part of either: there may be a thousand, and what spoke against them then is known from the log of changes.
"""

from typing import TYPE_CHECKING

import msgspec

from trunkline.routing.needs import Needs

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
    """A call that left more than its choice. `needs`: of a target, where they decided who was asked.

    `evicted`: turns that were left out of the request, as `x-trunkline-evicted` says it. `spent`: the retry budget
    refused a repeat.
    """

    choice: "Choice"
    needs: Needs | None
    evicted: str = ""
    spent: bool = False
    spliced: Spliced | None = None


def origin_of(
    choice: "Choice", needs: Needs | None, failover: "Failover | None", splicing: "Splicing | None"
) -> "Choice | Origin":
    """What is kept of a call that has ended."""
    if failover is None:
        return choice if needs is None else Origin(choice, needs)
    return Origin(choice, needs, failover.evicted.decode(), failover.spent, _spliced(splicing))


def _spliced(splicing: "Splicing | None") -> Spliced | None:
    if splicing is None or splicing.cut is None:
        return None
    joint = splicing.joint
    if joint is None:
        return Spliced(splicing.cut.kind.name, why=splicing.why)
    how = "comparing" if splicing.fields is None else "continuing"
    return Spliced(splicing.cut.kind.name, how, joint.joined, joint.diverged, splicing.why)
