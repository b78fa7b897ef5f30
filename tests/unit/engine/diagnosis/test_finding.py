"""Findings and what follows from them."""

from trunkline.engine.diagnosis.finding import Diagnosis, Finding, State, Step, from_message


def test_a_message_of_the_net_ring_is_split_at_its_last_part() -> None:
    assert from_message("a failed: b; c; do d") == Finding("fail", "a failed: b; c", "do d", "", ends=True)
    assert from_message("all") == Finding("fail", "all", "see the message", "", ends=True)
    assert not from_message("a; b", ends=False).ends


def test_a_backend_with_warnings_is_well() -> None:
    def of(*states: State) -> Diagnosis:
        return Diagnosis("a", "vllm", "http://h", tuple(Step("s", state, 0.0, "x") for state in states))

    assert of("ok", "warn", "skipped").well
    assert not of("ok", "fail", "skipped").well
