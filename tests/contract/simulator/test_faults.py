"""The grammar of faults, and that the manual lists it."""

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.simulator.faults import HEALTHY, ITEMS, Fault, SpecError, parse, split_model

MANUAL = Path(__file__).parents[3] / "docs" / "simulator.md"


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("", HEALTHY),
        (" ; ", HEALTHY),
        ("status=503;retry_after=2", Fault(status=503, retry_after="2")),
        (" status=429 ; body=flat ", Fault(status=429, body="flat")),
        ("error_200;body=string", Fault(status=200, body="string")),
        ("stall=5;after=3", Fault(stall=5.0, after=3)),
        ("stall", Fault(stall=math.inf)),
        ("stall=forever", Fault(stall=math.inf)),
        ("stall_after=0", Fault(stall=math.inf, stall_after=0)),
        ("stall=1;stall_after=2;reset=body;after=3", Fault(stall=1.0, stall_after=2, reset="body", after=3)),
        ("role_stall", Fault(stall=math.inf, stall_after=1)),
        ("stall=1;after=2;reset=head", Fault(stall=1.0, after=2, reset="head")),
        ("big_event=2MiB", Fault(big_event=2 * 1024 * 1024)),
        ("bytes=512", Fault(bytes=512)),
        ("lying_length=+3", Fault(lying_length=3)),
        ("lying_length=-3", Fault(lying_length=-3)),
        ("status=400;code=invalid_x", Fault(status=400, code="invalid_x")),
        ("header=retry-after-ms: 300", Fault(header="retry-after-ms: 300")),
        ("window=8;prefill=refuse", Fault(window=8, prefill="refuse")),
        ("comments", Fault(comments=0.0)),
        ("comments=0.5", Fault(comments=0.5)),
        ("interim=103", Fault(interim=103)),
        ("redirect=http://h/p?a=1%3Bb=%25", Fault(redirect="http://h/p?a=1;b=%")),
        ("times=2;rate=0.5;status=500", Fault(times=2, rate=0.5, status=500)),
    ],
)
def test_a_spec_is_read(spec: str, fault: Fault) -> None:
    assert parse(spec) == fault


@pytest.mark.parametrize(
    ("spec", "item", "why"),
    [
        ("bogus=1", "bogus=1", "unknown"),
        ("status", "status", "200 to 599|whole number"),
        ("status=99", "status=99", "200 to 599"),
        ("status=five", "status=five", "whole number"),
        ("status=500;status=501", "status=501", "twice"),
        ("status=500;body=xml", "body=xml", "one of openai"),
        ("times=0", "times=0", "1 or more"),
        ("rate=2", "rate=2", "probability"),
        ("rate=nan", "rate=nan", "probability"),
        ("delay_head=-1", "delay_head=-1", "seconds"),
        ("delay_head=inf", "delay_head=inf", "seconds"),
        ("delay_head", "delay_head", "seconds"),
        ("drip=1", "drip=1", "no value"),
        ("bytes=0", "bytes=0", "1 or more"),
        ("bytes=5TiB", "bytes=5TiB", "whole number"),
        ("lying_length=3", "lying_length=3", r"\+N or -N"),
        ("interim=101", "interim=101", "one of 100, 103"),
        ("redirect=", "redirect=", "printable"),
        ("redirect=a%0D%0Ab", "redirect=a%0D%0Ab", "printable"),
        ("body=flat", "body=flat", "without status or error_200"),
        ("after=1", "after=1", "without reset"),
        ("code=x", "code=x", "without status or error_200"),
        ("status=400;code=x;body=flat", "body=flat", "combined with code"),
        ("header=Retry-After: 3", "header=Retry-After: 3", "lower case"),
        ("header=x: 1%0D%0Ay: 2", "header=x: 1%0D%0Ay: 2", "lower case"),
        ("prefill=yes", "prefill=yes", "one of continue, refuse"),
        ("reset=head;after=1", "after=1", "nothing with reset=head"),
        ("status=500;bulk=3", "bulk=3", "combined with status"),
        ("reset=body;close=body", "close=body", "combined with reset"),
        ("bytes=1;gzip", "gzip", "combined with bytes"),
    ],
)
def test_a_wrong_spec_names_the_item(spec: str, item: str, why: str) -> None:
    with pytest.raises(SpecError, match=why) as caught:
        parse(spec)
    assert caught.value.item == item
    assert item in str(caught.value)


@given(st.text())
def test_any_text_is_a_fault_or_a_spec_error(text: str) -> None:
    try:
        outcome: Fault | str = parse(text)
    except SpecError as error:
        outcome = error.item
    assert isinstance(outcome, Fault) or outcome in text


def test_a_model_is_divided_at_the_first_mark() -> None:
    assert split_model("org/name:tag") == ("org/name:tag", None)
    assert split_model("m!a=1!b") == ("m", "a=1!b")
    assert split_model("m!") == ("m", "")


def test_the_manual_lists_every_item() -> None:
    listed = re.findall(r"^\| `([a-z0-9_]+)", MANUAL.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(set(listed)) == sorted(ITEMS)
