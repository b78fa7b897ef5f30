"""wire/status.py: status lines that another parser reads."""

from http import HTTPStatus

import h11
import pytest

from trunkline.wire.status import STATUS_LINES


@pytest.mark.parametrize("status", [200, 204, 404, 418, 429, 499, 503, 529, 599, 999])
def test_h11_reads_the_line(status: int) -> None:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(STATUS_LINES[status] + b"content-length: 0\r\n\r\n")
    event = connection.next_event()
    assert isinstance(event, h11.Response)
    assert event.status_code == status


def test_registered_ones_have_their_phrase() -> None:
    assert STATUS_LINES[404] == b"HTTP/1.1 404 Not Found\r\n"
    assert STATUS_LINES[529] == b"HTTP/1.1 529 \r\n"
    assert {STATUS_LINES[status] for status in HTTPStatus} == {
        f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
    }
