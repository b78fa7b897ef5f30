import pytest

from trunkline.config.environment import overrides, start
from trunkline.config.tree import Mapping, Node, Scalar, Sequence


def plain(node: Node) -> object:
    if isinstance(node, Mapping):
        return {key: plain(entry.node) for key, entry in node.items.items()}
    return [plain(item) for item in node.items] if isinstance(node, Sequence) else node.text


def target(url: str, total: str) -> object:
    return {
        "name": "target",
        "provider": "custom",
        "url": url,
        "forward_authorization": "true",
        "timeouts": {"total": total},
        # What a client pays for it repeats itself, or not.
        "max_retries": "0",
        "on_cut": "error",
        "think": "strip",
    }


def test_overrides_are_paths_in_the_order_of_their_names() -> None:
    environ = {
        "TRUNKLINE__SERVER__PORT": "9000",
        "TRUNKLINE__BACKENDS__0__API_KEY": "${X}",
        "TRUNKLINE__SERVER__HOST": "",
        "TRUNKLINE_API_KEY": "k",
        "PORT": "1",
    }
    assert overrides(environ) == [
        (
            ["backends", "0", "api_key"],
            Scalar(text="${X}", where="TRUNKLINE__BACKENDS__0__API_KEY", literal=True),
        ),
        (["server", "port"], Scalar(text="9000", where="TRUNKLINE__SERVER__PORT", literal=True)),
    ]


@pytest.mark.parametrize(
    ("environ", "url", "total", "source"),
    [
        ({}, "https://api.openai.com/v1/", "3000", "environment (defaults)"),
        ({"TARGET_BASE_URL": "http://t:1/"}, "http://t:1/", "3000", "environment (TARGET_BASE_URL)"),
        (
            {"TARGET_BASE_URL": "http://t:1/", "OPENAI_API_KEY": "k", "API_REQUEST_TIMEOUT": "120"},
            "http://t:1/",
            "120",
            "environment (TARGET_BASE_URL)",
        ),
        (
            {"TARGET_BASE_URL": "", "OPENAI_API_KEY": ""},
            "https://api.openai.com/v1/",
            "3000",
            "environment (defaults)",
        ),
    ],
)
def test_a_target_is_passed_through_to(environ: dict[str, str], url: str, total: str, source: str) -> None:
    begin = start(environ)
    assert plain(begin.root) == {"backends": [target(url, total)]}
    assert begin.passthrough
    assert begin.source == source


def test_provider_keys_make_one_backend_each_in_the_order_of_the_table() -> None:
    begin = start({"GROK_API_KEY": "x", "OPENAI_API_KEY": "o", "MISTRAL_API_KEY": ""})
    assert plain(begin.root) == {
        "backends": [{"provider": "openai", "priority": "1"}, {"provider": "xai", "priority": "2"}]
    }
    assert not begin.passthrough
    assert begin.source == "environment (OPENAI_API_KEY, GROK_API_KEY)"


@pytest.mark.parametrize("name", ["AZURE_OPENAI_API_KEY", "RUNPOD_API_KEY", "HF_TOKEN", "API_KEY"])
def test_a_key_that_needs_more_or_is_for_more_makes_no_backend(name: str) -> None:
    assert start({name: "k"}).passthrough


def test_a_variable_without_effect_is_named() -> None:
    begin = start({"LLM_PARAMS": "a=1", "THINK_TAG": "<t>", "DEBUG": "true", "THINK_END_TAG": ""})
    assert begin.warnings == ["DEBUG: has no effect yet"]
