"""routing/needs.py: what is not known excludes nothing."""

import pytest

from trunkline.routing.backend import CapabilitySettings
from trunkline.routing.needs import Needs, lack, says_something


@pytest.mark.parametrize(
    ("has", "needs", "lacks"),
    [
        (CapabilitySettings(), Needs(tools=True, vision=True, json_schema=True, tokens=10**9), None),
        (CapabilitySettings(tools=False), Needs(), None),
        (CapabilitySettings(tools=False), Needs(tools=True), "no tools"),
        (CapabilitySettings(tools=True), Needs(tools=True), None),
        (CapabilitySettings(vision=False), Needs(vision=True), "no vision"),
        (CapabilitySettings(json_schema=False), Needs(json_schema=True), "no json_schema"),
        (CapabilitySettings(context_window=100), Needs(tokens=101), "context window"),
        (CapabilitySettings(context_window=100), Needs(tokens=100), None),
    ],
)
def test_lack(has: CapabilitySettings, needs: Needs, lacks: str | None) -> None:
    assert lack(has, needs) == lacks
    assert says_something(has) or lacks is None


def test_what_can_never_be_lacking() -> None:
    assert not says_something(CapabilitySettings())
    assert not says_something(CapabilitySettings(tools=True, vision=True, json_schema=True))
