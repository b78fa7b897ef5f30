import asyncio
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest

from tests.unit.credentials.scripted import (
    SECRET,
    SETTINGS,
    T0,
    URL,
    Provider,
    landed,
    line,
    request,
    run,
)


def test_what_is_asked() -> None:
    async def main() -> None:
        idp = Provider()
        assert await idp.credential().obtain() == line("t-1")
        [(url, fields, body, timeout)] = idp.asked
        assert url == URL
        assert timeout == 10.0
        assert (b"content-type", b"application/x-www-form-urlencoded") in fields
        assert (b"accept", b"application/json") in fields
        assert body.startswith(b"grant_type=client_credentials&client_id=me%40home&client_secret=p%2Bq%2F")
        assert parse_qsl(body.decode(), strict_parsing=True) == [
            ("grant_type", "client_credentials"),
            ("client_id", "me@home"),
            ("client_secret", SECRET),
        ]

    run(main)


def test_a_scope_is_sent_if_there_is_one() -> None:
    async def main() -> None:
        idp = Provider()
        await idp.credential(msgspec.structs.replace(SETTINGS, scope="a/.default b+c")).obtain()
        assert parse_qsl(idp.asked[0][2].decode())[-1] == ("scope", "a/.default b+c")

    run(main)


@pytest.mark.parametrize(
    ("fields", "after", "fetches"),
    [
        ({"expires_in": 3600}, 0, 1),
        ({"expires_in": 3600}, 3539, 1),
        ({"expires_in": 3600}, 3540, 2),
        ({"expires_in": 3600}, 3599, 2),
        ({"expires_in": 3600}, 3600, 2),
        ({"expires_in": "3600"}, 3539, 1),
        ({"expires_in": "3600"}, 3540, 2),
        ({"expires_in": 3600.0}, 3539, 1),
        ({}, 3539, 1),
        ({}, 3540, 2),
        ({"expires_in": 61}, 0, 1),
        ({"expires_in": 61}, 0.9, 1),
        ({"expires_in": 61}, 1, 2),
        ({"expires_in": 61}, 3539, 2),
        ({"expires_in": 60}, 0, 2),
        ({"expires_in": 30}, 0, 2),
        ({"expires_in": 0}, 0, 2),
        ({"expires_in": -1}, 0, 2),
    ],
)
def test_the_expiry_table(fields: dict[str, Any], after: float, fetches: int) -> None:
    async def main() -> None:
        idp = Provider(**fields)
        credential = idp.credential()
        assert await request(credential, idp.now) == line("t-1")
        idp.now += after
        assert isinstance(await request(credential, idp.now), bytes)
        await landed(credential)
        assert len(idp.asked) == fetches

    run(main)


@pytest.mark.parametrize("expires_in", [0, 30, 60])
def test_a_short_token_is_used_by_who_asked_and_fetched_once_for_each_request(expires_in: int) -> None:
    async def main() -> None:
        idp = Provider(expires_in=expires_in)
        credential = idp.credential()
        got = [await request(credential, idp.now) for _ in range(4)]
        assert got == [line("t-1"), line("t-2"), line("t-3"), line("t-4")]
        assert len(idp.asked) == 4

    run(main)


def test_a_margin_of_ones_own() -> None:
    async def main() -> None:
        idp = Provider(expires_in=50)
        credential = idp.credential(msgspec.structs.replace(SETTINGS, margin=10.0, timeout=3.0))
        await credential.obtain()
        assert credential.header(T0 + 39) == line("t-1")
        assert len(idp.asked) == 1
        assert idp.asked[0][3] == 3.0
        assert credential.header(T0 + 40) == line("t-1")
        await landed(credential)
        assert len(idp.asked) == 2

    run(main)


def test_the_lifetime_counts_from_the_question() -> None:
    async def main() -> None:
        idp = Provider(expires_in=100)
        idp.takes = 7.0
        credential = idp.credential()
        assert await credential.obtain() == line("t-1")
        idp.open.clear()
        assert credential.header(T0 + 99) == line("t-1")
        assert credential.header(T0 + 100) is None
        idp.open.set()
        await landed(credential)

    run(main)


def test_within_the_margin_the_old_token_serves_while_one_fetch_runs_behind() -> None:
    async def main() -> None:
        idp = Provider(expires_in=3600)
        credential = idp.credential()
        await credential.obtain()
        idp.open.clear()
        idp.now += 3550
        assert [credential.header(idp.now) for _ in range(50)] == [line("t-1")] * 50
        assert await credential.obtain() == line("t-1")
        await asyncio.sleep(0)
        assert len(idp.asked) == 2
        idp.open.set()
        await landed(credential)
        assert credential.header(idp.now) == line("t-2")
        assert len(idp.asked) == 2

    run(main)


def test_a_hundred_requests_share_one_fetch() -> None:
    async def main() -> None:
        idp = Provider()
        credential = idp.credential()
        idp.open.clear()
        requests = [asyncio.ensure_future(request(credential, idp.now)) for _ in range(100)]
        await asyncio.sleep(0)
        assert repr(credential).endswith("fetching>")
        idp.open.set()
        assert set(await asyncio.gather(*requests)) == {line("t-1")}
        assert len(idp.asked) == 1

    run(main)


def test_who_leaves_does_not_end_the_fetch_for_the_others() -> None:
    async def main() -> None:
        idp = Provider()
        credential = idp.credential()
        idp.open.clear()
        first, second = (asyncio.ensure_future(credential.obtain()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        idp.open.set()
        assert await second == line("t-1")

    run(main)


def test_when_all_have_left_the_next_one_joins_the_fetch() -> None:
    async def main() -> None:
        idp = Provider()
        credential = idp.credential()
        idp.open.clear()
        first = asyncio.ensure_future(credential.obtain())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait((first,))
        idp.open.set()
        assert await credential.obtain() == line("t-1")
        assert len(idp.asked) == 1

    run(main)
