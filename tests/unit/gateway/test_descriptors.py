"""gateway/descriptors.py, over a kernel that is played."""

import resource

import pytest

from trunkline.gateway.descriptors import raise_limit

UNLIMITED = resource.RLIM_INFINITY


class Kernel:
    """Limits of one process; it refuses soft limits above `ceiling`."""

    def __init__(self, soft: int, hard: int, ceiling: int = 2**40) -> None:
        self.limits = (soft, hard)
        self.ceiling = ceiling

    def get(self, what: int) -> tuple[int, int]:
        assert what == resource.RLIMIT_NOFILE
        return self.limits

    def set(self, what: int, limits: tuple[int, int]) -> None:
        assert what == resource.RLIMIT_NOFILE
        assert limits[1] == self.limits[1], "the hard limit stays"
        if limits[0] > self.ceiling:
            raise ValueError("current limit exceeds maximum limit")
        self.limits = limits


@pytest.mark.parametrize(
    ("soft", "hard", "ceiling", "after", "warned"),
    [
        (1024, 1_000_000, 2**40, 1_000_000, False),
        (1024, 20_000, 2**40, 20_000, False),
        (1024, 4096, 2**40, 4096, True),
        (4096, 4096, 2**40, 4096, True),
        (256, UNLIMITED, 2**40, 20_000, False),
        (256, UNLIMITED, 10_240, 256, True),
        (256, 1_000_000, 30_000, 20_000, False),
        (UNLIMITED, UNLIMITED, 2**40, UNLIMITED, False),
        (65_536, 65_536, 2**40, 65_536, False),
    ],
)
def test_the_limit_is_raised_as_far_as_it_goes(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, ceiling: int, after: int, warned: bool
) -> None:
    kernel = Kernel(soft, hard, ceiling)
    monkeypatch.setattr(resource, "getrlimit", kernel.get)
    monkeypatch.setattr(resource, "setrlimit", kernel.set)
    warning = raise_limit(10_000)
    assert kernel.limits == (after, hard)
    assert bool(warning) is warned


def test_the_warning_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(1024, 4096)
    monkeypatch.setattr(resource, "getrlimit", kernel.get)
    monkeypatch.setattr(resource, "setrlimit", kernel.set)
    warning = raise_limit(10_000)
    assert warning.startswith("server.max_connections is 10000, which needs up to 20000 open files")
    assert "may have 4096" in warning
    assert warning.endswith("lower server.max_connections to 2048")
    assert raise_limit(2048) == ""
