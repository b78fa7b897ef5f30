"""Whatever happens in whatever order: no dead token is sent, no request hangs, nobody is hammered."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.credentials.scripted import Provider, landed, request, says
from trunkline.credentials.oauth2 import FIRST_PAUSE, MAX_FORCED

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.5, 1.0, 29.0, 61.0, 3539.0, 3600.0])),
        st.tuples(st.just("request"), st.just(0.0)),
        st.tuples(st.just("refuse"), st.just(0.0)),
        st.tuples(st.just("land"), st.just(0.0)),
        st.tuples(st.just("fail"), st.sampled_from([1.0, 2.0, 5.0])),
        st.tuples(st.just("expires_in"), st.sampled_from([0.0, 30.0, 61.0, 3600.0])),
    ),
    max_size=40,
)


@given(STEPS)
def test_any_course_of_events(steps: list[tuple[str, float]]) -> None:
    asyncio.run(follow(steps))


async def follow(steps: list[tuple[str, float]]) -> None:
    idp = Provider(expires_in=3600)
    credential = idp.credential()
    ends: dict[bytes, float] = {}
    dead: set[bytes] = set()
    sent: bytes | None = None
    began, refused = idp.now, 0
    for step, value in steps:
        if step == "wait":
            idp.now += value
        elif step == "expires_in":
            await landed(credential)  # what was asked for before gets what was said before
            idp.fields = {"expires_in": value}
        elif step == "fail":
            idp.replies = [says(400, error="odd")] * int(value)
        elif step == "land":
            await landed(credential)
        elif step == "refuse" and sent is not None:
            refused += 1
            held = credential._line
            if credential.invalidate(sent) and held == sent:
                dead.add(sent)
        elif step == "request":
            asked = len(idp.asked)
            got = await request(credential, idp.now)
            if isinstance(got, bytes):
                # A refused one is sent again only where no other was to be had.
                assert got not in dead or credential._fault is not None
                # A token is sent until it ends, or by who has just fetched it.
                end = ends.setdefault(got, credential._good_until)
                assert idp.now < end or len(idp.asked) > asked
                sent = got
            else:
                assert got.http_status == 502
                assert idp.now < credential._paused_until
    await landed(credential)
    requests = sum(step == "request" for step, _ in steps)
    assert len(idp.asked) <= requests
    if all(value == 3600 for step, value in steps if step == "expires_in"):
        passed = idp.now - began
        assert len(idp.asked) <= 1 + min(refused, MAX_FORCED * (1 + passed // 60)) + passed // FIRST_PAUSE
