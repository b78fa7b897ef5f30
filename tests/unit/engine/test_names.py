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
    "fast@any@any": Group(),
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
        ("plain@any", "plain", "plain", "plain@any", (ANY,)),
        ("fast@plain@any", "fast@plain", "fast@plain", None, (ANY,)),
        ("fast@any@any", "big", "fast", "fast@any@any", (ANY, ANY)),
        ("gpt-oss@any@low", "gpt-oss", "gpt-oss", None, (ANY, LOW)),
        ("m@low@any", "m@low", "m@low", None, (ANY,)),
        ("m@any@low", "m@any@low", "m@any@low", None, ()),
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
    assert found == ["m", "gpt-oss", "m@low", "plain", "x@any", "x@any"]
    assert Names(Levels(), lambda name: False).base("m@low") == "m@low"


def test_variants_go_with_a_request_that_is_led_elsewhere_if_they_fit() -> None:
    one = names()
    assert one.carried(Led("gpt-oss", "rules[0]"), "@low") == Led("gpt-oss@low", "rules[0]")
    assert one.carried(Led("m", "rules[0]"), "@low") == Led("m", "rules[0]")
    assert one.carried(Led("m", "router", "b"), "") == Led("m", "router", "b")
    assert one.carried(Led("m", "rules[0]"), "@low@any") == Led("m@any", "rules[0]")
    assert one.carried(Led("m", "rules[0]"), "@any@low") == Led("m@any", "rules[0]")
    assert one.carried(Led("gpt-oss@any", "rules[0]"), "@low@2024") == Led("gpt-oss@any@low", "rules[0]")


def test_variants_stay_where_nothing_led_a_request_elsewhere() -> None:
    assert names().carried(Led("m"), "@low") == Led("m@low")
    assert names().carried(Led("m"), "") == Led("m")


def test_variants_of_names_that_are_led_need_not_fit_them() -> None:
    one = Names(Levels(variants=VARIANTS), lambda name: name == "auto@any", lambda name: name == "auto")
    found = [one.base(name) for name in ("auto@low", "auto@low@any", "auto@2024", "m@low", "auto@any@low")]
    assert found == ["auto", "auto", "auto@2024", "m@low", "auto@any@low"]
    assert one.read("auto@low").model == "auto@low"


def test_names_of_many_variants_are_not_looked_at_for_long() -> None:
    assert names().read("m" + "@any" * 20).model == "m" + "@any" * 4


def test_the_name_in_place_of_none_can_be_in_no_request() -> None:
    with pytest.raises(UnicodeEncodeError):
        BLANK.encode()


def test_names_to_show() -> None:
    one = names()
    assert one.pseudo() == ["fast", "slow"]
    assert one.fitting("gpt-oss") == ["gpt-oss@low", "gpt-oss@high", "gpt-oss@any"]
    assert one.fitting("m") == ["m@any"]
    assert repr(one) == "<Names: 6 groups, 3 variants>"
