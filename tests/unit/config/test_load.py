from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.config.load import discover, load
from trunkline.config.model import AdminSettings, Loaded
from trunkline.errors import ConfigError
from trunkline.policy.keys import KeySettings

BACKEND = "backends: [{url: 'http://h'}]\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trunkline.yaml"


def loaded(file: Path, text: str, environ: dict[str, str] | None = None, **arguments: object) -> Loaded:
    file.write_text(text)
    return load(file, environ or {}, {name.replace("__", "."): value for name, value in arguments.items()})


def errors(file: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(file, text, environ)
    return str(caught.value).replace(f"{file}:", "").splitlines()


def test_the_file_is_found_by_name(tmp_path: Path) -> None:
    assert discover(tmp_path) is None
    (tmp_path / "config.yaml").write_text("")
    assert discover(tmp_path) == tmp_path / "config.yaml"
    (tmp_path / "trunkline.yaml").write_text("")
    assert discover(tmp_path) == tmp_path / "trunkline.yaml"


def test_arguments_beat_the_environment_and_that_the_file(file: Path) -> None:
    text = BACKEND + "server: {port: 1, host: 127.0.0.1, max_headers: 7}\n"
    environ = {"TRUNKLINE__SERVER__PORT": "2", "TRUNKLINE__SERVER__MAX_BODY": "1KiB"}
    server = loaded(file, text, environ, server__port=3, server__host=None).settings.server
    assert (server.port, server.host, server.max_body, server.max_headers) == (3, "127.0.0.1", 1024, 7)
    assert loaded(file, text, environ).settings.server.port == 2
    assert loaded(file, text).settings.server.port == 1


def test_the_environment_reaches_into_lists(file: Path) -> None:
    found = loaded(file, BACKEND, {"TRUNKLINE__BACKENDS__0__MODELS": "[a, b]"})
    assert found.settings.backends[0].models == ["a", "b"]
    assert found.source == str(file)


@pytest.mark.parametrize(
    ("environ", "error"),
    [
        (
            {"TRUNKLINE__SERVER__PROT": "1"},
            "TRUNKLINE__SERVER__PROT: unknown key `server.prot`; did you mean `port`?",
        ),
        (
            {"TRUNKLINE__SERVER__PORT": "x"},
            "TRUNKLINE__SERVER__PORT: server.port: expected a whole number, not 'x'",
        ),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    file: Path, environ: dict[str, str], error: str
) -> None:
    assert errors(file, BACKEND, environ) == [error]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ["1:1: no backends: add `backends:` with the `url` of at least one upstream"]),
        ("backends:", ["1:10: no backends: add `backends:` with the `url` of at least one upstream"]),
        ("backends: x", ["1:11: backends: expected a list, one item per upstream"]),
        ("- a", ["1:1: expected keys and values like `backends:`"]),
        ("backend: []", ["1:1: unknown key `backend`; did you mean `backends`?"]),
        ("store: sqlite:///x.db\n" + BACKEND, ["1:1: `store` is not supported in this version"]),
        (
            BACKEND + "server: {port: x}\nadmin: {prot: 1}\n",
            [
                "2:16: server.port: expected a whole number, not 'x'",
                "3:9: unknown key `admin.prot`; did you mean `port`?",
            ],
        ),
        (
            BACKEND + "admin: {host: 0.0.0.0}",
            ["2:15: admin.host: must be loopback, not '0.0.0.0': the admin port has no key yet"],
        ),
        (BACKEND + "admin: {port: 8080}", ["2:15: admin.port: 8080 is the port of `server` already"]),
        (BACKEND + "server: {port: 8081}", ["1:1: admin.port: 8081 is the port of `server` already"]),
        (
            BACKEND + "keys: [{name: a, key: 'x y'}]",
            ["2:7: keys: the key of `a` holds a blank or a character outside ASCII"],
        ),
        (
            BACKEND + "keys: [{name: a, key: k}, {name: a, key: k}]",
            ["2:7: keys: the name `a` is used twice", "2:7: keys: `a` and `a` have the same key"],
        ),
        (
            "backends: [{url: 'ftp://h'}, {url: 'http://h', nam: x}]",
            [
                "1:18: backends[0].url: must start with http:// or https://",
                "1:48: unknown key `backends[1].nam`; did you mean `name`?",
            ],
        ),
        (
            "url: http://a\nname: x\n---\nurl: http://b\nname: x",
            ["5:7: the name `x` is used twice, first at 1:1"],
        ),
    ],
)
def test_mistakes_are_reported_in_the_order_of_the_file(file: Path, text: str, lines: list[str]) -> None:
    assert errors(file, text) == lines


def test_keys_come_from_the_file_and_the_environment(file: Path) -> None:
    text = BACKEND + "keys: [{name: a, key: '${A}', models: [m]}]"
    found = loaded(file, text, {"A": "ka", "TRUNKLINE_API_KEY": "own"}).settings.keys
    assert found == [KeySettings(name="a", key="ka", models=["m"]), KeySettings(name="default", key="own")]
    assert [key.name for key in loaded(file, text, {"A": "ka", "TRUNKLINE_API_KEY": "ka"}).settings.keys] == [
        "a"
    ]


def test_the_environment_cannot_take_a_name_that_is_used(file: Path) -> None:
    text = BACKEND + "keys: [{name: default, key: k}]"
    (line,) = errors(file, text, {"TRUNKLINE_API_KEY": "own"})
    assert line.startswith("TRUNKLINE_API_KEY: its key is named `default`")


def test_keys_are_never_forwarded(file: Path) -> None:
    forwarding = "backends: [{url: 'http://h', forward_authorization: true}]\n"
    assert errors(file, forwarding + "keys: [{name: a, key: k}]")[0].startswith(
        "2:7: keys and a backend with "
    )
    with pytest.raises(ConfigError, match="TRUNKLINE_API_KEY: keys and a backend with forward_authorization"):
        load(None, {"TRUNKLINE_API_KEY": "k"})


def test_literal_secrets_are_noted_and_not_shown(file: Path) -> None:
    found = loaded(file, "url: http://h\napi_key: hunter2\n")
    assert found.literal_secrets == [f"{file}:2:10: api_key"]
    assert found.warnings == []


def test_files_of_the_listener_are_looked_up_beside_the_configuration(file: Path) -> None:
    (file.parent / "c.pem").write_text("x")
    found = loaded(file, BACKEND + "server: {tls_cert_path: c.pem, tls_key_path: c.pem}").settings.server
    assert found.tls_cert_path == found.tls_key_path == str(file.parent / "c.pem")
    text = BACKEND + "server: {tls_cert_path: gone.pem}"
    assert errors(file, text) == [f"2:25: server.tls_cert_path: there is no file {file.parent / 'gone.pem'}"]
    text = BACKEND + "server: {tls_key_path: c.pem}"
    assert errors(file, text) == ["2:24: server.tls_key_path: needs tls_cert_path too"]


def test_a_target_beside_a_file_is_ignored_with_a_warning(file: Path) -> None:
    found = loaded(file, BACKEND, {"TARGET_BASE_URL": "http://t"})
    assert found.warnings == [f"TARGET_BASE_URL: is ignored, because the settings come from {file}"]
    assert not found.settings.passthrough


def test_without_a_file_the_environment_is_the_configuration() -> None:
    found = load(
        None, {"TARGET_BASE_URL": "http://t:1/", "OPENAI_API_KEY": "unused", "TRUNKLINE__ADMIN__PORT": "0"}
    )
    (backend,) = found.settings.backends
    assert found.settings.passthrough
    assert (backend.name, backend.api_key, backend.forward_authorization) == ("target", "", True)
    assert backend.timeouts.total == 3000
    assert found.settings.admin == AdminSettings(port=0)


def test_provider_keys_alone_start_a_gateway() -> None:
    found = load(None, {"GROQ_API_KEY": "g", "OPENAI_API_KEY": "o"})
    assert [(one.name, one.api_key, one.priority) for one in found.settings.backends] == [
        ("openai", "o", 1),
        ("groq", "g", 2),
    ]
    assert not found.settings.passthrough


def test_a_mistake_in_the_target_names_its_variable() -> None:
    with pytest.raises(
        ConfigError, match=r"^TARGET_BASE_URL: backends.0..url: must start with http:// or https://"
    ):
        load(None, {"TARGET_BASE_URL": "ftp://t"})
    with pytest.raises(
        ConfigError, match=r"^API_REQUEST_TIMEOUT: backends.0..timeouts.total: expected a number"
    ):
        load(None, {"API_REQUEST_TIMEOUT": "long"})


@given(st.text())
def test_any_text_loads_or_is_refused_in_words(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigError):
        load(file, {})
