"""Backends that go wrong at random: killed and started again, hung, cut, refusing.

Owns what happens to one backend and when. Does not own the calls (callers.py) nor the gateway. What goes wrong, for how
long and what comes next is drawn from a seeded generator; at which call it strikes is up to the machine.

A fault that leaves calls hanging ends in a kill: with the gateway's own settings a JSON call waits ten minutes for a
server that says nothing.
"""

import asyncio
import random
import socket
from collections import Counter

from trunkline.simulator.app import Simulator, start
from trunkline.simulator.state import Entry

SEED = 7
"""Of all simulators: a text is the same wherever it is asked for."""
_LOG = 50_000

# Of these nothing is left hanging.
_FAULTS = (
    *("reset=accept", "reset=head", "reset=body;after=2", "close=before_head", "close=head"),
    *("close=body;after=1", "close=body;after=6", "broken_chunk;after=3", "lying_length=+7", "empty_stream"),
    *("status=503", "status=500", "status=503;retry_after=1", "status=429;retry_after=1", "error_200"),
    *("error_event=0", "error_event=5", "malformed_event=3", "status=502;body=html", "stall=0.1;after=3"),
    *("delay_head=0.1", "delay_chunk=0.004"),
)
# These strike now and then only, so that breakers stay closed.
_RARE = (
    *("rate=0.3;reset=body;after=4", "rate=0.3;close=body;after=9", "rate=0.3;broken_chunk;after=5"),
    *("rate=0.2;lying_length=+7", "rate=0.2;stall=0.05;after=2", "rate=0.3;close=body;after=2"),
    *("rate=0.2;close=before_head", "rate=0.2;reset=head", "rate=0.3;status=500", "rate=0.3;error_event=4"),
)
_HANGS = ("delay_head=forever", "stall;after=4", "rate=0.2;stall;after=7", "rate=0.2;delay_head=forever")


class Backend:
    """A simulated server on a port that stays its own while it is down."""

    def __init__(self, name: str) -> None:
        self.name = name
        # Bound, but never listening: nobody else gets the port, and a connection to it is refused.
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind(("127.0.0.1", 0))
        self.port: int = self._place.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.happened: Counter[str] = Counter()
        self._lives: list[Simulator] = []

    def __repr__(self) -> str:
        return f"<Backend {self.name}: {len(self._lives)} lives, {self.happened}>"

    @property
    def requests(self) -> list[Entry]:
        """The calls that it has seen in all its lives."""
        return [entry for life in self._lives for entry in life.log if entry.method == "POST"]

    @property
    def open_connections(self) -> int:
        return self._lives[-1].open_connections

    @property
    def in_flight(self) -> int:
        return self._lives[-1].in_flight

    async def start(self) -> None:
        """Come up."""
        self._lives.append(await start(port=self.port, seed=SEED, log_size=_LOG))

    async def kill(self) -> None:
        """Go down: nothing listens, every connection is closed at once."""
        await self._lives[-1].close()

    async def suffer(self, rng: random.Random) -> None:
        """Be well for a while, then not, over and over, until cancelled."""
        while True:
            await asyncio.sleep(rng.uniform(0.05, 0.7))
            await self._episode(rng)

    async def _episode(self, rng: random.Random) -> None:
        what = rng.choices(("rare", "fault", "hang", "kill"), (6, 3, 2, 2))[0]
        spec = rng.choice(_RARE if what == "rare" else _HANGS if what == "hang" else _FAULTS)
        self.happened[what] += 1
        if what != "kill":
            self._lives[-1].set_fault(spec)
            await asyncio.sleep(rng.uniform(0.1, 0.8))
        if what in ("rare", "fault"):
            self._lives[-1].set_fault(None)
            return
        await self.kill()
        await asyncio.sleep(rng.uniform(0.02, 0.5))
        await self.start()  # without a fault

    async def end(self) -> None:
        """Go down for good."""
        await self.kill()
        self._place.close()
