"""policy/fitting.py: which parameters belong into which requests."""

import msgspec
import pytest

from trunkline.policy.fitting import fitted
from trunkline.policy.overrides import Overrides

ALL = ("max_tokens", "temperature", "seed", "stop", "n", "stream", "dimensions", "x")


def raw(*names: str) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(b"1") for name in names}


@pytest.mark.parametrize(
    ("surface", "names"),
    [
        ("chat", ALL),
        ("completions", ALL),
        ("responses", ("max_output_tokens", "temperature", "stream", "dimensions", "x")),
        ("messages", ("max_tokens", "temperature", "stream", "dimensions", "x")),
        ("embeddings", ("seed", "n", "dimensions", "x")),
        ("images", ("seed", "n", "dimensions", "x")),
        ("moderations", ("seed", "n", "dimensions", "x")),
        ("other", tuple(name for name in ALL if name != "stream")),
        ("responses/other", tuple(name for name in ALL if name != "stream")),
    ],
)
def test_parameters_belong_where_they_are_known(surface: str, names: tuple[str, ...]) -> None:
    assert tuple(fitted(Overrides(force=raw(*ALL)), surface).force) == names
    assert tuple(fitted(Overrides(fill=raw(*ALL)), surface).fill) == names


@pytest.mark.parametrize(
    ("surface", "name"),
    [("completions", "max_tokens"), ("messages", "max_tokens"), ("responses", "max_output_tokens")],
)
def test_the_limit_has_the_name_that_is_known_there(surface: str, name: str) -> None:
    for written in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
        found = fitted(Overrides(force=raw(written), hidden=frozenset([written])), surface)
        assert found == Overrides(force=raw(name), hidden=frozenset([name]))


def test_what_is_removed_is_so_where_it_belongs() -> None:
    both = Overrides(remove=frozenset(("stream", "x")), append="X")
    assert fitted(both, "chat") == both
    assert fitted(both, "audio") == Overrides(remove=frozenset("x"))
    # Under the other name too.
    fields, _ = fitted(Overrides(remove=frozenset(["max_tokens"])), "responses").apply(
        raw("max_output_tokens")
    )
    assert fields == {}
