"""Settings of all tests: hypothesis profile, and the note for coverage which test file is running.

The note is what `architecture/own_coverage.py` reads; without `coverage run` nothing is noted.
"""

import pytest
from coverage import Coverage
from hypothesis import HealthCheck, settings

# Deadlines and health checks measure the machine, which tests share with others.
settings.register_profile(
    "trunkline", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("trunkline")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    coverage = Coverage.current()
    if coverage is not None:
        coverage.switch_context(item.path.relative_to(item.config.rootpath).as_posix())
