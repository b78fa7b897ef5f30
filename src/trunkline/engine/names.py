"""What the name in a request means where it is not just that of a model: `model@variant`, and groups of LLM_PARAMS.

Owns the reading of names. Does not own what is laid over such requests (orders.py) nor who is asked (choices.py).

The part behind the last `@` is a variant if there is one of that name for the model, and if the whole is not a model's
name itself. What remains may have more. A group is for its name alone, and may stand for another model, which may have
variants too. Where rules or a router choose the model, the variants need not fit the name that was asked for: those
that fit the chosen model hold.
"""

import re
from collections.abc import Callable

import msgspec

from trunkline.config.levels import Group, Level, Levels
from trunkline.engine.guide import Led

DEFAULT = "default"
"""The group for requests that name no model."""
BLANK = "\ud800"
"""In place of the name in a request object that has none, where that group stands for a model. No text in UTF-8, so
that it can be nobody's name; it is not to be written anywhere.
"""
_AT = "@"
_MOST = 16  # variants of one name; clients write names


class Named(msgspec.Struct, frozen=True, gc=False):
    """A name that was read. `model`: the one that is asked for; `base`: the name without variants, as it was written.

    `levels`: those of its variants, the least specific first.
    """

    model: str
    base: str
    group: Group | None = None
    levels: tuple[Level, ...] = ()


class Names:
    """All names of one config snapshot. `is_model`: whether there is a model of exactly this name; `is_led`: whether
    rules or a router are asked for it.
    """

    def __init__(
        self,
        levels: Levels,
        is_model: Callable[[str], bool],
        is_led: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._groups = levels.groups
        self._variants = {
            name: (item.level, re.compile(item.match) if item.match else None)
            for name, item in levels.variants.items()
        }
        self._is_model = is_model
        self._is_led = is_led

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
        if group is not None and group.upstream:
            return self._grouped(name, group, ())
        base, levels = self._split(name)
        named = self._grouped(base, self._group(base), levels)
        return named if group is None else msgspec.structs.replace(named, group=group)

    @property
    def blank(self) -> str:
        """The name to read where a request object has none."""
        group = self._groups.get(DEFAULT)
        return BLANK if group is not None and group.upstream else ""

    def base(self, name: str) -> str:
        """A name without its variants."""
        group = self._group(name)
        if not self._variants or _AT not in name or (group is not None and group.upstream):
            return name
        return self._split(name, loosely=True)[0]

    def carried(self, led: Led, variants: str) -> Led:
        """Where rules or a router led a request that names variants (`@low@brief`): of these hold those that fit."""
        if led.by:
            base, _ = self._split(led.model)
            variants = "".join(f"{_AT}{name}" for name in variants.split(_AT) if self._fits(name, base))
        return msgspec.structs.replace(led, model=led.model + variants) if variants else led

    def fitting(self, model: str) -> list[str]:
        """The names `model@variant` that there are for a model."""
        return [f"{model}{_AT}{name}" for name in self._variants if self._fits(name, model)]

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

    def _fits(self, variant: str, model: str) -> bool:
        if variant not in self._variants:
            return False
        _, match = self._variants[variant]
        return match is None or match.fullmatch(model) is not None

    def _split(self, name: str, *, loosely: bool = False) -> tuple[str, tuple[Level, ...]]:
        """The model and its variants. `loosely`: they need not fit where the model is still to be chosen."""
        model, variants = name, list[str]()
        while _AT in model and not self._is_model(model) and len(variants) < _MOST:
            base, _, last = model.rpartition(_AT)
            if not base or last not in self._variants:
                break
            model, variants = base, [last, *variants]
        while not (all(self._fits(one, model) for one in variants) or (loosely and self._is_led(model))):
            model = f"{model}{_AT}{variants.pop(0)}"
        return model, tuple(self._variants[one][0] for one in variants)
