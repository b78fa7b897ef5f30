"""config/routing.py: what is wrong with models, rules, router and breaker, and where in the file."""

from pathlib import Path

import pytest

from trunkline.config.load import load
from trunkline.config.model import Loaded
from trunkline.errors import ConfigError

BACKENDS = """backends:
  - {name: vllm-a, url: 'http://a', models: [llama3, "gpt-*"]}
  - {name: azure, url: 'http://b', models: [gpt-4o]}
"""
CHAT = BACKENDS + "models: {chat: {targets: [{backend: azure}]}}\n"


def loaded(folder: Path, text: str, environ: dict[str, str] | None = None) -> Loaded:
    file = folder / "f.yaml"
    file.write_text(text)
    return load(file, environ or {})


def errors(folder: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text, environ)
    return str(caught.value).replace(f"{folder}/f.yaml:", "").splitlines()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            "models:\n  chat:\n    targets:\n      - backend: azur\n",
            ["7:18: models.chat.targets[0].backend: no backend is called `azur`; did you mean `azure`?"],
        ),
        (
            "models:\n  gpt.4[1]: {targets: [{backend: azure}], fallbacks: [x, gpt-4o]}\n",
            ["5:55: models.gpt.4[1].fallbacks[0]: no model is called `x`"],
        ),
        ("models: {chat: {targets: []}}", ["4:26: models.chat.targets: names no target"]),
        ("models: {chat: {}}", ["4:16: models.chat.targets: is required"]),
        (
            "models: {chat: }",
            ["4:15: models.chat: expected keys and values, not null (quote it to mean text)"],
        ),
        (
            "models: {chat: {targets: [{backend: azure}], context_fallback: chat}}",
            ["4:64: models.chat.context_fallback: is the model itself"],
        ),
        (
            "models: {a: {targets: [{backend: azure}], aliases: [b]}, b: {targets: [{backend: azure}]}}",
            ["4:53: models.a.aliases[0]: `b` is the model `b` already"],
        ),
        (
            'models:\n  ok: {targets: [{backend: azure}]}\n  " a": {targets: [{backend: azure}]}\n',
            ["6:3: models. a: has a blank at one end of its name"],
        ),
        (
            'models:\n  "a\\nb": {targets: [{backend: "x\\ny"}]}\n',
            [
                "5:3: models.a\\nb: has a character in its name that cannot be printed",
                "5:32: models.a\\nb.targets[0].backend: no backend is called `x\\ny`",
            ],
        ),
        (
            "models: {chat: {targets: [{backend: azure}], strategy: prefix}}",
            [
                (
                    "4:56: models.chat.strategy: expected `cost` or `latency` or `least_busy` or `priority` or "
                    "`round_robin` or `weighted`, not 'prefix'"
                )
            ],
        ),
        (
            "models: {chat: {targets: [{backend: azure, weight: -1}]}}",
            ["4:52: models.chat.targets[0].weight: must be at least 0, not '-1'"],
        ),
        (
            "rules:\n  - for: [auto]\n    when: {time: 9-17}\n    use: lama3\n",
            [
                "6:18: rules[0].when.time: expected a span like 09:00-17:30, not '9-17'",
                "7:10: rules[0].use: no model is called `lama3`; did you mean `llama3`?",
            ],
        ),
        ("rules: [{for: [a]}]", ["4:9: rules[0].use: is required"]),
        (
            "rules: [{use: llama3, fore: [a]}]",
            ["4:23: unknown key `rules[0].fore`; did you mean `for`?"],
        ),
        (
            "rules: [{use: llama3, when: {headers: {'a b': x}}}]",
            ["4:47: rules[0].when.headers.a b: is not the name of a header"],
        ),
        ("router: choose", ["4:9: router: expected `module:function`, not 'choose'"]),
        ("router: 'my-module:choose'", ["4:9: router: expected `module:function`, not 'my-module:choose'"]),
        ("router: 'a:b:c'", ["4:9: router: expected `module:function`, not 'a:b:c'"]),
        ("router_timeout: 0", ["4:17: router_timeout: must be greater than 0, not '0'"]),
        (
            "breaker: {base_ejection: 30}",
            ["4:26: breaker.base_ejection: 30 is longer than breaker.max_ejection, 8"],
        ),
        (
            "breaker: {max_ejection: 0.5}",
            ["4:10: breaker.base_ejection: 5 is longer than breaker.max_ejection, 0.5"],
        ),
    ],
)
def test_mistakes_have_their_place(text: str, lines: list[str], tmp_path: Path) -> None:
    assert errors(tmp_path, BACKENDS + text) == lines


def test_backends_that_are_wrong_are_not_said_to_be_missing(tmp_path: Path) -> None:
    text = "backends: [{name: a, url: 'http://h', odd: 1}]\nmodels: {chat: {targets: [{backend: a}]}}\n"
    assert errors(tmp_path, text) == ["1:39: unknown key `backends[0].odd`"]


def test_a_mistake_in_a_variable_names_the_variable(tmp_path: Path) -> None:
    environ = {"TRUNKLINE__MODELS": "{chat: {targets: [{backend: b}]}}"}
    assert errors(tmp_path, BACKENDS, environ) == [
        "TRUNKLINE__MODELS: models.chat.targets[0].backend: no backend is called `b`"
    ]


def test_a_rule_may_use_what_models_and_backends_have(tmp_path: Path) -> None:
    text = CHAT + "rules: [{for: [a], when: {tools: true}, use: gpt-5}, {for: [a], use: chat}]\n"
    found = loaded(tmp_path, text)
    assert [(rule.for_, rule.use) for rule in found.settings.rules] == [(["a"], "gpt-5"), (["a"], "chat")]
    assert found.warnings == []


def test_what_is_hardly_meant_is_a_warning(tmp_path: Path) -> None:
    text = CHAT + "rules:\n  - use: chat\n  - {for: [auto], use: llama3}\n"
    assert loaded(tmp_path, text).warnings == [
        f"{tmp_path}/f.yaml:7:5: rules[1]: is never asked: rule [0] before it always matches"
    ]
    assert loaded(tmp_path, text + "router: 'my.module:Class.choose'\n").warnings == []


def test_a_key_for_a_variant_that_there_is_not_is_told_of(tmp_path: Path) -> None:
    text = CHAT + "keys: [{name: k, key: kkk, models: [chat, chat@nope, auto@x, 'chat@*']}]\n"
    rules = "rules: [{for: [auto@x], use: chat}]\n"
    (warning,) = loaded(tmp_path, text + rules).warnings
    assert warning == (
        f"{tmp_path}/f.yaml:5:43: keys[0].models[1]: `chat@nope` lets no request in: no variant is called `nope`; "
        "the model's name alone lets its variants in, too"
    )
    (warning,) = loaded(tmp_path, text + rules + "variants: {none: {}}\n").warnings
    assert warning.endswith("no variant is called `nope`; did you mean `none`?")
    assert loaded(tmp_path, text + "variants: {nope: {}, x: {}}\n").warnings == []
    assert loaded(tmp_path, text + "router: 'my.module:choose'\n").warnings == []
