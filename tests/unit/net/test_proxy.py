import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.net.proxy import choose_proxy, is_excepted, parse_proxy
from trunkline.net.url import parse_base_url
from trunkline.wire.head import parse_response


@pytest.mark.parametrize(
    ("url", "scheme", "address"),
    [
        ("http://proxy:3128", "http", "proxy:3128"),
        ("https://proxy.corp:3129/", "https", "proxy.corp:3129"),
        ("HTTP://Proxy:3128", "http", "proxy:3128"),
        ("proxy:3128", "http", "proxy:3128"),
        ("proxy", "http", "proxy:80"),
        ("https://proxy", "https", "proxy:443"),
        (" http://10.0.0.1:8080 ", "http", "10.0.0.1:8080"),
        ("http://[fd00::1]:3128", "http", "[fd00::1]:3128"),
        ("user:pass@proxy:3128", "http", "proxy:3128"),
    ],
)
def test_proxies(url: str, scheme: str, address: str) -> None:
    proxy = parse_proxy(url)
    assert (proxy.scheme, proxy.address, proxy.from_environment) == (scheme, address, False)


@pytest.mark.parametrize(
    ("url", "credentials"),
    [
        ("http://user:pass@p:1", b"user:pass"),
        ("http://user@p:1", b"user:"),
        ("http://:pass@p:1", b":pass"),
        ("http://us%65r:p%40s%3as%2F%25@p:1", b"user:p@s:s/%"),
        ("http://DOM%5Cuser:a:b@p:1", b"DOM\\user:a:b"),
        ("http://user:p@ss@p:1", b"user:p@ss"),
        ("http://\u00fcser:%C3%BC@p:1", "\u00fcser:\u00fc".encode()),
    ],
)
def test_credentials_are_decoded_and_sent_and_not_shown(url: str, credentials: bytes) -> None:
    proxy = parse_proxy(url)
    value = base64.b64encode(credentials)
    assert proxy.authorization == b"Basic " + value
    assert value in proxy.request("h:443")
    assert repr(proxy) == "<Proxy http://p:1 from `proxy`>"


def test_the_request() -> None:
    assert parse_proxy("p:1").request("[::1]:443") == (
        b"CONNECT [::1]:443 HTTP/1.1\r\nhost: [::1]:443\r\nuser-agent: trunkline\r\n\r\n"
    )
    assert parse_proxy("u:p@p:1").request("h:80") == (
        b"CONNECT h:80 HTTP/1.1\r\nhost: h:80\r\nuser-agent: trunkline\r\nproxy-authorization: Basic dTpw\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("socks5://u:s3cret@p:1080", "HTTPS_PROXY: socks5:// proxies are not supported"),
        ("SOCKS5H://p:1080", "HTTPS_PROXY: socks5h:// proxies are not supported"),
        ("http://u:s3cret@", "HTTPS_PROXY: "),
        ("http://u:s3cret@p:x", "HTTPS_PROXY: the port"),
        ("http://u:s3/cret@p:1", "HTTPS_PROXY: "),
        ("http://u:s3cret\n@p q:1", "HTTPS_PROXY: a URL must not hold spaces"),
        ("", "HTTPS_PROXY: "),
    ],
)
def test_what_is_no_proxy_is_refused_without_its_credentials(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_proxy(url, "HTTPS_PROXY")
    assert "s3" not in str(caught.value)


@given(st.text())
def test_any_text_is_a_proxy_or_refused(url: str) -> None:
    try:
        proxy = parse_proxy(url)
    except ValueError as error:
        assert str(error).startswith("`proxy`: ")  # noqa: PT017 - not every text is refused
    else:
        request = proxy.request("h:1")
        assert request.count(b"\r\n") == (5 if proxy.authorization else 4)


def test_unsupported_schemes_in_the_setting() -> None:
    with pytest.raises(ValueError, match=r"`proxy`: socks4:// proxies are not supported.*use an HTTP proxy"):
        parse_proxy("socks4://p")


@pytest.mark.parametrize(
    ("url", "setting", "environ", "chosen"),
    [
        ("https://h", None, {}, None),
        ("https://h", "http://own:1", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "own:1"),
        ("https://h", "none", {"HTTPS_PROXY": "http://p:1"}, None),
        ("https://h", "", {"HTTPS_PROXY": "http://p:1"}, "p:1"),
        ("https://h", None, {"HTTPS_PROXY": "http://p:1"}, "p:1"),
        ("https://h", None, {"https_proxy": "low:1", "HTTPS_PROXY": "up:1"}, "low:1"),
        ("https://h", None, {"https_proxy": "", "HTTPS_PROXY": "up:1", "ALL_PROXY": "all:1"}, None),
        ("https://h", None, {"HTTP_PROXY": "p:1", "http_proxy": "p:1"}, None),
        ("http://h", None, {"HTTPS_PROXY": "p:1", "https_proxy": "p:1"}, None),
        ("http://h", None, {"HTTP_PROXY": "p:1"}, "p:1"),
        ("http://h", None, {"http_proxy": "low:1", "HTTP_PROXY": "up:1"}, "low:1"),
        ("http://h", None, {"HTTP_PROXY": "p:1", "REQUEST_METHOD": "GET"}, None),
        ("http://h", None, {"http_proxy": "p:1", "REQUEST_METHOD": "GET"}, "p:1"),
        ("https://h", None, {"HTTPS_PROXY": "p:1", "REQUEST_METHOD": "GET"}, "p:1"),
        ("https://h", None, {"ALL_PROXY": "all:1"}, "all:1"),
        ("http://h", None, {"all_proxy": "low:1", "ALL_PROXY": "up:1"}, "low:1"),
        ("https://h", None, {"ALL_PROXY": "all:1", "HTTPS_PROXY": "p:1"}, "p:1"),
        ("https://h", None, {"HTTPS_PROXY": "p:1", "NO_PROXY": "x,h"}, None),
        ("https://h", None, {"HTTPS_PROXY": "p:1", "no_proxy": "x", "NO_PROXY": "h"}, "p:1"),
        ("https://h", None, {"HTTPS_PROXY": "socks5://p", "NO_PROXY": "h"}, None),
    ],
)
def test_which_proxy(url: str, setting: str | None, environ: dict[str, str], chosen: str | None) -> None:
    proxy = choose_proxy(parse_base_url(url), setting, environ)
    assert (proxy and proxy.address) == chosen


def test_a_proxy_of_the_environment_says_so() -> None:
    proxy = choose_proxy(parse_base_url("https://h"), None, {"HTTPS_PROXY": "p:1"})
    assert proxy is not None
    assert (proxy.source, proxy.from_environment) == ("HTTPS_PROXY", True)
    with pytest.raises(ValueError, match=r"ALL_PROXY: socks5:// proxies are not supported.*NO_PROXY"):
        choose_proxy(parse_base_url("https://h"), None, {"ALL_PROXY": "socks5://p:1"})


@pytest.mark.parametrize(
    ("no_proxy", "excepted", "not_excepted"),
    [
        ("", [], ["h", "10.0.0.1"]),
        (" , ,", [], ["h"]),
        ("*", ["h", "10.0.0.1", "::1"], []),
        ("a,*", ["h"], []),
        ("example.com", ["example.com", "www.example.com", "example.com."], ["nonexample.com", "com"]),
        (".example.com", ["example.com", "www.example.com"], ["nonexample.com", "example.com.org"]),
        ("*.example.com", ["www.example.com", "example.com"], ["nonexample.com"]),
        ("Example.COM.", ["www.example.com"], []),
        ("a.com b.com,\tc.com", ["a.com", "b.com", "c.com"], ["d.com"]),
        ("localhost", ["localhost", "app.localhost"], ["127.0.0.1"]),
        ("10.1.2.3", ["10.1.2.3"], ["10.1.2.30", "110.1.2.3"]),
        ("1.2.3", [], ["10.1.2.3"]),
        (".2.3", [], ["10.1.2.3"]),
        ("127.0.0.1", ["2130706433", "127.1", "::ffff:7f00:1"], ["127.0.0.2"]),
        ("10.0.0.0/8", ["10.255.0.1"], ["11.0.0.1", "h"]),
        ("10.1.2.3/8,fd00::/8", ["10.0.0.1", "fdff::1"], ["fe80::1"]),
        ("10.0.0.0/99,/8,h/8", [], ["10.0.0.1", "h"]),
        ("::1", ["::1"], ["::2"]),
        ("[::1]", ["::1"], ["::2"]),
        (".", [], ["h"]),
    ],
)  # fmt: skip
def test_exceptions(no_proxy: str, excepted: list[str], not_excepted: list[str]) -> None:
    for host in excepted:
        assert is_excepted(host, 443, no_proxy)
    for host in not_excepted:
        assert not is_excepted(host, 443, no_proxy)


@pytest.mark.parametrize(
    ("entry", "host"),
    [
        ("h.example:8080", "h.example"),
        (".h.example:8080", "a.h.example"),
        ("10.0.0.1:8080", "10.0.0.1"),
        ("[::1]:8080", "::1"),
    ],
)
def test_an_exception_for_one_port(entry: str, host: str) -> None:
    assert is_excepted(host, 8080, entry)
    assert not is_excepted(host, 443, entry)


@given(st.text(), st.text())
def test_exceptions_of_any_text_have_an_answer(host: str, no_proxy: str) -> None:
    assert is_excepted(host, 80, no_proxy) in (True, False)


def refusal(answer: bytes, url: str = "http://p:3128", source: str = "`proxy`") -> str:
    head = parse_response(b"HTTP/1.1 " + answer + b"\r\n\r\n", no_body=True)
    assert not isinstance(head, str)
    return parse_proxy(url, source).refusal("h:443", head)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            b"407 Auth\r\nproxy-authenticate: Basic realm=x",
            "write them in `proxy`: http://user:password@p:3128",
        ),
        (b"407 Auth", "write them in `proxy`"),
        (b"407 Auth\r\nproxy-authenticate: NTLM\r\nProxy-Authenticate: Negotiate", "does not take Basic"),
        (b"407 Auth\r\nproxy-authenticate: NTLM\r\nProxy-Authenticate: BASIC realm=x", "write them in"),
        (b"403 No", "does not allow connections to h:443 (403); have it allowed there"),
        (b"403 No\r\nx-squid-error: ERR_ACCESS_DENIED 0", "(403 ERR_ACCESS_DENIED)"),
        (b"403 No\r\nx-squid-error: <script>", "(403)"),
        (b"503 No\r\nX-Squid-Error: ERR_DNS_FAIL 0", "could not reach h:443 (503 ERR_DNS_FAIL)"),
        (b"502 No", "could not reach h:443 (502); check host and port in `url`"),
        (b"404 No", "could not reach h:443 (404)"),
        (b"405 No", "did not accept the CONNECT request (405); check that `proxy` names an HTTP proxy"),
        (b"302 No", "did not accept the CONNECT request (302)"),
    ],
)
def test_refusals_in_plain_words(answer: bytes, words: str) -> None:
    assert words in refusal(answer)


def test_wrong_credentials_are_named_and_not_shown() -> None:
    said = refusal(b"407 Auth", "http://user:s3cret@p:3128", "HTTPS_PROXY")
    assert said == "it wants credentials (407); user name or password in HTTPS_PROXY are wrong"


def test_a_proxy_of_the_environment_can_be_gone_round() -> None:
    assert "list the host in NO_PROXY" in refusal(b"403 No", source="HTTPS_PROXY")
