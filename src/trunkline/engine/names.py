"""What the name in a request means where it is not just that of a model: `model@variant`, and groups of LLM_PARAMS.

Owns the reading of names. Does not own what is laid over such requests (orders.py) nor who is asked (choices.py).

The part behind the last `@` is a variant if there is one of that name for what stands before it, and if the whole is
not a model's name itself. What remains may have another one. A group is for its name alone, and may stand for another
model, which may have variants too.
"""

import re
from collections.abc import Callable

import msgspec

from trunkline.config.levels import Group, Level, Levels
from trunkline.engine.guide import Led

DEFAULT = "default"
"""The group for requests that name no model."""
BLANK = "\0"
"""In place of the name in a request object that has none, where that group stands for a model; no model's name."""
_AT = "@"


class Named(msgspec.Struct, frozen=True, gc=False):
    """A name that was read. `model`: the one that is asked for; `base`: the name without variants, as it was written.

    `levels`: those of its variants, the least specific first.
    """

    model: str
    base: str
    group: Group | None = None
    levels: tuple[Level, ...] = ()


class Names:
    """All names of one config snapshot. `is_model`: whether there is a model of exactly this name."""

    def __init__(self, levels: Levels, is_model: Callable[[str], bool]) -> None:
        self._groups = levels.groups
        self._variants = {
            name: (item.level, re.compile(item.match) if item.match else None)
            for name, item in levels.variants.items()
        }
        self._is_model = is_model

    def __repr__(self) -> str:
        return f"<Names: {len(self._groups)} groups, {len(self._variants)} variants>"

    def read(self, name: str) -> Named:
        """What a name means; "" where a request names none."""
        if name == BLANK:
            blank = self._grouped("", self._groups.get(DEFAULT), ())
            return msgspec.structs.replace(blank, base=blank.model)
        if not name:
            return Named("", "", self._groups.get(DEFAULT))
        group = self._group(name)
        if group is not None:
            return self._grouped(name, group, ())
        base, levels = self._split(name)
        return self._grouped(base, self._group(base), levels)

    @property
    def blank(self) -> str:
        """The name to read where a request object has none."""
        group = self._groups.get(DEFAULT)
        return BLANK if group is not None and group.upstream else ""

    def base(self, name: str) -> str:
        """A name without its variants."""
        if not self._variants or _AT not in name or self._group(name) is not None:
            return name
        return self._split(name)[0]

    def carried(self, led: Led, variants: str) -> Led:
        """Where rules or a router led a request that names variants (`@low`): they hold there too, if they fit."""
        name = led.model + variants
        return msgspec.structs.replace(led, model=name) if variants and self._split(name)[1] else led

    def fitting(self, model: str) -> list[str]:
        """The names `model@variant` that there are for a model."""
        return [
            f"{model}{_AT}{name}"
            for name, (_, match) in self._variants.items()
            if match is None or match.fullmatch(model)
        ]

    def pseudo(self) -> list[str]:
        """The names that stand for other models."""
        return [name for name, group in self._groups.items() if group.upstream and name != DEFAULT]

    def _group(self, name: str) -> Group | None:
        return None if name == DEFAULT else self._groups.get(name)

    def _grouped(self, base: str, group: Group | None, levels: tuple[Level, ...]) -> Named:
        if group is None or not group.upstream:
            return Named(base, base, group, levels)
        model, below = self._split(group.upstream)
        return Named(model, base, group, below + levels)

    def _split(self, name: str) -> tuple[str, tuple[Level, ...]]:
        levels: tuple[Level, ...] = ()
        while _AT in name and not self._is_model(name):
            base, _, last = name.rpartition(_AT)
            level, match = self._variants.get(last, (None, None))
            if not base or level is None or (match is not None and not match.fullmatch(base)):
                break
            name, levels = base, (level, *levels)
        return name, levels
