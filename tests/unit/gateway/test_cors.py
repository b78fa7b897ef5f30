"""gateway/cors.py: which origins are answered, and that caches keep their answers apart."""

import pytest

from trunkline.errors import Fault
from trunkline.gateway.cors import Cors
from trunkline.wire.head import RequestHead, RequestHeads


def head(lines: str = "") -> RequestHead:
    read = RequestHeads(10).read(f"GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n".encode())
    assert not isinstance(read, Fault)
    return read[0]


KNOWN = head("Origin: https://app.test\r\n")
OTHER = head("Origin: https://other.test\r\n")


@pytest.mark.parametrize("origins", [["https://app.test"], ["*"]])
def test_every_answer_says_that_it_depends_on_the_origin(origins: list[str]) -> None:
    cors = Cors(origins)
    for request in (KNOWN, OTHER, head()):
        assert cors.answer(request).count(b"vary: origin\r\n") == 1
        assert cors.preflight(request).count(b"vary: origin\r\n") == 1


def test_only_known_origins_are_allowed() -> None:
    cors = Cors(["https://app.test"])
    assert b"access-control-allow-origin: https://app.test\r\n" in cors.answer(KNOWN)
    assert b"access-control-allow-methods: " in cors.preflight(KNOWN)
    for request in (OTHER, head()):
        assert cors.answer(request) == cors.preflight(request) == b"vary: origin\r\n"
    assert not cors.is_foreign(KNOWN)
    assert cors.is_foreign(OTHER)


def test_without_origins_nothing_is_said() -> None:
    cors = Cors([])
    assert cors.answer(KNOWN) == cors.preflight(KNOWN) == b""


@pytest.mark.parametrize(
    ("origin", "foreign"),
    [
        *(("http://localhost:3000", False), ("http://127.0.0.1", False), ("http://[::1]:1", False)),
        *(("null", True), ("https://app.test", True), ("http://[", True), ("", True)),
    ],
)
def test_pages_of_this_machine_are_not_foreign(origin: str, foreign: bool) -> None:
    assert Cors([]).is_foreign(head(f"Origin: {origin}\r\n")) is foreign
