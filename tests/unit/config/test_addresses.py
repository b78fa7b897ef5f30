import pytest

from trunkline.config.addresses import check_url, is_loopback, is_near, may_listen, same_server, with_scheme
from trunkline.config.model import Settings
from trunkline.errors import ConfigError
from trunkline.net.listener import ServerSettings
from trunkline.policy.keys import KeySettings
from trunkline.routing.backend import BackendSettings


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000",
        "https://api.openai.com/v1/",
        "HTTP://h/a/b",
        "http://[::1]:9/v1",
        "https://h/v1?version=2",
        "http://10.0.0.1",
    ],
)
def test_good_urls(url: str) -> None:
    assert check_url(url) == ""


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("localhost:8000", "has no scheme; write http://localhost:8000"),
        ("vllm:8000/v1", "has no scheme; write http://vllm:8000/v1"),
        ("10.0.0.1:80", "has no scheme; write http://10.0.0.1:80"),
        ("[::1]:8000", "has no scheme; write http://[::1]:8000"),
        ("box.local/v1", "has no scheme; write http://box.local/v1"),
        ("//api.example.com/v1", "has no scheme; write https://api.example.com/v1"),
        ("api.example.com", "has no scheme; write https://api.example.com"),
        ("8.8.8.8:53", "has no scheme; write https://8.8.8.8:53"),
        ("ftp://h/x", "must start with http:// or https://"),
        ("user:hunter2@h/x", "must start with http:// or https://"),
        ("", "must start with http:// or https://"),
        ("?", "must start with http:// or https://"),
        ("http://", "is not usable: "),
        ("http://h:0", "is not usable: "),
        ("http://h:x", "is not usable: "),
        ("http://h/a b", "is not usable: "),
        ("http://user:hunter2@h/", "is not usable: "),
    ],
)
def test_bad_urls_come_with_the_fix_and_without_passwords(url: str, problem: str) -> None:
    assert check_url(url).startswith(problem)
    assert "hunter2" not in check_url(url)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://h/v1", "https://h:443/other", True),
        ("https://h/v1", "http://h/v1", False),
        ("https://h/v1", "https://h:8443/v1", False),
        ("https://h/v1", "https://h.evil.com/v1", False),
    ],
)
def test_a_server_is_scheme_host_and_port(one: str, other: str, same: bool) -> None:
    assert same_server(one, other) is same


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("LOCALHOST", True),
        ("localhost.", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.com", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("host", "near"),
    [
        ("ollama", True),
        ("box.lan", True),
        ("box.corp.internal", True),
        ("192.168.1.2", True),
        ("fd00::1", True),
        ("localhost", True),
        ("2606:4700::1111", False),
        ("8.8.8.8", False),
        ("api.example.com", False),
    ],
)
def test_hosts_of_the_own_network(host: str, near: bool) -> None:
    assert is_near(host) is near


def settings(host: str, *backends: BackendSettings, keys: tuple[KeySettings, ...] = ()) -> Settings:
    return Settings(server=ServerSettings(host=host, port=80), keys=[*keys], backends=[*backends])


OWN = BackendSettings(name="a", url="http://a", api_key="k")
KEYLESS = BackendSettings(name="a", url="http://a")
FORWARDS = BackendSettings(name="b", url="http://b", forward_authorization=True)
FORWARDS_WITH_HEADERS = BackendSettings(
    name="b", url="http://b", forward_authorization=True, headers={"x-api-key": "k"}
)
KEY = KeySettings(name="team", key="k")


def test_with_keys_there_is_nothing_to_say() -> None:
    assert may_listen(settings("0.0.0.0", OWN, keys=(KEY,)), insecure_open=False) is None


def test_without_keys_loopback_is_open_and_says_so() -> None:
    line = may_listen(settings("127.0.0.1", OWN), insecure_open=False)
    assert line is not None
    assert line.startswith("open: ")


def test_the_port_that_is_told_is_the_one_that_it_got() -> None:
    asked = Settings(server=ServerSettings(port=0))
    lines = [
        may_listen(settings("127.0.0.1"), insecure_open=False),
        may_listen(asked, insecure_open=False, port=4711),
        may_listen(asked, insecure_open=False),
    ]
    assert [line and line.partition(" may use ")[2] for line in lines] == [
        "127.0.0.1:80",
        "127.0.0.1:4711",
        "a free port of 127.0.0.1",
    ]


def test_pure_pass_through_may_listen_anywhere() -> None:
    line = may_listen(settings("0.0.0.0", FORWARDS), insecure_open=False)
    assert line is not None
    assert line.startswith("pass-through: ")


@pytest.mark.parametrize("backends", [(OWN,), (KEYLESS,), (FORWARDS, OWN), (FORWARDS_WITH_HEADERS,), ()])
def test_anything_else_needs_a_key_or_the_word_for_it(backends: tuple[BackendSettings, ...]) -> None:
    with pytest.raises(ConfigError, match="add `keys:` or TRUNKLINE_API_KEY"):
        may_listen(settings("0.0.0.0", *backends), insecure_open=False)
    line = may_listen(settings("0.0.0.0", *backends), insecure_open=True)
    assert line is not None
    assert line.startswith("OPEN TO THE NETWORK: ")


@pytest.mark.parametrize(
    ("url", "completed"),
    [
        ("localhost:11434", "http://localhost:11434"),
        ("10.0.0.1:80/v1?a=b", "http://10.0.0.1:80/v1?a=b"),
        ("//vllm:8000/v1", "http://vllm:8000/v1"),
        ("https:api.example.com", "https://api.example.com"),
        ("api.example.com/v1", "https://api.example.com/v1"),
        ("http://h", ""),
        ("ftp://h", ""),
        ("user:pass@h", ""),
        ("", ""),
    ],
)
def test_a_missing_scheme_is_filled_in(url: str, completed: str) -> None:
    assert with_scheme(url) == completed
