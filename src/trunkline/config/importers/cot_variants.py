"""The YAML file of a fork of cot_proxy: variants of models, asked for as `model@label`.

Owns its two generations of key names (`inject_at_end`, `inject-at-end`, `injectAtEnd`), what a variant takes over from
another (`base_off`), and what of it a variant of ours can say.
"""

import re
from collections.abc import Callable

from trunkline.config.importers.draft import Leaf, Tree, shown
from trunkline.config.importers.source import Keys, Source
from trunkline.config.tree import Entry, Mapping, Node, Scalar, Sequence

_DEFAULT_TIMEOUT = 1250
_AT = "@"
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_OLD = {
    "tag": "label",
    "name": "label",
    "model_name_split_token": "split_token_model_name_label",
}
_KEYS = frozenset(("variants", "api_request_timeout", "split_token_model_name_label", "log_level"))
_USUAL = ["<think>", "</think>"]


def is_one(node: Mapping) -> bool:
    """Whether a mapping is such a file."""
    return not _KEYS.isdisjoint(_renamed(node).items)


def convert(source: Source, node: Mapping, backend_of: Callable[[Keys, Leaf, Leaf], dict[str, Tree]]) -> None:
    """Fill the draft: one backend, whose address is in a variable of the environment, and the variants."""
    references = source.references
    root = source.open(_renamed(node), "")
    total = root.number("api_request_timeout") or Leaf(_DEFAULT_TIMEOUT, root.node.where)
    backend_of(root, Leaf(references.to("COT_TARGET_BASE_URL"), root.node.where), total)
    token = root.text("split_token_model_name_label")
    if token is not None and token.value != _AT:
        root.note("split_token_model_name_label", "is `@` here, always")
    below = root.take("variants")
    listed: dict[str, Entry] = {}
    if isinstance(below, Mapping):
        listed = below.items
    elif below is not None:
        source.report.error(below.where, "variants: expected keys and values")
    for name in listed:
        found = _inherited(name, listed, root)
        if found is not None:
            _variant(source.open(found, f"variants.{name}", "variants"), name)


def _renamed(node: Mapping) -> Mapping:
    """Keys in the spelling of the last generation. Parameters and names of variants keep theirs."""
    items: dict[str, Entry] = {}
    for key, entry in node.items.items():
        snake = _HUMP.sub("_", key).lower().replace("-", "_")
        name = _OLD.get(snake, snake)
        items[key if name in items else name] = entry
    return Mapping(items=items, where=node.where)


def _inherited(name: str, listed: dict[str, Entry], root: Keys, seen: tuple[str, ...] = ()) -> Mapping | None:
    """A variant with all that it takes over: mappings are merged, everything else is replaced."""
    node = listed[name].node
    if not isinstance(node, Mapping):
        root.source.report.error(node.where, f"variants.{name}: expected keys and values")
        return None
    own = _renamed(node)
    base = own.items.pop("base_off", None)
    if base is None or not isinstance(base.node, Scalar):
        return own
    other = base.node.text
    if other not in listed or other in (*seen, name):
        root.source.report.error(
            base.node.where, f"variants.{name}.base_off: there is no such variant before it"
        )
        return None
    below = _inherited(other, listed, root, (*seen, name))
    if below is None:
        return None
    items = dict(below.items)
    for key, entry in own.items.items():
        old = items.get(key)
        if old is not None and isinstance(old.node, Mapping) and isinstance(entry.node, Mapping):
            merged = Mapping(items=old.node.items | entry.node.items, where=entry.node.where)
            entry = Entry(where=entry.where, node=merged)
        items[key] = entry
    return Mapping(items=items, where=own.where)


def _variant(keys: Keys, name: str) -> None:
    draft = keys.source.draft
    variants = draft.mapping("variants")
    leaf = keys.text("label")
    label = name if leaf is None else str(leaf.value).removeprefix(_AT)
    written = base = label.replace(_AT, "-").strip() or name
    number = 1
    while written in variants:
        number += 1
        written = f"{base}-{number}"
    keys.at = ("variants", written)
    if written != label:
        keys.note(
            "label", f"is written {shown(written)} here: each variant has a name of its own, without `@`"
        )
    variant: dict[str, Tree] = {}
    pattern = keys.text("model_regex")
    if pattern is not None:
        variant["match"] = Leaf(_whole(str(pattern.value)), pattern.where)
    filled = keys.plain_members("weak_defaults")
    if bias := _bias(keys):
        filled.setdefault("logit_bias", bias)
    if filled:
        variant["defaults"] = filled
    appended = keys.text("inject_at_end")
    if appended is not None:
        variant["append_to_last_user_message"] = appended
    keys.leave("prepend_system_prompt_from_file", "there is no text that is put in front of a system prompt")
    think = _think(keys)
    if think is not None:
        variant["think"] = think
    if not variant:
        variant["match"] = Leaf(".*", keys.node.where)
    variants[written] = variant
    draft.origins["variants", written] = keys.node.where


def _whole(pattern: str) -> str:
    """A pattern for the whole name that finds what the given one finds anywhere in it."""
    if "|" not in pattern and pattern.startswith(("^", ".*")) and pattern.endswith((".*", "$")):
        return pattern
    return f".*(?:{pattern}).*"


def _bias(keys: Keys) -> dict[str, Tree]:
    """`[[token, bias]]` as the object that the API has."""
    found: dict[str, Tree] = {}
    for at, node in enumerate(keys.members("weak_logit_bias")):
        pair: list[Node] = node.items if isinstance(node, Sequence) else []
        if len(pair) != 2 or not all(isinstance(item, Scalar) for item in pair):
            keys.source.report.error(
                node.where, f"{keys.path('weak_logit_bias')}[{at}]: expected a token and its bias"
            )
            continue
        token = pair[0]
        assert isinstance(token, Scalar)
        found[token.text] = keys.source.plain(pair[1])
    return found


def _think(keys: Keys) -> Tree | None:
    if "thinking" not in keys:
        return None
    thinking = keys.source.open(_renamed_node(keys.take("thinking")), keys.path("thinking"), *keys.at)
    split, strip, old = (thinking.truth(key) for key in ("do_split", "do_strip", "strip"))
    tags = thinking.texts("tags")
    if split is None and strip is None:
        strip = old
    elif old is not None:
        thinking.note("strip", "is not carried: `do_strip` and `do_split` decide")
    mode = "split" if split else "strip" if strip else "keep"
    where = thinking.node.where
    if mode == "keep" or len(tags) != 2 or [tag.value for tag in tags] == _USUAL:
        return Leaf(mode, where)
    return {"mode": Leaf(mode, where), "tags": [[*tags]]}


def _renamed_node(node: Node | None) -> Node:
    assert node is not None
    return _renamed(node) if isinstance(node, Mapping) else node
