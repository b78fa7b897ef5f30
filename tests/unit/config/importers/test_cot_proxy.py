"""cot_proxy: variables, Compose files, and the variants of a fork."""

from pathlib import Path

import pytest

from tests.unit.config.importers.importing import COT_COMPOSE, COT_ENV, COT_FORK, Made
from trunkline.config.importers.run import import_file
from trunkline.errors import ConfigError
from trunkline.streams.think import ThinkSettings


def test_variables(tmp_path: Path) -> None:
    made = Made(tmp_path, "cot_proxy", COT_ENV, name=".env")
    target = made.settings.backends[0]
    assert made.rows() == [("target", "custom", "http://your-model-server:8080/")]
    assert (target.forward_authorization, target.max_retries, target.on_cut) == (True, 0, "error")
    assert (target.timeouts.total, target.models, made.settings.server.port) == (3000, ["*"], 5000)
    assert made.settings.shaping.backends["target"].think == ThinkSettings(
        mode="strip", tags=[["<t>", "</t>"]]
    )
    assert "`HOST_PORT` is not carried: `server.port` is the port" in made.notes


def test_groups_are_models(tmp_path: Path) -> None:
    made = Made(tmp_path, "cot_proxy", COT_ENV, name=".env")
    assert list(made.settings.models) == ["Qwen3-No", "plain", "*"]
    assert made.settings.models["Qwen3-No"].targets[0].model == "Qwen3"
    assert made.settings.models["plain"].targets[0].model == ""
    level = made.settings.shaping.models["Qwen3-No"]
    assert {name: bytes(value) for name, value in level.overrides.force.items()} == {
        "temperature": b"0.7",
        "top_k": b"20",
        "min_p": b"0.05",
    }
    assert level.overrides.append == "\n\n/no_think"
    plain = made.settings.shaping.models["plain"].think
    assert plain is not None
    assert plain.mode == "keep"


@pytest.mark.parametrize(
    ("value", "text", "note"),
    [
        (
            "model=a,stop=null",
            "stop: null",
            "`LLM_PARAMS`: `stop` is removed here, where cot_proxy sends null",
        ),
        ("model=a,stop=[1]", "stop:\n        - 1", ""),
        ("model=a,stop=[],x={}", "stop: []\n      x: {}\n", ""),
        ('model=a,x={"y": [[]]}', "x:\n        y:\n          - []\n", ""),
        ('model=a,x={"y": "$$"}', "x:\n        y: $$$$", ""),
        (
            "model=a,temperature=x",
            "temperature: x",
            "`LLM_PARAMS`: `a`: `temperature=x` is no number; it is sent as text",
        ),
        ("model=q*,a=1", "", "`LLM_PARAMS` has a group whose name would be a pattern here; it is left out"),
        ("zork", "", "`LLM_PARAMS`: group 1 does not begin with `model=NAME`; it is left out"),
        ("model=a,think_tag_start=<x>,think_tag_end=</x>", "tags:\n        - [<x>, </x>]", ""),
        ("model=default,upstream_model_name=u,n=1", "default_model: u", ""),
    ],
)
def test_values_of_groups(value: str, text: str, note: str, tmp_path: Path) -> None:
    made = Made(tmp_path, "cot_proxy", f"TARGET_BASE_URL=http://h/\nLLM_PARAMS='{value}'\n", name="env")
    assert text in made.text
    assert not note or note in made.notes


def test_requests_without_a_model(tmp_path: Path) -> None:
    made = Made(tmp_path, "cot_proxy", "LLM_PARAMS=model=default,temperature=0.7\n", name=".env")
    assert made.rows()[0][2] == "https://api.openai.com/v1/"
    assert list(made.settings.models) == ["default", "*"]
    assert any("LLM_PARAMS in the environment does the same here" in note for note in made.notes)


def test_a_compose_file(tmp_path: Path) -> None:
    made = Made(tmp_path, "cot_proxy", COT_COMPOSE, name="docker-compose.yml")
    assert "    url: ${TARGET_BASE_URL:-http://your-model-server:8080/}\n" in made.text
    assert "      total: ${API_REQUEST_TIMEOUT:-3000}\n" in made.text
    assert made.settings.backends[0].timeouts.total == 3000
    assert list(made.settings.models) == ["default", "*"]
    assert any("LLM_PARAMS` is written as it is now" in note for note in made.notes)
    made = Made(tmp_path, "cot_proxy", COT_COMPOSE, {"LLM_PARAMS": "model=x,n=2"})
    assert list(made.settings.models) == ["x", "*"]


def test_variables_as_a_mapping_and_by_name(tmp_path: Path) -> None:
    text = (
        "services:\n  other: {image: x, environment: {A: 1}}\n"
        "  proxy:\n    image: y\n    env_file: .env\n    environment: [TARGET_BASE_URL, 'DEBUG=true']\n"
    )
    made = Made(tmp_path, "cot_proxy", text, {"TARGET_BASE_URL": "http://set/"})
    assert made.rows()[0][2] == "http://set/"
    assert "    url: ${TARGET_BASE_URL}\n" in made.text
    assert "not carried: `services.other.environment.A`" in made.notes
    assert any("env_file` is not carried" in note for note in made.notes)
    assert Made(tmp_path, "cot_proxy", text).rows()[0][2] == "https://target-base-url.invalid"
    mapping = "TARGET_BASE_URL: http://h/\nAPI_REQUEST_TIMEOUT: 7\n"
    assert Made(tmp_path, "cot_proxy", mapping).settings.backends[0].timeouts.total == 7


def test_quotes_and_comments_in_variables(tmp_path: Path) -> None:
    text = "TARGET_BASE_URL=\"http://h:1/\" # no\nAPI_REQUEST_TIMEOUT=5 # seconds\nTHINK_TAG='<$$>'\n"
    made = Made(tmp_path, "cot_proxy", text, name=".env")
    assert (made.settings.backends[0].timeouts.total, made.rows()[0][2]) == (5, "http://h:1/")
    think = made.settings.shaping.backends["target"].think
    assert think is not None
    assert think.tags == [["<$$>", "</think>"]]


def test_a_quoted_value_of_several_lines(tmp_path: Path) -> None:
    text = 'TARGET_BASE_URL=http://h/\nLLM_PARAMS="model=a,top_k=1;\nmodel=b,top_k=2"\n'
    made = Made(tmp_path, "cot_proxy", text, name=".env")
    assert list(made.settings.models) == ["a", "b", "*"]
    assert not any("left out" in note or "not carried" in note for note in made.notes)
    with pytest.raises(ConfigError) as caught:
        Made(tmp_path, "cot_proxy", text.removesuffix('"\n'), name=".env")
    assert str(caught.value).endswith(".env:2:1: the value begins with a quote that is not closed")


def test_variants_of_a_fork(tmp_path: Path) -> None:
    made = Made(tmp_path, "cot_proxy", COT_FORK)
    assert made.settings.backends[0].timeouts.total == 1250
    assert "    url: ${COT_TARGET_BASE_URL:-https://cot-target-base-url.invalid}\n" in made.text
    variants = made.settings.shaping.variants
    assert list(variants) == ["do-think", "silent", "less"]
    think, silent, less = variants.values()
    assert think.match == "^(?=.*[Qq]wen3)(?!.*-it-).*"
    assert think.level.overrides.append == "\n\n/think"
    assert think.level.think == ThinkSettings(mode="strip", tags=[["<seed:think>", "</seed:think>"]])
    assert silent.level.think == ThinkSettings(mode="split", tags=[["<seed:think>", "</seed:think>"]])
    fill = {name: bytes(value) for name, value in silent.level.overrides.fill.items()}
    assert fill == {"min_p": b"0.01", "top_k": b"5"}, "mappings are merged with those of the variant before"
    assert less.match == ".*(?:QwQ-32B|qwq).*", "a pattern is found anywhere in a name there"
    assert bytes(less.level.overrides.fill["logit_bias"]) == b'{"151668":13.5}'
    assert "not carried: `log_level`" in made.notes


def test_defaults_of_variants_that_hold_nothing(tmp_path: Path) -> None:
    text = "variants:\n  a: {weak_defaults: {stop: [], x: {}, y: null}}\n  b: {weak_defaults: {}}\n"
    variants = Made(tmp_path, "cot_proxy", text).settings.shaping.variants
    fill = {name: bytes(value) for name, value in variants["a"].level.overrides.fill.items()}
    assert fill == {"stop": b"[]", "x": b"{}", "y": b"null"}
    assert variants["b"].level.overrides.fill == {}


def test_names_of_variants(tmp_path: Path) -> None:
    text = (
        "variants:\n  a: {label: x, model_regex: a}\n  b: {label: x, model_regex: b}\n  c: {label: 'y@z'}\n  d: {}\n"
        "split_token_model_name_label: '#'\n"
    )
    made = Made(tmp_path, "cot_proxy", text)
    assert list(made.settings.shaping.variants) == ["x", "x-2", "y-z", "d"]
    assert len([note for note in made.notes if "each variant has a name of its own" in note]) == 2
    assert any("split_token_model_name_label` is `@` here" in note for note in made.notes)


def test_the_first_generation_of_names(tmp_path: Path) -> None:
    text = (
        "apiRequestTimeout: 7\nvariants:\n"
        "  a: {tag: '@no', model-regex: 'q.*', inject-at-end: /no, thinking: {strip: true}}\n"
        "  b: {base-off: a, name: '@yes', tag: '@yes', thinking: {strip: false}}\n"
    )
    made = Made(tmp_path, "cot_proxy", text)
    variants = made.settings.shaping.variants
    assert list(variants) == ["no", "yes"]
    assert [one.level.think and one.level.think.mode for one in variants.values()] == ["strip", "keep"]
    assert made.settings.backends[0].timeouts.total == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("variants: [a]\n", ":1:11: variants: expected keys and values"),
        ("variants: {a: 1}\n", ":1:15: variants.a: expected keys and values"),
        ("variants: {a: {base_off: b}}\n", ":1:26: variants.a.base_off: there is no such variant before it"),
        ("variants: {a: {base_off: b}, b: {base_off: a}}\n", "there is no such variant before it"),
        ("variants: {a: {base_off: b}, b: 1}\n", "variants.b: expected keys and values"),
        ("variants: {a: {weak_defaults: [1]}}\n", "variants.a.weak_defaults: expected keys and values"),
        ("variants: {a: {weak_logit_bias: [1]}}\n", "weak_logit_bias[0]: expected a token and its bias"),
        ("variants: {a: {thinking: 1}}\n", "variants.a.thinking: expected keys and values"),
        ("services: {a: {image: x}}\n", "no service with TARGET_BASE_URL or LLM_PARAMS in its `environment`"),
        (
            "services:\n  a: {environment: {LLM_PARAMS: x}}\n  b: {environment: {LLM_PARAMS: x}}\n",
            ":3:20: a second service of this kind; import one at a time",
        ),
        ("ZORK=1\n", ":1:1: no variable of cot_proxy is here, like TARGET_BASE_URL"),
        (
            "TARGET_BASE_URL=ftp://h\n",
            ":1:1: cannot be carried: backends[0].url: must start with http:// or https://",
        ),
        ("API_REQUEST_TIMEOUT=x\n", ":1:1: API_REQUEST_TIMEOUT: expected a number"),
        ("---\na: 1\n---\nb: 1\n", ":4:1: expected one document, not 2"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Made(tmp_path, "cot_proxy", text)
    assert words in str(caught.value)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "source.yaml").write_bytes(b"A=\xff\n")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        import_file("cot_proxy", tmp_path / "source.yaml", {}, str)
