"""`think:` over a real server: what comes through the gateway is what the slow reader makes of the direct answer."""

import pytest

from tests.e2e.servers.conftest import Pair
from tests.e2e.servers.meaning import Choice, Said, check_form, streamed, whole
from tests.e2e.servers.requests import CHAT, COMPLETIONS, HI, SAMPLE
from trunkline.streams.think import ThinkSettings, split_thoughts

pytestmark = [pytest.mark.llama, pytest.mark.timeout(1200)]

# Of these the model makes several tokens, and the tags are cut by them.
GRAMMARS = {
    "a block": r'root ::= "<think>" [a-z ]{4,9} "</think>\n\n" "Hi" [.!]',
    "two blocks": r'root ::= "So <think>" [a-z]{3,6} "</think> and <think>" [a-z]{3,6} "</think> end" [.!]',
    "attributes": r'root ::= "<think lang=\"en\">" [a-z ]{4,9} "</think>Hi" [.!]',
    "nearly": r'root ::= "<thin" [a-j] "> </think" [l-z] " <b>Hi</b> <" [a-z]{2,3}',
    "not closed": r'root ::= "Hi <think>" [a-z ]{4,12}',
    "thoughts only": r'root ::= "<think>" [a-z ]{4,9} "</think>"',
    "letters": r'root ::= "🙂<think>漢é" [a-z]{2,3} "👨‍👩‍👧</think>ñ🙂" [.!]',
}


def check(through: Said, direct: Said, mode: str, settings: ThinkSettings) -> None:
    """What the filter has to have made of each choice; everything else is as it was."""
    expected: dict[int, Choice] = {}
    for index, choice in direct.choices.items():
        expected[index] = made = Choice()
        vars(made).update(vars(choice))
        made.text, thoughts = split_thoughts(choice.text, settings)
        if mode == "split":
            made.reasoning += thoughts
    assert through.choices == expected


@pytest.mark.parametrize("mode", ["strip", "split"])
@pytest.mark.parametrize("name", GRAMMARS)
def test_what_a_model_is_made_to_think(name: str, mode: str, pair: Pair) -> None:
    if not pair.kind.grammar:
        pytest.skip("this server cannot be told what to say")
    body = {"messages": HI, "max_tokens": 120} | pair.kind.held_to(GRAMMARS[name])
    settings = ThinkSettings(mode="strip" if mode == "strip" else "split")
    if mode == "split":
        direct, through = pair.ask(CHAT, body, mode)
        check(whole(through), whole(direct), mode, settings)
        assert whole(through).usage == whole(direct).usage
    direct, through = pair.ask(CHAT, body | {"stream": True}, mode)
    text = streamed(direct).text
    assert (split_thoughts(text, settings)[0] == text) == (name == "nearly")
    check_form(through, usage=False)
    check(streamed(through), streamed(direct), mode, settings)


@pytest.mark.parametrize("mode", ["strip", "split"])
@pytest.mark.parametrize("n", [1, 2])
def test_what_a_model_says_anyway(mode: str, n: int, pair: Pair) -> None:
    """The tags are pieces of the text that it is known to say, wherever its tokens begin and end."""
    path, sample = SAMPLE
    if n == 2 and "two choices" in pair.kind.refuses:
        pytest.skip("this server gives one choice only")
    settings = ThinkSettings(mode="strip" if mode == "strip" else "split", tags=[list(pair.cuts)])
    body = sample if n == 1 else sample | {"n": n}
    direct, through = pair.ask(path, body, f"{mode}-cut")
    assert all(split_thoughts(choice.text, settings)[1] for choice in whole(direct).choices.values())
    check(whole(through), whole(direct), mode, settings)
    direct, through = pair.ask(
        path, body | {"stream": True, "stream_options": {"include_usage": True}}, f"{mode}-cut"
    )
    check_form(through, usage=True)
    check(streamed(through), streamed(direct), mode, settings)
    assert streamed(through).usage == streamed(direct).usage


def test_the_text_of_completions(pair: Pair) -> None:
    if not pair.kind.grammar:
        pytest.skip("this server cannot be told what to say")
    body = {"prompt": "Hi", "max_tokens": 120} | pair.kind.held_to(GRAMMARS["a block"])
    direct, through = pair.ask(COMPLETIONS, body, "strip")
    assert "<think>" in whole(direct).text
    check(whole(through), whole(direct), "strip", ThinkSettings())
    direct, through = pair.ask(COMPLETIONS, body | {"stream": True}, "strip")
    check_form(through, usage=False)
    check(streamed(through), streamed(direct), "strip", ThinkSettings())
