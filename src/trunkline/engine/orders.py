"""What the operator wants of one call's requests and answers, all levels laid over each other.

Owns which levels hold for an attempt, and the memory of what they come to. Does not own the levels (config/levels.py),
the changes to a request (policy/overrides.py) nor those to an answer (streams/rewrite.py).

| level, the more specific below | where it holds |
|---|---|
| backend | requests that generate text, sent there |
| public model | requests for it, or that fall back to it |
| group of LLM_PARAMS, variant | requests that name it, also where they fall back |
| key | requests that generate text, with this key |

Of each level only what belongs into a request of its kind (policy/fitting.py); answers are shaped where they are text.
"""

from collections.abc import Mapping

import msgspec
from msgspec import structs

from trunkline.config.levels import Group, Level, Levels
from trunkline.engine.names import Named
from trunkline.policy.fitting import fitted
from trunkline.policy.overrides import Overrides, merge
from trunkline.policy.synonyms import Fields
from trunkline.streams.answer import AS_IT_IS, AnswerSettings
from trunkline.streams.think import ThinkSettings
from trunkline.wire.values import SSE_SURFACES

_NOTHING = Level()


class Orders(msgspec.Struct, frozen=True, gc=False):
    """For one attempt. None: nothing is changed."""

    overrides: Overrides | None = None
    answer: AnswerSettings | None = None


class Ordering:
    """For all calls of one name and key. `tiers`: the public model of each tier, as `models:` calls it, and its name
    as clients see it. `edits`: whether requests may be changed.
    """

    __slots__ = ("_key", "_known", "_levels", "_named", "_tiers", "edits")

    def __init__(
        self,
        levels: Levels,
        named: Named,
        tiers: Mapping[int, tuple[str, str]],
        key: Overrides | None,
        *,
        edits: bool,
    ) -> None:
        self._levels = levels
        self._named = named
        self._tiers = tiers
        self._key = key
        self._known: dict[tuple[int, str, str], Orders] = {}
        self.edits = edits

    def __repr__(self) -> str:
        return f"<Ordering for {self._named.model}>"

    def at(self, tier: int, backend: str, surface: str) -> Orders:
        """What holds for an attempt."""
        place = (tier, backend, surface)
        found = self._known.get(place)
        if found is None:
            found = self._known[place] = self._made(tier, backend, surface)
        return found

    def _made(self, tier: int, backend: str, surface: str) -> Orders:
        levels, named = self._levels, self._named
        own, shown = self._tiers[tier]
        text = surface in SSE_SURFACES
        at_backend = levels.backends.get(backend, _NOTHING)
        model = levels.models.get(own, _NOTHING)
        asked: list[Overrides] = [model.overrides]
        if named.group is not None:
            asked.append(named.group.overrides)
        asked += [level.overrides for level in named.levels]
        if text:
            asked = [at_backend.overrides, *asked, *((self._key,) if self._key else ())]
        overrides = fitted(merge(asked), surface)
        answer = _answer([at_backend, model], named, shown, levels.tags) if text else AS_IT_IS
        return Orders(overrides or None, None if answer == AS_IT_IS else answer)


def applied(orders: Orders | None, fields: Fields) -> tuple[Fields, tuple[str, ...]]:
    """A request with what the operator wants in it, and what that changed; the same object if nothing."""
    return (fields, ()) if orders is None or orders.overrides is None else orders.overrides.apply(fields)


def ordering_of(
    levels: Levels,
    named: Named,
    tiers: Mapping[int, tuple[str, str]],
    backends: frozenset[str],
    key: Overrides | None,
) -> Ordering | None:
    """The orders for a name; None if there are none, whoever of `backends` answers."""
    found = [levels.backends[name] for name in backends if name in levels.backends]
    found += [levels.models[own] for own, _ in tiers.values() if own in levels.models]
    found += named.levels
    if not found and named.group is None and key is None:
        return None
    group = named.group
    edits = (
        key is not None
        or (group is not None and bool(group.overrides))
        or any(level.overrides for level in found)
    )
    return Ordering(levels, named, tiers, key, edits=edits)


def _answer(below: list[Level], named: Named, shown: str, tags: tuple[str, str]) -> AnswerSettings:
    think: ThinkSettings | None = None
    for level in below:
        think = level.think or think
    if named.group is not None:
        think = _grouped(named.group, think, tags)
    for level in named.levels:
        think = level.think or think
    answer = AS_IT_IS
    rename = False
    for level in (*below, *named.levels):
        rename = rename if level.rename is None else level.rename
        if level.reasoning is not None:
            answer = structs.replace(answer, reasoning=level.reasoning)
    wraps = answer.reasoning == "wrap"  # in the tags that thoughts have here
    if think is None and wraps:
        think = ThinkSettings(mode="keep", tags=[list(tags)])
    if think is not None and (wraps or think.mode != "keep"):
        answer = structs.replace(answer, think=think)
    return structs.replace(answer, model=shown) if rename else answer


def _grouped(group: Group, think: ThinkSettings | None, tags: tuple[str, str]) -> ThinkSettings | None:
    """Thoughts as a group of LLM_PARAMS has them. Its tags alone do not turn the filter on."""
    if think is None:
        if not group.filters:
            return None
        think = ThinkSettings(tags=[list(tags)])
    if group.filters is not None:
        think = structs.replace(think, mode="strip" if group.filters else "keep")
    if group.start or group.end:
        think = structs.replace(think, tags=[[group.start or tags[0], group.end or tags[1]]])
    return think
