"""Settings of all tests: hypothesis profile, and the note for coverage which test file is running.

The note is what `architecture/own_coverage.py` reads; without `coverage run` nothing is noted.
"""

import os
import signal
from collections.abc import Iterator

import pytest
from coverage import Coverage
from hypothesis import HealthCheck, settings

# Deadlines and health checks measure the machine, which tests share with others.
settings.register_profile(
    "trunkline",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    # A change is judged by the same examples each time; at home every run looks for new ones.
    derandomize="CI" in os.environ,
)
settings.load_profile("trunkline")


@pytest.fixture(autouse=True, scope="session")
def no_data_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What gateways keep over a restart is kept for this run only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(autouse=True, scope="session")
def programs_hear_ctrl_c() -> None:
    """Who is started in the background of a script ignores SIGINT, and so would all programs that tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    coverage = Coverage.current()
    if coverage is not None:
        coverage.switch_context(item.path.relative_to(item.config.rootpath).as_posix())
