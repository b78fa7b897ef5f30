"""A primary that is down for a while, and calls all the time: is every one answered, and is the primary back soon?"""

import asyncio

import msgspec

from tests.failover.caller import Told
from tests.failover.harness import World
from trunkline.simulator.state import Entry

# Of times that are exact to a millisecond, and of their differences; calls are much further apart.
_ROUNDING = 0.002


class Outage(msgspec.Struct):
    """What happened: times are those of the loop's clock, and of the simulator's for requests (`shift` apart)."""

    calls: list[Told]
    primary: list[Entry]
    ended: float
    shift: float
    canonical: str

    def during(self) -> list[Told]:
        """The calls that were made in the outage."""
        return [told for told in self.calls if told.began < self.ended]

    def answered(self) -> bool:
        """Whether each call got the whole answer."""
        return all(told.outcome == "success" and told.text == self.canonical for told in self.calls)

    def requests(self, told: Told) -> list[Entry]:
        """What the primary saw of one call; calls are made one after another."""
        begin, end = told.began - self.shift, told.began + told.total - self.shift
        return [entry for entry in self.primary if begin - _ROUNDING <= entry.received <= end + _ROUNDING]

    def back(self) -> float:
        """Seconds from the recovery to the first good answer of the primary."""
        good = [entry.received for entry in self.primary if entry.status == 200]
        return min((at + self.shift - self.ended for at in good), default=float("inf"))


async def outage(
    world: World,
    primary: str,
    *,
    seconds: float,
    calls: int,
    apart: float,
    canonical: str,
    spec: str = "status=503",
) -> Outage:
    """Let the primary fail for some seconds, and make calls one after another, each begun `apart` after the last."""
    loop = asyncio.get_running_loop()
    shift = loop.time() - world.sim._state.now()
    world.sim.set_fault(spec, model=primary)
    ended = loop.time() + seconds
    handle = loop.call_at(ended, lambda: world.sim.set_fault(None, model=primary))
    told: list[Told] = []
    try:
        for _ in range(calls):
            told.append(await world.call(limit=30))
            await asyncio.sleep(max(0.0, told[-1].began + apart - loop.time()))
    finally:
        handle.cancel()
    return Outage(told, world.asked(primary), ended, shift, canonical)
