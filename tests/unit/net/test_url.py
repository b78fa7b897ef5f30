import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.net.url import (
    is_private_host,
    is_private_ip,
    join,
    join_raw,
    normalize,
    normalize_url,
    parse_base_url,
    redact,
)

CHAT = "/v1/chat/completions"

JOINS = [
    ("http://h:8000", "/v1/chat/completions"),
    ("http://h:8000/", "/v1/chat/completions"),
    ("http://h:8000/v1", "/v1/chat/completions"),
    ("http://h:8000/v1/", "/v1/chat/completions"),
    ("http://h:8000//v1//", "/v1/chat/completions"),
    ("https://h/v1/chat/completions", "/v1/chat/completions"),
    ("https://h/v1/chat/completions/", "/v1/chat/completions"),
    ("https://h/chat/completions", "/chat/completions"),
    ("https://h/v1/completions", "/v1/chat/completions"),
    ("https://h/v1/messages/", "/v1/chat/completions"),
    ("https://h/v1/responses", "/v1/chat/completions"),
    ("https://h/v1/models", "/v1/chat/completions"),
    ("https://h/v1/embeddings?key=a", "/v1/chat/completions?key=a"),
    ("https://h/api/v1/audio/speech", "/api/v1/chat/completions"),
    ("https://h/v1beta/openai/models", "/v1beta/openai/chat/completions"),
    ("https://h/openai/deployments/d/embeddings", "/openai/deployments/d/chat/completions"),
    ("https://h/models", "/models/v1/chat/completions"),
    ("https://h/v1/supermodels", "/v1/supermodels/chat/completions"),
    ("https://h/V1", "/v1/chat/completions"),
    ("https://h/api/V1/", "/api/v1/chat/completions"),
    ("https://h/V1/chat/completions", "/v1/chat/completions"),
    ("https://h/V1/models", "/v1/chat/completions"),
    ("https://h/V1/openai", "/V1/openai/chat/completions"),
    ("https://h/api/v1", "/api/v1/chat/completions"),
    ("https://h/openai/v1", "/openai/v1/chat/completions"),
    ("https://h/inference/v1", "/inference/v1/chat/completions"),
    ("https://h/some/proxy", "/some/proxy/v1/chat/completions"),
    ("https://h/openai", "/openai/v1/chat/completions"),
    ("https://h/v1beta/openai", "/v1beta/openai/chat/completions"),
    ("https://h/v1/openai", "/v1/openai/chat/completions"),
    ("https://h/api/paas/v4", "/api/paas/v4/chat/completions"),
    ("https://h/client/v4/accounts/a/ai/v1", "/client/v4/accounts/a/ai/v1/chat/completions"),
    ("https://h/v1/account/gateway/openai/", "/v1/account/gateway/openai/chat/completions"),
    ("https://h/vault", "/vault/v1/chat/completions"),
    (
        "https://r.openai.azure.com/openai/deployments/d?api-version=1",
        "/openai/deployments/d/chat/completions?api-version=1",
    ),
    ("https://h?key=a", "/v1/chat/completions?key=a"),
    ("https://h/v1/?a=1&b=%202#part", "/v1/chat/completions?a=1&b=%202"),
    (
        "https://r/openai/deployments/d/chat/completions?api-version=2024-06-01",
        "/openai/deployments/d/chat/completions?api-version=2024-06-01",
    ),
]


@pytest.mark.parametrize(("url", "target"), JOINS)
def test_a_gateway_path_is_joined_to_a_base_url_of_any_shape(url: str, target: str) -> None:
    assert join(parse_base_url(url), CHAT) == target.encode()


NORMALIZED = [
    ("   ", "https://"),
    ("  http://example.com  ", "http://example.com"),
    ("\thttps://example.com\t", "https://example.com"),
    ("  localhost:8080  ", "http://localhost:8080"),
    ("http://localhost:11434", None),
    ("http://[::1]:11434", None),
    ("http://example.com?q=1&r=2#frag", None),
    ("http://user:pass@host:9200/path", None),
    ("https://[2001:db8::1]:443/path", None),
    ("http:///some/path", None),
    ("HTTP://Example.com/", None),
    ("http:example.com", "http://example.com"),
    ("https:example.com/api/v1", "https://example.com/api/v1"),
    ("http:localhost:11434", "http://localhost:11434"),
    ("https:8.8.8.8", "https://8.8.8.8"),
    ("http:192.168.1.1:3000", "http://192.168.1.1:3000"),
    ("http:example.com/p?a=1", "http://example.com/p?a=1"),
    ("HTTPS:example.com", "HTTPS://example.com"),
    ("//example.com", "https://example.com"),
    ("//example.com:443", "https://example.com:443"),
    ("//localhost:8080", "http://localhost:8080"),
    ("//192.168.1.1:9200", "http://192.168.1.1:9200"),
    ("//example.com/api/v1", "https://example.com/api/v1"),
    ("//127.0.0.1:11434", "http://127.0.0.1:11434"),
    ("localhost", "http://localhost"),
    ("LOCALHOST:8080", "http://LOCALHOST:8080"),
    ("localhost.:8080", "http://localhost.:8080"),
    ("10.0.0.1.:8080", "http://10.0.0.1.:8080"),
    ("localhost?x=1", "http://localhost?x=1"),
    ("localhost#x", "http://localhost#x"),
    ("localhost:/x", "http://localhost:/x"),
    ("example.com:/x", "https://example.com:/x"),
    ("localhost:8080/api", "http://localhost:8080/api"),
    ("127.0.0.1:11434", "http://127.0.0.1:11434"),
    ("0.0.0.0:8000", "http://0.0.0.0:8000"),
    ("10.255.255.255:1", "http://10.255.255.255:1"),
    ("172.15.255.255", "https://172.15.255.255"),
    ("172.17.0.2:5000", "http://172.17.0.2:5000"),
    ("172.32.0.0", "https://172.32.0.0"),
    ("8.8.8.8:53", "https://8.8.8.8:53"),
    ("example.com:443", "https://example.com:443"),
    ("api.openai.com", "https://api.openai.com"),
    ("[::1]", "http://[::1]"),
    ("[::1]:8080", "http://[::1]:8080"),
    ("[fe80::1]:8080", "http://[fe80::1]:8080"),
    ("[fc00::1]:9200", "http://[fc00::1]:9200"),
    ("[2607:f8b0::1]:443", "https://[2607:f8b0::1]:443"),
    ("169.254.1.100:3000", "http://169.254.1.100:3000"),
    ("myserver.local:8080", "http://myserver.local:8080"),
    ("printer.LOCAL/status", "http://printer.LOCAL/status"),
    ("localnet.com", "https://localnet.com"),
    ("ollama:11434", "https://ollama:11434"),
    ("user:pass@localhost:8080", "http://user:pass@localhost:8080"),
    ("user@10.0.0.1", "http://user@10.0.0.1"),
    ("localhost@example.com", "https://localhost@example.com"),
    ("example.com/x@localhost", "https://example.com/x@localhost"),
    ("example.com?u=http://localhost", "https://example.com?u=http://localhost"),
    ("::1:8080", "https://::1:8080"),
    ("http:/example.com", "http:///example.com"),
    ("///x", "https:///x"),
]


@pytest.mark.parametrize(("url", "normalized"), NORMALIZED)
def test_a_missing_scheme_is_guessed(url: str, normalized: str | None) -> None:
    assert normalize(url) == (normalized or url)
    assert normalize(normalize(url)) == normalize(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://h/x",
        "FILE:///etc/passwd",
        "file:/etc/passwd",
        "javascript:alert(1)",
        "data:text/html,x",
        "a+b.c-1://h",
        "mailto:a@b",
        "MAILTO:someone@example.com",
        "sip:a:1@b.example",
    ],
)
def test_what_cannot_get_a_scheme_of_the_web_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be empty|must begin with http://"):
        normalize(url)


@given(st.text(min_size=1))
def test_a_normalized_url_is_one_of_the_web_or_refused(url: str) -> None:
    try:
        normalized = normalize(url)
    except ValueError as error:
        assert "must begin with http" in str(error)  # noqa: PT017 - not every text is refused
        return
    assert re.match("https?://", normalized, re.IGNORECASE)
    assert normalized.endswith(url.strip().removeprefix("//").removeprefix("http:").removeprefix("https:"))


def test_the_names_of_other_systems() -> None:
    assert normalize_url is normalize
    assert is_private_ip is is_private_host


@pytest.mark.parametrize(
    ("url", "path", "target"),
    [
        ("https://h/v1", "/v1", b"/v1"),
        ("https://h/v1", "/v1/models?limit=5", b"/v1/models?limit=5"),
        ("https://h/v1?k=a", "/v1/models?limit=5", b"/v1/models?k=a&limit=5"),
        ("https://h/v1", "/v1/models/org%2Fm", b"/v1/models/org%2Fm"),
        ("https://h/v1", "/v1/models/\u00fc", b"/v1/models/%C3%BC"),
        ("https://h/\u00fc", "/v1/models", b"/%C3%BC/v1/models"),
        ("https://h/v1", "/v10/models", b"/v10/models"),
        ("https://h/v1", "/v1/files/..a", b"/v1/files/..a"),
        ("https://h/api/v1", "/health", b"/api/health"),
        ("https://h/chat/completions", "/v1", b"/"),
    ],
)
def test_paths_and_queries_are_joined(url: str, path: str, target: bytes) -> None:
    assert join(parse_base_url(url), path) == target


@pytest.mark.parametrize(
    ("url", "given_target", "target"),
    [
        ("https://h/v1/", b"/v1/chat/completions", b"/v1/chat/completions"),
        ("https://h/v1/", b"/chat/completions", b"/v1/chat/completions"),
        ("http://h:8080/", b"/v1/chat/completions", b"/v1/chat/completions"),
        ("http://h:8080/", b"/chat/completions", b"/chat/completions"),
        ("http://h:8080/", b"/", b"/"),
        ("https://h/api/v1", b"/v1/models", b"/api/v1/models"),
        ("https://h/api/v1", b"/models/", b"/api/v1/models/"),
        ("https://h/some/proxy/", b"/v1/models", b"/some/proxy/v1/models"),
        ("https://h/some/proxy/", b"/tags", b"/some/proxy/tags"),
        ("https://h/v1beta/openai", b"/v1/models", b"/v1beta/openai/models"),
        ("https://h/v1", b"/p?param1=value1&x=%20/../", b"/v1/p?param1=value1&x=%20/../"),
        ("https://h/v1?k=a", b"/p?x=1", b"/v1/p?k=a&x=1"),
        ("http://h", b"//evil.example/x", b"/evil.example/x"),
        ("https://h/chat/completions", b"/v1//evil.example/x", b"/evil.example/x"),
        ("https://h/v1", b"//evil.example/x", b"/v1//evil.example/x"),
    ],
)
def test_any_target_is_joined_in_pass_through(url: str, given_target: bytes, target: bytes) -> None:
    assert join_raw(parse_base_url(url), given_target) == target


@pytest.mark.parametrize(
    "target",
    [
        b"",
        b"*",
        b"h:443",
        b"http://evil.example/x",
        b"/../x",
        b"/v1/..",
        b"/v1/./x",
        b"/v1/%2E%2e/x",
        b"/v1/.%2e%2fx",
        b"/a%2f..%2fx",
        b"/v1/..;/x",
        b"/v1/..\\x",
        b"/v1/x y",
        b"/v1/x\r\nevil: 1",
        b"/v1/x?a=\x00",
    ],
)
def test_a_target_that_could_leave_the_base_is_refused(target: bytes) -> None:
    with pytest.raises(ValueError, match="request path must begin with a slash"):
        join_raw(parse_base_url("https://h/tenant"), target)


def test_a_gateway_path_that_could_leave_the_base_is_refused() -> None:
    with pytest.raises(ValueError, match="dot segments"):
        join(parse_base_url("https://h"), "/v1/../admin")


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "header", "address"),
    [
        ("http://h", "http", "h", 80, b"h", "h:80"),
        ("HTTPS://Example.COM/", "https", "example.com", 443, b"example.com", "example.com:443"),
        ("http://h:80/v1", "http", "h", 80, b"h", "h:80"),
        ("https://h:", "https", "h", 443, b"h", "h:443"),
        ("https://h:8443/v1", "https", "h", 8443, b"h:8443", "h:8443"),
        ("http://my_service:8000", "http", "my_service", 8000, b"my_service:8000", "my_service:8000"),
        ("http://127.0.0.1:1", "http", "127.0.0.1", 1, b"127.0.0.1:1", "127.0.0.1:1"),
        ("http://[::1]:65535", "http", "::1", 65535, b"[::1]:65535", "[::1]:65535"),
        ("http://[::ffff:127.0.0.1]", "http", "::ffff:7f00:1", 80, b"[::ffff:7f00:1]", "[::ffff:7f00:1]:80"),
        ("https://[2001:DB8:0::1]", "https", "2001:db8::1", 443, b"[2001:db8::1]", "[2001:db8::1]:443"),
        (
            "https://b\u00fccher.example",
            "https",
            "xn--bcher-kva.example",
            443,
            b"xn--bcher-kva.example",
            None,
        ),
        ("https://svc.cluster.local.", "https", "svc.cluster.local.", 443, b"svc.cluster.local.", None),
    ],
)
def test_host_and_port_are_read(
    url: str, scheme: str, host: str, port: int, header: bytes, address: str | None
) -> None:
    base = parse_base_url(url)
    assert (base.scheme, base.host, base.port, base.host_header) == (scheme, host, port, header)
    assert address is None or base.address == address


@pytest.mark.parametrize(
    ("url", "path", "api_path", "raw_path"),
    [
        ("http://h", "", "/v1", ""),
        ("http://h/v1/", "", "/v1", "/v1"),
        ("http://h/api/v1", "/api", "/api/v1", "/api/v1"),
        ("http://h/proxy", "/proxy", "/proxy/v1", "/proxy"),
        ("http://h/v1/chat/completions", "", "/v1", "/v1"),
    ],
)
def test_the_three_paths(url: str, path: str, api_path: str, raw_path: str) -> None:
    base = parse_base_url(url)
    assert (base.path, base.api_path, base.raw_path) == (path, api_path, raw_path)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "must begin with http:// or https://"),
        ("localhost:8080", "must begin with http:// or https://"),
        ("//h/v1", "must begin with http:// or https://"),
        ("http:/h", "must begin with http:// or https://"),
        ("ftp://h", "must begin with http:// or https://"),
        ("file:///etc/passwd", "must begin with http:// or https://"),
        ("http:///v1", "must begin with http:// or https://"),
        ("http://:80", "has no host"),
        ("http://h:0", "number from 1 to 65535"),
        ("http://h:65536", "number from 1 to 65535"),
        ("http://h:-1", "number from 1 to 65535"),
        ("http://h:http", "number from 1 to 65535"),
        ("http://[::1", "host of the URL is malformed"),
        ("http://[::1]x:80", "malformed"),
        ("http://x[::1]:80", "malformed"),
        ("http://[h]", "malformed|not an IPv6 address"),
        ("http://[v1.x]", "not an IPv6 address"),
        ("http://[fe80::1%25eth0]", "not an IPv6 address"),
        ("http://a..b", "host name of the URL is not valid"),
        ("http://%00", "host name of the URL is not valid"),
        ("http://a,b", "host name of the URL is not valid"),
        ("http://" + "a" * 64, "host name of the URL is not valid"),
        ("http://" + ".".join(["a" * 60] * 5), "host name of the URL is not valid"),
        ("http://h/a/../v1", "`.` or `..`"),
        ("http://h /v1", "spaces, control characters or backslashes"),
        (" http://h", "spaces, control characters or backslashes"),
        ("http://h\n", "spaces, control characters or backslashes"),
        ("http://h\x00", "spaces, control characters or backslashes"),
        ("http://h\u2003", "spaces, control characters or backslashes"),
        ("http://h/\ud800", "spaces, control characters or backslashes"),
        ("http://127.0.0.1\\@1.1.1.1", "spaces, control characters or backslashes"),
    ],
)
def test_what_is_no_base_url_is_refused_with_the_reason(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_base_url(url)


@pytest.mark.parametrize("url", ["http://user:s3cret@h", "http://s3cret@h/v1", "http://@h"])
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="must not hold a user name or password") as caught:
        parse_base_url(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:secret@example.com/path?token=x", "http://example.com"),
        ("https://h:8443/v1?key=s", "https://h:8443"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("HTTP://H", "http://h"),
        ("", "<unparseable>"),
        ("http://[", "<unparseable>"),
        ("http://h:99999999", "<unparseable>"),
        ("javascript:alert(1)", "<unparseable>"),
        ("http://" + "a" * 100_000, "<unparseable>"),
        ("http://h:" + "9" * 10_000, "<unparseable>"),
    ],
)
def test_redaction(url: str, shown: str) -> None:
    assert redact(url) == shown


@pytest.mark.parametrize("url", [None, 5, b"http://h", ["http://h"]])
def test_what_is_no_text_is_not_shown(url: object) -> None:
    assert redact(url) == "<unparseable>"


@given(st.text() | st.text("htps:/[]@.%#?1v\\", max_size=30).map("http://".__add__))
def test_redaction_never_raises_and_shows_no_path(url: str) -> None:
    shown = redact(url)
    assert shown == "<unparseable>" or re.fullmatch(r"https?://[^/@?#\s]+", shown)


SEGMENTS = st.sampled_from(["", "v1", "v1beta", "v4", "api", "openai", "chat", "completions"])
PATHS = st.lists(SEGMENTS, max_size=6).map(lambda parts: "/" + "/".join(parts))


@given(PATHS, st.sampled_from(["", "?", "?k=a"]))
def test_joining_adds_at_most_one_version(path: str, query: str) -> None:
    base = parse_base_url(f"https://h{path}{query}")
    target = join(base, CHAT).decode()
    assert target.startswith("/")
    assert not target.startswith("//")
    assert target.partition("?")[0].endswith("/chat/completions")
    if "/v1/v1" not in base.raw_path:
        assert "/v1/v1" not in target
    assert join(parse_base_url(f"https://h{target}"), CHAT).decode() == target


@given(PATHS, st.binary(max_size=30).map(b"/".__add__))
def test_a_raw_target_stays_below_its_base(path: str, given_target: bytes) -> None:
    base = parse_base_url(f"https://h{path}")
    try:
        target = join_raw(base, given_target)
    except ValueError:
        return
    assert target.startswith(base.raw_path.encode() or b"/")
    assert not target.startswith(b"//")
    assert target.partition(b"?")[2] == given_target.partition(b"?")[2]
