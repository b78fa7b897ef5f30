"""wire/encoding.py: compressed answers come out whole at any chunking, and never too large."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.wire import encoding
from trunkline.wire.encoding import BadEncodingError, Inflater

TEXT = b"data: hello, hello, hello\n\n" * 9


def raw_deflate(data: bytes, level: int = 6) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def inflate(coding: bytes, packed: bytes, size: int) -> bytes:
    inflater = Inflater(coding)
    plain = b"".join([inflater.feed(packed[at : at + size]) for at in range(0, len(packed), size)])
    assert inflater.whole
    assert repr(inflater) == "<Inflater done>"
    return plain


@given(st.binary(max_size=300), st.integers(0, 9), st.integers(1, 400))
def test_any_chunking_of_any_coding_gives_the_data(data: bytes, level: int, size: int) -> None:
    assert inflate(b"gzip", gzip.compress(data, level), size) == data
    assert inflate(b" X-GZIP ", gzip.compress(data, level), size) == data
    assert inflate(b"deflate", zlib.compress(data, level), size) == data
    assert inflate(b"Deflate", raw_deflate(data, level), size) == data


def test_what_was_flushed_comes_out_at_once() -> None:
    packer = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    inflater = Inflater(b"gzip")
    for _ in range(3):
        assert inflater.feed(packer.compress(TEXT) + packer.flush(zlib.Z_SYNC_FLUSH)) == TEXT
    assert not inflater.whole
    assert repr(inflater) == "<Inflater unfinished>"
    inflater.feed(packer.flush())
    assert inflater.whole


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_gzip_may_come_in_several_members(size: int) -> None:
    packed = gzip.compress(TEXT) + gzip.compress(b"") + gzip.compress(b"end")
    assert inflate(b"gzip", packed, size) == TEXT + b"end"


def test_an_unfinished_member_is_not_whole() -> None:
    inflater = Inflater(b"gzip")
    assert inflater.feed(gzip.compress(TEXT) + gzip.compress(TEXT)[:-1]) == TEXT * 2
    assert not inflater.whole


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip, gzip", b"", b"compress", b"\xff"])
def test_other_codings_are_not_understood(coding: bytes) -> None:
    with pytest.raises(BadEncodingError, match="was not asked for"):
        Inflater(coding)


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        (b"gzip", b"plain text"),
        (b"gzip", zlib.compress(TEXT)),
        (b"gzip", gzip.compress(TEXT, mtime=0) + b"trailing"),
        (b"gzip", gzip.compress(TEXT, mtime=0)[:-8] + bytes(8)),
        (b"deflate", b"\xff\xff\xff\xff"),
        (b"deflate", zlib.compress(TEXT) + b"trailing"),
        (b"deflate", zlib.compress(TEXT)[:-4] + bytes(4)),
    ],
)
def test_damaged_bodies(coding: bytes, packed: bytes) -> None:
    for size in (1, 1000):
        with pytest.raises(BadEncodingError, match="damaged"):
            inflate(coding, packed, size)


def test_one_piece_does_not_grow_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "MAX_OUTPUT", 1000)
    assert inflate(b"gzip", gzip.compress(bytes(1000)), 999) == bytes(1000)
    for packed in (gzip.compress(bytes(1001)), gzip.compress(bytes(10**7)), gzip.compress(bytes(600)) * 2):
        with pytest.raises(BadEncodingError, match="grows over 1000 bytes"):
            Inflater(b"gzip").feed(packed)


def test_one_piece_does_not_begin_members_without_end() -> None:
    empty = gzip.compress(b"")
    assert Inflater(b"gzip").feed(empty * 65) == b""
    with pytest.raises(BadEncodingError, match="members"):
        Inflater(b"gzip").feed(empty * 66)
