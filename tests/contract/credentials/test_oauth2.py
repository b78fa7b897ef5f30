"""OAuth2 client credentials against authlib's server in a process of its own, through TLS with a private CA."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from tests.contract.credentials.calling import SECRET, IdentityProvider
from trunkline.credentials.oauth2 import FIRST_PAUSE, OAuth2Credential
from trunkline.errors import Fault

NO_TOKENS: list[tuple[list[Any], str]] = [
    ([302, [["location", "https://127.0.0.1:1/"]], "", 0], "the answer is 302: redirects are not followed"),
    ([200, [], "access_token=t-canary&token_type=bearer", 0], "the answer is a form, not JSON"),
    ([200, [], '{"access_token": "t-canary\\r\\nx-evil: 1"}', 0], "holds characters that no header may hold"),
    ([200, [], " " * 70_000, 0], "longer than 64 KiB"),
    ([200, [], "<html>login</html>", 0], "not a JSON object"),
    ([403, [], '{"error": "odd", "error_description": "you sent ' + SECRET + '"}', 0], "odd: you sent ***"),
]  # fmt: skip

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(
    params=[
        pytest.param(uvloop.new_event_loop, id="uvloop"),
        pytest.param(asyncio.new_event_loop, id="asyncio"),
    ]
)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


async def line_of(credential: OAuth2Credential, now: float) -> bytes:
    line = credential.header(now) or await credential.obtain()
    assert isinstance(line, bytes), line
    return line


async def landed(credential: OAuth2Credential) -> None:
    while credential._flight is not None:
        await asyncio.sleep(0.01)


async def fault_of(credential: OAuth2Credential) -> str:
    fault = await credential.obtain()
    assert isinstance(fault, Fault)
    assert fault.http_status == 502
    assert SECRET not in fault.message
    return fault.message


def test_a_secret_of_any_characters_gets_a_token_that_the_resource_takes(
    idp: IdentityProvider, run: Run
) -> None:
    async def main() -> None:
        credential = idp.credential()
        for _ in range(3):
            assert await idp.ask(await line_of(credential, idp.now)) == 200
        counts = await idp.control()
        assert (counts["asked"], counts["served"], counts["scopes"]) == (1, 3, [""])

    run(main())


def test_a_scope_of_several_words(idp: IdentityProvider, run: Run) -> None:
    async def main() -> None:
        scope = "read https://models.example/.default"
        assert await idp.ask(await line_of(idp.credential(scope=scope), 0.0)) == 200
        assert (await idp.control())["scopes"] == [scope]

    run(main())


def test_without_a_token_the_resource_answers_401(idp: IdentityProvider, run: Run) -> None:
    async def main() -> None:
        assert await idp.ask(b"authorization: Bearer made-up\r\n") == 401

    run(main())


@pytest.mark.parametrize("expires_in", [120, "120", 120.0, "120.0"])
def test_the_token_is_renewed_behind_the_requests(idp: IdentityProvider, run: Run, expires_in: Any) -> None:
    async def main() -> None:
        await idp.control(expires_in=expires_in)
        credential = idp.credential()
        first = await line_of(credential, idp.now)
        idp.now = 59.9
        assert await line_of(credential, idp.now) == first
        idp.now = 60.0
        assert credential.header(idp.now) == first
        await landed(credential)
        second = await line_of(credential, idp.now)
        assert second != first
        assert await idp.ask(second) == 200
        assert (await idp.control())["asked"] == 2

    run(main())


def test_the_token_type_is_the_servers(idp: IdentityProvider, run: Run) -> None:
    async def main() -> None:
        await idp.control(token_type="bearer")
        line = await line_of(idp.credential(), 0.0)
        assert line.startswith(b"authorization: bearer ")
        assert await idp.ask(line) == 200

    run(main())


def test_a_hundred_calls_with_a_revoked_token_make_one_fetch(idp: IdentityProvider, run: Run) -> None:
    async def main() -> None:
        credential = idp.credential()

        async def call() -> tuple[int, int]:
            line = await line_of(credential, idp.now)
            first = await idp.ask(line)
            if first == 401 and credential.invalidate(line):
                return first, await idp.ask(await line_of(credential, idp.now))
            return first, first

        assert await call() == (200, 200)
        await idp.control(revoke=True)
        assert set(await asyncio.gather(*(call() for _ in range(100)))) == {(401, 200)}
        assert (await idp.control())["asked"] == 2

    run(main())


def test_a_wrong_secret(idp: IdentityProvider, run: Run) -> None:
    async def main() -> None:
        message = await fault_of(idp.credential(client_secret="wrong-canary"))
        assert message.startswith(
            f"no OAuth2 token from {idp.base.removeprefix('https://')}: invalid_client: "
        )
        assert message.endswith("; check `client_id` and `client_secret`")
        assert "wrong-canary" not in message

    run(main())


def test_a_scope_that_the_server_does_not_know(idp: IdentityProvider, run: Run) -> None:
    async def main() -> None:
        message = await fault_of(idp.credential(scope="everything"))
        assert "invalid_scope: " in message
        assert message.endswith("; check `token_scope`")

    run(main())


def test_a_private_ca_that_the_backend_does_not_trust(idp: IdentityProvider, run: Run) -> None:
    async def main() -> None:
        message = await fault_of(idp.credential(idp.backend(ca_bundle_path=None)))
        assert "certificate verify failed" in message
        assert (await idp.control())["asked"] == 0

    run(main())


def test_certificates_are_not_checked_where_the_backend_does_not(idp: IdentityProvider, run: Run) -> None:
    async def main() -> None:
        credential = idp.credential(idp.backend(ca_bundle_path=None, ssl_verify=False))
        assert await idp.ask(await line_of(credential, 0.0)) == 200

    run(main())


def test_a_server_error_is_asked_again_and_a_refusal_is_not(idp: IdentityProvider, run: Run) -> None:
    async def main() -> None:
        await idp.control(instead=[[503, [], "busy", 0]])
        assert await idp.ask(await line_of(idp.credential(), 0.0)) == 200
        assert (await idp.control(instead=[[400, [], "{}", 0]]))["asked"] == 2
        assert "(status 400)" in await fault_of(idp.credential())
        assert (await idp.control())["asked"] == 3

    run(main())


def test_an_outage_is_survived_with_the_token_in_hand(idp: IdentityProvider, run: Run) -> None:
    async def main() -> None:
        credential = idp.credential()
        first = await line_of(credential, idp.now)
        await idp.control(instead=[[500, [], "<html>down</html>", 0]] * 2)
        idp.now = 3550.0
        assert credential.header(idp.now) == first
        await landed(credential)
        assert await idp.ask(await line_of(credential, idp.now)) == 200
        idp.now += FIRST_PAUSE
        assert credential.header(idp.now) == first
        await landed(credential)
        assert await line_of(credential, idp.now) != first

    run(main())


@pytest.mark.parametrize(("instead", "reason"), NO_TOKENS)
def test_what_is_no_token(idp: IdentityProvider, run: Run, instead: list[Any], reason: str) -> None:
    async def main() -> None:
        await idp.control(instead=[instead])
        message = await fault_of(idp.credential())
        assert reason in message
        assert "canary" not in message
        assert (await idp.control())["asked"] == 1

    run(main())


def test_a_server_that_is_too_slow(idp: IdentityProvider, run: Run) -> None:
    async def main() -> None:
        await idp.control(instead=[[200, [], "{}", 0.5]] * 2)
        assert "no answer within" in await fault_of(idp.credential(timeout=0.1))

    run(main())


def test_a_port_where_nobody_listens(idp: IdentityProvider, run: Run) -> None:
    async def main() -> None:
        message = await fault_of(idp.credential(token_url="https://127.0.0.1:1/token"))
        assert message.startswith("no OAuth2 token from 127.0.0.1:1: TCP connection to 127.0.0.1:1 failed")

    run(main())
