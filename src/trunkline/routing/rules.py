"""Content rules: which model a request is for, by what is in it.

Owns the settings of `rules:` and the match. Does not own the reading of requests (asked.py) nor routes.

Rules are looked at in the order written, and the first that matches decides; its model's own rules are not looked at
again. A rule without `for` is for all models, one without `when` matches always, and of the conditions in `when` each
must hold. Texts are compared without regard to case; lengths are characters of the last user text.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from trunkline.routing.asked import Asked
from trunkline.routing.models import KnownModels, Place, bad_name
from trunkline.routing.plan import is_glob

MAX_TEXT = 100_000
"""Characters of a text in which words are looked for: 200 words take 10 ms there, of the event loop."""

_Count = Annotated[int, Meta(ge=0)]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SPAN = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])\s*-\s*(?:([01]?[0-9]|2[0-3]):([0-5][0-9])|(24):(00))")


class WhenSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Conditions, of which each must hold."""

    contains_any: Annotated[list[str], Meta(description="The text has one of these in it, in any case.")] = []
    contains_all: Annotated[list[str], Meta(description="The text has all of these in it, in any case.")] = []
    max_chars: Annotated[_Count | None, Meta(description="The text has this many characters or fewer.")] = (
        None
    )
    min_chars: Annotated[_Count | None, Meta(description="The text has this many characters or more.")] = None
    shorter_than: Annotated[_Count | None, Meta(description="The text has fewer characters.")] = None
    longer_than: Annotated[_Count | None, Meta(description="The text has more characters.")] = None
    tools: Annotated[bool | None, Meta(description="Whether the request brings tools.")] = None
    images: Annotated[bool | None, Meta(description="Whether the conversation has images.")] = None
    json_schema: Annotated[bool | None, Meta(description="Whether the answer must follow a JSON schema.")] = (
        None
    )
    stream: Annotated[bool | None, Meta(description="Whether a stream is asked for.")] = None
    headers: Annotated[
        dict[str, str],
        Meta(description="Headers by name; values are globs, `*` for any. All of them must be there."),
    ] = {}
    time: Annotated[
        str | None,
        Meta(description="Time of day of the server, `09:00-17:30`; `22:00-06:00` goes over midnight."),
    ] = None
    days: Annotated[
        list[Day], Meta(description="Days of the week, mon to sun; of a night its first one.")
    ] = []
    keys: Annotated[list[str], Meta(description="Names (globs) of keys.")] = []
    key_tags: Annotated[list[str], Meta(description="Tags of keys; one of them is enough.")] = []


class RuleSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model it is, for requests like this."""

    for_: Annotated[
        list[str] | None, Meta(description="The models (names and globs) that clients ask for. Default: all.")
    ] = msgspec.field(name="for", default=None)
    when: Annotated[WhenSettings, Meta(description="Conditions. Default: always.")] = WhenSettings()
    use: Annotated[str, Meta(min_length=1, description="The model that is used.")]


class View(msgspec.Struct, frozen=True, gc=False):
    """What rules can see of a request. `minute` of the day and `weekday` (0 Monday) are the server's local time."""

    asked: Asked = Asked()
    stream: bool = False
    headers: Mapping[bytes, bytes] = {}
    key: str = ""
    tags: Collection[str] = ()
    minute: int = 0
    weekday: int = 0


class Rule:
    """One rule, ready to be matched. Raises ValueError for a `time` that is none."""

    def __init__(self, settings: RuleSettings, place: int) -> None:
        self.place = place
        self.use = settings.use
        self._settings = settings
        when = self._when = settings.when
        self._any = [word.casefold() for word in when.contains_any]
        self._all = [word.casefold() for word in when.contains_all]
        self._headers = [(name.lower().encode(), value) for name, value in when.headers.items()]
        self._span = None if when.time is None else parse_span(when.time)
        self._days = {DAYS.index(day) for day in when.days}

    def __repr__(self) -> str:
        return f"<Rule {self.place} -> {self.use}>"

    def concerns(self, model: str) -> bool:
        """Whether it is for requests for this model."""
        return _is_for(self._settings, model)

    def matches(self, view: View) -> bool:
        """Whether all its conditions hold."""
        when, asked = self._when, view.asked
        for wanted, found in (
            (when.tools, asked.tools),
            (when.images, asked.images),
            (when.json_schema, asked.json_schema),
            (when.stream, view.stream),
        ):
            if wanted is not None and wanted != found:
                return False
        return (
            self._length_fits(asked.length)
            and self._words_fit(asked.text)
            and self._time_fits(view)
            and all(_header_fits(view.headers.get(name), value) for name, value in self._headers)
            and (not when.keys or any(fnmatchcase(view.key, name) for name in when.keys))
            and (not when.key_tags or any(tag in view.tags for tag in when.key_tags))
        )

    def _length_fits(self, length: int) -> bool:
        when = self._when
        return (
            (when.max_chars is None or length <= when.max_chars)
            and (when.min_chars is None or length >= when.min_chars)
            and (when.shorter_than is None or length < when.shorter_than)
            and (when.longer_than is None or length > when.longer_than)
        )

    def _words_fit(self, text: str) -> bool:
        if not self._any and not self._all:
            return True
        folded = text[:MAX_TEXT].casefold()
        return (not self._any or any(word in folded for word in self._any)) and all(
            word in folded for word in self._all
        )

    def _time_fits(self, view: View) -> bool:
        day = view.weekday
        if self._span is not None:
            begin, end = self._span
            if begin <= end:
                if not begin <= view.minute < end:
                    return False
            elif view.minute < end:
                day = (day - 1) % 7  # the night began yesterday
            elif view.minute < begin:
                return False
        return not self._days or day in self._days


class Rules:
    """All rules of one config snapshot."""

    def __init__(self, settings: list[RuleSettings]) -> None:
        self._rules = [Rule(item, place) for place, item in enumerate(settings)]

    def __repr__(self) -> str:
        return f"<Rules: {len(self._rules)}>"

    def of(self, model: str) -> tuple[Rule, ...]:
        """The rules for a model, in order: to be kept with its route."""
        return tuple(rule for rule in self._rules if rule.concerns(model))


def first_match(rules: tuple[Rule, ...], view: View) -> Rule | None:
    """The rule that decides."""
    return next((rule for rule in rules if rule.matches(view)), None)


def parse_span(text: str) -> tuple[int, int]:
    """The minutes of `09:00-17:30`: from the first on, until before the second. Raises ValueError."""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected a span like 09:00-17:30, not {text[:40]!r}")
    hours, minutes = match[3] or match[5], match[4] or match[6]
    return int(match[1]) * 60 + int(match[2]), int(hours) * 60 + int(minutes)


def problems(settings: list[RuleSettings], known: KnownModels) -> Iterator[tuple[Place, str]]:
    """What is wrong: the place, like `(0, "use")`, and the words."""
    for at, item in enumerate(settings):
        when = item.when
        if why := bad_name(item.use):
            yield (at, "use"), why
        elif is_glob(item.use):
            yield (at, "use"), "must be one model, not several"
        elif not known.has(item.use):
            yield (at, "use"), f"no model is called `{item.use[:100]}`{known.hint(item.use)}"
        if item.for_ == []:
            yield (at, "for"), "is empty, so the rule is for no model"
        if when.time is not None:
            try:
                begin, end = parse_span(when.time)
            except ValueError as error:
                yield (at, "when", "time"), str(error)
            else:
                if begin == end:
                    yield (at, "when", "time"), "ends when it begins; the whole day is 00:00-24:00"
        for field, words in (("contains_any", when.contains_any), ("contains_all", when.contains_all)):
            if "" in words:
                yield (at, "when", field, words.index("")), "is empty, and so is in every text"
        for name in when.headers:
            if not _TOKEN.fullmatch(name):
                yield (at, "when", "headers", name), "is not the name of a header"


def doubts(settings: list[RuleSettings], known: KnownModels) -> Iterator[tuple[Place, str]]:
    """What works but is hardly meant: rules that nothing reaches, and models that nothing but rules with `when` has."""
    always = [at for at, item in enumerate(settings) if item.when == WhenSettings()]
    for at, item in enumerate(settings):
        first = next((one for one in always if one < at and _covers(settings[one], item)), None)
        if first is not None:
            yield (at,), f"is never asked: rule [{first}] before it always matches"
    told: set[str] = set()
    for at, item in enumerate(settings):
        for place, name in enumerate(item.for_ or ()):
            if name in told or is_glob(name) or known.has(name):
                continue
            told.add(name)
            if not any(_is_for(settings[one], name) for one in always):
                words = (
                    "is a model of rules only, and all of them have `when`: a call that matches none gets 404"
                )
                yield (at, "for", place), f"`{name[:100]}` {words}"


def _is_for(rule: RuleSettings, model: str) -> bool:
    return rule.for_ is None or any(model == name or fnmatchcase(model, name) for name in rule.for_)


def _covers(rule: RuleSettings, other: RuleSettings) -> bool:
    """Whether it is for each model that the other one is for."""
    if rule.for_ is None or other.for_ is None:
        return rule.for_ is None
    return all(_is_for(rule, name) for name in other.for_)


def _header_fits(value: bytes | None, glob: str) -> bool:
    return value is not None and fnmatchcase(value.decode("latin-1"), glob)
