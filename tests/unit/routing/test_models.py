"""routing/models.py: names, aliases, globs, and what is wrong."""

import msgspec
import pytest

from trunkline.routing.backend import BackendSettings
from trunkline.routing.models import (
    KnownModels,
    ModelSettings,
    PublicModels,
    TargetSettings,
    close_hint,
    problems,
)


def model(*backends: str, **more: object) -> ModelSettings:
    targets = [{"backend": name} for name in backends]
    return msgspec.convert({"targets": targets, **more}, ModelSettings)


DESIGN = {
    "chat": msgspec.convert(
        {
            "targets": [
                {"backend": "vllm-a", "model": "llama3", "weight": 3},
                {"backend": "azure", "model": "gpt-4o"},
            ],
            "strategy": "priority",
            "fallbacks": ["gpt-4o-mini"],
            "context_fallback": "big-context",
            "evict": False,
        },
        ModelSettings,
    )
}


def test_the_example_of_the_contract() -> None:
    chat = DESIGN["chat"]
    assert [(one.backend, one.model, one.weight, one.priority) for one in chat.targets] == [
        ("vllm-a", "llama3", 3.0, None),
        ("azure", "gpt-4o", None, None),
    ]
    assert (chat.strategy, chat.fallbacks, chat.context_fallback) == (
        "priority",
        ["gpt-4o-mini"],
        "big-context",
    )
    known = backends(**{"vllm-a": ["llama3*"], "azure": ["gpt-4o-mini", "big-context"]})
    assert not list(problems(DESIGN, known))
    assert not list(problems(DESIGN, backends(**{"vllm-a": None, "azure": None})))


@pytest.mark.parametrize("strategy", ["priority", "round_robin", "weighted", "least_busy", "latency", "cost"])
def test_every_strategy_can_be_written(strategy: str) -> None:
    assert model("b", strategy=strategy).strategy == strategy


@pytest.mark.parametrize(
    "wrong",
    [
        {"targets": [{"model": "m"}]},
        {"targets": [{"backend": "b", "weight": -1}]},
        {"targets": [], "strategy": "random"},
        {"targets": [], "unknown": 1},
        {},
    ],
)
def test_what_cannot_be_written(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, ModelSettings)


def test_exact_before_alias_before_glob_in_order_and_with_case() -> None:
    models = PublicModels(
        {
            "gpt-*": model("any"),
            "gpt-4o": model("b"),
            "chat": model("c", aliases=["gpt-4", "claude-*"]),
            "gpt-5*": model("never"),
        }
    )
    found = {
        name: models.find(name) for name in ("gpt-4o", "gpt-4", "gpt-5", "claude-x", "chat", "Chat", "GPT-4")
    }
    named = {name: one and (one[0], one[1].targets[0].backend) for name, one in found.items()}
    assert named == {
        "gpt-4o": ("gpt-4o", "b"),
        "gpt-4": ("chat", "c"),
        "gpt-5": ("gpt-5", "any"),
        "claude-x": ("chat", "c"),
        "chat": ("chat", "c"),
        "Chat": None,
        "GPT-4": None,
    }
    assert models.names() == ["gpt-4o", "chat", "gpt-4"]
    assert repr(models) == "<PublicModels gpt-4o, chat, gpt-4>"


def test_an_alias_of_a_glob_means_the_name_that_was_asked_for() -> None:
    models = PublicModels({"gpt-*": model("b", aliases=["o1"])})
    found = models.find("o1")
    assert found is not None
    assert found[0] == "o1"


def backends(**models: list[str] | None) -> list[BackendSettings]:
    return [BackendSettings(name=name, url="http://h", models=own) for name, own in models.items()]


def test_what_is_wrong_is_told_with_its_place() -> None:
    settings = {
        "a": model("vlm", aliases=["b", "x", "a"], fallbacks=["a", "x", "nobody", "c-1"]),
        "b": model("vllm", aliases=["x"], context_fallback="bb"),
        "c-*": ModelSettings(targets=[]),
        "d": ModelSettings(
            targets=[TargetSettings(backend="vllm")], fallbacks=["backends-own", "c-*", "c-2"]
        ),
    }
    assert list(problems(settings, backends(vllm=["backends-own"]))) == [
        (("a", "targets", 0, "backend"), "no backend is called `vlm`; did you mean `vllm`?"),
        (("a", "aliases", 0), "`b` is the model `b` already"),
        (("a", "aliases", 2), "`a` is the model `a` already"),
        (("a", "fallbacks", 0), "is the model itself"),
        (("a", "fallbacks", 1), "is the model itself"),
        (("a", "fallbacks", 2), "no model is called `nobody`"),
        (("b", "aliases", 0), "`x` is the model `a` already"),
        (("b", "context_fallback"), "no model is called `bb`; did you mean `b`?"),
        (("c-*", "targets"), "names no target"),
        (("d", "fallbacks", 1), "must be one model, not several"),
    ]
    places = [place for place, _ in problems(settings, backends(vllm=["x"], any=None))]
    assert ("a", "fallbacks", 2) not in places
    assert ("b", "context_fallback") not in places


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "is an empty name"),
        ("a" * 257, "is a name of more than 256 characters"),
        (" a", "has a blank at one end of its name"),
        ("a\u00a0", "has a blank at one end of its name"),
        ("a\nb", "has a character in its name that cannot be printed"),
        ("a\udc80", "has a character in its name that cannot be printed"),
    ],
)
def test_names_can_be_shown(name: str, problem: str) -> None:
    settings = {
        name: ModelSettings(
            targets=[TargetSettings(backend="b", model=name)], aliases=[name], fallbacks=[name]
        )
    }
    of_name = [(name,), (name, "targets", 0, "model"), (name, "aliases", 0), (name, "fallbacks", 0)]
    if not name:
        of_name.remove((name, "targets", 0, "model"))
    assert list(problems(settings, backends(b=None))) == [(place, problem) for place in of_name]


@pytest.mark.parametrize("name", ["m", "a b", "Modell-Größe", "a" * 256, "org/model:tag@1", "*"])
def test_other_names_are_good(name: str) -> None:
    assert not list(problems({name: model("b")}, backends(b=None)))


def test_fallbacks_may_form_a_loop() -> None:
    settings = {
        "a": model("b", fallbacks=["b"]),
        "b": model("b", fallbacks=["a"], context_fallback="a"),
        "g-*": model("b", fallbacks=["g-1"]),
    }
    assert not list(problems(settings, backends(b=["x"])))


def test_known_are_the_models_of_the_file_and_of_backends() -> None:
    known = KnownModels(PublicModels({"chat": model("b", aliases=["c-*"])}), backends(b=["own", "llama*"]))
    names = ["chat", "c-1", "own", "llama3", "Own", "other"]
    assert [known.has(name) for name in names] == [True, True, True, True, False, False]
    assert known.hint("Own") == "; did you mean `own`?"
    assert known.hint("zzz") == ""
    assert repr(known) == "<KnownModels chat, own>"
    assert KnownModels(PublicModels({}), backends(b=None)).has("other")


def test_few_names_are_compared_and_of_long_ones_the_beginning() -> None:
    many = [f"model-{number}" for number in range(5000)]
    assert close_hint("model-4999x", many) != "; did you mean `model-4999`?"
    assert close_hint("model-1" + "x" * 100_000, many) == ""


def test_the_name_that_the_configuration_has() -> None:
    public = PublicModels({"chat": model("a", aliases=["gpt", "o-*"]), "g-*": model("a", aliases=["h"])})
    names = ("chat", "gpt", "o-1", "g-1", "h", "x")
    assert [public.configured(name) for name in names] == ["chat", "chat", "chat", "g-*", "g-*", ""]


def test_names_that_stand_for_models_and_variants_are_known() -> None:
    known = KnownModels(
        PublicModels({"chat": model("a")}), backends(a=["m"]), stand_ins=["p"], variants=["v"]
    )
    for name in ("p", "chat@v", "m@v", "p@v", "chat@v@v"):
        assert known.has(name), name
    for name in ("q", "q@v", "chat@w", "@v", "chat@"):
        assert not known.has(name), name


def test_a_variant_that_there_is_not_is_lost_where_no_model_is_called_so() -> None:
    public = PublicModels({"chat": model("a", aliases=["v-*"]), "x@1": model("a")})
    asked = KnownModels(public, backends(a=None), variants=["low", "as-mini"])
    for name in ("chat", "chat@low", "chat@l*", "*@*", "chat@*", "x@1", "x@?", "v-1@2", "@low", "@x"):
        assert asked.lost_variant(name) == "", name
    for name, lost in (("chat@nope", "nope"), ("chat@low@nope", "nope"), ("gpt@", ""), ("gpt@x*", "x*")):
        assert asked.lost_variant(name) == lost, name
    plain = KnownModels(public, backends(a=None, b=["own", "g-*"]))
    lost = {name: plain.lost_variant(name) for name in ("chat@low", "own@low", "claude@2024", "g-1@2")}
    assert lost == {"chat@low": "low", "own@low": "low", "claude@2024": "", "g-1@2": ""}
    assert KnownModels(public, backends(b=["own"])).lost_variant("claude@2024") == "2024"
