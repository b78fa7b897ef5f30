"""engine/waiting.py: any calls at three backends against what must always hold."""

from typing import Literal

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from tests.unit.engine.test_waiting import backend
from trunkline.engine.waiting import WaitQueue
from trunkline.routing.target import BackendState, Trial


class Model(RuleBasedStateMachine):
    """Three backends, callers that take, pass or end at once, and what must hold for them."""

    trials = Bundle("trials")

    def __init__(self) -> None:
        super().__init__()
        self.queue = WaitQueue()
        self.backends = [
            backend("a", limit=1, max_queue=2),
            backend("b", limit=2, max_queue=3),
            backend("c", limit=1, max_queue=1),
        ]
        self.now = 0.0
        self.arrivals = 0
        self.standing: list[ModelCaller] = []
        self.running: list[Trial] = []

    def arrive(self, caller: "ModelCaller") -> None:
        free = [state for state in caller.backends if not state.full]
        if free:
            caller.take(free[0])
            return
        room = [s for s in caller.backends if self.queue.waiting(s) < s.max_queue]
        fault = self.queue.enter(caller, caller.backends, self.now, caller.deadline)
        if fault is None:
            self.arrivals += 1
            caller.number = self.arrivals
            caller.stands_at = room
            self.standing.append(caller)
        else:
            assert fault.retry_after is not None
            assert 1.0 <= fault.retry_after <= 120.0

    @rule(
        where=st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True),
        patience=st.floats(0.0, 20.0),
        mood=st.sampled_from(["takes", "takes", "takes", "passes", "ends at once"]),
    )
    def call(
        self, where: list[int], patience: float, mood: Literal["takes", "passes", "ends at once"]
    ) -> None:
        backends = [self.backends[index] for index in where]
        self.arrive(ModelCaller(self, backends, self.now + patience, mood))

    @rule(target=trials, index=st.integers(0, 9))
    def pick(self, index: int) -> int:
        return index

    @rule(index=consumes(trials), held=st.floats(0.0, 10.0))
    def end(self, index: int, held: float) -> None:
        if index < len(self.running):
            self.give_back(self.running[index], held)

    def give_back(self, trial: Trial, held: float) -> None:
        self.running.remove(trial)
        trial.end(None, self.now)
        self.queue.left(trial.target.backend, held)

    @rule(index=st.integers(0, 2))
    def widen(self, index: int) -> None:
        state = self.backends[index]
        if state.limit < 4:
            state.limit += 1
            state.settle(self.now)
            self.queue.offer(state)

    @rule(index=st.integers(0, 5))
    def leave(self, index: int) -> None:
        if index < len(self.standing):
            self.queue.leave(self.standing.pop(index))

    @rule(seconds=st.floats(0.0, 5.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        late = [caller for caller in self.standing if caller.deadline <= self.now]
        assert self.queue.expired(self.now) == late
        self.standing = [caller for caller in self.standing if caller not in late]

    @invariant()
    def no_place_is_lost(self) -> None:
        for state in self.backends:
            assert state.full or not self.queue.waiting(state), state
            assert state.inflight <= state.limit

    @invariant()
    def queues_hold_who_stands_there_and_no_more_than_they_may(self) -> None:
        assert len(self.queue) == len(self.standing)
        for state in self.backends:
            there = [caller for caller in self.standing if state in caller.stands_at]
            assert self.queue.waiting(state) == len(there) <= state.max_queue


class ModelCaller:
    def __init__(self, model: Model, backends: list[BackendState], deadline: float, mood: str) -> None:
        self.model = model
        self.backends = backends
        self.deadline = deadline
        self.mood = mood
        self.number = 0
        self.stands_at: list[BackendState] = []

    def __repr__(self) -> str:
        return f"<{self.number} {self.mood}>"

    def place_missed(self) -> None:
        raise AssertionError

    def take(self, state: BackendState) -> None:
        self.model.running.append(state.targets[0].begin(self.model.now))

    def wake(self) -> None:
        model = self.model
        assert self in model.standing, "woken, but it does not stand anywhere"
        model.standing.remove(self)
        free = [state for state in self.backends if not state.full]
        offered = [state for state in self.stands_at if not state.full]
        assert offered, "woken without a free place"
        for state in offered:
            before = [one for one in model.standing if state in one.stands_at and one.number < self.number]
            assert before == [], "somebody stood before it"
        if self.mood != "passes":
            self.take(free[0])
        if self.mood == "ends at once":
            model.give_back(model.running[-1], 0.1)


TestModel = Model.TestCase
