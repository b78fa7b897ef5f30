"""A token that is refused after a stream has begun: nothing is asked for again behind what the client has."""

from pathlib import Path

import pytest

from tests.failover.harness import World, on_both_loops, running
from tests.failover.script import CUT, Script, complaint, stream, words

ALONE = "models:\n  primary: {targets: [{backend: a, model: m}]}\n"


class Renews:
    """A credential that always has another token."""

    def __init__(self) -> None:
        self.renewed = 0

    def header(self, now: float) -> bytes:
        del now
        return b"authorization: Bearer t\r\n"

    async def obtain(self) -> bytes:
        return self.header(0.0)

    def invalidate(self, line: bytes) -> bool:
        del line
        self.renewed += 1
        return True

    def mask(self, text: bytes) -> bytes:
        return text


def renewing(world: World) -> None:
    (upstream,) = world.gateway.runtime.upstreams
    upstream.oauth = Renews()


@pytest.mark.parametrize("how", ["on_cut: error", "on_cut: splice"])
@on_both_loops
async def test_a_token_refused_inside_a_stream_doubles_no_text(tmp_path: Path, how: str) -> None:
    refused = complaint(401, "the token has expired")
    script = Script(stream(words(0, 5), refused, 0.02, CUT), stream(words(0, 8)))
    async with (
        script.url() as url,
        running(tmp_path, ALONE, backends={"a": f"url: {url}, {how}"}) as world,
    ):
        renewing(world)
        told = await world.call()
        await world.quiet()
        assert told.texts == words(0, 5), "no word twice"
        assert (told.outcome, told.done) == ("error", False)
        assert len(script.asked) == 1


@on_both_loops
async def test_a_token_refused_inside_the_second_answer_doubles_no_text(tmp_path: Path) -> None:
    refused = complaint(401, "the token has expired")
    second = stream(words(0, 7), refused, 0.02, CUT)
    script = Script(stream(words(0, 5), CUT), second, stream(words(0, 8)))
    async with (
        script.url() as url,
        running(tmp_path, ALONE, backends={"a": f"url: {url}"}) as world,
    ):
        renewing(world)
        told = await world.call()
        await world.quiet()
        assert told.texts == words(0, 7), "no word twice"
        assert (told.outcome, told.done) == ("error", False)
        assert len(script.asked) == 2


@on_both_loops
async def test_a_token_refused_before_content_is_renewed(tmp_path: Path) -> None:
    script = Script([complaint_head()], stream(words(0, 8)))
    async with (
        script.url() as url,
        running(tmp_path, ALONE, backends={"a": f"url: {url}"}) as world,
    ):
        renewing(world)
        told = await world.call()
        assert (told.outcome, told.texts) == ("success", words(0, 8))
        assert len(script.asked) == 2


def complaint_head() -> bytes:
    return b"HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
