"""engine/names.py: `model@variant`, and names of LLM_PARAMS that stand for models."""

from collections.abc import Collection

import pytest

from trunkline.config.levels import Group, Level, Levels, Variant
from trunkline.engine.guide import Led
from trunkline.engine.names import BLANK, Names

LOW, HIGH, ANY = (Level(reasoning=word) for word in ("strip", "wrap", "keep"))
VARIANTS = {
    "low": Variant(level=LOW, match="gpt-oss.*"),
    "high": Variant(level=HIGH, match="gpt-oss.*"),
    "any": Variant(level=ANY),
}
GROUPS = {
    "fast": Group(upstream="big"),
    "slow": Group(upstream="gpt-oss@low"),
    "plain": Group(),
    "plain@any": Group(),
    "default": Group(upstream="usual@any"),
}


def names(models: Collection[str] = (), groups: dict[str, Group] = GROUPS) -> Names:
    return Names(Levels(variants=VARIANTS, groups=groups), lambda name: name in models)


@pytest.mark.parametrize(
    ("name", "model", "base", "group", "levels"),
    [
        ("m", "m", "m", None, ()),
        ("gpt-oss@low", "gpt-oss", "gpt-oss", None, (LOW,)),
        ("gpt-oss-20b@high", "gpt-oss-20b", "gpt-oss-20b", None, (HIGH,)),
        ("my-gpt-oss@low", "my-gpt-oss@low", "my-gpt-oss@low", None, ()),
        ("gpt-oss@LOW", "gpt-oss@LOW", "gpt-oss@LOW", None, ()),
        ("claude@20240620", "claude@20240620", "claude@20240620", None, ()),
        ("claude@20240620@any", "claude@20240620", "claude@20240620", None, (ANY,)),
        ("gpt-oss@low@any", "gpt-oss", "gpt-oss", None, (LOW, ANY)),
        ("@any", "@any", "@any", None, ()),
        ("gpt-oss@", "gpt-oss@", "gpt-oss@", None, ()),
        ("fast", "big", "fast", "fast", ()),
        ("Fast", "Fast", "Fast", None, ()),
        ("fast@any", "big", "fast", "fast", (ANY,)),
        ("slow", "gpt-oss", "slow", "slow", (LOW,)),
        ("slow@any", "gpt-oss", "slow", "slow", (LOW, ANY)),
        ("plain", "plain", "plain", "plain", ()),
        ("plain@any", "plain@any", "plain@any", "plain@any", ()),
        ("default", "default", "default", None, ()),
        ("", "", "", "default", ()),
        (BLANK, "usual", "usual", "default", (ANY,)),
    ],
)
def test_a_name_is_read(
    name: str, model: str, base: str, group: str | None, levels: tuple[Level, ...]
) -> None:
    found = names().read(name)
    assert (found.model, found.base, found.levels) == (model, base, levels)
    assert found.group is (None if group is None else GROUPS[group])


def test_a_model_of_the_whole_name_is_itself() -> None:
    assert names(["x@any"]).read("x@any").model == "x@any"
    assert names(["x@any"]).read("x@any@any").model == "x@any"


def test_a_request_without_a_name_is_special_only_where_a_group_stands_for_a_model() -> None:
    assert names().blank == BLANK
    assert names(groups={}).blank == names(groups={"default": Group()}).blank == ""
    assert names(groups={}).read("").group is None


def test_the_base_is_the_name_without_variants() -> None:
    one = names(["x@any"])
    found = [one.base(name) for name in ("m", "gpt-oss@low", "m@low", "plain@any", "x@any", "x@any@any")]
    assert found == ["m", "gpt-oss", "m@low", "plain@any", "x@any", "x@any"]
    assert Names(Levels(), lambda name: False).base("m@low") == "m@low"


def test_variants_go_with_a_request_that_is_led_elsewhere_if_they_fit() -> None:
    one = names()
    assert one.carried(Led("gpt-oss", "rules[0]"), "@low") == Led("gpt-oss@low", "rules[0]")
    assert one.carried(Led("m", "rules[0]"), "@low") == Led("m", "rules[0]")
    assert one.carried(Led("m", "router", "b"), "") == Led("m", "router", "b")


def test_names_to_show() -> None:
    one = names()
    assert one.pseudo() == ["fast", "slow"]
    assert one.fitting("gpt-oss") == ["gpt-oss@low", "gpt-oss@high", "gpt-oss@any"]
    assert one.fitting("m") == ["m@any"]
    assert repr(one) == "<Names: 5 groups, 3 variants>"
