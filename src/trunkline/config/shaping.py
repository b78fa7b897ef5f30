"""What a configuration says of shaping requests and answers -> `Levels`.

Owns the checks of `params`, `defaults`, `think` and `variants`, and where in the file their mistakes are. Does not own
their reading (bind.py, llm_params.py) nor what becomes of them (engine/orders.py).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import structs

from trunkline.config.bind import Report
from trunkline.config.levels import Group, Level, Levels, Variant
from trunkline.config.llm_params import parse_groups
from trunkline.config.model import BackendEntry, ModelEntry, Settings, VariantEntry
from trunkline.config.routing import line
from trunkline.config.tree import Node, at, is_null, key_at, value_at
from trunkline.policy.keys import KeySettings
from trunkline.policy.overrides import Fields, laid, written
from trunkline.routing.models import ModelSettings, Place, bad_name, close_hint
from trunkline.streams.think import ThinkSettings, problems

GROUPS, START, END = "LLM_PARAMS", "THINK_TAG", "THINK_END_TAG"
"""Variables of the environment, which hold whatever else the settings come from."""

LEVEL_FIELDS = tuple(
    name for name in VariantEntry.__struct_fields__ if name in BackendEntry.__struct_fields__
)
"""Of entries of backends, models and variants."""

_FIXES = {
    ("params", "model"): "is not set here: `models:` says which model a backend is asked for",
    ("defaults", "model"): "is not set here: `default_model` of a backend is for requests that name none",
    ("params", "messages"): "is not set here: `append_to_last_user_message` adds to it",
    ("defaults", "messages"): "is not set here: `append_to_last_user_message` adds to it",
}
_TRUTHS = (b"true", b"false", b"null")
_OWN = ThinkSettings()
_AT = "@"
Entry = ModelEntry | VariantEntry | KeySettings


def tags_of(environ: Mapping[str, str]) -> tuple[str, str]:
    """The tags of thoughts where the settings name none."""
    tags = _written_tags(environ)
    return Levels().tags if _wrong(tags) else tags


def _written_tags(environ: Mapping[str, str]) -> tuple[str, str]:
    usual = Levels().tags
    return environ.get(START) or usual[0], environ.get(END) or usual[1]


def _wrong(tags: tuple[str, str]) -> str:
    return problems(ThinkSettings(tags=[list(tags)]))


def level_of(values: Mapping[str, Any], tags: tuple[str, str], node: Node | None) -> Level:
    """What the fields of one entry say; those that are missing say nothing. `node`: where it was read from."""
    think: ThinkSettings | None = values.get("think")
    named = None if node is None else at(node, "think", "tags")
    if think is not None and think.tags == _OWN.tags and (named is None or is_null(named)):
        think = structs.replace(think, tags=[list(tags)])
    return Level(
        overrides=written(
            values.get("params", {}),
            values.get("defaults", {}),
            values.get("append_to_last_user_message", ""),
        ),
        think=think,
        reasoning=values.get("reasoning"),
        rename=values.get("rename"),
    )


def mistakes(values: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """What is wrong with the fields of one entry: the place in it and the words."""
    for block in ("params", "defaults"):
        fields: Fields = values.get(block, {})
        for name, value in fields.items():
            if (block, name) in _FIXES:
                yield (block, name), _FIXES[block, name]
            elif name == "stream" and bytes(value) not in _TRUTHS:
                yield (block, name), f"expected true or false, not {bytes(value).decode()[:60]}"
    think: ThinkSettings | None = values.get("think")
    if think is not None and (why := problems(think)):
        yield ("think",), why


def levels_of(
    settings: Settings,
    models: dict[str, ModelEntry],
    variants: dict[str, VariantEntry],
    backends: dict[str, Level],
    environ: Mapping[str, str],
    root: Node,
    report: Report,
) -> Levels:
    """All levels but those of keys, which are checked here too. `backends`: by name, checked."""
    entries: list[tuple[Place, Entry]] = [
        *((("models", name), item) for name, item in models.items()),
        *((("variants", name), item) for name, item in variants.items()),
        *((("keys", index), item) for index, item in enumerate(settings.keys)),
    ]
    for place, item in entries:
        for within, problem in mistakes(structs.asdict(item)):
            _report(root, (*place, *within), problem, report)
    for place, problem in _wrong_variants(variants):
        _report(root, place, problem, report)
    tags = tags_of(environ)
    if why := _wrong(_written_tags(environ)):
        report.warn(f"{START}, {END}", f"{why.removeprefix('tags[0]: ')}; the usual tags hold")
    for one, other, usual in ((START, END, Levels().tags[0]), (END, START, Levels().tags[1])):
        if environ.get(one) == "" and environ.get(other):
            report.warn(one, f"is empty beside a {other}, so the usual `{usual}` holds; set both or none")
    nothing = Level()
    if report.errors:
        return Levels()
    own = {
        name: level_of(structs.asdict(item), tags, at(root, "variants", name))
        for name, item in variants.items()
    }
    return Levels(
        backends={name: level for name, level in backends.items() if level != nothing},
        models={
            name: level
            for name, item in models.items()
            if (level := level_of(structs.asdict(item), tags, at(root, "models", name))) != nothing
        },
        variants={name: _resolved(name, variants, own) for name in variants},
        groups=_groups(environ, tags, report),
        tags=tags,
    )


def _groups(environ: Mapping[str, str], tags: tuple[str, str], report: Report) -> dict[str, Group]:
    groups = parse_groups(environ.get(GROUPS, ""), lambda text: report.warn(GROUPS, text))
    for name, group in groups.items():
        if why := _wrong((group.start or tags[0], group.end or tags[1])):
            report.warn(GROUPS, f"`{name}`: its tags are left out: {why.removeprefix('tags[0]: ')}")
            groups[name] = structs.replace(group, start="", end="")
    return groups


def plain(models: dict[str, ModelEntry]) -> dict[str, ModelSettings]:
    """The models without what has become levels."""
    fields = ModelSettings.__struct_fields__
    return {
        name: ModelSettings(**{field: getattr(item, field) for field in fields})
        for name, item in models.items()
    }


def _wrong_variants(variants: dict[str, VariantEntry]) -> Iterator[tuple[Place, str]]:
    for name, item in variants.items():
        if why := bad_name(name) or ("has an `@` in its name" if _AT in name else ""):
            yield ("variants", name), why
        try:
            re.compile(item.match)
        except (re.error, OverflowError, RecursionError) as error:
            yield ("variants", name, "match"), f"is no regular expression: {error}"
        for index, other in enumerate(item.extends):
            if other not in variants:
                words = f"no variant is called `{other[:100]}`{close_hint(other, variants)}"
                yield ("variants", name, "extends", index), words
            elif _leads_to(other, name, variants):
                yield ("variants", name, "extends", index), f"`{other[:100]}` extends `{name[:100]}` itself"


def _leads_to(begin: str, end: str, variants: dict[str, VariantEntry]) -> bool:
    """Whether a variant is another one, or extends it."""
    seen: set[str] = set()
    open_ = [begin]
    while open_:
        name = open_.pop()
        if name == end:
            return True
        if name not in seen and name in variants:
            seen.add(name)
            open_ += variants[name].extends
    return False


def _resolved(name: str, variants: dict[str, VariantEntry], own: dict[str, Level]) -> Variant:
    item = variants[name]
    below = [_resolved(other, variants, own) for other in item.extends]
    levels = [*(one.level for one in below), own[name]]
    return Variant(
        level=Level(
            overrides=laid(level.overrides for level in levels),
            think=_last(*(level.think for level in levels)),
            reasoning=_last(*(level.reasoning for level in levels)),
            rename=_last(*(level.rename for level in levels)),
        ),
        match=_last(*(one.match or None for one in below), item.match or None) or "",
    )


def _last(*values: Any) -> Any:
    """The last one that says something."""
    return next((value for value in reversed(values) if value is not None), None)


def place_of(node: Node, place: Place, problem: str) -> str:
    """Where one of the `mistakes` is, below the node of its entry."""
    # What must not be there is best shown where it is named.
    return (key_at if problem in _FIXES.values() else value_at)(node, *place)


def _report(root: Node, place: Place, problem: str, report: Report) -> None:
    # A name is a key and has no value of its own.
    where = key_at(root, *place) if len(place) == 2 else place_of(root, place, problem)
    report.error(where, line(place, problem))
