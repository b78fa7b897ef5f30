"""routing/changes.py: what held at an earlier moment."""

from hypothesis import given
from hypothesis import strategies as st

from trunkline.routing.changes import NOTHING, Change, Changes, Standing


def test_a_standing_ends_when_its_time_is_over() -> None:
    assert NOTHING.at(0.0) == ""
    assert [Standing("busy", 5.0).at(moment) for moment in (4.9, 5.0)] == ["busy", ""]
    assert [Standing("ejected", 5.0).at(moment) for moment in (4.9, 5.0)] == ["ejected", "probing"]
    assert Standing("slow").at(1e9) == "slow"


def test_what_held_before_the_next_change() -> None:
    log = Changes()
    log.note(Change(1.0, "a", "m", NOTHING))
    log.note(Change(2.0, "b", "m", NOTHING))
    log.note(Change(3.0, "a", "m", Standing("full")))
    first, full = {("a", "m"): NOTHING, ("b", "m"): NOTHING}, {("a", "m"): Standing("full")}
    assert [log.before(moment) for moment in (0.5, 1.0)] == [first, first]
    assert log.before(1.5) == {("b", "m"): NOTHING} | full
    assert [log.before(moment) for moment in (3.0, 3.5)] == [full, {}]
    assert repr(log) == "<Changes: 3 kept>"


def test_what_went_is_not_claimed_to_be_known() -> None:
    log = Changes(2)
    for at in range(1, 4):
        log.note(Change(float(at), "a", "m", NOTHING))
    assert [log.before(moment) is None for moment in (1.0, 1.5)] == [True, False]
    assert Changes(2).before(-1.0) == {}


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["", "full", "slow"])), max_size=30),
    st.integers(1, 8),
    st.integers(0, 31),
)
def test_the_log_tells_what_a_full_history_would(
    steps: list[tuple[str, str]], kept: int, moment: int
) -> None:
    log = Changes(kept)
    history: dict[str, list[Standing]] = {"a": [NOTHING], "b": [NOTHING]}
    for at, (name, reason) in enumerate(steps, start=1):
        now = {one: states[-1] for one, states in history.items()}
        if now[name] != Standing(reason):
            log.note(Change(float(at), name, "m", now[name]))
            now[name] = Standing(reason)
        for one, states in history.items():
            states.append(now[one])
    found = log.before(float(moment))
    if found is not None:
        for name, states in history.items():
            then = states[min(max(moment - 1, 0), len(steps))]
            assert found.get((name, "m"), states[-1]) == then
