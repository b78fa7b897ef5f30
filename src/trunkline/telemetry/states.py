"""What is so at the moment of a scrape, and was not counted by records: the values that prometheus.py shows.

Owns the values. Does not own where they are read (gateway/surfaces/backends.py).
"""

import msgspec


class BackendNumbers(msgspec.Struct, frozen=True, gc=False):
    """One backend. `up`: 0 while its health checks fail or it is drained. `breaker`: 0 closed, 1 half open, 2 open."""

    name: str
    up: int
    breaker: int
    waiting: int


class States(msgspec.Struct, frozen=True):
    """All of them. `unusable`: backend, model and reason of each target with something against it."""

    backends: tuple[BackendNumbers, ...] = ()
    unusable: tuple[tuple[str, str, str], ...] = ()
    retries: int = 0
    retries_refused: int = 0
