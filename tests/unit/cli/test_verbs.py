"""The command line, in this process; the data plane is replaced by a note of what it was given."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import trunkline
from trunkline.cli.main import main
from trunkline.config.model import Settings
from trunkline.errors import ConfigError
from trunkline.gateway import app
from trunkline.gateway.reload import Source
from trunkline.simulator import app as simulator

GOOD = "backends: [{name: a, url: 'http://h'}]\n"


@pytest.fixture(autouse=True)
def _empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("TARGET_BASE_URL", "TRUNKLINE_API_KEY", "OPENAI_API_KEY", "DEBUG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    given: list[Settings] = []

    def serve(settings: Settings, *, announce: Callable[[str], None], source: Source) -> int:
        assert source.read().settings == settings, "what is read again is what was read"
        given.append(settings)
        announce("ready")
        return 3

    monkeypatch.setattr(app, "serve", serve)
    return given


def code_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main([*arguments])
    code = caught.value.code
    return code if isinstance(code, int) else 0


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--version"])
    assert capsys.readouterr().out == f"trunkline {trunkline.__version__}\n"


def test_the_version_is_told_beside_other_options_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("--version", "serve") == 0
    assert capsys.readouterr().out == f"trunkline {trunkline.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["config"]])
def test_without_a_verb_there_is_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(*arguments) == 2
    assert "Usage: trunkline" in capsys.readouterr().err


def test_help_lists_the_verbs_in_their_order_and_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("--help") == 0
    listed = " ".join(capsys.readouterr().out.partition("Commands:")[2].split())
    assert listed == (
        "serve Serve the OpenAI API in front of the configured backends. "
        "check Check the configuration; exit code 2 if it has errors. "
        "doctor Examine each backend, or one, step by step; exit code 1 if something failed, 2 for a wrong "
        "configuration. "
        "explain Tell why a call went where it went: the one of this id (x-request-id), or the last one. "
        "sim Run an OpenAI-compatible upstream with deterministic answers and faults on request. "
        "demo Run a small real model with the gateway in front (downloads 130 MB once). "
        "providers List the providers: what they are called, where they are, which variable holds their key. "
        "count Count the tokens of a text, or of a request's prompt; without FILE of what is typed or piped in. "
        "config About configuration files."
    )


@pytest.mark.parametrize(
    "arguments", [["sing"], ["serve", "--loud"], ["serve", "--port", "65536"], ["sim"], ["check", "more"]]
)
def test_a_wrong_command_line_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(*arguments) == 2
    assert "Error: " in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["serve", "check", "doctor", "config", "sim", "demo", "providers", "count"])
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(verb, "--help") == 0
    assert "Usage: trunkline" in capsys.readouterr().out


def test_serve_takes_the_file_and_the_options(
    tmp_path: Path, served: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(GOOD + "server: {port: 1}\nbackends_enabled: true\n")
    assert code_of("serve", "--config", str(path), "--port", "9", "--host", "localhost") == 3
    (settings,) = served
    assert (settings.server.host, settings.server.port) == ("localhost", 9)
    printed = capsys.readouterr()
    assert printed.out == "ready\n"
    assert printed.err == f"warning: {path}:3:1: `backends_enabled` has no effect yet\n"


def test_serve_finds_the_file_of_the_directory(tmp_path: Path, served: list[Settings]) -> None:
    (tmp_path / "trunkline.yaml").write_text(GOOD)
    assert code_of("serve") == 3
    assert [backend.name for backend in served[0].backends] == ["a"]


def test_serve_starts_from_the_environment(served: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TARGET_BASE_URL", "http://t")
    assert code_of("serve", "--host", "0.0.0.0") == 3
    assert served[0].passthrough


def test_a_wrong_configuration_is_said_without_a_trace(
    tmp_path: Path, served: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "trunkline.yaml").write_text("url: ftp://h\nxyzzy: 1\n")
    assert code_of("serve") == 2
    assert served == []
    assert capsys.readouterr().err.splitlines() == [
        "trunkline.yaml:1:6: url: must start with http:// or https://",
        "trunkline.yaml:2:1: unknown key `xyzzy`",
    ]


def test_what_the_gateway_finds_wrong_is_said_likewise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def serve(_: Settings, *, announce: Callable[[str], None], source: Source) -> int:
        del announce, source
        raise ConfigError("server.port: 80 is taken")

    monkeypatch.setattr(app, "serve", serve)
    (tmp_path / "trunkline.yaml").write_text(GOOD)
    assert code_of("serve") == 2
    assert capsys.readouterr().err == "server.port: 80 is taken\n"


def test_ctrl_c_before_the_gateway_takes_over_ends_as_shells_expect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def serve(_: Settings, *, announce: Callable[[str], None], source: Source) -> int:
        del announce, source
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "serve", serve)
    monkeypatch.setenv("TRUNKLINE_API_KEY", "k")
    (tmp_path / "trunkline.yaml").write_text(GOOD)
    assert code_of("serve") == 130
    assert capsys.readouterr().err == ""


def test_the_network_needs_a_key_or_the_word_for_it(
    tmp_path: Path, served: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "trunkline.yaml").write_text(GOOD)
    assert code_of("serve", "--host", "0.0.0.0") == 2
    assert "--insecure-open" in capsys.readouterr().err
    assert code_of("serve", "--host", "0.0.0.0", "--insecure-open") == 3
    assert len(served) == 1
    assert len(served) == 1


def test_check_says_ok_and_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("url: http://h\napi_key: hunter2\nserver: {host: 0.0.0.0}\n")
    assert code_of("check") == 0
    printed = capsys.readouterr()
    assert printed.out == "ok: 1 backends, 0 keys, from config.yaml\n"
    literal, open_host = printed.err.splitlines()
    assert literal == "warning: config.yaml:2:10: api_key is a secret written down; better ${VARIABLE}"
    assert open_host.startswith("warning: server.host: 0.0.0.0 is not loopback")
    assert "hunter2" not in printed.err


def test_check_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("url: ftp://h\n")
    assert code_of("check", "-c", "config.yaml") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "config.yaml:1:6: url: must start with http:// or https://\n"


def test_check_speaks_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("url: ftp://h\n")
    assert code_of("check", "--json") == 2
    assert json.loads(capsys.readouterr().out) == {
        "ok": False,
        "errors": ["config.yaml:1:6: url: must start with http:// or https://"],
        "warnings": [],
        "models": {},
    }
    (tmp_path / "config.yaml").write_text(GOOD)
    assert code_of("check", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "ok": True,
        "errors": [],
        "warnings": [],
        "models": {},
    }


MODELS = """backends:
  - {name: a, url: "http://a", weight: 2}
  - {name: b, url: "http://b"}
models:
  chat:
    targets: [{backend: a, model: llama3}, {backend: b, priority: 1}]
    fallbacks: [spread, gpt-x]
    context_fallback: big
    aliases: [gpt-4]
  spread: {strategy: weighted, targets: [{backend: a}, {backend: b, weight: 0.5}]}
  "gpt-*": {targets: [{backend: b}]}
rules: [{for: [auto], use: chat}]
"""


def test_check_shows_the_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "trunkline.yaml").write_text(MODELS)
    assert code_of("check") == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok: 2 backends, 0 keys, 3 models, 1 rules, from trunkline.yaml",
        "chat (priority): b/chat, a/llama3; then spread, gpt-x; too long: big; also gpt-4",
        "spread (weighted): a/spread x 2, b/spread x 0.5",
        "gpt-* (priority): b/gpt-*",
    ]
    assert code_of("check", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["models"]) == ["chat", "spread", "gpt-*"]
    assert found["models"]["chat"]["targets"][0] == {
        "backend": "a",
        "model": "llama3",
        "weight": None,
        "price": None,
        "priority": None,
    }


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("config", "schema") == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Trunkline configuration"


@pytest.mark.parametrize(
    ("arguments", "begin"), [([], "PROVIDER "), (["--json"], "[\n"), (["--markdown"], "# Providers\n")]
)
def test_providers_are_listed_in_three_forms(
    arguments: list[str], begin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of("providers", *arguments) == 0
    assert capsys.readouterr().out.startswith(begin)


def test_sim_runs_the_simulator(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    given: list[tuple[str, int, int]] = []

    def run(host: str, port: int, *, seed: int, announce: Callable[[str], None]) -> None:
        given.append((host, port, seed))
        announce("ready")

    monkeypatch.setattr(simulator, "run", run)
    assert code_of("sim", "--port", "0", "--seed", "7") == 0
    assert given == [("127.0.0.1", 0, 7)]
    assert capsys.readouterr().out == "ready\n"


def test_sim_says_that_its_port_is_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*_: object, **__: object) -> None:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(simulator, "run", run)
    assert code_of("sim", "--port", "1") == 1
    assert capsys.readouterr().err == "cannot listen on 127.0.0.1:1: Address already in use\n"


def test_demo_is_handed_its_port(monkeypatch: pytest.MonkeyPatch) -> None:
    from trunkline.cli import demo

    given: list[int] = []

    def run(port: int) -> int:
        given.append(port)
        return 4

    monkeypatch.setattr(demo, "run", run)
    assert code_of("demo", "--port", "0") == 4
    assert given == [0]


def test_check_loads_the_router(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backends = "backends: [{url: http://127.0.0.1:9, models: [m]}]\n"
    (tmp_path / "trunkline.yaml").write_text(backends + "router: no_such_module_here:choose\n")
    assert code_of("check") == 2
    assert "trunkline.yaml: `router`: " in capsys.readouterr().err
    (tmp_path / "chooser_of_check.py").write_text("def choose(text):\n    return None\n")
    (tmp_path / "trunkline.yaml").write_text(backends + "router: chooser_of_check:choose\n")
    assert code_of("check") == 0
