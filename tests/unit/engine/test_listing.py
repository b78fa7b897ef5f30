"""engine/listing.py: names that stand for models, and variants, beside the models."""

from trunkline.config.levels import Group, Level, Levels, Variant
from trunkline.config.model import Settings
from trunkline.engine.listing import pseudo, shown
from trunkline.engine.names import Names
from trunkline.routing.rules import RuleSettings

LEVELS = Levels(
    variants={"low": Variant(level=Level(), match="gpt.*"), "any": Variant(level=Level())},
    groups={"fast": Group(upstream="gpt"), "gpt": Group(), "listed": Group(upstream="x")},
)
NAMES = Names(LEVELS, lambda name: False)


def test_names_that_stand_for_models_and_variants_follow_the_models() -> None:
    found = pseudo(NAMES, ["gpt", "listed", "gpt@any"])
    assert [entry["id"] for entry in found] == [
        *("fast", "gpt@low", "listed@any", "gpt@any@low", "gpt@any@any", "fast@any"),
    ]
    assert found[0] == {"id": "fast", "object": "model", "created": 0, "owned_by": "trunkline"}


def test_they_are_shown_with_what_rules_name() -> None:
    settings = Settings(rules=[RuleSettings(use="gpt", for_=["auto"])])
    entry = {"id": "gpt", "object": "model", "created": 1, "owned_by": "a"}
    found = [one["id"] for one in shown(settings, [entry], NAMES)]
    assert found == [
        *("gpt", "auto", "fast", "listed", "gpt@low", "gpt@any", "auto@any", "fast@any", "listed@any")
    ]


def test_without_any_there_are_none() -> None:
    assert pseudo(Names(Levels(), lambda name: False), ["gpt"]) == []
