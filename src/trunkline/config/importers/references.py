"""References to variables in a source -> references of ours.

Owns the notations of the systems that are imported from, and the rule that what is printed can be read where the
variables are not set: a variable that is not set now is written `${NAME:-}`, one that is set `${NAME}`, and a default
stays. Does not own what a reference of ours becomes (config/expand.py).
"""

import re
from collections.abc import Callable
from collections.abc import Mapping as Environ
from pathlib import Path

from trunkline.config.expand import expand

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_CURLY = re.compile(rf"\$\{{({_NAME})(?::-([^{{}}]*))?\}}")
_COMPOSE = re.compile(
    rf"\$(?:(?P<dollar>\$)|(?P<bare>{_NAME})|\{{(?P<name>{_NAME})(?:(?P<mark>:?[-?+])(?P<rest>[^{{}}]*))?\}})"
)
_OURS = re.compile(rf"\$\{{({_NAME})(?::-)?\}}")
_NOWHERE = re.compile(r"^(https?://|)0\.0\.0\.0(?=[:/]|$)")
_OS_ENVIRON = re.compile(rf"os\.environ/({_NAME})")


class References:
    """Turns text of a source into text of ours.

    `environ` tells which variables are set; `new_key` makes a key that nobody knows.
    """

    def __init__(self, environ: Environ[str, str], new_key: Callable[[], str]) -> None:
        self.environ = environ
        self._new_key = new_key
        self.given: dict[str, str] = {}
        """What the source itself sets variables to, as text of ours."""
        self.unset: dict[str, None] = {}
        """Variables that were referred to, without a default, and are not set: in order."""
        self.stood_in: dict[str, str] = {}
        """Those of them that must not be empty, and so have something that stands in: what for."""

    def to(self, name: str, default: str | None = None) -> str:
        """A reference to a variable."""
        given = self.given.get(name)
        if default is None and given is not None:
            return given if "{" in given or "}" in given else f"${{{name}:-{given}}}"
        if default is not None:
            return f"${{{name}:-{default}}}"
        if name in self.environ:
            return f"${{{name}}}"
        self.unset[name] = None
        return f"${{{name}:-}}"

    def curly(self, text: str) -> str:
        """Of text with `${NAME}` and `${NAME:-default}`; everything else is what it looks like."""
        return self._replaced(text, _CURLY, lambda match: self.to(match[1], match[2]))

    def compose(self, text: str) -> str:
        """Of text as Docker Compose has it: also `$NAME`, `${NAME-default}`, `${NAME:?message}`, `$$`."""
        return self._replaced(text, _COMPOSE, self._of_compose)

    def os_environ(self, text: str) -> str:
        """Of text that is `os.environ/NAME` as a whole, or no reference at all."""
        match = _OS_ENVIRON.fullmatch(text)
        return self.to(match[1]) if match else literal(text)

    def filled(self, text: str, what: str) -> str:
        """Text of ours that does not come to nothing here, for what must not be empty.

        In place of nothing: an address that leads nowhere, a key that nobody knows, words.
        """
        if self.now(text).strip():
            return text
        match = _OURS.fullmatch(text)
        if match is None:
            return text
        if what == "url":
            stand_in = f"https://{match[1].lower().replace('_', '-')}.invalid"
        else:
            stand_in = self._new_key() if what == "key" else "..."
        self.unset.pop(match[1], None)
        self.stood_in[match[1]] = what
        return f"${{{match[1]}:-{stand_in}}}"

    def address(self, text: str) -> str:
        """The URL of an upstream, which must not be empty; 0.0.0.0 is no address that can be called."""
        return _NOWHERE.sub(r"\g<1>127.0.0.1", self.filled(text, "url"))

    def now(self, text: str) -> str:
        """What text of ours stands for in this environment."""
        return expand(text, self.environ, Path())

    def _of_compose(self, match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$$"
        name, mark = match["bare"] or match["name"], match["mark"] or ""
        if mark.endswith("-"):
            return self.to(name, match["rest"])
        if mark.endswith("+"):
            return literal(match["rest"]) if self.environ.get(name) else ""
        return self.to(name)

    @staticmethod
    def _replaced(text: str, pattern: re.Pattern[str], made: Callable[[re.Match[str]], str]) -> str:
        parts: list[str] = []
        end = 0
        references = False
        for match in pattern.finditer(text):
            parts += [text[end : match.start()].replace("$", "$$"), made(match)]
            end = match.end()
            references = True
        if not references:
            return literal(text)
        return "".join([*parts, text[end:].replace("$", "$$")])


def literal(text: str) -> str:
    """Text in which nothing is a reference."""
    return text.replace("$", "$$") if "${" in text or "$$" in text else text
