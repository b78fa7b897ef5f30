"""The models that clients are shown: public ones where there are any, else those of the backends.

Owns that choice and what an entry of a public model says. Does not own what backends list (catalog.py), the form of an
answer, nor what a key may see (gateway/surfaces/models.py).

A public model is shown as its first target is listed, under its own name. Of one whose name is a glob the listed
models that fit are shown. A name that only rules have (`for: [auto]`) is shown like a model; so are names that stand
for other models, and `model@variant` for each model that a variant fits.
"""

from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase

from trunkline.config.model import Settings
from trunkline.engine.catalog import Entry
from trunkline.engine.names import Names
from trunkline.routing.models import PublicModels
from trunkline.routing.plan import is_glob


def shown(settings: Settings, listed: list[Entry], names: Names) -> list[Entry]:
    """The entries to show. `listed`: those of the backends, once each."""
    found = list(_public(settings, listed)) if settings.models else list(listed)
    known = dict.fromkeys(entry["id"] for entry in found)
    for rule in settings.rules:
        for name in rule.for_ or ():
            if name not in known and not is_glob(name):
                known[name] = None
                found.append(_own(name))
    return [*found, *pseudo(names, known)]


def pseudo(names: Names, known: Collection[str]) -> list[Entry]:
    """The entries of names that stand for models; `known`: the models that there are."""
    seen = set(known)
    models = list(dict.fromkeys((*known, *names.pseudo())))
    found = [name for name in models if name not in seen]
    found += [name for model in models for name in names.fitting(model) if name not in seen]
    return [_own(name) for name in found]


def _own(name: str) -> Entry:
    return {"id": name, "object": "model", "created": 0, "owned_by": "trunkline"}


def _public(settings: Settings, listed: list[Entry]) -> Iterator[Entry]:
    models = PublicModels(settings.models)
    by_name = {entry["id"]: entry for entry in listed}
    names = dict.fromkeys(models.names())
    globs = [
        glob for name, item in settings.models.items() for glob in (name, *item.aliases) if is_glob(glob)
    ]
    names.update(dict.fromkeys(name for name in by_name if any(fnmatchcase(name, glob) for glob in globs)))
    for name in names:
        public = models.find(name)
        assert public is not None
        first = public[1].targets[0]
        entry = by_name.get(first.model or public[0])
        if entry is None:
            entry = {"object": "model", "created": 0, "owned_by": first.backend}
        yield entry | {"id": name}
