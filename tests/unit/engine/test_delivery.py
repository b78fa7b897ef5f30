"""engine/delivery.py: what of a request decides how its answer is told."""

import pytest

from trunkline.engine.delivery import choices_of


@pytest.mark.parametrize(
    ("body", "choices"),
    [
        (b"{}", 1),
        (b'{"n":3}', 3),
        (b'{"n":null}', 1),
        (b'{"n":0}', 1),
        (b'{"n":"2"}', 1),
        (b'{"tools":["n"],"n":2}', 2),
        (b'{"n"', 1),
        (b"", 1),
    ],
)
def test_choices_that_are_asked_for(body: bytes, choices: int) -> None:
    assert choices_of(body) == choices
