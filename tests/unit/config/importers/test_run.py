"""All importers alike: what they print loads, nothing is lost, and what is wrong has its place."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tests.unit.config.importers.importing import NEW_KEY, SOURCES, Made
from trunkline.config.importers.run import SYSTEMS, import_file
from trunkline.config.load import load
from trunkline.errors import ConfigError

NAMES = re.compile(r"\$\{([A-Za-z_]\w*)|os\.environ/(\w+)")


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_printed_loads_where_nothing_is_set(name: str, tmp_path: Path) -> None:
    system, text = SOURCES[name]
    made = Made(tmp_path, system, text)
    assert made.settings.backends
    assert made.imported.counts["models"] == len(made.settings.models)
    assert "&" not in made.text, "no anchors"
    assert made.text.endswith("\n")


@pytest.mark.parametrize("name", SOURCES)
def test_a_variable_that_is_set_is_referred_to_without_a_default(name: str, tmp_path: Path) -> None:
    system, text = SOURCES[name]
    without_default = set(re.findall(r"\$\{([A-Z_]+)\}|os\.environ/([A-Z_]+)", text))
    names = {one or other for one, other in without_default} - {"DATABASE_URL", "ROUTER_PRIORITY"}
    made = Made(tmp_path, system, text, dict.fromkeys(names, "https://set.example"))
    assert all(f"${{{name}}}" in made.text for name in names)
    unset = Made(tmp_path, system, text)
    assert all(f"${{{name}:-" in unset.text for name in names)


def test_the_same_comes_out_each_time(tmp_path: Path) -> None:
    for system, text in SOURCES.values():
        assert Made(tmp_path, system, text).text == Made(tmp_path, system, text).text


def mappings(value: Any) -> Iterator[dict[str, Any]]:
    """All mappings in a value."""
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        yield found
        for below in found.values():
            yield from mappings(below)
    elif isinstance(value, list):
        for below in cast("list[Any]", value):
            yield from mappings(below)


@pytest.mark.parametrize("name", [name for name in SOURCES if "variables" not in name])
def test_no_key_is_lost(name: str, tmp_path: Path) -> None:
    """A key that no importer knows, put into each mapping in turn, is found in what is printed."""
    system, text = SOURCES[name]
    reader: Any = YAML(typ="safe", pure=True)
    documents: list[Any] = json.loads(json.dumps(list(reader.load_all(text)), default=str))
    count = len(list(mappings(documents)))
    for at in range(count):
        changed = json.loads(json.dumps(documents))
        list(mappings(changed))[at]["zork"] = {"inner_zork": [1]}
        source = "\n---\n".join(json.dumps(document) for document in changed)
        try:
            said = Made(tmp_path, system, source).text
        except ConfigError as error:  # where a name stands for an entry: a variant, an alias, a fallback
            said = str(error)
        assert "zork" in said, at


def test_a_variable_that_is_not_known_is_named(tmp_path: Path) -> None:
    made = Made(tmp_path, "cot_proxy", "TARGET_BASE_URL=http://h/\nZORK=1\n", name=".env")
    assert "not carried: `ZORK`" in made.notes


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "1:1: is empty"),
        ("a: [", "1:5: "),
        ("just text", "1:1: "),
        ("{}", "1:1: "),
        ("zork: 1\n", "1:1: "),
        ("a: 1\n[", "2:1: "),
    ],
)
def test_a_file_that_is_none_says_so(system: str, text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "source.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        import_file(system, path, {}, str)
    assert str(caught.value).startswith(f"{path}:{words}")


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    for system in SYSTEMS:
        with pytest.raises(ConfigError, match="cannot be read"):
            import_file(system, tmp_path / "none", {}, str)


def test_what_the_loader_refuses_is_told_with_its_place_in_the_source(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "backends_enabled: true\nbackends:\n  - name: a\n    url: ftp://h\n    provider: ollama\n"
    )
    with pytest.raises(ConfigError) as caught:
        import_file("beigebox", path, {}, str)
    assert str(caught.value) == (
        f"{path}:4:10: cannot be carried: backends[0].url: must start with http:// or https://"
    )


def test_what_is_set_for_this_gateway_does_not_matter(tmp_path: Path) -> None:
    environ = {"TRUNKLINE_API_KEY": "k", "TRUNKLINE__SERVER__PORT": "no number"}
    path = tmp_path / "config.yaml"
    path.write_text("base_url: http://h\n")
    assert import_file("openai_compatible", path, environ, str).counts["keys"] == 0


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("TARGET_BASE_URL: http://h\nLLM_PARAMS: $X\n")
    imported = import_file("cot_proxy", path, {"X": "model=\udcff,temperature=x"}, str)
    assert any("is left out: models" in note.text and "in its name" in note.text for note in imported.notes)
    assert imported.counts["models"] == 1


def listed(text: str) -> list[str]:
    return text.split()


WORDS = st.sampled_from(
    [
        *listed(
            "a gpt-4o openai/gpt-4o groq/* * azure/x http://h:8000 https://x.openai.azure.com ${A} ${A:-b} $$"
        ),
        *listed("${ os.environ/A none ollama openai custom 0 model=a,b=1;model=default"),
        *("", "a b", "\u00e9\u2028\x07"),
    ]
)
SCALARS = st.none() | st.booleans() | st.integers(-5, 200) | st.floats(-5, 20) | WORDS
KEYS = {
    "beigebox": listed(
        "backends backend server auth keys backends_enabled generation models port name url provider api_key priority "
        "timeout allowed_models host temperature force"
    ),
    "litellm": listed(
        "model_list model_name litellm_params model api_base api_key rpm order weight router_settings master_key "
        "litellm_settings general_settings fallbacks model_group_alias temperature extra_headers model_info timeout "
        "max_input_tokens num_retries organization environment_variables credential_list default_fallbacks gpt-4o a * "
        "A api_version"
    ),
    "openai_compatible": listed(
        "type config provider base_url url api_key model timeout headers llm llm.model openai_endpoint backends name "
        "max_retries temperature client_id models client_secret token_url deployment_name api_version ssl_verify "
        "ca_bundle_path params top_p"
    ),
    "cot_proxy": listed(
        "services environment TARGET_BASE_URL LLM_PARAMS THINK_TAG variants label tag model_regex weak_defaults "
        "thinking do_strip tags base_off inject_at_end a b name"
    ),
}


def trees(system: str) -> st.SearchStrategy[Any]:
    keys = st.sampled_from([*KEYS[system], "zork"])
    deep = st.recursive(
        SCALARS,
        lambda below: st.lists(below, max_size=4) | st.dictionaries(keys, below, max_size=6),
        max_leaves=25,
    )
    return st.dictionaries(keys, deep, min_size=1, max_size=6)


@st.composite
def near(draw: st.DrawFn, system: str) -> Any:
    """Sources that are almost right."""
    keys = st.sampled_from([*KEYS[system], "zork"])
    entry = st.dictionaries(keys, SCALARS | st.lists(WORDS, max_size=3), max_size=7)
    root, some = draw(entry), draw(st.lists(entry, max_size=4))
    match system:
        case "beigebox":
            return root | {"backends": [{"provider": "ollama", "url": "http://h"} | one for one in some]}
        case "litellm":
            models = [
                {"model_name": draw(WORDS), "litellm_params": {"model": "openai/x"} | one} for one in some
            ]
            return root | {"model_list": models}
        case "openai_compatible":
            return [{"base_url": "http://h"} | one for one in [root, *some]]
        case _:
            return root | {"variants": {f"v{at}": one for at, one in enumerate(some)}}


@pytest.mark.parametrize("system", SYSTEMS)
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_input_is_an_error_with_a_place_or_a_configuration(
    system: str, data: st.DataObject, tmp_path: Path
) -> None:
    source = data.draw(near(system) | trees(system))
    environ: Mapping[str, str] = data.draw(st.sampled_from([{}, {"A": "x"}]))
    path = tmp_path / "source.yaml"
    path.write_text(json.dumps(source))
    problem = ""
    imported = None
    try:
        imported = import_file(system, path, environ, lambda: NEW_KEY)
    except ConfigError as error:
        problem = str(error)
    place = re.compile(rf"{re.escape(str(path))}:\d+:\d+: ")
    assert all(place.match(line) for line in problem.splitlines())
    if imported is not None:
        written = tmp_path / "made.yaml"
        written.write_text(imported.text)
        assert load(written, environ).settings.backends
        assert "zork" not in json.dumps(source) or "zork" in imported.text
