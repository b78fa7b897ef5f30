import asyncio

import msgspec
import pytest

from tests.unit.credentials.scripted import (
    DEAD,
    SECRET,
    SETTINGS,
    T0,
    Provider,
    Reply,
    landed,
    line,
    request,
    run,
    says,
)
from trunkline import errors
from trunkline.credentials.oauth2 import (
    FIRST_PAUSE,
    FORCED_WINDOW,
    LONGEST_PAUSE,
    MAX_FORCED,
    Tokens,
    host_of,
)
from trunkline.errors import Fault


@pytest.mark.parametrize("first", [DEAD, says(500), says(503, ((b"retry-after", b"9"),))])
def test_a_dead_or_failing_endpoint_is_asked_once_more(first: Reply) -> None:
    async def main() -> None:
        idp = Provider()
        idp.replies = [first]
        idp.takes = 2.0
        assert await idp.credential().obtain() == line("t-1")
        assert [asked[3] for asked in idp.asked] == [10.0, 8.0]

    run(main)


def test_there_is_no_second_question_when_the_time_is_over() -> None:
    async def main() -> None:
        idp = Provider()
        idp.replies = [DEAD]
        idp.takes = 10.0
        assert isinstance(await idp.credential().obtain(), Fault)
        assert len(idp.asked) == 1

    run(main)


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 429])
def test_a_refusal_is_final(status: int) -> None:
    async def main() -> None:
        idp = Provider()
        idp.replies = [says(status, error="invalid_client")]
        assert isinstance(await idp.credential().obtain(), Fault)
        assert len(idp.asked) == 1

    run(main)


def test_no_token_is_a_502_with_the_reason() -> None:
    async def main() -> None:
        idp = Provider()
        idp.replies = [says(401, error="invalid_client", error_description=f"wrong secret {SECRET}")]
        fault = await idp.credential().obtain()
        assert isinstance(fault, Fault)
        assert fault.http_status == 502
        assert fault.error_code == "upstream_error"
        assert fault.kind.blame is errors.Blame.BACKEND
        assert fault.answer is None
        assert fault.message == (
            "no OAuth2 token from login.example:8443: invalid_client: wrong secret *** (status 401); "
            "check `client_id` and `client_secret`"
        )

    run(main)


def test_an_unreachable_endpoint_is_a_502_too() -> None:
    async def main() -> None:
        idp = Provider()
        idp.replies = [DEAD, Fault(errors.CONNECT_TIMEOUT, "took longer than 8 s")]
        fault = await idp.credential().obtain()
        assert isinstance(fault, Fault)
        assert fault.http_status == 502
        assert fault.message == "no OAuth2 token from login.example:8443: took longer than 8 s"

    run(main)


def test_a_dead_identity_provider_is_not_hammered() -> None:
    async def main() -> None:
        idp = Provider()
        credential = idp.credential()
        pauses: list[float] = []
        for _ in range(8):
            idp.replies = [says(400, error="odd")]
            before = len(idp.asked)
            fault = await credential.obtain()
            assert isinstance(fault, Fault)
            paused_until = credential._paused_until
            pauses.append(paused_until - idp.now)
            idp.now = paused_until - 0.001
            assert [await credential.obtain() for _ in range(100)] == [fault] * 100
            assert len(idp.asked) == before + 1
            idp.now = paused_until
        assert pauses == [FIRST_PAUSE, 2, 4, 8, 16, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
        assert repr(credential).endswith("failed>")
        assert await credential.obtain() == line("t-1")
        idp.now += 3600
        idp.replies = [says(400, error="odd")]
        await credential.obtain()
        assert credential._paused_until == idp.now + FIRST_PAUSE

    run(main)


@pytest.mark.parametrize(("wanted", "pause"), [(b"7", 7.0), (b"0", FIRST_PAUSE), (b"3600", LONGEST_PAUSE)])
def test_the_pause_that_the_identity_provider_asks_for(wanted: bytes, pause: float) -> None:
    async def main() -> None:
        idp = Provider()
        credential = idp.credential()
        idp.replies = [says(429, ((b"retry-after", wanted),), error="slow_down")]
        await credential.obtain()
        assert credential._paused_until == T0 + pause

    run(main)


def test_a_valid_token_is_used_though_it_cannot_be_renewed() -> None:
    async def main() -> None:
        idp = Provider(expires_in=3600)
        credential = idp.credential()
        await credential.obtain()
        for after in (3550, 3560, 3599):
            idp.now = T0 + after
            idp.replies = [says(400, error="down")]
            assert credential.header(idp.now) == line("t-1")
            await landed(credential)
            assert credential.header(idp.now) == line("t-1")
            assert idp.replies == []
        idp.now = T0 + 3600
        fault = await request(credential, idp.now)
        assert isinstance(fault, Fault)
        assert "down (status 400)" in fault.message
        assert len(idp.asked) == 4

    run(main)


def test_a_short_but_valid_token_is_used_though_it_cannot_be_renewed() -> None:
    async def main() -> None:
        idp = Provider(expires_in=30)
        credential = idp.credential()
        await credential.obtain()
        idp.replies = [says(400, error="down")]
        idp.now += 10
        assert await request(credential, idp.now) == line("t-1")
        assert await request(credential, idp.now) == line("t-1")
        assert len(idp.asked) == 2
        idp.now += 20
        idp.replies = [says(400, error="down")]
        assert isinstance(await request(credential, idp.now), Fault)

    run(main)


def test_a_hundred_401s_make_one_fetch() -> None:
    async def main() -> None:
        idp = Provider()
        credential = idp.credential()
        await credential.obtain()

        async def refused() -> bytes | Fault:
            assert credential.invalidate(line("t-1"))
            return await request(credential, idp.now)

        assert set(await asyncio.gather(*(refused() for _ in range(100)))) == {line("t-2")}
        assert len(idp.asked) == 2
        # One that comes late does not cost the new token.
        assert credential.invalidate(line("t-1"))
        assert credential.header(idp.now) == line("t-2")

    run(main)


def test_a_refused_token_comes_back_where_it_cannot_be_renewed() -> None:
    async def main() -> None:
        idp = Provider()
        credential = idp.credential()
        await credential.obtain()
        idp.replies = [says(400, error="down")] * 2
        idp.open.clear()
        assert credential.invalidate(line("t-1"))
        assert credential.header(idp.now) is None
        waiting = [asyncio.ensure_future(request(credential, idp.now)) for _ in range(3)]
        await asyncio.sleep(0)
        # Who is refused meanwhile waits for the same fetch.
        assert credential.invalidate(line("t-1"))
        idp.open.set()
        assert await asyncio.gather(*waiting) == [line("t-1")] * 3
        # Until the next fetch may be made, a 401 is the caller's own and costs the others nothing.
        for _ in range(100):
            assert not credential.invalidate(line("t-1"))
            assert await request(credential, idp.now) == line("t-1")
        assert len(idp.asked) == 2
        # Then one is made behind the back of whoever comes, and after the second failure the pause is longer.
        idp.now += FIRST_PAUSE
        assert await request(credential, idp.now) == line("t-1")
        await landed(credential)
        assert len(idp.asked) == 3
        idp.now += FIRST_PAUSE
        assert not credential.invalidate(line("t-1"))
        idp.now += FIRST_PAUSE
        assert credential.invalidate(line("t-1"))
        assert await request(credential, idp.now) == line("t-2")

    run(main)


def test_a_refused_token_does_not_come_back_after_its_end() -> None:
    async def main() -> None:
        idp = Provider(expires_in=3600)
        credential = idp.credential()
        await credential.obtain()
        idp.now += 3595
        assert credential.invalidate(line("t-1"))
        idp.takes = 5.0
        idp.replies = [says(400, error="down")]
        assert isinstance(await request(credential, idp.now), Fault)
        assert isinstance(await request(credential, idp.now), Fault)
        assert len(idp.asked) == 2

    run(main)


def test_an_upstream_that_refuses_every_token_does_not_wear_out_the_identity_provider() -> None:
    async def main() -> None:
        idp = Provider()
        credential = idp.credential()
        for _ in range(50):
            sent = await request(credential, idp.now)
            assert isinstance(sent, bytes)
            credential.invalidate(sent)
        assert len(idp.asked) == MAX_FORCED + 1
        last = await request(credential, idp.now)
        assert isinstance(last, bytes)
        assert not credential.invalidate(last)
        idp.now += FORCED_WINDOW
        assert credential.invalidate(last)

    run(main)


def test_secrets_are_masked_in_what_others_say() -> None:
    async def main() -> None:
        idp = Provider()
        credential = idp.credential()
        assert credential.mask(b"nothing") == b"nothing"
        await credential.obtain()
        credential.invalidate(line("t-1"))
        await credential.obtain()
        said = f"t-1 t-2 {SECRET} p%2Bq%2Fs3cr3t%20%26%3D%25%C3%BC p%2Bq%2Fs3cr3t+%26%3D%25%C3%BC me@home".encode()
        assert credential.mask(said) == b"*** *** *** *** *** me@home"

    run(main)


def test_an_error_that_quotes_the_token_in_use_does_not_show_it() -> None:
    async def main() -> None:
        idp = Provider()
        credential = idp.credential()
        await credential.obtain()
        credential.invalidate(line("t-1"))
        idp.now += 3600
        idp.replies = [says(400, error="odd", error_description="you had t-1")]
        fault = await credential.obtain()
        assert isinstance(fault, Fault)
        assert "you had ***" in fault.message

    run(main)


def test_what_is_shown_holds_no_secret() -> None:
    async def main() -> None:
        idp = Provider()
        credential = idp.credential()
        assert repr(credential) == "<OAuth2Credential me@home at login.example:8443: new>"
        await credential.obtain()
        assert repr(credential) == "<OAuth2Credential me@home at login.example:8443: has a token>"

    run(main)
    assert repr(SETTINGS) == "<ClientCredentials me@home at login.example:8443>"
    assert SETTINGS.__rich_repr__() == [("client_id", "me@home")]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://h:1", "h:1"),
        ("HTTPS://u:p@h/x@y", "h"),
        ("https://[::1]:1/x", "[::1]:1"),
        ("https://h?k=@v", "h"),
        ("nonsense", "the token endpoint"),
    ],
)
def test_the_part_of_a_url_that_is_shown(url: str, host: str) -> None:
    assert host_of(url) == host


def test_closing_tells_those_who_wait() -> None:
    async def main() -> None:
        idp = Provider()
        tokens = Tokens(idp.clock)
        idle, busy = tokens.credential(SETTINGS, idp.send), tokens.credential(SETTINGS, idp.send, "proxy")
        idp.open.clear()
        waiting = asyncio.ensure_future(busy.obtain())
        await asyncio.sleep(0)
        tokens.close()
        fault = await waiting
        assert isinstance(fault, Fault)
        assert fault.kind is errors.SHUTTING_DOWN
        assert idle._flight is busy._flight is None

    run(main)


def test_backends_share_a_token_if_all_that_it_depends_on_is_the_same() -> None:
    idp = Provider()
    tokens = Tokens(idp.clock)
    one = tokens.credential(SETTINGS, idp.send)
    assert tokens.credential(msgspec.structs.replace(SETTINGS, margin=30.0), Provider().send) is one
    others = [
        tokens.credential(msgspec.structs.replace(SETTINGS, **change), idp.send)
        for change in (
            {"token_url": "https://other.example/token"},
            {"client_id": "you"},
            {"client_secret": "other"},
            {"scope": "a"},
            {"scope": "b"},
        )
    ]
    others.append(tokens.credential(SETTINGS, idp.send, "another proxy"))
    assert len({id(credential) for credential in (one, *others)}) == 7
    assert SECRET not in str(list(tokens._credentials))
