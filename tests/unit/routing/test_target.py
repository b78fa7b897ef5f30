"""routing/target.py: what speaks against a target, and what outcomes change."""

import pytest

from tests.unit.routing.world import eject, fault, target
from trunkline import errors
from trunkline.errors import Kind
from trunkline.routing import target as module
from trunkline.routing.breaker import State
from trunkline.routing.target import FAILURE_COST, LAST_RESORT, BackendState, Reason, Target


def test_every_reason_is_in_the_table_of_the_header() -> None:
    rows = [
        line.split("|")[1].strip() for line in (module.__doc__ or "").splitlines() if line.startswith("| ")
    ]
    assert rows[1:] == [str(reason) for reason in Reason]


def test_a_new_one_is_usable_and_has_nothing_to_note() -> None:
    one = target()
    assert (one.usable, one.noted, one.counted, one.why(0.0)) == (True, False, False, None)
    assert repr(one) == "<Target a/m usable, 0 in flight>"


def test_failures_eject_it_and_a_probe_brings_it_back() -> None:
    one = target()
    eject(one, 0.0)
    assert not one.usable
    assert one.why(4.9) is Reason.EJECTED
    assert "not usable" in repr(one)
    assert (one.free_at, one.out_since) == (5.0, 0.0)
    assert one.why(5.0) is None
    trial = one.begin(5.0)
    assert trial.probe
    assert one.why(5.0) is Reason.PROBING
    assert "as probe" in repr(trial)
    trial.committed(True, 6.0)
    assert one.usable
    trial.end(None, 7.0)
    assert (one.inflight, one.noted) == (0, False)


def test_a_probe_without_a_verdict_leaves_its_place() -> None:
    one = target()
    eject(one, 0.0)
    assert one.why(5.0) is None
    trial = one.begin(5.0)
    trial.end(fault(errors.CLIENT_GONE), 6.0)
    assert one.why(6.0) is None
    assert one.begin(6.0).probe


def test_a_probe_that_fails_ejects_for_longer() -> None:
    one = target()
    eject(one, 0.0)
    one.why(5.0)
    one.begin(5.0).end(fault(), 5.5)
    assert one.why(13.4) is Reason.EJECTED
    assert one.why(13.5) is None


def test_the_last_resort_does_not_take_anothers_probe() -> None:
    one = target()
    eject(one, 0.0)
    one.why(5.0)
    probe = one.begin(5.0)
    other = one.begin(5.0)
    assert (probe.probe, other.probe) == (True, False)
    other.end(fault(errors.CLIENT_GONE), 6.0)
    assert one.why(6.0) is Reason.PROBING
    probe.end(None, 7.0)
    assert one.usable


def test_a_fault_of_the_backend_ejects_all_its_targets_and_a_success_brings_all_back() -> None:
    backend = BackendState("b")
    one, two = Target(backend, "m"), Target(backend, "n")
    for _ in range(5):
        one.failed(fault(errors.CONNECT), 0.0, 0.0)
    assert one.breaker.quiet
    assert (one.usable, two.usable) == (False, False)
    assert two.why(1.0) is Reason.EJECTED
    assert (two.out_since, two.free_at) == (0.0, 5.0)
    assert two.why(5.0) is None
    two.begin(5.0).end(None, 5.5)
    assert one.usable
    assert "closed" in repr(backend)


@pytest.mark.parametrize(
    "kind",
    [errors.INVALID_REQUEST, errors.CONTENT_FILTER, errors.RATE_LIMIT, errors.STALE, errors.MODEL_NOT_FOUND],
)
def test_some_faults_open_no_breaker(kind: Kind) -> None:
    one = target()
    for _ in range(50):
        one.failed(fault(kind), 0.0, 0.0)
    assert one.breaker.state is State.CLOSED
    assert one.backend.breaker.state is State.CLOSED


def test_a_refusal_for_load_is_believed_until_its_time() -> None:
    one = target()
    one.failed(fault(errors.RATE_LIMIT, retry_after=30.0), 0.0, 0.0)
    assert not one.usable
    assert one.noted
    assert one.why(29.9) is Reason.BUSY
    assert one.free_at == 30.0
    assert one.why(30.0) is None
    assert one.usable


def test_refusals_without_a_time_double_until_one_goes_well() -> None:
    one = target()
    times: list[float] = []
    now = 0.0
    for _ in range(7):
        one.failed(fault(errors.UPSTREAM_OVERLOADED, status=529), now, now)
        times.append(one.busy_until - now)
        now = one.busy_until
    assert times == [1, 2, 4, 8, 16, 20, 20]
    one.succeeded(now, now + 1)
    assert (one.usable, one.noted) == (True, False)
    one.failed(fault(errors.RATE_LIMIT), now + 2, now + 2)
    assert one.busy_until == now + 3


def test_many_that_were_refused_together_count_once_and_what_began_before_does_not_clear_it() -> None:
    one = target()
    for _ in range(10):
        one.failed(fault(errors.RATE_LIMIT), 0.0, 1.0)
    assert one.busy_until == 2.0
    one.succeeded(0.5, 1.5)
    assert one.why(1.5) is Reason.BUSY


def test_a_503_without_a_time_is_a_broken_upstream_and_one_with_a_time_a_busy_one() -> None:
    one = target()
    one.failed(fault(errors.UPSTREAM_OVERLOADED, status=503), 0.0, 0.0)
    assert (one.usable, one.noted) == (True, True)
    one.failed(fault(errors.UPSTREAM_OVERLOADED, retry_after=2.0, status=503), 0.0, 0.0)
    assert one.why(1.0) is Reason.BUSY


def test_a_failure_looks_slow_and_not_quick() -> None:
    one = target()
    one.latency[True].observe(4.0, 0.0)
    one.failed(fault(), 0.0, 0.0)
    assert one.latency[True].read(0.0) == 4.0
    assert one.latency[False].read(0.0) == FAILURE_COST
    two = target()
    two.failed(fault(errors.INVALID_REQUEST), 0.0, 0.0)
    assert two.latency[True].read(0.0) == 0.0


def test_streams_and_other_calls_are_timed_apart() -> None:
    one = target()
    one.begin(1.0).committed(True, 1.25)
    one.begin(1.0).committed(False, 9.0)
    assert one.latency[True].read(1.25) == 0.25
    assert one.latency[False].read(9.0) == 8.0


def test_calls_wait_until_their_first_content_or_their_end() -> None:
    one = target()
    first, second = one.begin(0.0), one.begin(0.0)
    assert (one.inflight, one.waiting) == (2, 2)
    first.committed(True, 1.0)
    assert (one.inflight, one.waiting) == (2, 1)
    first.end(None, 2.0)
    second.end(fault(), 2.0)
    assert (one.inflight, one.waiting) == (0, 0)


def test_a_limit_makes_it_full() -> None:
    backend = BackendState("b", limit=2)
    one, two = Target(backend, "m"), Target(backend, "n")
    assert one.counted
    trials = [one.begin(0.0), two.begin(0.0)]
    assert (one.usable, two.usable) == (False, False)
    assert one.why(0.0) is Reason.FULL
    trials[1].end(None, 1.0)
    assert (one.usable, two.usable) == (True, True)
    trials[0].end(fault(), 1.0)
    assert backend.inflight == 0


def test_a_slow_one_is_known_by_its_percentile() -> None:
    one = target(slow_above=1.0)
    trial = one.begin(0.0)
    trial.committed(False, 3.0)
    trial.end(None, 3.0)
    assert one.counted
    assert not one.usable
    assert one.why(3.0) is Reason.SLOW
    assert one.why(400.0) is None
    assert one.usable


def test_health_checks_and_draining_concern_all_targets() -> None:
    backend = BackendState("b")
    one = Target(backend, "m")
    assert [backend.checked(False, float(at)) for at in range(3)] == [False, False, True]
    assert one.why(3.0) is Reason.UNHEALTHY
    assert one.out_since == 2.0
    backend.checked(True, 4.0)
    assert backend.checked(True, 5.0)
    assert one.usable
    backend.drain(True, 0.0)
    assert one.why(5.0) is Reason.DRAINING
    assert Reason.DRAINING not in LAST_RESORT
    backend.drain(False, 0.0)
    assert one.why(5.0) is None


def test_a_failure_that_does_not_count_is_told_to_no_breaker() -> None:
    backend = BackendState("a")
    one = Target(backend, "m")
    for at in range(20):
        one.failed(fault(errors.RESET), float(at), at + 0.5, counts=False)
        one.begin(float(at)).end(fault(errors.CONNECT), at + 0.5, counts=False)
    assert one.usable
    assert (one.breaker.state, backend.breaker.state) == (State.CLOSED, State.CLOSED)
    one.failed(fault(errors.RATE_LIMIT), 21.0, 22.0, counts=False)
    assert one.why(22.1) is Reason.BUSY, "what the upstream says of itself holds all the same"
