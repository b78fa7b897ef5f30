"""providers/dialects.py: the table, and that its members fit together."""

import msgspec

from trunkline.providers.dialects import DIALECTS
from trunkline.providers.registry import PROVIDERS
from trunkline.providers.shape import Shaped


def test_rows_name_what_there_is() -> None:
    assert {row.dialect for row in PROVIDERS.values()} - {""} == set(DIALECTS)


def test_what_is_asked_for_is_among_its_fields_and_can_be_asked() -> None:
    for dialect in DIALECTS.values():
        fields = {"messages": msgspec.Raw(b"[]"), **dict.fromkeys(dialect.fields, msgspec.Raw(b"{}"))}
        assert set(dialect.asked(fields)) == dialect.fields
        assert not dialect.asked({"messages": msgspec.Raw(b"[]")})
        assert isinstance(dialect.request({"messages": msgspec.Raw(b"[]")}), Shaped)
        assert dialect.path.startswith("/")


def test_its_answers_are_read() -> None:
    line = b'{"message":{"content":"hi"},"done":true}'
    for dialect in DIALECTS.values():
        stream = dialect.stream("m", request_id="i", created=1)
        assert stream.feed(line) + stream.end() != b""
        assert dialect.whole(line, "m", request_id="i", created=1) is not None
