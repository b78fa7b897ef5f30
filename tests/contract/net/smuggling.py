"""Raw requests that two servers may read differently: the corpus, as rows of (what it tries, its bytes).

Behind every row follows a request for /smuggled, which must never be seen by anybody.
"""

SMUGGLED = b"POST /v1/smuggled HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
_CHUNK = b"1\r\nx\r\n0\r\n\r\n"


def _post(*lines: bytes, body: bytes = b"", line: bytes = b"POST /v1/a HTTP/1.1") -> bytes:
    return b"\r\n".join((line, b"Host: h", *lines, b"", body))


def _te(*lines: bytes) -> bytes:
    return _post(*lines, body=_CHUNK)


def _chunks(body: bytes) -> bytes:
    return _post(b"Transfer-Encoding: chunked", body=body)


REFUSED: dict[str, bytes] = {
    # which of two lengths
    "CL.TE": _post(b"Content-Length: 12", b"Transfer-Encoding: chunked", body=_CHUNK),
    "TE.CL": _post(b"Transfer-Encoding: chunked", b"Content-Length: 3", body=_CHUNK),
    "CL.TE, case": _post(b"content-length: 12", b"tRANSFER-eNCODING: cHUNKED", body=_CHUNK),
    "CL 0 with TE": _post(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=_CHUNK),
    "CL.CL different": _post(b"Content-Length: 0", b"Content-Length: 5", body=b"12345"),
    "CL.CL equal": _post(b"Content-Length: 5", b"Content-Length: 5", body=b"12345"),
    "CL.CL different case": _post(b"Content-Length: 5", b"content-length: 5", body=b"12345"),
    "CL list different": _post(b"Content-Length: 5, 6", body=b"12345"),
    "CL list equal": _post(b"Content-Length: 5, 5", body=b"12345"),
    # lengths that are no number to some
    "CL plus": _post(b"Content-Length: +5", body=b"12345"),
    "CL minus": _post(b"Content-Length: -5", body=b"12345"),
    "CL hex": _post(b"Content-Length: 0x5", body=b"12345"),
    "CL space inside": _post(b"Content-Length: 1 0", body=b"1234567890"),
    "CL tab inside": _post(b"Content-Length: 1\t0", body=b"1234567890"),
    "CL underscore": _post(b"Content-Length: 1_0", body=b"1234567890"),
    "CL float": _post(b"Content-Length: 5.0", body=b"12345"),
    "CL exponent": _post(b"Content-Length: 1e1", body=b"1234567890"),
    "CL empty": _post(b"Content-Length: ", body=b""),
    "CL without value": _post(b"Content-Length:", body=b""),
    "CL huge": _post(b"Content-Length: 18446744073709551621", body=b"12345"),
    "CL other digits": _post(b"Content-Length: \xef\xbc\x95", body=b"12345"),
    "CL quoted": _post(b'Content-Length: "5"', body=b"12345"),
    "CL semicolon": _post(b"Content-Length: 5;5", body=b"12345"),
    # codings under a mask
    "TE unknown": _te(b"Transfer-Encoding: xchunked"),
    "TE identity": _te(b"Transfer-Encoding: identity"),
    "TE gzip, chunked": _te(b"Transfer-Encoding: gzip, chunked"),
    "TE chunked, identity": _te(b"Transfer-Encoding: chunked, identity"),
    "TE chunked twice": _te(b"Transfer-Encoding: chunked, chunked"),
    "TE.TE": _te(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
    "TE.TE equal": _te(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "TE.TE cow": _te(b"Transfer-Encoding: chunked", b"Transfer-encoding: cow"),
    "TE empty": _te(b"Transfer-Encoding: "),
    "TE comma": _te(b"Transfer-Encoding: ,chunked"),
    "TE parameter": _te(b"Transfer-Encoding: chunked;q=1"),
    "TE quoted": _te(b'Transfer-Encoding: "chunked"'),
    "TE vertical tab": _te(b"Transfer-Encoding: \x0bchunked"),
    "TE form feed": _te(b"Transfer-Encoding: chunked\x0c"),
    "TE next line sign": _te(b"Transfer-Encoding: chunked\x85"),
    "TE space before colon": _te(b"Transfer-Encoding : chunked"),
    "TE tab before colon": _te(b"Transfer-Encoding\t: chunked"),
    "TE folded": _te(b"Transfer-Encoding:", b" chunked"),
    "TE behind a folded line": _te(b"X: 1", b" Transfer-Encoding: chunked"),
    "TE in HTTP/1.0": _post(b"Transfer-Encoding: chunked", body=_CHUNK, line=b"POST /v1/a HTTP/1.0"),
    "TE behind bare CR": _te(b"X: 1\rTransfer-Encoding: chunked"),
    "TE behind bare LF": _te(b"X: 1\nTransfer-Encoding: chunked"),
    "TE with NUL": _te(b"Transfer-Encoding: chunked\x00"),
    "name with NUL": _te(b"Transfer-Encoding\x00: chunked"),
    "name with a control": _te(b"\x01Transfer-Encoding: chunked"),
    "name empty": _post(b": x"),
    "name not ASCII": _post("Content-Längth: 5".encode()),
    "line without colon": _post(b"Content-Length 5"),
    "name with a parenthesis": _post(b"X(: 1"),
    # line ends
    "LF line ends": _post(b"X: 1").replace(b"\r\n", b"\n"),
    "one LF line end": b"GET /v1/a HTTP/1.1\r\nHost: h\nX: 1\r\n\r\n",
    "LF blank line": b"GET /v1/a HTTP/1.1\r\nHost: h\r\n\n",
    "CR line ends": b"GET /v1/a HTTP/1.1\rHost: h\r\r\n\r\n",
    "CR in a value": _post(b"X: a\rb"),
    "CR CR LF": b"GET /v1/a HTTP/1.1\r\r\nHost: h\r\n\r\n",
    "folded header": _post(b"X: 1", b"\tmore"),
    "folded first header": b"GET /v1/a HTTP/1.1\r\n X: 1\r\nHost: h\r\n\r\n",
    # chunks
    "chunk 0x": _chunks(b"0x1\r\nx\r\n0\r\n\r\n"),
    "chunk plus": _chunks(b"+1\r\nx\r\n0\r\n\r\n"),
    "chunk minus": _chunks(b"-1\r\nx\r\n0\r\n\r\n"),
    "chunk underscore": _chunks(b"1_0\r\n1234567890123456\r\n0\r\n\r\n"),
    "chunk space before": _chunks(b" 1\r\nx\r\n0\r\n\r\n"),
    "chunk space behind": _chunks(b"1 \r\nx\r\n0\r\n\r\n"),
    "chunk size empty": _chunks(b"\r\nx\r\n0\r\n\r\n"),
    "chunk no hex": _chunks(b"g\r\nx\r\n0\r\n\r\n"),
    "chunk size of 65 bits": _chunks(b"10000000000000001\r\nx\r\n0\r\n\r\n"),
    "chunk many zeros": _chunks(b"0" * 40 + b"1\r\nx\r\n0\r\n\r\n"),
    "chunk LF": _chunks(b"1\nx\r\n0\r\n\r\n"),
    "chunk CR": _chunks(b"1\rx\r\n0\r\n\r\n"),
    "chunk data LF": _chunks(b"1\r\nx\n0\r\n\r\n"),
    "chunk longer than its size": _chunks(b"1\r\nxy\r\n0\r\n\r\n"),
    "chunk without its CRLF": _chunks(b"1\r\nx0\r\n\r\n"),
    "last chunk LF": _chunks(b"1\r\nx\r\n0\n\n"),
    "extension with LF": _chunks(b"1;a\nx\r\n0\r\n\r\n"),
    "extension with CR": _chunks(b"1;a\rb\r\nx\r\n0\r\n\r\n"),
    "extension with NUL": _chunks(b"1;\x00\r\nx\r\n0\r\n\r\n"),
    "extension of 10 KiB": _chunks(b"1;" + b"a" * 10_000 + b"\r\nx\r\n0\r\n\r\n"),
    "trailer without colon": _chunks(b"1\r\nx\r\n0\r\nGET /v1/x HTTP/1.1\r\n\r\n"),
    "trailer LF": _chunks(b"1\r\nx\r\n0\r\nX: 1\n\r\n"),
    "trailer folded": _chunks(b"1\r\nx\r\n0\r\nX: 1\r\n 2\r\n\r\n"),
    "trailers without end": _chunks(b"1\r\nx\r\n0\r\n" + b"X: 1\r\n" * 100),
    # hosts
    "two hosts": _post(b"Host: other"),
    "two equal hosts": _post(b"Host: h"),
    "no host": b"GET /v1/a HTTP/1.1\r\nX: 1\r\n\r\n",
    "host with a space": b"GET /v1/a HTTP/1.1\r\nHost: a b\r\n\r\n",
    "host with a slash": b"GET /v1/a HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "host with a user": b"GET /v1/a HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "host list": b"GET /v1/a HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "host folded": b"GET /v1/a HTTP/1.1\r\nHost:\r\n h\r\n\r\n",
    # request lines
    "HTTP/0.9": b"GET /v1/a\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2.0": _post(line=b"GET /v1/a HTTP/2.0"),
    "HTTP/1.2": _post(line=b"GET /v1/a HTTP/1.2"),
    "HTTP/1.10": _post(line=b"GET /v1/a HTTP/1.10"),
    "HTTP/01.1": _post(line=b"GET /v1/a HTTP/01.1"),
    "version in lower case": _post(line=b"GET /v1/a http/1.1"),
    "version with a space behind": _post(line=b"GET /v1/a HTTP/1.1 "),
    "tabs": _post(line=b"GET\t/v1/a\tHTTP/1.1"),
    "two spaces": _post(line=b"GET  /v1/a HTTP/1.1"),
    "space in the target": _post(line=b"GET /v1/a b HTTP/1.1"),
    "two request lines": _post(line=b"GET /v1/a HTTP/1.1 GET /v1/b HTTP/1.1"),
    "space in front": _post(line=b" GET /v1/a HTTP/1.1"),
    "no target": _post(line=b"GET HTTP/1.1"),
    "no method": _post(line=b"/v1/a HTTP/1.1"),
    "method with a colon": _post(line=b"GET: /v1/a HTTP/1.1"),
    "method too long": _post(line=b"A" * 33 + b" /v1/a HTTP/1.1"),
    "target not ASCII": _post(line="GET /v1/ä HTTP/1.1".encode()),
    "target with NUL": _post(line=b"GET /v1/\x00 HTTP/1.1"),
    "target with DEL": _post(line=b"GET /v1/\x7f HTTP/1.1"),
    "target with CR": _post(line=b"GET /v1/\ra HTTP/1.1"),
    "target with a fragment": _post(line=b"GET /v1/a#b HTTP/1.1"),
    "target with a backslash": _post(line=b"GET /v1\\a HTTP/1.1"),
    "byte order mark": b"\xef\xbb\xbf" + _post(line=b"GET /v1/a HTTP/1.1"),
    "a TLS hello": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
    "two Expect": _post(b"Expect: 100-continue", b"Expect: x"),
    "two Content-Type": _post(b"Content-Type: application/json", b"Content-Type: text/plain"),
    "two Authorization": _post(b"Authorization: Bearer a", b"Authorization: Bearer b"),
}

_TAKEN = b"POST /v1/a"
TAKEN: dict[str, tuple[bytes, list[tuple[bytes, bytes]]]] = {
    # The bytes, and (request line up to the version, body) of each request that they are.
    "GET with a body": (
        _post(
            b"Content-Length: 36",
            line=b"GET /v1/a HTTP/1.1",
            body=b"GET /v1/hidden HTTP/1.1\r\nHost: h\r\n\r\n",
        ),
        [(b"GET /v1/a", b"GET /v1/hidden HTTP/1.1\r\nHost: h\r\n\r\n")],
    ),
    "length 0 with a request behind it": (
        _post(b"Content-Length: 0") + _post(line=b"GET /v1/b HTTP/1.1"),
        [(_TAKEN, b""), (b"GET /v1/b", b"")],
    ),
    "leading zeros": (_post(b"Content-Length: 005", body=b"12345"), [(_TAKEN, b"12345")]),
    "spaces round the length": (_post(b"Content-Length: \t5 \t", body=b"12345"), [(_TAKEN, b"12345")]),
    "no space before the length": (_post(b"Content-Length:5", body=b"12345"), [(_TAKEN, b"12345")]),
    "chunked in capitals": (_te(b"Transfer-Encoding: CHUNKED"), [(_TAKEN, b"x")]),
    "chunk size in capitals, with zeros": (
        _chunks(b"00A\r\n0123456789\r\n000\r\n\r\n"),
        [(_TAKEN, b"0123456789")],
    ),
    "extension": (_chunks(b'1;a="b;c"\r\nx\r\n0;z\r\n\r\n'), [(_TAKEN, b"x")]),
    "percent-encoded line end": (
        _post(line=b"GET /v1/a%0d%0aX:%201 HTTP/1.1"),
        [(b"GET /v1/a%0d%0aX:%201", b"")],
    ),
    "absolute target with another host": (
        _post(line=b"GET http://other/v1/a HTTP/1.1"),
        [(b"GET http://other/v1/a", b"")],
    ),
    "length named as a hop's own": (
        _post(b"Connection: content-length, host, transfer-encoding", b"Content-Length: 5", body=b"12345"),
        [(_TAKEN, b"12345")],
    ),
    "length in the trailers": (_chunks(b"1\r\nx\r\n0\r\nContent-Length: 50\r\n\r\n"), [(_TAKEN, b"x")]),
    "length inside another value": (
        _post(b"X: a Content-Length: 50", b"Content-Length: 2", body=b"{}"),
        [(_TAKEN, b"{}")],
    ),
    "a length that is another header's": (_post(b"X-Content-Length: 50"), [(_TAKEN, b"")]),
    "values that are not ASCII": (_post(b"X: \xe4\xff"), [(_TAKEN, b"")]),
}
