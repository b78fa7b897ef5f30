"""What a call needs of a model beyond answering, and whether a target has it.

Owns the comparison. Does not own what is known of models (backend.py, engine/catalog.py). What is not known excludes
nothing; and if nobody has what is needed nobody is excluded: then the upstream's own words say so.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from trunkline.routing.backend import CapabilitySettings

Lack = Literal["no tools", "no vision", "no json_schema", "context window"]


class Needs(msgspec.Struct, frozen=True, gc=False):
    """What a request asks for. `tokens`: what prompt and answer have at least, 0 if that is not known."""

    tools: bool = False
    vision: bool = False
    json_schema: bool = False
    tokens: int = 0


def lack(has: CapabilitySettings, needs: Needs) -> Lack | None:
    """What a target is known not to have."""
    if needs.tools and has.tools is False:
        return "no tools"
    if needs.vision and has.vision is False:
        return "no vision"
    if needs.json_schema and has.json_schema is False:
        return "no json_schema"
    if has.context_window is not None and needs.tokens > has.context_window:
        return "context window"
    return None


def lacks(all_of: Iterable[CapabilitySettings]) -> Needs:
    """What at least one is known to lack; `tokens`: the smallest window that is known, 0 if none is."""
    known = list(all_of)
    windows = [has.context_window for has in known if has.context_window is not None]
    return Needs(
        tools=any(has.tools is False for has in known),
        vision=any(has.vision is False for has in known),
        json_schema=any(has.json_schema is False for has in known),
        tokens=min(windows, default=0),
    )


def says_something(has: CapabilitySettings) -> bool:
    """Whether there is a need that it lacks: if not, nobody has to look at what requests need."""
    return has.context_window is not None or False in (has.tools, has.vision, has.json_schema)
