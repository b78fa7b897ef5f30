"""What cannot be carried is left out, and all else is there, unless that would mean something else."""

from pathlib import Path

import pytest

from tests.unit.config.importers.importing import Made
from trunkline.config.importers.draft import Draft, Leaf
from trunkline.config.importers.left_out import Problem, leave_out
from trunkline.errors import ConfigError

GOOD = "model_list:\n  - {model_name: good, litellm_params: {model: openai/x, api_key: os.environ/K}}\n"


def litellm(name: str, params: str) -> str:
    return f"  - {{model_name: {name}, litellm_params: {{{params}}}}}\n"


def test_parameters_that_cannot_be(tmp_path: Path) -> None:
    text = GOOD + litellm(
        "bad", "model: openai/y, extra_body: {model: z, messages: [], top_k: 1}, stream: perhaps"
    )
    made = Made(tmp_path, "litellm", text)
    assert list(made.settings.models) == ["good", "bad"]
    fill = made.settings.shaping.models["bad"].overrides.fill
    assert {name: bytes(value) for name, value in fill.items()} == {"top_k": b"1"}
    for name in ("model", "messages", "stream"):
        assert any(
            note.startswith(f"`defaults.{name}` of the model `bad` is left out: ") for note in made.notes
        )
    where = {note.where.split(":", 1)[1] for note in made.imported.notes if "`defaults.model`" in note.text}
    assert where == {"3:77"}, "the place in the source"


def test_parameters_of_backends_and_variants(tmp_path: Path) -> None:
    text = "base_url: http://h\nparams: {model: a, top_k: 1}\n"
    made = Made(tmp_path, "openai_compatible", text)
    assert set(made.settings.shaping.backends["openai_compat"].overrides.force) == {"top_k"}
    assert any("`params.model` of the backend `openai_compat` is left out" in note for note in made.notes)
    made = Made(tmp_path, "cot_proxy", "variants: {a: {weak_defaults: {model: b, n: 1}}}\n")
    assert set(made.settings.shaping.variants["a"].level.overrides.fill) == {"n"}


@pytest.mark.parametrize(
    ("params", "note"),
    [
        (
            'model: openai/y, api_base: "http://u:secret-pw@h:8000/v1"',
            "the backend `openai_compat` is left out: backends[1].url: is not usable: a URL must not hold a user",
        ),
        (
            "model: openai/y, api_base: ftp://h",
            "the backend `openai_compat` is left out: backends[1].url: must start",
        ),
        (
            "model: openai/y, api_key: 'a b'",
            "the backend `openai-2` is left out: backends[1].api_key: holds a blank",
        ),
        (
            "model: openai/y, extra_headers: {Host: h}",
            "the backend `openai-2` is left out: backends[1].headers: ",
        ),
        (
            "model: os.environ/MODEL",
            "a deployment is left out: `model_list[1].litellm_params.model` comes from a",
        ),
        (
            "model: custom_openai/y",
            "a deployment of `bad` is left out: `openai_compat` has no address of its own",
        ),
    ],
)
def test_one_deployment_of_several(params: str, note: str, tmp_path: Path) -> None:
    more = "router_settings: {fallbacks: [{good: [bad]}], model_group_alias: {alias: bad}}\n"
    made = Made(tmp_path, "litellm", GOOD + litellm("bad", params) + more, {"K": "k"})
    assert [one.name for one in made.settings.backends] == ["openai"]
    assert (list(made.settings.models), made.settings.models["good"].fallbacks) == (["good"], [])
    found = [told for told in made.imported.notes if told.text.startswith(note)]
    assert len(found) == 1
    assert ":3:" in found[0].where
    assert "secret-pw" not in made.text


def test_what_goes_with_a_backend(tmp_path: Path) -> None:
    text = (
        GOOD
        + litellm("both", "model: openai/y, api_key: 'a b'")
        + litellm("both", "model: groq/z, weight: 2")
    )
    made = Made(tmp_path, "litellm", text + litellm("alone", "model: openai/z, api_key: 'a b'"))
    assert [target.backend for target in made.settings.models["both"].targets] == ["groq"]
    assert list(made.settings.models) == ["good", "both"]
    assert "a target of the model `both` is left out: its backend `openai-2` is" in made.notes
    assert "the model `alone` is left out: none of its targets is left" in made.notes
    assert "# note (line 5): a target of the model `alone` is left out" in made.text


def test_notes_stay_with_what_they_are_about(tmp_path: Path) -> None:
    text = (
        "backends_enabled: true\nbackends:\n  - {name: bad, provider: ollama, url: ftp://h, zork: 1}\n"
        "  - {name: good, provider: ollama, url: http://h, zork: 1}\n"
    )
    made = Made(tmp_path, "beigebox", text)
    assert made.rows() == [("good", "ollama", "http://h")]
    above = made.text.partition("  - name: good")[0].splitlines()
    assert above[-1] == "  # note (line 4): not carried: `backends[1].zork`"
    assert "note (line 3): not carried: `backends[0].zork`" in made.text


def test_a_variant_with_a_bad_pattern(tmp_path: Path) -> None:
    text = "variants:\n  a: {model_regex: '*'}\n  b: {model_regex: q}\n  c: {model_regex: '('}\n"
    made = Made(tmp_path, "cot_proxy", text)
    assert list(made.settings.shaping.variants) == ["b"]
    for name in "ac":
        assert any(
            note.startswith(
                f"the variant `{name}` is left out: variants.{name}.match: is no regular expression"
            )
            for note in made.notes
        )
    assert Made(tmp_path, "cot_proxy", "variants: {a: {model_regex: '*'}}\n").settings.shaping.variants == {}


def test_a_key_of_several() -> None:
    made = draft()
    made.tree["keys"] = [{"name": Leaf("ci", "")}, {"name": Leaf("cd", "")}]
    assert leave_out(made, [Problem("x", "1:1", ("keys", 0, "rpm"))])
    assert made.at(("keys",)) == [{"name": Leaf("cd", "")}]
    assert [note.text for note in made.notes] == ["the key `ci` is left out: x"]
    assert not leave_out(made, [Problem("x", "1:1", ("keys", 0, "rpm"))]), "the last one"


@pytest.mark.parametrize(
    ("system", "text", "words"),
    [
        # Without its only key the gateway would be open to everybody.
        (
            "litellm",
            f"{GOOD}general_settings: {{master_key: 'a b'}}\n",
            ":3:32: cannot be carried: keys: the key of `master` holds a blank",
        ),
        # Without its only model it would list whatever its backends have.
        (
            "litellm",
            "model_list:\n  - {model_name: 'a\\u0007', litellm_params: {model: openai/x}}\n".replace(
                "'", '"'
            ),
            ":2:18: cannot be carried: models.",
        ),
        (
            "beigebox",
            "backends: [{url: http://h}]\nserver: {port: 99999}\n",
            ":2:16: cannot be carried: server.port",
        ),
        (
            "beigebox",
            "backends: [{name: a, url: ftp://h}, {url: http://h}]\nserver: {port: 99999}\n",
            ":1:27: cannot be carried: backends[0].url: must start",
        ),
        (
            "beigebox",
            "backends: [{url: ftp://h}, {url: ftp://h}]\n",
            ":1:34: cannot be carried: backends[1].url",
        ),
    ],
)
def test_what_must_not_be_left_out(system: str, text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Made(tmp_path, system, text)
    assert words in str(caught.value)


def test_variables_of_what_is_left_out_are_not_said_to_be_written(tmp_path: Path) -> None:
    made = Made(
        tmp_path, "litellm", GOOD + litellm("os.environ/NAME", "model: openai/x, api_key: os.environ/K2")
    )
    notes = [note for note in made.notes if note.startswith("not set when this was made")]
    assert [note.rpartition(" and so ")[2] for note in notes] == [
        "written with an empty default: K",
        "taken for empty: NAME",
    ]


def draft() -> Draft:
    made = Draft()
    made.tree["backends"] = [{"name": Leaf(name, "")} for name in "abc"]
    made.tree["models"] = {
        name: {
            "targets": [{"backend": Leaf(one, f"at {one}")} for one in backends],
            "fallbacks": [Leaf("m", ""), Leaf("n", "")],
            "context_fallback": Leaf("n", ""),
        }
        for name, backends in (("m", "ab"), ("n", "ac"))
    }
    return made


def test_several_problems_of_one_thing_are_one_note() -> None:
    made = draft()
    problems = [Problem("x", "1:1", ("backends", at, "url")) for at in (0, 0, 1)]
    assert leave_out(made, [*problems, Problem("y", "2:1", ("models", "m", "strategy"))])
    assert made.at(("backends",)) == [{"name": Leaf("c", "")}]
    assert [note.text for note in made.notes] == [
        "the model `m` is left out: y",
        "a fallback of the model `n` is left out: its model `m` is",
        "the backend `b` is left out: x",
        "the backend `a` is left out: x",
        "a target of the model `n` is left out: its backend `a` is",
    ]


def test_parts_of_models_go_alone() -> None:
    made = draft()
    parts = (("fallbacks", 0), ("fallbacks", 1), ("context_fallback",), ("targets", 0, "model"))
    assert leave_out(made, [Problem("x", "1:1", ("models", "m", *part)) for part in parts])
    assert made.at(("models", "m")) == {"targets": [{"backend": Leaf("b", "at b")}], "fallbacks": []}
    assert [note.text for note in made.notes] == [
        "a target of the model `m` is left out: x",
        "a fallback of the model `m` is left out: x",
        "a fallback of the model `m` is left out: x",
        "`context_fallback` of the model `m` is left out: x",
    ]


@pytest.mark.parametrize("at", [(), ("server", "port"), ("models",), ("backends",)])
def test_what_is_wrong_elsewhere_cannot_be_left_out(at: tuple[str, ...]) -> None:
    made = draft()
    assert not leave_out(made, [Problem("x", "1:1", ("backends", 0)), Problem("y", "1:1", at)])
    assert made.notes == []
