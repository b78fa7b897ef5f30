"""What the loader refuses of a draft, taken out of it so that the rest can be carried.

Owns what goes for which mistake, what goes with it, and the notes. Does not own the check (run.py).

A parameter, a target, a fallback or an alias goes alone, of all else the whole backend, model, variant or key: half of
one could mean anything. The last key and the last model stay, for without them the gateway would serve more than the
source says; then nothing is left out, as for what is wrong elsewhere.
"""

import msgspec

from trunkline.config.importers.draft import Draft, Leaf, Path, Plain, Tree, shown, step_into, value_of

_ENTRIES = {"backends": "backend", "models": "model", "variants": "variant", "keys": "key"}
_PARTS = {"targets": "a target", "fallbacks": "a fallback", "aliases": "an alias"}
_PARAMETERS = ("params", "defaults")
_LAST_STAYS = ("keys", "models")


class Problem(msgspec.Struct, frozen=True):
    """What the loader says, with the place in the source and that in the draft; both are empty if not known."""

    text: str
    where: str = ""
    at: Path = ()


def leave_out(draft: Draft, problems: list[Problem]) -> bool:
    """Take out what has problems, with notes; False if that does not do. Then the draft is of no more use."""
    found: dict[Path, Problem] = {}
    for problem in problems:
        found.setdefault(_extent(problem.at), problem)
    if () in found:
        return False
    # From behind, so that places in lists hold until they are come to.
    for at in sorted(found, reverse=True):
        there = draft.at(at) is not None
        if there and not _remove(draft, at, found[at].where, found[at].text):
            return False
    return bool(draft.tree.get("backends"))


def _extent(at: Path) -> Path:
    """The path of what goes for a mistake at a path; nothing if that cannot go."""
    if len(at) < 2 or at[0] not in _ENTRIES:
        return ()
    part = at[2:3]
    if len(at) > 3 and (part[0] in _PARAMETERS or (at[0] == "models" and part[0] in _PARTS)):
        return at[:4]
    return at[:3] if part == ("context_fallback",) else at[:2]


def _remove(draft: Draft, at: Path, where: str, why: str) -> bool:
    """Take one thing out, and what cannot be without it; False if it must stay."""
    block, name = str(at[0]), _name(draft, at)
    around = draft.at(at[:-1])
    last = isinstance(around, dict | list) and len(around) == 1
    if last and len(at) == 2 and block in _LAST_STAYS:
        return False
    draft.note(where, f"{_words(draft, at)} is left out: {why}", *at)
    names = {name} | {value_of(alias) for alias in _members(draft, (*at, "aliases"))}
    draft.remove(at)
    if last and at[2:3] == ("targets",):
        return _remove(draft, at[:2], where, "none of its targets is left")
    if len(at) > 2 or block not in ("backends", "models"):
        return True
    return all(
        _remove(draft, path, leaf.where, f"its {_ENTRIES[block]} {shown(name)} is")
        for path, leaf in reversed(_naming(draft, block, names))
    )


def _naming(draft: Draft, block: str, names: set[Plain]) -> list[tuple[Path, Leaf]]:
    """What in models names one of the backends or models, with the leaf that does."""
    found: list[tuple[Path, Tree | None]] = []
    for model in draft.mapping("models"):
        at: Path = ("models", model)
        if block == "backends":
            targets = _members(draft, (*at, "targets"))
            found += [((*at, "targets", n), step_into(one, "backend")) for n, one in enumerate(targets)]
        else:
            others = _members(draft, (*at, "fallbacks"))
            found += [((*at, "fallbacks", n), one) for n, one in enumerate(others)]
            found.append(((*at, "context_fallback"), draft.at((*at, "context_fallback"))))
    return [(path, leaf) for path, leaf in found if isinstance(leaf, Leaf) and leaf.value in names]


def _members(draft: Draft, at: Path) -> list[Tree]:
    found = draft.at(at)
    return found if isinstance(found, list) else []


def _name(draft: Draft, at: Path) -> str:
    """Of the entry that something belongs to."""
    return str(value_of(draft.at((*at[:2], "name")))) if isinstance(at[1], int) else at[1]


def _words(draft: Draft, at: Path) -> str:
    entry = f"the {_ENTRIES[str(at[0])]} {shown(_name(draft, at))}"
    if len(at) == 2:
        return entry
    part = str(at[2])
    return f"{_PARTS.get(part) or shown('.'.join(str(step) for step in at[2:]))} of {entry}"
