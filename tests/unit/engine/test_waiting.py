"""engine/waiting.py: who gets a place, in which order, and who is refused."""

import pytest

from trunkline.engine.waiting import WaitQueue
from trunkline.errors import NO_BACKEND, Fault
from trunkline.routing.target import BackendState, Target, Trial

FOREVER = 1e9


def backend(name: str = "a", *, limit: int = 1, max_queue: int = 100) -> BackendState:
    state = BackendState(name, limit=limit, max_queue=max_queue)
    Target(state, "m")
    return state


def begin(state: BackendState, times: int = 1) -> list[Trial]:
    return [state.targets[0].begin(0.0) for _ in range(times)]


class Caller:
    """Takes a place at the first of its backends that has one."""

    def __init__(self, *backends: BackendState) -> None:
        self.backends = backends
        self.wakes = 0
        self.trial: Trial | None = None

    def wake(self) -> None:
        self.wakes += 1
        free = next((state for state in self.backends if not state.full), None)
        if free is not None:
            self.trial = free.targets[0].begin(0.0)

    def place_missed(self) -> None:
        """The queue only tells who is late (`expired`)."""
        raise AssertionError


class Passer(Caller):
    """Was woken, and does not want it any more."""

    def wake(self) -> None:
        self.wakes += 1


def give_back(queue: WaitQueue, trial: Trial, held: float = 1.0) -> None:
    trial.end(None, 0.0)
    queue.left(trial.target.backend, held)


def crowd(queue: WaitQueue, number: int, *backends: BackendState) -> list[Caller]:
    callers = [Caller(*backends) for _ in range(number)]
    for caller in callers:
        assert queue.enter(caller, backends, 0.0, FOREVER) is None
    return callers


def learned(queue: WaitQueue, state: BackendState, held: float) -> None:
    queue.left(state, held)


def test_places_go_to_those_who_wait_in_order() -> None:
    queue, state = WaitQueue(), backend(limit=2)
    trials = begin(state, 2)
    first, second, third = crowd(queue, 3, state)
    assert (len(queue), queue.waiting(state), repr(queue)) == (3, 3, "<WaitQueue: 3 waiting>")
    give_back(queue, trials[0])
    assert [caller.wakes for caller in (first, second, third)] == [1, 0, 0]
    give_back(queue, trials[1])
    assert [caller.wakes for caller in (first, second, third)] == [1, 1, 0]
    assert (queue.waiting(state), state.inflight) == (1, 2)


def test_who_stands_in_several_queues_gets_one_place() -> None:
    queue, one, two = WaitQueue(), backend("a"), backend("b")
    trials = begin(one) + begin(two)
    both, later = Caller(one, two), Caller(two)
    queue.enter(both, [one, two, one], 0.0, FOREVER)
    queue.enter(later, [two], 0.0, FOREVER)
    give_back(queue, trials[0])
    assert (both.wakes, queue.waiting(one), queue.waiting(two)) == (1, 0, 1)
    give_back(queue, trials[1])
    assert (both.wakes, later.wakes, len(queue)) == (1, 1, 0)


def test_a_place_that_is_not_taken_is_offered_to_the_next() -> None:
    queue, state = WaitQueue(), backend()
    (trial,) = begin(state)
    passer, taker, last = Passer(), Caller(state), Caller(state)
    for caller in (passer, taker, last):
        queue.enter(caller, [state], 0.0, FOREVER)
    give_back(queue, trial)
    assert [caller.wakes for caller in (passer, taker, last)] == [1, 1, 0]
    assert queue.waiting(state) == 1


def test_a_place_taken_elsewhere_leaves_this_one_to_the_next() -> None:
    queue, one, two = WaitQueue(), backend("a"), backend("b")
    (trial,) = begin(two)
    begin(one)
    elsewhere, here = Caller(one), Caller(two)
    queue.enter(elsewhere, [one, two], 0.0, FOREVER)
    queue.enter(here, [two], 0.0, FOREVER)
    one.inflight -= 1  # a place that nobody was told of
    give_back(queue, trial)
    assert (elsewhere.trial is not None, here.trial is not None) == (True, True)


def test_who_is_woken_may_enter_again_and_is_not_offered_the_same_place_twice() -> None:
    queue, state = WaitQueue(), backend()
    (trial,) = begin(state)

    class Stubborn(Caller):
        def wake(self) -> None:
            self.wakes += 1
            queue.enter(self, [state], 0.0, FOREVER)

    stubborn, taker = Stubborn(), Caller(state)
    queue.enter(stubborn, [state], 0.0, FOREVER)
    queue.enter(taker, [state], 0.0, FOREVER)
    give_back(queue, trial)
    assert (stubborn.wakes, taker.wakes, queue.waiting(state)) == (1, 1, 1)
    assert taker.trial is not None
    give_back(queue, taker.trial)
    assert (stubborn.wakes, queue.waiting(state)) == (2, 1)


class Patient(Caller):
    """Finds no place there, and waits on: at these backends."""

    def __init__(self, queue: WaitQueue, *backends: BackendState) -> None:
        super().__init__(*backends)
        self.queue = queue
        self.now = 0.0

    def wake(self) -> None:
        self.wakes += 1
        assert self.queue.enter(self, self.backends, self.now, FOREVER) is None


def test_who_is_woken_in_vain_keeps_its_place_and_is_not_judged_anew() -> None:
    queue, one, two = WaitQueue(), backend("a", max_queue=4), backend("b", max_queue=4)
    (trial, _) = begin(one) + begin(two)
    patient = [Patient(queue, one, two) for _ in range(4)]
    for caller in patient:
        queue.enter(caller, [one, two], 0.0, FOREVER)
    learned(queue, two, 1_000.0)
    for caller in patient:
        caller.now = FOREVER  # in time, and where there is room, nobody would get a place now
    one.max_queue = two.max_queue = 1
    give_back(queue, trial)
    assert [caller.wakes for caller in patient] == [1, 1, 1, 1]
    assert (len(queue), queue.waiting(one), queue.waiting(two)) == (4, 4, 4)
    assert isinstance(queue.enter(Caller(two), [two], 0.0, FOREVER), Fault)
    # Those that can take a place now do so in the order in which they came.
    takers = [Caller(one, two) for _ in patient]
    order: list[int] = []
    for number, caller in enumerate(patient):

        def take(number: int = number) -> None:
            order.append(number)
            takers[number].wake()

        caller.wake = take  # it has become less patient
    two.limit = 3
    queue.offer(two)
    assert order == [0, 1, 2]
    assert [taker.trial is not None for taker in takers] == [True, True, True, False]
    assert (len(queue), queue.waiting(one), queue.waiting(two)) == (1, 1, 1)


def test_who_waits_on_elsewhere_has_left_the_other_queue() -> None:
    queue, one, two, three = WaitQueue(), backend("a"), backend("b"), backend("c")
    (trial, *_) = begin(one) + begin(two) + begin(three)
    mover = Patient(queue, two, three)
    queue.enter(mover, [one, two], 0.0, FOREVER)
    last = Caller(one)
    queue.enter(last, [one], 0.0, FOREVER)
    give_back(queue, trial)
    assert (mover.wakes, last.wakes) == (1, 1)
    assert [queue.waiting(state) for state in (one, two, three)] == [0, 1, 1]
    queue.leave(mover)
    assert [len(queue), *(queue.waiting(state) for state in (one, two, three))] == [0] * 4


def test_an_offer_to_nobody() -> None:
    queue, state = WaitQueue(), backend()
    queue.offer(state)
    learned(queue, state, 1.0)
    queue.offer(state)
    assert len(queue) == 0


def test_who_is_being_woken_is_not_woken_again() -> None:
    queue, one, two = WaitQueue(), backend("a"), backend("b")
    trials = begin(one) + begin(two)

    class Ending(Caller):
        """Gives back a place elsewhere as it is woken."""

        def wake(self) -> None:
            super().wake()
            give_back(queue, trials[1])

    ending, later, latest = Ending(one), Caller(two), Caller(one)
    queue.enter(ending, [one, two], 0.0, FOREVER)
    queue.enter(later, [two], 0.0, FOREVER)
    queue.enter(latest, [one], 0.0, FOREVER)
    give_back(queue, trials[0])
    assert [caller.wakes for caller in (ending, later, latest)] == [1, 1, 0]
    assert (len(queue), queue.waiting(one), queue.waiting(two)) == (1, 1, 0)


def test_who_goes_while_others_are_offered_the_place_is_not_woken() -> None:
    queue, state = WaitQueue(), backend()
    (trial,) = begin(state)
    gone = [Caller(state) for _ in range(2)]

    class Taking(Passer):
        """Takes others along."""

        def wake(self) -> None:
            super().wake()
            for caller in gone:
                queue.leave(caller)

    for caller in (Passer(), Taking(), *gone):
        queue.enter(caller, [state], 0.0, FOREVER)
    give_back(queue, trial)
    assert ([caller.wakes for caller in gone], len(queue)) == ([0, 0], 0)


def test_a_backend_that_became_another_one_has_its_own_queue() -> None:
    queue, before, now = WaitQueue(), backend(), backend()
    (trial, _) = begin(before) + begin(now)
    old, new = crowd(queue, 1, before) + crowd(queue, 1, now)
    give_back(queue, trial)
    assert (old.wakes, new.wakes, queue.waiting(before), queue.waiting(now)) == (1, 0, 0, 1)
    assert old.trial is not None
    give_back(queue, old.trial)
    latest = backend()
    begin(latest)
    crowd(queue, 1, latest)
    assert list(queue._queues) == [now, latest], "what nobody needs is not kept"


def test_calls_that_end_as_they_are_woken_do_not_nest() -> None:
    queue, state = WaitQueue(), backend(max_queue=5_000)
    (trial,) = begin(state)

    class Quick(Caller):
        def wake(self) -> None:
            super().wake()
            assert self.trial is not None
            give_back(queue, self.trial)

    quick = [Quick(state) for _ in range(5_000)]  # deeper than the interpreter's stack
    for caller in quick:
        queue.enter(caller, [state], 0.0, FOREVER)
    give_back(queue, trial)
    assert {caller.wakes for caller in quick} == {1}
    assert (len(queue), state.inflight) == (0, 0)


def test_who_leaves_is_not_woken() -> None:
    queue, state = WaitQueue(), backend()
    (trial,) = begin(state)
    first, second = crowd(queue, 2, state)
    queue.leave(first)
    queue.leave(first)
    give_back(queue, trial)
    assert (first.wakes, second.wakes, len(queue)) == (0, 1, 0)


def test_deadlines_are_told_once() -> None:
    queue, state = WaitQueue(), backend()
    begin(state)
    early, late = Caller(state), Caller(state)
    assert queue.expired(0.0) == []
    queue.enter(late, [state], 0.0, 9.0)
    queue.enter(early, [state], 0.0, 5.0)
    assert queue.expired(4.9) == []
    assert queue.expired(5.0) == [early]
    assert queue.expired(5.1) == []
    assert queue.waiting(state) == 1
    assert queue.expired(100.0) == [late]
    assert len(queue) == 0


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    queue, state = WaitQueue(), backend(max_queue=2)
    begin(state)
    crowd(queue, 2, state)
    fault = queue.enter(Caller(state), [state], 0.0, FOREVER)
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.http_status, fault.error_code) == (NO_BACKEND, 503, "no_backend")
    assert fault.retry_after == 1.0
    assert "max_queue" in fault.message
    assert (queue.waiting(state), queue.waiting(backend("never seen"))) == (2, 0)


def test_a_backend_without_a_queue_refuses() -> None:
    queue, state = WaitQueue(), backend(max_queue=0)
    begin(state)
    assert isinstance(queue.enter(Caller(state), [state], 0.0, FOREVER), Fault)
    assert len(queue) == 0


def test_the_other_queue_is_entered_where_one_is_full() -> None:
    queue, one, two = WaitQueue(), backend("a", max_queue=1), backend("b")
    begin(one)
    begin(two)
    crowd(queue, 1, one)
    crowd(queue, 1, one, two)
    assert (queue.waiting(one), queue.waiting(two)) == (1, 1)


@pytest.mark.parametrize(
    ("held", "ahead", "limit", "patience", "retry_after"),
    [
        (10.0, 3, 1, 30.0, None),
        (10.0, 3, 1, 29.0, 30.0),
        (10.0, 3, 2, 15.0, None),
        (10.0, 3, 2, 14.0, 15.0),
        (0.25, 3, 1, 0.5, 1.0),
        (2.5, 3, 1, 1.0, 8.0),
        (900.0, 3, 1, 600.0, 120.0),
        (900.0, 0, 1, 0.0, None),
        (900.0, 0, 1, -0.1, 1.0),
    ],
)
def test_who_would_wait_too_long_is_refused_at_once(
    held: float, ahead: int, limit: int, patience: float, retry_after: float | None
) -> None:
    queue, state = WaitQueue(), backend(limit=limit)
    learned(queue, state, held)
    begin(state, limit)
    crowd(queue, ahead, state)
    fault = queue.enter(Caller(state), [state], 100.0, 100.0 + patience)
    assert (None if fault is None else fault.retry_after) == retry_after
    assert queue.waiting(state) == ahead + (fault is None)


def test_nobody_is_refused_for_a_wait_that_is_not_known() -> None:
    queue, state = WaitQueue(), backend()
    begin(state)
    crowd(queue, 50, state)
    assert queue.enter(Caller(state), [state], 0.0, 0.1) is None


def test_those_who_stand_in_several_queues_count_for_a_part_in_each() -> None:
    queue, one, two = WaitQueue(), backend("a"), backend("b")
    for state in (one, two):
        learned(queue, state, 10.0)
        begin(state)
    crowd(queue, 4, one, two)  # two of them at each: 20 s
    assert queue.enter(Caller(one), [one], 0.0, 20.0) is None
    assert isinstance(queue.enter(Caller(two), [two], 0.0, 19.0), Fault)


def test_the_shortest_wait_of_all_backends_counts() -> None:
    queue, slow, quick = WaitQueue(), backend("a"), backend("b")
    learned(queue, slow, 100.0)
    learned(queue, quick, 1.0)
    begin(slow)
    begin(quick)
    crowd(queue, 5, slow)
    crowd(queue, 5, quick)
    assert queue.enter(Caller(slow, quick), [slow, quick], 0.0, 6.0) is None


def test_the_average_follows_what_calls_take_now() -> None:
    queue, state = WaitQueue(), backend()
    for _ in range(60):
        learned(queue, state, 100.0)
    for _ in range(60):
        learned(queue, state, 1.0)
    begin(state)
    crowd(queue, 1, state)
    assert queue.enter(Caller(state), [state], 0.0, 2.0) is None


def test_no_backend_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="empty"):
        WaitQueue().enter(Caller(), [], 0.0, FOREVER)
