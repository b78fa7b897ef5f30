"""Where the operator says how requests and answers are shaped: at backends, public models, variants, groups, keys.

Owns the levels as the program runs on them. Does not own what a file or LLM_PARAMS may say (model.py, llm_params.py),
how levels are laid over each other (policy/overrides.py, engine/orders.py) nor keys (policy/keys.py).
"""

import msgspec

from trunkline.policy.overrides import Overrides
from trunkline.streams.answer import Reasoning
from trunkline.streams.think import ThinkSettings


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """What one of them says; None where it says nothing."""

    overrides: Overrides = Overrides()
    think: ThinkSettings | None = None
    reasoning: Reasoning | None = None
    rename: bool | None = None


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """What `model@variant` lays over a model, with all that it extends. `match`: a regular expression, "" any model."""

    level: Level
    match: str = ""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """What LLM_PARAMS says of one model. `upstream`: the model that is asked for in its place, "" itself.

    `filters`: whether thoughts are cut out of answers; None: as without it. `start`, `end`: their tags, "" the usual.
    """

    overrides: Overrides = Overrides()
    upstream: str = ""
    filters: bool | None = None
    start: str = ""
    end: str = ""


class Levels(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, by name; models by the names that the file has. `tags`: of thoughts, where nothing else says."""

    backends: dict[str, Level] = {}
    models: dict[str, Level] = {}
    variants: dict[str, Variant] = {}
    groups: dict[str, Group] = {}
    tags: tuple[str, str] = ("<think>", "</think>")
