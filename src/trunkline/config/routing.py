"""The checks of `models:`, `rules:`, `router` and `breaker`, and of models in `keys:`, once all backends are known.

Owns where in the file their mistakes are. Does not own the rules of models and rules themselves, which say what is
wrong (`routing/models.py`, `routing/rules.py`).
"""

from collections.abc import Iterator

from trunkline.config.bind import Report
from trunkline.config.model import Settings
from trunkline.config.tree import Mapping, key_at, value_at
from trunkline.routing import models, rules
from trunkline.routing.models import Place

_LONGEST_SHOWN = 60


def check_routing(settings: Settings, root: Mapping, report: Report) -> None:
    """Report what is wrong with them, and warn of what is hardly meant."""
    groups = settings.shaping.groups
    known = models.KnownModels(
        models.PublicModels(settings.models),
        settings.backends,
        stand_ins=[name for name, group in groups.items() if group.upstream],
        variants=settings.shaping.variants,
    )
    for place, problem in models.problems(settings.models, settings.backends):
        place = ("models", *place)
        # The name of a model is a key, and has no value of its own.
        where = key_at(root, *place) if len(place) == 2 else value_at(root, *place)
        report.error(where, line(place, problem))
    for place, problem in rules.problems(settings.rules, known):
        place = ("rules", *place)
        report.error(value_at(root, *place), line(place, problem))
    if settings.router is None:
        for place, doubt in rules.doubts(settings.rules, known):
            place = ("rules", *place)
            report.warn(value_at(root, *place), line(place, doubt))
        for place, doubt in _doubts_of_keys(settings, known):
            report.warn(value_at(root, *place), line(place, doubt))
    elif not _names_a_function(settings.router):
        problem = f"expected `module:function`, not {settings.router[:_LONGEST_SHOWN]!r}"
        report.error(value_at(root, "router"), line(("router",), problem))
    breaker = settings.breaker
    if breaker.base_ejection > breaker.max_ejection:
        problem = f"{breaker.base_ejection:g} is longer than breaker.max_ejection, {breaker.max_ejection:g}"
        place = ("breaker", "base_ejection")
        report.error(value_at(root, *place), line(place, problem))


def _doubts_of_keys(settings: Settings, known: models.KnownModels) -> Iterator[tuple[Place, str]]:
    """Names of models that let nobody in, because their variant is none."""
    ruled = {name for rule in settings.rules for name in rule.for_ or ()}
    for at, key in enumerate(settings.keys):
        for index, name in enumerate(key.models or ()):
            lost = "" if name in ruled else known.lost_variant(name)
            if lost:
                variants = settings.shaping.variants
                fix = (
                    models.close_hint(lost, variants) or "; the model's name alone lets its variants in, too"
                )
                words = f"`{name[:100]}` lets no request in: no variant is called `{lost[:100]}`{fix}"
                yield ("keys", at, "models", index), words


def _names_a_function(text: str) -> bool:
    module, colon, function = text.partition(":")
    return bool(colon) and all(part.isidentifier() for name in (module, function) for part in name.split("."))


def line(place: Place, words: str) -> str:
    """A message on one line, whatever names are in it."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part[:_LONGEST_SHOWN]}" for part in place)
    text = f"{''.join(parts).removeprefix('.')}: {words}"
    return text if text.isprintable() else text.encode("unicode_escape").decode()
