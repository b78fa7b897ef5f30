"""routing/needs.py: what is not known excludes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.routing.backend import CapabilitySettings
from trunkline.routing.needs import Needs, lack, lacks, says_something


@pytest.mark.parametrize(
    ("has", "needs", "missing"),
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
def test_lack(has: CapabilitySettings, needs: Needs, missing: str | None) -> None:
    assert lack(has, needs) == missing
    assert says_something(has) or missing is None


def test_what_can_never_be_lacking() -> None:
    assert not says_something(CapabilitySettings())
    assert not says_something(CapabilitySettings(tools=True, vision=True, json_schema=True))


_KNOWN = st.none() | st.booleans()
_CAN = st.builds(
    CapabilitySettings,
    context_window=st.none() | st.integers(1, 5),
    tools=_KNOWN,
    vision=_KNOWN,
    json_schema=_KNOWN,
)


@given(
    st.lists(_CAN, max_size=3),
    st.builds(Needs, st.booleans(), st.booleans(), st.booleans(), st.integers(0, 6)),
)
def test_what_nobody_lacks_need_not_be_looked_at(them: list[CapabilitySettings], needs: Needs) -> None:
    worth = lacks(them)
    seen = Needs(
        needs.tools and worth.tools,
        needs.vision and worth.vision,
        needs.json_schema and worth.json_schema,
        needs.tokens if worth.tokens and needs.tokens > worth.tokens else 0,
    )
    for has in them:
        assert (lack(has, seen) is None) == (lack(has, needs) is None)
