"""The parts of docs/routing.md that are made from the code: `python -m tests.simulation.page` renews them.

A part stands between `<!-- name -->` and `<!-- end -->`.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from tests.simulation.world import Outcome, outcomes
from trunkline.routing import target
from trunkline.routing.breaker import TRANSITIONS, State
from trunkline.routing.faults import TABLE

PAGE = Path(__file__).parents[2] / "docs" / "routing.md"
_PART = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers_from: int = 99) -> str:
    rule = ["---:" if at >= numbers_from else "---" for at in range(len(head))]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *rows))


def faults() -> str:
    rows = [
        [
            f"`{kind.name}`",
            str(kind.blame),
            row.again,
            "yes" if row.next else "no",
            row.counts or "-",
            "yes" if row.penalty else "-",
            "maybe" if row.billed else "-",
        ]
        for kind, row in TABLE.items()
        if row.next or row.counts or row.billed
    ]
    head = [
        "failure",
        "whose fault",
        "same target again",
        "next target, fallback",
        "breaker of",
        "put last",
        "billed",
    ]
    return table(head, rows)


def breaker() -> str:
    rows = [[f"`{before}`", str(event), f"`{after}`"] for (before, event), after in TRANSITIONS.items()]
    edges = "".join(
        f"    {before} --> {after}: {event}\n"
        for (before, event), after in TRANSITIONS.items()
        if before != after
    )
    diagram = f"```mermaid\nstateDiagram-v2\n    [*] --> {State.CLOSED}\n{edges}```\n"
    return f"{diagram}\n{table(['state', 'what happens', 'state after it'], rows)}"


def reasons() -> str:
    lines = [line for line in (target.__doc__ or "").splitlines() if line.startswith("|")]
    return "".join(f"{line}\n" for line in lines)


def strategies(found: Sequence[Outcome]) -> str:
    rows = [
        [
            f"`{one.strategy}`",
            f"{one.percentile(0.5):.2f} s",
            f"{one.percentile(0.99):.2f} s",
            f"{one.success:.2%}",
            f"{one.attempts / (len(one.times) + one.failed):.2f}",
        ]
        for one in found
    ]
    return table(["strategy", "p50", "p99", "answered", "attempts per call"], rows, 1)


def renewed(text: str, found: Sequence[Outcome]) -> str:
    """The page with its parts made anew."""
    parts = {
        "faults": faults(),
        "breaker": breaker(),
        "reasons": reasons(),
        "simulation": strategies(found),
    }
    made = _PART.sub(lambda match: f"{match[1]}{parts.pop(match[2])}{match[3]}", text)
    assert not parts, f"the page lacks {', '.join(parts)}"
    return made


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(), outcomes()))
