"""LiteLLM's proxy config.yaml -> a configuration of ours.

Owns the way from its `model_list` to backends and public models: deployments that ask the same server in the same way
share a backend, and those of one `model_name` are the targets of one model.
"""

from pathlib import Path
from typing import Any

from trunkline.config.importers import litellm_deployment
from trunkline.config.importers.draft import Draft, Leaf, Tree, pruned, shown
from trunkline.config.importers.litellm_deployment import Deployment
from trunkline.config.importers.litellm_models import Models, carry_fallbacks
from trunkline.config.importers.litellm_settings import read_settings
from trunkline.config.importers.references import References
from trunkline.config.importers.source import Keys, Source
from trunkline.config.importers.stanza import root_of
from trunkline.config.tree import Mapping

# The parts of an entry that several models of one backend may differ in.
_LEVELS = ("defaults", "forced")


def convert(path: Path, references: References) -> Source:
    """Read the file and make the draft."""
    source = Source(references, references.os_environ)
    root = source.open(root_of(path), "")
    _environment(root)
    settings = read_settings(root, path)
    found: list[Deployment] = []
    for at, node in enumerate(root.members("model_list")):
        found += litellm_deployment.read(source.open(node, f"model_list[{at}]"), settings.shared)
    groups = _groups(found, source.draft)
    _split_levels(groups)
    backends = _Backends(source.draft)
    models = Models(source.draft, settings.router)
    stripped = [(one, backends.of(one)) for one in found if one.stripped and one.name.value == "*"]
    for name, group in groups.items():
        models.add(name, [(one, backends.of(one)) for one in group])
    _carry_stripped(source.draft, models, stripped)
    _aliases(settings.router, models)
    carry_fallbacks(models, [settings.router, settings.library])
    return source


def _environment(root: Keys) -> None:
    """Variables that the file itself sets: their values become defaults of the references to them."""
    given = root.open("environment_variables")
    for name in list(given):
        leaf = given.text(name)
        if leaf is not None:
            root.source.references.given[name] = str(leaf.value)
            given.note(name, "is set by that file; here it is the default of each reference to it")


def _groups(found: list[Deployment], draft: Draft) -> dict[str, list[Deployment]]:
    groups: dict[str, list[Deployment]] = {}
    for one in found:
        if one.stripped:
            text = (
                f"LiteLLM cuts `{one.stripped}/` off the names here; clients have to leave it out themselves"
            )
            draft.note(one.name.where, text, "models", str(one.name.value))
        if not one.stripped or one.name.value != "*":
            groups.setdefault(str(one.name.value), []).append(one)
    return groups


def _split_levels(groups: dict[str, list[Deployment]]) -> None:
    """Parameters stay with the model if all its targets have the same ones, else they go to the backends."""
    for group in groups.values():
        for block in _LEVELS:
            if all(_plainly(getattr(one, block)) == _plainly(getattr(group[0], block)) for one in group):
                continue
            for one in group:
                one.backend = one.backend | {"params" if block == "forced" else block: getattr(one, block)}
                setattr(one, block, {})


class _Backends:
    """The backends, each once."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._made: list[tuple[Any, str, int]] = []

    def of(self, found: Deployment) -> str:
        """The name of a deployment's backend, which begins to exist with the first one."""
        identity = _plainly(found.backend)
        known = next(((name, at) for one, name, at in self._made if one == identity), None)
        if known is None:
            name = self._draft.backend_name(found.wanted)
            where = found.params.where("model")
            path = self._draft.add_backend({"name": Leaf(name, where), **found.backend}, where)
            known = name, int(path[1])
            self._made.append((identity, *known))
        name, at = known
        self._draft.moved[litellm_deployment.backend_place(found.params)] = ("backends", at)
        if found.capabilities and found.model:
            backend = self._draft.sequence("backends")[at]
            assert isinstance(backend, dict)
            capabilities = backend.setdefault("capabilities", {})
            assert isinstance(capabilities, dict)
            capabilities.setdefault(found.model, found.capabilities)
        return name


def _carry_stripped(draft: Draft, models: Models, found: list[tuple[Deployment, str]]) -> None:
    """Whole providers (`groq/*`): without other models each backend's own list says which there are."""
    if not found or (not models.names() and len({backend for _, backend in found}) == len(found)):
        return
    if "*" in models.names():
        for one, backend in found:
            draft.note(
                one.name.where, f"the models of {shown(backend)} are not reached: there is a model `*`"
            )
        return
    models.add("*", found)
    if len(found) > 1:
        model = draft.mapping("models")["*"]
        assert isinstance(model, dict)
        model["strategy"] = Leaf("priority", found[0][0].name.where)
        text = (
            "`*`: whichever of these has the model; each is asked in turn, as its answer says that it has not"
        )
        draft.note(found[0][0].name.where, text, "models", "*")


def _aliases(router: Keys, models: Models) -> None:
    aliases = router.open("model_group_alias", "models")
    for alias in list(aliases):
        node = aliases.node.items[alias].node
        if isinstance(node, Mapping):
            item = aliases.open(alias, "models")
            name = item.text("model")
            if item.truth("hidden") is True:
                item.note("hidden", "is not carried: aliases are listed")
        else:
            name = aliases.text(alias)
        if name is not None:
            models.alias(Leaf(alias, aliases.where(alias)), name)


def _plainly(tree: Tree) -> Any:
    """Values without their places, to compare."""
    tree = pruned(tree)
    if isinstance(tree, Leaf):
        return (type(tree.value).__name__, tree.value)
    if isinstance(tree, dict):
        return {key: _plainly(value) for key, value in tree.items()}
    return [_plainly(value) for value in tree]
