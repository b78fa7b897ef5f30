"""A configuration of another system, read so that no key of it gets lost.

Owns the reading of keys with their types, and the account of what became of each: taken, needless here, or told of in a
note. Does not own what keys mean, which is each importer's own part.

Every mapping is opened as `Keys`; a key that nobody took is named in a note when all is done, with what is below it.
So forgetting a key is a note and never a loss. What has the wrong type is an error with its place.
"""

from collections.abc import Callable, Iterator

from trunkline.config.bind import Report
from trunkline.config.expand import has_reference
from trunkline.config.importers.draft import Draft, Empty, Leaf, Path, Plain, Tree, shown
from trunkline.config.importers.references import References
from trunkline.config.scalars import read_float, read_int
from trunkline.config.tree import Mapping, Node, Scalar, Sequence, is_null

# YAML 1.1 has more words than JSON, and the systems that are imported from read it.
_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_QUOTED = {'"', "'"}


class Source:
    """One source with the draft that is made of it. `dialect` makes text of ours of the source's."""

    def __init__(self, references: References, dialect: Callable[[str], str]) -> None:
        self.references = references
        self.report = Report()
        self.draft = Draft()
        self._dialect = dialect
        self._opened: list[Keys] = []

    def open(self, node: Node, name: str, *at: str | int) -> "Keys":
        """The keys of a mapping; anything else is reported, and has none."""
        if not isinstance(node, Mapping):
            if not is_null(node):
                self.report.error(
                    node.where, f"{name or 'the file'}: expected keys and values, not {kind(node)}"
                )
            node = Mapping(items={}, where=node.where)
        keys = Keys(self, node, name, at)
        self._opened.append(keys)
        return keys

    def items(self, node: Node | None, name: str) -> list[Node]:
        """The members of a list; anything else is reported, and has none."""
        if node is None or is_null(node):
            return []
        if isinstance(node, Sequence):
            return node.items
        self.report.error(node.where, f"{name}: expected a list, not {kind(node)}")
        return []

    def text(self, node: Node, name: str) -> Leaf | None:
        """A single value as text; None for an empty one, and for what is none, which is reported."""
        if not isinstance(node, Scalar):
            self.report.error(node.where, f"{name}: expected text, not {kind(node)}")
            return None
        if is_null(node) or not node.text:
            return None
        return Leaf(self._dialect(node.text), node.where)

    def plain(self, node: Node) -> Tree:
        """Any value as it is, for what is passed on."""
        if isinstance(node, Mapping):
            if not node.items:
                return Leaf(Empty.MAPPING, node.where)
            return {key: self.plain(entry.node) for key, entry in node.items.items()}
        if isinstance(node, Sequence):
            if not node.items:
                return Leaf(Empty.LIST, node.where)
            return [self.plain(item) for item in node.items]
        return Leaf(self._value(node), node.where)

    def finish(self) -> None:
        """Tell of every key that nothing was made of."""
        for keys in self._opened:
            keys.tell()

    def _value(self, node: Scalar) -> Plain:
        if is_null(node):
            return None
        if not node.plain:
            return self._dialect(node.text)
        number = read_int(node.text)
        decimal = read_float(node.text) if number is None else None
        truth = _TRUTHS.get(node.text.lower()) if number is None and decimal is None else None
        return next(
            (value for value in (number, decimal, truth) if value is not None), self._dialect(node.text)
        )


class Keys:
    """The keys of one mapping of the source. `at` is the place in the draft where notes about it belong."""

    def __init__(self, source: Source, node: Mapping, name: str, at: Path) -> None:
        self.source = source
        self.node = node
        self.name = name
        self.at = at
        self._taken: set[str] = set()
        self._needless: list[str] = []
        self._below: dict[str, Keys] = {}

    def __iter__(self) -> Iterator[str]:
        """Keys that were not taken yet."""
        return iter([key for key in self.node.items if key not in self._taken])

    def __contains__(self, key: str) -> bool:
        return key in self.node.items and not is_null(self.node.items[key].node)

    def path(self, key: str | int) -> str:
        """A key with all names on the way to it."""
        if isinstance(key, int):
            return f"{self.name}[{key}]"
        return f"{self.name}.{key}" if self.name else key

    def where(self, key: str) -> str:
        """The place of a key's value, or of the mapping if it is not there."""
        entry = self.node.items.get(key)
        return self.node.where if entry is None else entry.node.where

    def take(self, key: str) -> Node | None:
        """A value, from now on accounted for; None if it is not there or null."""
        if key in self.node.items:
            self._taken.add(key)
        return self.node.items[key].node if key in self else None

    def needless(self, *keys: str) -> None:
        """Keys that ask for what is so here anyway, or for nothing."""
        for key in keys:
            if key in self.node.items and key not in self._taken:
                self._taken.add(key)
                self._needless.append(key)

    def open(self, key: str, *at: str | int) -> "Keys":
        """A mapping below, empty if it is not there; the same object each time."""
        if key not in self._below:
            node = self.take(key)
            if node is None:
                node = Mapping(items={}, where=self.node.where)
            self._below[key] = self.source.open(node, self.path(key), *at)
        return self._below[key]

    def members(self, key: str) -> list[Node]:
        """The members of a list below."""
        return self.source.items(self.take(key), self.path(key))

    def plain(self, key: str) -> Tree | None:
        """Any value as it is."""
        node = self.take(key)
        return None if node is None else self.source.plain(node)

    def plain_members(self, key: str) -> dict[str, Tree]:
        """The members of a mapping below, any values as they are, null too."""
        below = self.open(key, *self.at)
        members = {name: below.node.items[name].node for name in below}
        for name in members:
            below.take(name)
        return {name: self.source.plain(node) for name, node in members.items()}

    def text(self, key: str) -> Leaf | None:
        """Text; None if it is empty or not there."""
        node = self.take(key)
        return None if node is None else self.source.text(node, self.path(key))

    def texts(self, key: str) -> list[Leaf]:
        """A list of texts; a single one counts as a list."""
        node = self.take(key)
        nodes = [node] if isinstance(node, Scalar) else self.source.items(node, self.path(key))
        found = (self.source.text(item, f"{self.path(key)}[{at}]") for at, item in enumerate(nodes))
        return [leaf for leaf in found if leaf is not None]

    def number(self, key: str, least: float = 0) -> Leaf | None:
        """A number, or a reference that may hold one."""
        leaf = self.text(key)
        if leaf is None or has_reference(str(leaf.value)):
            return leaf
        found = read_int(str(leaf.value))
        number = read_float(str(leaf.value)) if found is None else found
        if number is None or number < least:
            wanted = "a number" if number is None else f"at least {least:g}"
            self.source.report.error(leaf.where, f"{self.path(key)}: expected {wanted}")
            return None
        return Leaf(number, leaf.where)

    def whole(self, key: str, least: int = 0) -> Leaf | None:
        """A whole number, or a reference that may hold one."""
        leaf = self.number(key, least)
        if leaf is None or not isinstance(leaf.value, float):
            return leaf
        if leaf.value.is_integer():
            return Leaf(int(leaf.value), leaf.where)
        self.source.report.error(leaf.where, f"{self.path(key)}: expected a whole number")
        return None

    def truth(self, key: str) -> bool | None:
        """Whether something is so; a reference is looked up now."""
        leaf = self.text(key)
        if leaf is None:
            return None
        text = self.source.references.now(str(leaf.value))
        truth = _TRUTHS.get(text.lower())
        if truth is None and text:
            self.source.report.error(leaf.where, f"{self.path(key)}: expected true or false")
        return truth

    def note(self, key: str, text: str) -> None:
        """Tell something of one key."""
        entry = self.node.items.get(key)
        where = self.node.where if entry is None else entry.where
        self.source.draft.note(where, f"{shown(self.path(key))} {text}", *self.at)

    def leave(self, key: str, why: str) -> None:
        """Do without a key, for a reason."""
        if key in self.node.items and key not in self._taken:
            self._taken.add(key)
            names = below(self.node.items[key].node)
            self.note(key, f"is not carried: {why}{f' (in it: {names})' if names else ''}")

    def tell(self) -> None:
        """Tell of what was not taken, and of what needs nothing here."""
        for keys, words in ((self._needless, "nothing to do here for"), (list(self), "not carried:")):
            if keys:
                listed = ", ".join(self._with_below(key) for key in keys)
                self.source.draft.note(self.node.items[keys[0]].where, f"{words} {listed}", *self.at)
            self._taken.update(keys)

    def _with_below(self, key: str) -> str:
        names = below(self.node.items[key].node)
        return f"{shown(self.path(key))} ({names})" if names else shown(self.path(key))


def below(node: Node) -> str:
    """The names of all keys below a node, each once."""
    names: dict[str, None] = {}
    seen: set[int] = set()
    stack = [node]
    while stack:
        found = stack.pop()
        if id(found) in seen:
            continue  # an alias: its names are there
        seen.add(id(found))
        if isinstance(found, Mapping):
            names |= dict.fromkeys(shown(key) for key in found.items)
            stack += [entry.node for entry in reversed(found.items.values())]
        elif isinstance(found, Sequence):
            stack += reversed(found.items)
    return ", ".join(names)


def kind(node: Node) -> str:
    """What a node is, in words."""
    if isinstance(node, Mapping):
        return "keys and values"
    return "a list" if isinstance(node, Sequence) else "a single value"
