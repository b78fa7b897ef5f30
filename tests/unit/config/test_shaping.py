"""config/shaping.py: params, defaults, thoughts and variants of a file, and where their mistakes are."""

from pathlib import Path

import msgspec
import pytest

from trunkline.config.levels import Level, Levels
from trunkline.config.load import load
from trunkline.config.model import BackendEntry, Loaded, ModelEntry, VariantEntry
from trunkline.config.scalars import fields_of
from trunkline.config.shaping import LEVEL_FIELDS
from trunkline.errors import ConfigError
from trunkline.policy.keys import key_of
from trunkline.policy.overrides import Overrides
from trunkline.streams.think import ThinkSettings

BACKEND = "backends:\n  - name: a\n    url: http://h\n"


def loaded(folder: Path, text: str, environ: dict[str, str] | None = None) -> Loaded:
    file = folder / "f.yaml"
    file.write_text(text)
    return load(file, environ or {})


def levels(folder: Path, text: str, environ: dict[str, str] | None = None) -> Levels:
    return loaded(folder, text, environ).settings.shaping


def errors(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text)
    return str(caught.value).replace(f"{folder}/f.yaml:", "").splitlines()


def raw(**fields: str) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(value.encode()) for name, value in fields.items()}


def test_a_backend_s_values_keep_their_types_and_digits(tmp_path: Path) -> None:
    text = (
        BACKEND
        + """\
    params:
      seed: 12345678901234567890
      top_p: 1.0
      ratio: 1e400
      stop: [a, "1", 2]
      logit_bias: {"50256": -100}
      user: ${WHO}
      limit: ${LIMIT}
      quoted: "${LIMIT}"
      top_k: null
    defaults: {n: null, temperature: 0.5}
"""
    )
    level = levels(tmp_path, text, {"WHO": "me", "LIMIT": "7"}).backends["a"]
    assert level.overrides == Overrides(
        raw(
            seed="12345678901234567890",
            top_p="1.0",
            ratio="1e400",
            stop='["a","1",2]',
            logit_bias='{"50256":-100}',
            user='"me"',
            limit="7",
            quoted='"7"',
        ),
        frozenset(("top_k",)),
        raw(n="null", temperature="0.5"),
        hidden=frozenset(("user", "limit", "quoted")),
    )


def test_old_names_of_defaults_fill_them(tmp_path: Path) -> None:
    text = BACKEND + "    temperature: 0.7\n    max_tokens: 4096\n    streaming: true\n    defaults: {n: 1}\n"
    fill = levels(tmp_path, text).backends["a"].overrides.fill
    assert fill == raw(n="1", temperature="0.7", max_tokens="4096", stream="true")


def test_a_file_that_shapes_nothing_has_no_levels(tmp_path: Path) -> None:
    text = BACKEND + "models: {chat: {targets: [{backend: a}]}}\n"
    assert levels(tmp_path, text) == Levels()


def test_models_and_keys_have_them_too(tmp_path: Path) -> None:
    text = (
        BACKEND
        + """\
models:
  chat:
    targets: [{backend: a}]
    params: {top_k: 1}
    append_to_last_user_message: " /no_think"
    think: {mode: split, tags: [["<t>", "</t>"]], trim: true}
    reasoning: reasoning
    rename: true
keys:
  - {name: k, key: kkk, params: {user: k}, defaults: {n: 2}}
"""
    )
    settings = loaded(tmp_path, text).settings
    assert settings.shaping.models["chat"] == Level(
        overrides=Overrides(raw(top_k="1"), append=" /no_think"),
        think=ThinkSettings(mode="split", tags=[["<t>", "</t>"]], trim=True),
        reasoning="reasoning",
        rename=True,
    )
    assert (settings.keys[0].params, settings.keys[0].defaults) == (raw(user='"k"'), raw(n="2"))


def test_a_word_means_the_mode(tmp_path: Path) -> None:
    level = levels(tmp_path, BACKEND + "    think: strip\n").backends["a"]
    assert level.think == ThinkSettings(mode="strip")
    environ = {"TRUNKLINE__BACKENDS__0__THINK": "{mode: keep}", "TRUNKLINE__BACKENDS__0__PARAMS__X": "[1, a]"}
    level = levels(tmp_path, BACKEND, environ).backends["a"]
    assert level == Level(
        think=ThinkSettings(mode="keep"), overrides=Overrides(raw(x='[1,"a"]'), hidden=frozenset({"x"}))
    )


def test_tags_of_the_environment_hold_where_none_are_written(tmp_path: Path) -> None:
    text = BACKEND + "    think: strip\nvariants: {v: {think: {tags: [[a, b]]}}}\n"
    found = levels(tmp_path, text, {"THINK_TAG": "<t>", "THINK_END_TAG": ""})
    assert found.tags == ("<t>", "</think>")
    think = found.backends["a"].think
    assert think is not None
    assert think.tags == [["<t>", "</think>"]]
    assert found.variants["v"].level.think == ThinkSettings(tags=[["a", "b"]])


def test_a_variant_has_what_it_extends(tmp_path: Path) -> None:
    text = (
        BACKEND
        + """\
variants:
  base: {match: "gpt-oss.*", params: {a: 1, b: 1}, defaults: {d: 1}, think: strip, rename: true}
  more: {params: {b: 2, c: null}, reasoning: wrap}
  own: {extends: [base, more], params: {a: null, c: 3}, defaults: {d: null}, think: keep}
  other: {extends: [base], match: "x"}
"""
    )
    found = levels(tmp_path, text).variants
    assert found["own"].match == "gpt-oss.*"
    assert found["own"].level == Level(
        overrides=Overrides(raw(b="2", c="3"), frozenset(("a",)), raw(d="null")),
        think=ThinkSettings(mode="keep"),
        reasoning="wrap",
        rename=True,
    )
    assert found["other"].match == "x"


def test_llm_params_hold_beside_a_file(tmp_path: Path) -> None:
    environ = {"LLM_PARAMS": "model=a,top_k=x;bad"}
    found = loaded(tmp_path, BACKEND, environ)
    assert list(found.settings.shaping.groups) == ["a"]
    assert found.warnings == [
        "LLM_PARAMS: `a`: `top_k=x` is no whole number; it is sent as text",
        "LLM_PARAMS: group 2 does not begin with `model=NAME`; it is left out",
    ]


def test_a_target_of_the_environment_has_its_thoughts_cut_out() -> None:
    environ = {"TARGET_BASE_URL": "http://h", "THINK_TAG": "<t>"}
    found = load(None, environ).settings.shaping
    assert found.backends["target"] == Level(think=ThinkSettings(tags=[["<t>", "</think>"]]))
    assert load(None, {"OPENAI_API_KEY": "k"}).settings.shaping == Levels()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            "    params: {model: x}\n",
            [
                "4:14: backends[0].params.model: is not set here: `models:` says which model a backend is asked for"
            ],
        ),
        (
            "    params:\n      messages: []\n",
            ["5:7: backends[0].params.messages: is not set here: `append_to_last_user_message` adds to it"],
        ),
        (
            "    defaults: {model: x}\n",
            [
                (
                    "4:16: backends[0].defaults.model: is not set here: `default_model` of a backend is for requests "
                    "that name none"
                )
            ],
        ),
        (
            "    params: {stream: maybe}\n",
            ['4:22: backends[0].params.stream: expected true or false, not "maybe"'],
        ),
        ("    params: 5\n", ["4:13: backends[0].params: expected keys and values, not a single value"]),
        ("    params: {a: [.inf]}\n", ["4:18: backends[0].params.a[0]: is no number in JSON"]),
        ("    params: {a: {b: .nan}}\n", ["4:21: backends[0].params.a.b: is no number in JSON"]),
        (
            "    params: {a: '${NONE}'}\n",
            [
                (
                    "4:17: backends[0].params.a: environment variable NONE is not set; set it, or write ${NONE:-} for "
                    "an empty default"
                )
            ],
        ),
        (
            "    temperature: 1\n    defaults: {temperature: 2}\n",
            [
                (
                    "4:18: backends[0].temperature: is an alias of `defaults.temperature`, which is there too; "
                    "write one of them"
                )
            ],
        ),
        (
            "    max_tokens: many\n    params: {model: x}\n",
            [
                "4:17: backends[0].max_tokens: expected a whole number, not 'many'",
                "5:14: backends[0].params.model: is not set here: `models:` says which model a backend is asked for",
            ],
        ),
        (
            "    think: splt\n",
            ["4:12: backends[0].think: expected `keep` or `split` or `strip`, not 'splt'"],
        ),
        (
            "    think: {mod: keep}\n",
            ["4:13: unknown key `backends[0].think.mod`; did you mean `mode`?"],
        ),
        (
            "    think: {tags: [[a]]}\n",
            ["4:12: backends[0].think: tags[0]: a pair is a start tag and an end tag, not 1 texts"],
        ),
        (
            "    reasoning: split\n",
            [
                (
                    "4:16: backends[0].reasoning: expected `keep` or `reasoning` or `reasoning_content` or `strip` or "
                    "`wrap`, not 'split'"
                )
            ],
        ),
        (
            "models: {chat: {targets: [{backend: a}], params: {model: b}}}\n",
            [
                "4:51: models.chat.params.model: is not set here: `models:` says which model a backend is asked for"
            ],
        ),
        (
            "keys: [{name: k, key: kkk, defaults: {stream: 1}}]\n",
            ["4:47: keys[0].defaults.stream: expected true or false, not 1"],
        ),
        (
            "variants: {low: {extends: [lo]}, b: {match: '('}, c@d: {}, ' e': {}}\n",
            [
                "4:28: variants.low.extends[0]: no variant is called `lo`; did you mean `low`?",
                "4:45: variants.b.match: is no regular expression: missing ), unterminated subpattern at position 0",
                "4:51: variants.c@d: has an `@` in its name",
                "4:60: variants. e: has a blank at one end of its name",
            ],
        ),
        (
            "variants: {a: {extends: [b]}, b: {extends: [c]}, c: {extends: [b]}, d: {extends: [d]}}\n",
            [
                "4:45: variants.b.extends[0]: `c` extends `b` itself",
                "4:64: variants.c.extends[0]: `b` extends `c` itself",
                "4:83: variants.d.extends[0]: `d` extends `d` itself",
            ],
        ),
        ("variants: {a: {prams: {}}}\n", ["4:16: unknown key `variants.a.prams`; did you mean `params`?"]),
    ],
)
def test_mistakes_have_their_place(text: str, lines: list[str], tmp_path: Path) -> None:
    assert errors(tmp_path, BACKEND + text) == lines


def test_tags_that_cannot_work_are_left_out_with_a_warning(tmp_path: Path) -> None:
    long = "x" * 300
    environ = {
        "LLM_PARAMS": f"model=m,think_tag_start={long},enable_think_tag_filtering=true",
        "THINK_TAG": long,
    }
    found = loaded(tmp_path, BACKEND + "    think: strip\n", environ)
    assert found.settings.shaping.backends["a"].think == ThinkSettings()
    group = found.settings.shaping.groups["m"]
    assert (group.start, group.filters) == ("", True)
    places = [warning.partition(": ")[0] for warning in found.warnings]
    assert places == ["THINK_TAG, THINK_END_TAG", "LLM_PARAMS"]


@pytest.mark.parametrize(
    ("environ", "warnings"),
    [
        (
            {"THINK_TAG": "", "THINK_END_TAG": "</t>"},
            ["THINK_TAG: is empty beside a THINK_END_TAG, so the usual `<think>` holds; set both or none"],
        ),
        (
            {"THINK_TAG": "<t>", "THINK_END_TAG": ""},
            ["THINK_END_TAG: is empty beside a THINK_TAG, so the usual `</think>` holds; set both or none"],
        ),
        ({"THINK_TAG": "", "THINK_END_TAG": ""}, []),
        ({"THINK_TAG": "<t>"}, []),
    ],
)
def test_half_a_pair_of_tags_is_told_of(environ: dict[str, str], warnings: list[str], tmp_path: Path) -> None:
    assert loaded(tmp_path, BACKEND, environ).warnings == warnings


def test_rules_may_use_variants_and_names_that_stand_for_models(tmp_path: Path) -> None:
    text = (
        "backends: [{name: a, url: 'http://h', models: [m]}]\nvariants: {low: {}}\n"
        "rules: [{for: [x], when: {tools: true}, use: m@low}, {for: [x], use: fast}]\n"
    )
    environ = {"LLM_PARAMS": "model=fast,upstream_model_name=m"}
    assert len(loaded(tmp_path, text, environ).settings.rules) == 2
    assert errors(tmp_path, text) == ["3:70: rules[1].use: no model is called `fast`"]
    assert errors(tmp_path, text.replace("fast", "m@high"))[0].startswith(
        "3:70: rules[1].use: no model is called"
    )


def test_what_comes_from_a_variable_is_hidden_at_any_depth_and_at_every_level(tmp_path: Path) -> None:
    text = """\
backends: [{name: a, url: "http://h", params: {a: "x${S}", b: 1, c: {d: [{e: "${S}"}, 1]}}, defaults: {f: "${S}"}}]
variants: {v: {params: {g: "${S}", "${S}": 1}}}
keys: [{name: k, key: "${S}", params: {h: "${S}", i: 1}}]
"""
    settings = loaded(tmp_path, text, {"S": "secret"}).settings
    assert settings.shaping.backends["a"].overrides.hidden == {"a", "c", "f"}
    assert settings.shaping.variants["v"].level.overrides.hidden == {"g"}
    overrides = key_of(settings.keys[0]).overrides
    assert overrides is not None
    assert overrides.hidden == {"h"}


def test_secrets_that_are_written_down_are_told_of(tmp_path: Path) -> None:
    text = BACKEND + (
        "    params: {api_key: sk-x, headers: {Authorization: [Bearer x], x-a: b}, max_tokens: '5', token: 5}\n"
        "    defaults: {api_key: '${KEY}', secret: '${KEY:-written}'}\n"
    )
    places = [place.rpartition(": ")[2] for place in loaded(tmp_path, text, {"KEY": "x"}).literal_secrets]
    assert places == [
        "backends[0].params.api_key",
        "backends[0].params.headers.Authorization[0]",
        "backends[0].defaults.secret",
    ]


def test_the_fields_of_a_level_are_the_same_wherever_they_stand() -> None:
    assert LEVEL_FIELDS == (
        "params",
        "defaults",
        "append_to_last_user_message",
        "think",
        "reasoning",
        "rename",
    )
    backend, model, variant = (
        {name: field.type for name, field in fields_of(cls).items() if name in LEVEL_FIELDS}
        for cls in (BackendEntry, ModelEntry, VariantEntry)
    )
    assert backend == model == variant


def test_tags_that_are_written_hold_even_if_they_are_the_usual_ones(tmp_path: Path) -> None:
    think = "think: {mode: strip, tags: [[<think>, </think>]]}"
    text = f"""\
backends: [{{name: a, url: "http://h", {think}}}, {{name: b, url: "http://h", think: {{mode: strip, tags: null}}}}]
models: {{m: {{targets: [{{backend: a}}], {think}}}, n: {{targets: [{{backend: a}}], think: strip}}}}
variants: {{v: {{{think}}}, w: {{extends: [v]}}, x: {{think: strip}}}}
"""
    found = levels(tmp_path, text, {"THINK_TAG": "<t>", "THINK_END_TAG": "</t>"})
    tags = {
        name: level.think.tags
        for name, level in (
            *found.backends.items(),
            *found.models.items(),
            *((name, variant.level) for name, variant in found.variants.items()),
        )
        if level.think is not None
    }
    usual, other = [("<think>", "</think>")], [("<t>", "</t>")]
    assert {name: [*map(tuple, pairs)] for name, pairs in tags.items()} == {
        "a": usual, "b": other, "m": usual, "n": other, "v": usual, "w": usual, "x": other,
    }  # fmt: skip


def test_all_mistakes_of_a_backend_are_reported_at_once(tmp_path: Path) -> None:
    text = BACKEND + (
        "    temperature: hot\n    defaults: {n: .nan}\n    nonsense: 1\n"
        "    params: {model: m, messages: [], stream: maybe}\n"
    )
    places = [line.split(": ")[1].split(" ")[0] for line in errors(tmp_path, text)]
    assert places == [
        "backends[0].temperature",
        "backends[0].defaults.n",
        "unknown",
        "backends[0].params.model",
        "backends[0].params.messages",
        "backends[0].params.stream",
    ]
