"""Public models of LiteLLM's deployments: those of one name together, how one is chosen, and what follows a failure.

Owns targets with weights and priorities, strategies, aliases and fallbacks. Does not own the backends behind the
targets (litellm.py).
"""

from fnmatch import fnmatchcase

from trunkline.config.importers.draft import Draft, Leaf, Tree, shown
from trunkline.config.importers.litellm_deployment import Deployment
from trunkline.config.importers.source import Keys
from trunkline.config.tree import Mapping, Node, Scalar, Sequence

_STRATEGIES = {
    "simple-shuffle": "weighted",
    "least-busy": "least_busy",
    "latency-based-routing": "latency",
    "usage-based-routing": "least_busy",
    "usage-based-routing-v2": "least_busy",
    "cost-based-routing": "cost",
}
_WEIGHTS = ("weight", "rpm", "tpm")
_MILLION = 1_000_000


class Models:
    """The `models` block in the making."""

    def __init__(self, draft: Draft, router: Keys) -> None:
        self._draft = draft
        self._models: dict[str, Tree] = {}
        strategy = router.text("routing_strategy")
        theirs = "simple-shuffle" if strategy is None else str(strategy.value)
        self._where = router.where("routing_strategy")
        self._strategy = _STRATEGIES.get(theirs, "weighted")
        if theirs.startswith("usage"):
            router.note(
                "routing_strategy", "takes the target with the fewest tokens; here that with the fewest calls"
            )
        elif theirs not in _STRATEGIES:
            router.note("routing_strategy", "is not one that is known here; targets are taken by weight")

    def add(self, name: str, group: list[tuple[Deployment, str]]) -> None:
        """A public model of all deployments of one name, each with the name of its backend."""
        targets: list[Tree] = []
        model: dict[str, Tree] = {"targets": targets}
        for at, (found, backend) in enumerate(group):
            target: dict[str, Tree] = {"backend": Leaf(backend, found.name.where)}
            if found.model:
                target["model"] = Leaf(found.model, found.params.where("model"))
            targets.append(target)
            self._draft.moved[found.params.at] = ("models", name, "targets", at)
        if len(group) > 1:
            self._choose(model, [found for found, _ in group], targets)
        for block in ("defaults", "forced"):
            if value := getattr(group[0][0], block):
                model["params" if block == "forced" else block] = value
        self._models[name] = model
        self._draft.mapping("models")[name] = model
        self._draft.origins["models", name] = group[0][0].name.where

    def _choose(self, model: dict[str, Tree], found: list[Deployment], targets: list[Tree]) -> None:
        strategy = self._strategy
        orders = [one.params.whole("order", -(1 << 31)) for one in found]
        if any(order is not None for order in orders):
            strategy = "priority"
            for target, order in zip(targets, orders, strict=True):
                assert isinstance(target, dict)
                if order is not None:
                    target["priority"] = order
            values = [None if order is None else order.value for order in orders]
            if len(set(values)) < len(values):
                found[0].params.note(
                    "order", "is the same at several targets; those are asked in the order written"
                )
        elif strategy == "weighted":
            self._weigh(found, targets)
        elif strategy == "cost":
            _price(found, targets)
        model["strategy"] = Leaf(strategy, self._where)

    def _weigh(self, found: list[Deployment], targets: list[Tree]) -> None:
        """LiteLLM's rule: by `weight` where there is one, else by the limits of requests, else of tokens."""
        key = next((key for key in _WEIGHTS if any(key in one.params for one in found)), None)
        if key is None:
            return
        weights = [one.params.number(key) for one in found]
        if key != "weight":
            found[0].params.note(key, "is the weight of the target here; it is not a limit")
        if len({None if weight is None else weight.value for weight in weights}) == 1:
            return
        for one, target, weight in zip(found, targets, weights, strict=True):
            assert isinstance(target, dict)
            target["weight"] = Leaf(0, one.name.where) if weight is None else weight

    def alias(self, alias: Leaf, name: Leaf) -> None:
        """Another name of a model."""
        model = self._models.get(str(name.value))
        if model is None or alias.value in self._models:
            why = "there is no such model" if model is None else "it is a model itself"
            self._draft.note(alias.where, f"the alias {shown(str(alias.value))} is left out: {why}")
            return
        assert isinstance(model, dict)
        aliases = model.setdefault("aliases", [])
        assert isinstance(aliases, list)
        aliases.append(alias)

    def fall_back(self, name: str, others: list[Leaf], *, on_context: bool = False) -> None:
        """What is asked when a model fails, or for prompts that are too long for it."""
        model = self._models.get(name)
        wanted = [leaf for leaf in others if leaf.value != name]
        good = [leaf for leaf in wanted if self._known(str(leaf.value))]
        for leaf in wanted:
            if leaf not in good or model is None:
                gone = name if model is None else str(leaf.value)
                text = f"a fallback of {shown(name)} is left out: there is no model {shown(gone)} here"
                self._draft.note(leaf.where, text, "models", name)
        if model is None or not good:
            return
        assert isinstance(model, dict)
        if on_context:
            model["context_fallback"] = good[0]
            for leaf in good[1:]:
                text = f"{shown(str(leaf.value))} is left out: there is one `context_fallback`"
                self._draft.note(leaf.where, text, "models", name, "context_fallback")
        else:
            model["fallbacks"] = [*good]

    def names(self) -> list[str]:
        """The models that there are."""
        return list(self._models)

    def has_fallbacks(self, name: str) -> bool:
        """Whether a model has fallbacks already."""
        model = self._models[name]
        return isinstance(model, dict) and "fallbacks" in model

    def _known(self, name: str) -> bool:
        """Whether a name means a model; a bare `*` says nothing about it."""
        if "*" in name or "?" in name or "[" in name:
            return False
        aliases = {
            leaf.value
            for model in self._models.values()
            if isinstance(model, dict) and isinstance(listed := model.get("aliases", []), list)
            for leaf in listed
            if isinstance(leaf, Leaf)
        }
        return name in aliases or any(
            name == glob or (glob != "*" and fnmatchcase(name, glob)) for glob in self._models
        )


def carry_fallbacks(models: Models, blocks: list[Keys]) -> None:
    """All kinds of fallbacks; `blocks`: the router's settings, which win, then the library's."""
    for key, on_context in (("fallbacks", False), ("context_window_fallbacks", True)):
        found: dict[str, list[Leaf]] = {}
        for keys in blocks:
            for name, others in _pairs(keys, key):
                found.setdefault(name, others)
        general = found.pop("*", [])
        for name, others in found.items():
            models.fall_back(name, others, on_context=on_context)
        if not on_context:
            for keys in blocks:
                listed = keys.texts("default_fallbacks")
                general = general or listed
            for name in models.names():
                if general and not models.has_fallbacks(name) and name not in found:
                    models.fall_back(name, general)
    for keys in blocks:
        keys.leave("content_policy_fallbacks", "a refusal for its content goes to the client")


def _pairs(keys: Keys, key: str) -> list[tuple[str, list[Leaf]]]:
    """`[{model: [others]}]`, or one mapping of all of them."""
    node = keys.take(key)
    nodes = keys.source.items(node, keys.path(key)) if not isinstance(node, Mapping) else [node]
    pairs: list[tuple[str, list[Leaf]]] = []
    for at, item in enumerate(nodes):
        if not isinstance(item, Mapping):
            keys.source.report.error(
                item.where, f"{keys.path(key)}[{at}]: expected a model with its fallbacks"
            )
            continue
        for name, entry in item.items.items():
            where = f"{keys.path(key)}[{at}].{name}"
            listed = [entry.node] if isinstance(entry.node, Scalar) else keys.source.items(entry.node, where)
            pairs.append((name, [leaf for below in listed if (leaf := _fallback(keys, below)) is not None]))
    return pairs


def _fallback(keys: Keys, node: Node) -> Leaf | None:
    """The name of a fallback; one with parameters of its own is carried without them."""
    if isinstance(node, Mapping):
        inner = keys.source.open(node, keys.name, "models")
        return inner.text("model")
    if isinstance(node, Sequence):
        keys.source.report.error(node.where, f"{keys.name}: expected the name of a model, not a list")
        return None
    leaf = keys.source.text(node, keys.name)
    return None if leaf is None else Leaf(keys.source.references.now(str(leaf.value)), leaf.where)


def _price(found: list[Deployment], targets: list[Tree]) -> None:
    """What a million tokens in and a million out cost together."""
    for one, target in zip(found, targets, strict=True):
        into, out = (one.params.number(f"{side}_cost_per_token") for side in ("input", "output"))
        sides = [leaf.value for leaf in (into, out) if leaf is not None]
        prices = [side for side in sides if isinstance(side, int | float)]
        if into is None or len(prices) < 2:
            continue
        assert isinstance(target, dict)
        target["price"] = Leaf(round(sum(prices) * _MILLION, 6), into.where)
