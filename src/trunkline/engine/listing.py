"""The models that clients are shown: public ones where there are any, else those of the backends.

Owns that choice and what an entry of a public model says. Does not own what backends list (catalog.py), the form of an
answer, nor what a key may see (gateway/surfaces/models.py).

A public model is shown as its first target is listed, under its own name. Of one whose name is a glob the listed
models that fit are shown. A name that only rules have (`for: [auto]`) is shown like a model.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from trunkline.config.model import Settings
from trunkline.engine.catalog import Entry
from trunkline.routing.models import PublicModels
from trunkline.routing.plan import is_glob


def shown(settings: Settings, listed: list[Entry]) -> list[Entry]:
    """The entries to show. `listed`: those of the backends, once each."""
    found = list(_public(settings, listed)) if settings.models else list(listed)
    known = {entry["id"] for entry in found}
    for rule in settings.rules:
        for name in rule.for_ or ():
            if name not in known and not is_glob(name):
                known.add(name)
                found.append({"id": name, "object": "model", "created": 0, "owned_by": "trunkline"})
    return found


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
