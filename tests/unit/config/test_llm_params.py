"""config/llm_params.py: the grammar and the types of LLM_PARAMS."""

import msgspec
import pytest

from trunkline.config.levels import Group
from trunkline.config.llm_params import parse_groups


def groups(text: str) -> tuple[dict[str, Group], list[str]]:
    warnings: list[str] = []
    return parse_groups(text, warnings.append), warnings


def sent(text: str) -> tuple[dict[str, str], list[str]]:
    """What one group sets, in JSON."""
    found, warnings = groups(f"model=m,{text}")
    (group,) = found.values()
    return {name: bytes(value).decode() for name, value in group.overrides.force.items()}, warnings


@pytest.mark.parametrize(
    ("text", "json_text"),
    [
        ("temperature=0.7", "0.7"),
        ("top_p=1.0", "1.0"),
        ("temperature=1", "1.0"),
        ("frequency_penalty=-0.5", "-0.5"),
        ("presence_penalty=0", "0.0"),
        ("repetition_penalty=1.1", "1.1"),
        ("top_k=40", "40"),
        ("seed=12345", "12345"),
        ("num_ctx=2048", "2048"),
        ("n=-1", "-1"),
        ("stream=true", "true"),
        ("stream=True", "true"),
        ("stream=TRUE", "true"),
        ("stream=false", "false"),
        ("stream=0", "false"),
        ("echo=No", "false"),
        # Unknown keys: what is a number, a truth value or JSON is sent as that.
        ("min_p=0.05", "0.05"),
        ("unknown_param=123.45", "123.45"),
        ("logprobs=true", "true"),
        ("cache_prompt=False", "false"),
        ("stop=[END]", '"[END]"'),
        ('stop=["END"]', '["END"]'),
        ('options={"a":{"b":1.0}}', '{"a":{"b":1.0}}'),
        ('user="123"', '"123"'),
        ("reasoning_effort=high", '"high"'),
        ("user= spaced ", '" spaced"'),
        ("prefix=a=b=c", '"a=b=c"'),
        ("ratio=1e400", "1e400"),
        ("min_p=.05", "0.05"),
        ("agent=007", '"007"'),
        ("phone=+49", '"+49"'),
        ("text=NaN", '"NaN"'),
        ("id=12345678901234567890123", "12345678901234567890123"),
        # An empty value and null are sent as null.
        ("seed=", "null"),
        ("seed=null", "null"),
        ("stop=NULL", "null"),
        ("stream=", "null"),
    ],
)
def test_a_value_has_the_type_of_its_key(text: str, json_text: str) -> None:
    key = text.partition("=")[0]
    assert sent(text) == ({key: json_text}, [])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("top_k=10.5", "whole number"),
        ("top_k=not_an_int", "whole number"),
        ("top_k=1_0", "whole number"),
        ("max_tokens=true", "whole number"),
        ("temperature=not_a_float", "number"),
        ("temperature=nan", "number"),
        ("top_p=0x10", "number"),
    ],
)
def test_a_bad_value_is_sent_as_text_with_one_warning(text: str, kind: str) -> None:
    key, _, value = text.partition("=")
    assert sent(text) == (
        {key: msgspec.json.encode(value).decode()},
        [f"`m`: `{text}` is no {kind}; it is sent as text"],
    )


@pytest.mark.parametrize("text", ["stream=1", "echo=yes", "mirostat= maybe"])
def test_what_is_no_truth_is_false_with_one_warning(text: str) -> None:
    key, _, value = text.partition("=")
    words = (
        f"`m`: `{key}={value.strip()}` is neither true nor false; it is taken for false, write one of them"
    )
    assert sent(text) == ({key: "false"}, [words])


def test_a_filter_that_is_neither_on_nor_off_is_told_of() -> None:
    found, warnings = groups("model=m,enable_think_tag_filtering=maybe")
    assert found["m"].filters is False
    assert warnings == [
        "`m`: `enable_think_tag_filtering=maybe` is neither true nor false; it is taken for false, write one of them"
    ]


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        (
            "think_tag_start=,think_tag_end=</t>",
            [
                "`m`: `think_tag_start` is empty beside a `think_tag_end`, so the usual tag holds; write both or none"
            ],
        ),
        (
            "think_tag_end=,think_tag_start=<t>",
            [
                "`m`: `think_tag_end` is empty beside a `think_tag_start`, so the usual tag holds; write both or none"
            ],
        ),
        ("think_tag_start=,think_tag_end=", []),
        ("think_tag_end=</t>", []),
    ],
)
def test_half_a_pair_of_tags_is_told_of(text: str, warnings: list[str]) -> None:
    assert groups(f"model=m,{text}")[1] == warnings


def test_groups_are_by_exact_name_and_the_later_one_replaces() -> None:
    found, warnings = groups(" model=A,top_k=1,seed=2 ;; model=a,top_k=2; model=A,top_k=3;")
    assert list(found) == ["a", "A"]
    assert {name: [*group.overrides.force] for name, group in found.items()} == {
        "a": ["top_k"],
        "A": ["top_k"],
    }
    assert warnings == []


def test_what_is_malformed_is_left_out_with_a_warning() -> None:
    found, warnings = groups("model=a,top_k=1;malformed_entry;model=;temperature=1;model=b,junk,,=3")
    assert list(found) == ["a", "b"]
    assert found["b"] == Group()
    assert warnings == [
        "group 2 does not begin with `model=NAME`; it is left out",
        "group 3 does not begin with `model=NAME`; it is left out",
        "group 4 does not begin with `model=NAME`; it is left out",
        "`b`: item 1 behind the name has no `=`; it is left out",
        "`b`: item 3 behind the name has no name in front of its `=`; it is left out",
    ]


def test_nothing_is_no_group() -> None:
    assert groups("") == ({}, [])


def test_options_are_not_sent() -> None:
    found, warnings = groups(
        r"model=fast,upstream_model_name=big,append_to_last_user_message=\n\n/no_think,"
        "enable_think_tag_filtering=TRUE,think_tag_start=<t>,think_tag_end=</t>,top_k=1"
    )
    group = found["fast"]
    assert warnings == []
    assert [*group.overrides.force] == ["top_k"]
    assert group.overrides.append == "\n\n/no_think"
    assert (group.upstream, group.filters, group.start, group.end) == ("big", True, "<t>", "</t>")


@pytest.mark.parametrize(
    ("text", "filters"), [("true", True), ("false", False), ("0", False), ("", None), (" True", True)]
)
def test_filtering_is_on_off_or_not_said(text: str, filters: bool | None) -> None:
    found, warnings = groups(f"model=m,enable_think_tag_filtering={text}")
    assert (found["m"].filters, warnings) == (filters, [])


@pytest.mark.parametrize(
    ("text", "appended"),
    [(r"\n/x", "\n/x"), (r"a\tb", "a\tb"), (r"a\\n", r"a\n"), (r"\d", r"\d"), (" /x", " /x"), ("", "")],
)
def test_escapes_in_appended_text_are_read(text: str, appended: str) -> None:
    # An item at the end of a group loses the blanks behind it, not those in front.
    assert groups(f"model=m,append_to_last_user_message={text}")[0]["m"].overrides.append == appended


def test_the_model_and_the_messages_are_not_set() -> None:
    found, warnings = groups("model=m,model=x,messages=[]")
    assert found == {"m": Group()}
    assert warnings == [
        "`m`: `model` is left out: `upstream_model_name` says which model is asked for instead",
        "`m`: `messages` is left out: `append_to_last_user_message` adds to them",
    ]
