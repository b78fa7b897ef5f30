"""policy/synonyms.py: parameters of several names, also within objects."""

import msgspec
import pytest

from trunkline.policy.synonyms import SYNONYMS, Fields, names_in, others, without

_decode = msgspec.json.Decoder(Fields).decode


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("max_tokens", "max_completion_tokens"),
        ("max_tokens", "max_output_tokens"),
        ("n_predict", "options.num_predict"),
        ("num_ctx", "options.num_ctx"),
        ("think", "reasoning_effort"),
        ("think", "reasoning.effort"),
        ("format", "response_format"),
        ("repetition_penalty", "options.repeat_penalty"),
        ("seed", "random_seed"),
    ],
)
def test_names_for_the_same_thing(one: str, other: str) -> None:
    assert other in others([one, "nothing"])
    assert one in others([other])


def test_each_is_a_synonym_of_its_synonyms_and_never_of_itself() -> None:
    for name, same in SYNONYMS.items():
        assert name not in same
        assert all(name in SYNONYMS[one] for one in same)
    assert others(["reasoning.effort"]) == {"reasoning_effort", "think"}
    assert others(["max_tokens_x", "model"]) == frozenset()


def test_members_of_objects_are_names_too() -> None:
    fields = _decode(b'{"a":{"b":1},"options":{"num_ctx":1},"reasoning":{"effort":"low"}}')
    assert [*names_in(fields)] == ["a", "options", "reasoning", "options.num_ctx", "reasoning.effort"]


@pytest.mark.parametrize("options", ["5", '"text"', "null", "[1]", '{"a'])
def test_what_is_no_object_has_no_members(options: str) -> None:
    fields = {"options": msgspec.Raw(options.encode())}
    assert [*names_in(fields)] == ["options"]
    assert without(fields, {"options.num_ctx"}) == fields


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"options":{"num_ctx":1,"x":1e400},"y":1.0}', '{"options":{"x":1e400},"y":1.0}'),
        ('{"options":{"num_ctx":1}}', "{}"),
        ('{"options":{ }}', '{"options":{ }}'),
        ('{"options":{"x": 1}}', '{"options":{"x": 1}}'),
        ('{"num_ctx":1,"options":{"num_ctx":1}}', '{"num_ctx":1}'),
        ('{"top":1}', "{}"),
    ],
)
def test_names_are_left_out(before: str, after: str) -> None:
    left = without(_decode(before.encode()), {"options.num_ctx", "top"})
    assert msgspec.json.encode(left).decode() == after
